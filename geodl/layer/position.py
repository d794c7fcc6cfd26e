"""Where nodes stand: positions that are added to a signal, and the rotation that attention applies."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.domain.base import coordinates, positive
from geodl.errors import GeodlError
from geodl.group import for_everyone
from geodl.layer.base import Layer, alone, checked
from geodl.lowering.base import keep, store_of
from geodl.signal import Signal

DENSE = 512  # nodes up to which all eigenvectors are found faster than a few


def places(domain: Domain) -> Tensor:
    """The place of each node: `[N]` along an order, `[N, axes]` on another lattice; each member of a Batch begins at 0.

    >>> from geodl.domain import Batch, Chain, Grid
    >>> places(Batch([Chain(2), Chain(3)])).tolist()
    [0, 1, 0, 1, 2]
    >>> places(Grid(2, 2)).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    if domain.members is not None:
        parts = [places(member) for member in domain.members]
        if len({part.shape[1:] for part in parts}) > 1:
            raise GeodlError(f"places on {domain}", "members with different axes", "use members of one kind")
        return torch.cat(parts)
    if domain.ordered:
        return torch.arange(domain.num_nodes)
    if domain.lattice is None:
        raise GeodlError(f"places on {domain}", "nodes without places", "use a Chain or a Grid, or LaplacianPositions on a graph")
    return coordinates(domain.lattice).repeat_interleave(domain.fiber.order if domain.fiber else 1, 0)


def sinusoidal(places: Tensor, channels: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """`PE(p, 2i) = sin(p r_i)`, `PE(p, 2i + 1) = cos(p r_i)` with `r_i = 10000^(-2i/C)`: `[N, C]`.

    Several axes share the channels evenly, the first axis first. (Vaswani et al., "Attention Is All You Need", 2017.)

    Args:
        places: `[N]` or `[N, axes]`.
        channels: C, a multiple of 2 axes.
        dtype: of the answer, and of the angles.

    >>> sinusoidal(torch.tensor([0, 1]), 2)
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """
    angles = _angles(places, channels, dtype)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)


def rotate(x: Tensor, places: Tensor) -> Tensor:
    """Rotary positions: channels (2i, 2i + 1) of each head turned by the angle `place * 10000^(-2i/D)`.

    Scores `rotate(q, p) . rotate(k, p')` then depend on `p - p'` only (Su et al., "RoFormer", 2021). Angles are in float32
    at least, the answer has the dtype of x.

    Args:
        x: queries or keys `[B, N, H, D]`; D is a multiple of 2 axes.
        places: `[N]` or `[N, axes]`, of :func:`places`.

    >>> rotate(torch.tensor([1.0, 0.0]).view(1, 1, 1, 2), torch.tensor([1])).flatten()
    tensor([0.5403, 0.8415])
    """
    if x.dim() != 4 or x.shape[1] != len(places):
        found = f"values of shape {list(x.shape)} for {len(places)} places"
        raise GeodlError("rotary positions", found, f"give [B, {len(places)}, H, D]")
    angles = _angles(places.to(x.device), x.shape[3], torch.promote_types(x.dtype, torch.float32))[:, None]
    cos, sin = angles.cos(), angles.sin()
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(3).to(x.dtype)


def laplacian_eigenvectors(domain: Domain, count: int) -> Tensor:
    """The first eigenvectors of `I - D^-1/2 A D^-1/2` with eigenvalues above 0, smallest first: `[N, count]`, float64.

    Links count in both directions, self-loops do not. Eigenvalue 0, once for each connected part, is left out; isolated nodes
    get zeros, and so do the columns that a small graph has not. Each member of a Batch has its own. An eigenvector is fixed
    up to its sign, those of an equal eigenvalue up to a rotation among them. Found once and kept as plans are.

    Args:
        domain: any, with links of non-negative weight.
        count: how many.

    >>> from geodl.domain import Chain
    >>> laplacian_eigenvectors(Chain(2), 1).abs().flatten()
    tensor([0.7071, 0.7071], dtype=torch.float64)
    """
    positive(f"{count!r} eigenvectors of {domain}", count)
    if domain.members is not None:
        return torch.cat([laplacian_eigenvectors(member, count) for member in domain.members])
    return _kept(domain, ("laplacian", count), lambda: _eigenvectors(domain, count))


