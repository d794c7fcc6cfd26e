"""Positions on any graph: eigenvectors of its Laplacian."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError, positive
from geodl.layer.base import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.lowering import kept
from geodl.signal import Signal

DENSE = 512  # nodes up to which all eigenvectors are found faster than a few


class LaplacianPositions(Layer):
    """`y_i = x_i + W u_i` with u_i node i's entries in :func:`laplacian_eigenvectors`: positions on
    any graph.

    A sign is arbitrary: each eigenvector (of each member of a Batch) is flipped at random while
    training. So is the basis of equal eigenvalues: it is the solver's. (Dwivedi et al.,
    "Benchmarking Graph Neural Networks", 2023.)

    Args:
        count: how many eigenvectors.
        channels: C.

    The parameter `weight` `[C, count]` is drawn as in `nn.Linear`; eigenvectors stay with the
    domain, not in the state.

    >>> from geodl.domain import Graph
    >>> LaplacianPositions(2, 4)(Signal(torch.zeros(1, 3, 4), Graph([[0, 1], [1, 2]]))).x.shape
    torch.Size([1, 3, 4])
    """

    breaks_symmetry = True
    transparent = True

    def __init__(self, count: int, channels: int):
        super().__init__()
        asked = f"LaplacianPositions({count!r}, {channels!r})"
        count = positive(asked, count)
        channels = positive(asked, channels)
        self.count, self.channels_in = count, channels
        self.weight = nn.Parameter(torch.empty(channels, count))
        nn.init.uniform_(self.weight, -(count**-0.5), count**-0.5)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal with its positions added."""
        check_no_sender(self, sender)
        x, domain = check_signal(self, receiver).x, receiver.domain
        like = (x.device, self.weight.dtype)
        vectors = kept(
            domain,
            ("laplacian", self.count, *like),
            lambda: laplacian_eigenvectors(domain, self.count).to(*like),
        )
        if self.training:
            signs = torch.randint(2, (domain.num_members, self.count), device=x.device) * 2 - 1
            sizes = torch.tensor(
                [member.num_nodes for member in domain.members or (domain,)], device=x.device
            )
            vectors = vectors * signs.repeat_interleave(sizes, 0, output_size=domain.num_nodes)
        return Signal(x + F.linear(vectors, self.weight).to(x.dtype), domain)

    def extra_repr(self) -> str:
        return f"{self.count}, {self.channels_in}"


def laplacian_eigenvectors(domain: Domain, count: int) -> Tensor:
    """The first eigenvectors of `I - D^-1/2 A D^-1/2` with eigenvalues above 0, smallest first:
    `[N, count]`, float64.

    Links count in both directions, self-loops do not. Eigenvalue 0, once for each connected part,
    is left out; isolated nodes get zeros, and so do the columns that a small graph has not. Each
    member of a Batch has its own. An eigenvector is fixed up to its sign, those of an equal
    eigenvalue up to a rotation among them. Found once and kept as plans are.

    Args:
        domain: any, with links of non-negative weight.
        count: how many.

    >>> from geodl.domain import Chain
    >>> laplacian_eigenvectors(Chain(2), 1).abs().flatten()
    tensor([0.7071, 0.7071], dtype=torch.float64)
    """
    count = positive(f"{count!r} eigenvectors of {domain}", count)
    if domain.members is not None:
        return torch.cat([laplacian_eigenvectors(member, count) for member in domain.members])
    return kept(domain, ("laplacian", count), lambda: _eigenvectors(domain, count))


def _eigenvectors(domain: Domain, count: int) -> Tensor:
    from scipy.sparse import coo_array, csgraph, csr_array

    dst, src, weight = (None if part is None else part.numpy(force=True) for part in domain.links())
    values, n = np.where(dst == src, 0.0, 1.0 if weight is None else weight), domain.num_nodes
    if (values < 0).any():
        raise GeodlError(
            f"Laplacian eigenvectors of {domain}", "negative weights", "use non-negative weights"
        )
    joined, vectors = (
        coo_array((values, (dst, src)), shape=(n, n), dtype=float).tocsr(),
        np.zeros((n, count)),
    )
    joined = joined + joined.T
    joined.eliminate_zeros()
    heard = joined.sum(0).nonzero()[0]
    if len(heard):
        joined = joined[heard][:, heard]
        laplacian, root = csgraph.laplacian(joined, normed=True, return_diag=True)
        parts, part = csgraph.connected_components(joined, directed=False)
        trivial = csr_array(
            (root / np.sqrt(np.bincount(part, root**2))[part], (np.arange(len(heard)), part))
        )
        found = _lowest(laplacian.tocsr(), trivial, min(count, len(heard) - parts))
        vectors[heard, : found.shape[1]] = found
    return torch.from_numpy(vectors)


def _lowest(laplacian: Any, trivial: Any, count: int) -> Any:
    """Eigenvectors of the smallest eigenvalues, but for those of eigenvalue 0, which are known."""
    from scipy.sparse import eye_array, hstack, linalg

    n = laplacian.shape[0]
    if n <= DENSE or 4 * count > n:
        return np.linalg.eigh((laplacian + 3 * trivial @ trivial.T).toarray())[1][
            :, :count
        ]  # no eigenvalue is above 2

    def largest(apply: Callable[[Any], Any], k: int, known: Any, **options: Any) -> Any:
        def rest(x: Any) -> Any:
            return x - known @ (known.T @ x)

        operator = linalg.LinearOperator((n, n), lambda x: rest(apply(rest(x))))
        return linalg.eigsh(
            operator,
            k,
            which="LA",
            v0=np.random.default_rng(0).standard_normal(n),
            ncv=2 * k + 20,
            **options,
        )[1]

    apply = (2 * eye_array(n) - laplacian).dot
    try:
        found = largest(apply, count, trivial, maxiter=100)
    except linalg.ArpackNoConvergence:
        smooth = largest(apply, 1, trivial, tol=0.1)
        if (
            smooth * (laplacian @ smooth)
        ).sum() < 0.05:  # few edges join large parts, as in meshes: factors are sparse
            shifted = (laplacian + 1e-6 * eye_array(n)).tocsc()
            apply = linalg.splu(
                shifted, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}
            ).solve
        found = largest(apply, count, trivial)
    # one start may see one vector of a multiple eigenvalue: look beside those found until nothing
    # smaller is left
    while True:
        both = np.hstack((found, largest(apply, 1, hstack((trivial, found)).tocsr())))
        size = (both * (laplacian @ both)).sum(0)
        found = both[:, np.argsort(size)[:count]]
        if size[-1] > (1 - 1e-6) * size[:-1].max():
            return found