class Positions(Layer):
    """`y_i = x_i + p(place of i)` on lattices; the state of :meth:`unroll` is the number of nodes seen."""

    channels_in: int

    def forward(self, receiver: Any, sender: Any = None, seen: int = 0) -> Signal:
        """The signal with the positions added that its nodes have after `seen` others."""
        alone(self, sender)
        x = checked(self, receiver).x
        return Signal(x + self._at(receiver.domain, seen, x).to(x.dtype), receiver.domain)

    def unroll(self, signal: Signal, state: int | None = None, sender: Signal | None = None) -> tuple[Signal, int]:
        """Continue on the next nodes of a chain (or of each of a Batch's equal chains); the state is how many came before."""
        domain = signal.domain
        sizes = {member.num_nodes for member in domain.members or (domain,)}
        if not domain.ordered or len(sizes) > 1:
            found = "members of different lengths" if domain.ordered else "no order to go on in"
            raise GeodlError(f"{self.label} unrolled on {domain}", found, "unroll along a Chain, or a Batch of equal ones")
        seen = 0 if state is None else state
        if type(seen) is not int or seen < 0:
            raise GeodlError(f"{self.label} unrolled", f"the state {state!r}", "give the number of nodes seen, or None")
        return self(signal, sender, seen), seen + sizes.pop()

    @abstractmethod
    def _at(self, domain: Domain, seen: int, x: Tensor) -> Tensor:
        """The positions `[N, C]` of nodes that come after `seen` others, for values x."""


class SinusoidalPositions(Positions):
    """Adds :func:`sinusoidal` positions, without parameters and for any length.

    Args:
        channels: C, even; on a lattice of several axes a multiple of 2 axes.

    >>> SinusoidalPositions(4)(Signal.sequence(torch.zeros(1, 2, 4))).x[0, 0]
    tensor([0., 1., 0., 1.])
    """

    def __init__(self, channels: int):
        super().__init__()
        positive(f"SinusoidalPositions({channels!r})", channels)
        _paired(channels, 1)
        self.channels_in = channels

    def _at(self, domain: Domain, seen: int, x: Tensor) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        return sinusoidal(places(domain).to(x.device) + seen, self.channels_in, dtype=dtype)

    def extra_repr(self) -> str:
        return f"{self.channels_in}"


class LearnedPositions(Positions):
    """Adds a learned vector for each place; on a grid for each node, numbered row by row.

    Args:
        length: the largest number of nodes (of a member of a Batch).
        channels: C.

    The parameter `weight` `[length, C]` is drawn from a normal distribution of deviation 0.02 (Radford et al., "Improving
    Language Understanding by Generative Pre-Training", 2018).

    Raises:
        GeodlError: more nodes than the table has rows.

    >>> LearnedPositions(8, 4)(Signal.sequence(torch.zeros(1, 5, 4))).x.shape
    torch.Size([1, 5, 4])
    """

    def __init__(self, length: int, channels: int):
        super().__init__()
        positive(f"LearnedPositions({length!r}, {channels!r})", length, channels)
        self.length, self.channels_in = length, channels
        self.weight = nn.Parameter(torch.empty(length, channels))
        nn.init.normal_(self.weight, std=0.02)

    def _at(self, domain: Domain, seen: int, x: Tensor) -> Tensor:
        ends = [seen + len(places(member)) for member in domain.members or (domain,)]
        if max(ends) > self.length:
            do = f"build it with length={max(ends)} or more, cut the sequence, or use SinusoidalPositions"
            raise GeodlError(f"{self.label} on {domain}", f"node {max(ends)} of a table of {self.length}", do)
        return torch.cat([self.weight[seen:end] for end in ends])

    def extra_repr(self) -> str:
        return f"{self.length}, {self.channels_in}"


class LaplacianPositions(Layer):
    """`y_i = x_i + W u_i` with u_i node i's entries in :func:`laplacian_eigenvectors`: positions on any graph.

    A sign is arbitrary: each eigenvector (of each member of a Batch) is flipped at random while training. So is the basis of
    equal eigenvalues: it is the solver's. (Dwivedi et al., "Benchmarking Graph Neural Networks", 2023.)

    Args:
        count: how many eigenvectors.
        channels: C.

    The parameter `weight` `[C, count]` is drawn as in `nn.Linear`; eigenvectors stay with the domain, not in the state.

    >>> from geodl.domain import Graph
    >>> LaplacianPositions(2, 4)(Signal(torch.zeros(1, 3, 4), Graph([[0, 1], [1, 2]]))).x.shape
    torch.Size([1, 3, 4])
    """

    def __init__(self, count: int, channels: int):
        super().__init__()
        positive(f"LaplacianPositions({count!r}, {channels!r})", count, channels)
        self.count, self.channels_in = count, channels
        self.weight = nn.Parameter(torch.empty(channels, count))
        nn.init.uniform_(self.weight, -(count**-0.5), count**-0.5)

    def forward(self, receiver: Any, sender: Any = None) -> Signal:
        """The signal with its positions added."""
        alone(self, sender)
        x, domain = checked(self, receiver).x, receiver.domain
        like = (x.device, self.weight.dtype)
        vectors = _kept(domain, ("laplacian", self.count, *like), lambda: laplacian_eigenvectors(domain, self.count).to(*like))
        if self.training:
            signs = torch.randint(2, (domain.num_members, self.count), device=x.device) * 2 - 1
            sizes = torch.tensor([member.num_nodes for member in domain.members or (domain,)], device=x.device)
            vectors = vectors * signs.repeat_interleave(sizes, 0, output_size=domain.num_nodes)
        return Signal(x + F.linear(vectors, self.weight).to(x.dtype), domain)

    def extra_repr(self) -> str:
        return f"{self.count}, {self.channels_in}"


def _paired(channels: int, axes: int) -> None:
    if channels % (2 * axes):
        raise GeodlError(f"{channels} channels for sines and cosines on {axes} axes", do=f"give a multiple of {2 * axes}")


def _angles(places: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """`place * 10000^(-2i/C)` for each pair of channels: `[N, C / 2]`; C is what one axis has of them."""
    points = places.to(dtype).reshape(len(places), 1 if places.dim() == 1 else places.shape[1], 1)
    axes = points.shape[1]
    _paired(channels, axes)
    rates = 10000 ** (-torch.arange(0, channels // axes, 2, device=places.device, dtype=dtype) * axes / channels)
    return (points * rates).flatten(1)


def _kept(domain: Domain, name: tuple[Any, ...], make: Callable[[], Tensor]) -> Tensor:
    """A tensor made once for a domain, where plans are kept."""
    store, place = store_of(domain, None)
    key = (*name, place)
    if key not in store:
        if torch.compiler.is_compiling():
            raise GeodlError("eigenvectors inside a compiled region", "none found yet", "call g.prepare(model, signal) first")
        with for_everyone():
            keep(store, key, make())
    return store[key]


def _eigenvectors(domain: Domain, count: int) -> Tensor:
    from scipy.sparse import coo_array, csgraph, csr_array

    dst, src, weight = (None if part is None else part.numpy(force=True) for part in domain.links())
    values, n = np.where(dst == src, 0.0, 1.0 if weight is None else weight), domain.num_nodes
    if (values < 0).any():
        raise GeodlError(f"Laplacian eigenvectors of {domain}", "negative weights", "use non-negative weights")
    joined = coo_array((values, (dst, src)), shape=(n, n)).tocsr()
    joined.eliminate_zeros()
    laplacian, root = csgraph.laplacian(joined + joined.T, normed=True, return_diag=True)
    parts, part = csgraph.connected_components(joined, directed=False)
    trivial = csr_array((root / np.sqrt(np.bincount(part, root**2))[part], (np.arange(n), part)), shape=(n, parts))
    found = _lowest(laplacian.tocsr(), trivial, min(count, n - parts))
    return torch.from_numpy(np.pad(found, ((0, 0), (0, count - found.shape[1]))))


def _lowest(laplacian: Any, trivial: Any, count: int) -> Any:
    """Eigenvectors of the smallest eigenvalues, but for those of eigenvalue 0, which are known."""
    from scipy.sparse import eye_array, linalg

    n = laplacian.shape[0]
    if n <= DENSE or 4 * count > n:
        return np.linalg.eigh((laplacian + 3 * trivial @ trivial.T).toarray())[1][:, :count]  # no eigenvalue is above 2

    def rest(x: Any) -> Any:
        return x - trivial @ (trivial.T @ x)

    def largest(apply: Callable[[Any], Any], k: int, **options: Any) -> Any:
        operator, start = linalg.LinearOperator(laplacian.shape, apply), np.random.default_rng(0).standard_normal(n)
        return linalg.eigsh(operator, k, which="LA", v0=start, **options)[1][:, ::-1]

    def mirrored(x: Any) -> Any:
        return rest(2 * x - laplacian @ x)

    try:
        return largest(mirrored, count, maxiter=100)
    except linalg.ArpackNoConvergence:
        first = largest(mirrored, 1, tol=0.1)
    if (first * (laplacian @ first)).sum() > 0.05:  # close together, not close to 0: a random graph, without sparse factors
        return largest(mirrored, count)
    shifted = (laplacian + 1e-6 * eye_array(n)).tocsc()  # close to 0: few edges join large parts, and factors stay sparse
    factors = linalg.splu(shifted, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    return largest(lambda x: rest(factors.solve(rest(x))), count)
