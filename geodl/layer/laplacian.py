"""Positions on any graph: eigenvectors of its Laplacian."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError, positive
from geodl.layer.base import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.lowering import cached_tensors
from geodl.signal import Signal
from geodl.spectrum.solver import laplacian_matrix, lowest


class LaplacianPositions(Layer):
    """`y_i = x_i + W u_i` with u_i node i's entries in the first eigenvectors of the Laplacian (of
    `geodl.layer.laplacian.laplacian_eigenvectors`): positions on any graph.

    A sign is arbitrary: each eigenvector (of each member of a Batch) is flipped at random while
    training. So is the basis of equal eigenvalues: it is the solver's. (Dwivedi et al.,
    "Benchmarking Graph Neural Networks", 2023.)

    Args:
        count: how many eigenvectors.
        channels: C.

    The parameter `weight` `[C, count]` is drawn as in `nn.Linear`; eigenvectors are cached with the
    domain and are not in the `state_dict`.

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
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight as `nn.Linear` does: uniform, up to `1 / sqrt(count)`."""
        bound = self.count**-0.5
        nn.init.uniform_(self.weight, -bound, bound)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal with its positions added."""
        check_no_sender(self, sender)
        x, domain = check_signal(self, receiver).x, receiver.domain
        if domain.runtime_weight is not None:
            found = "weights that come with each call, where positions are kept"
            raise GeodlError(f"{self.label} on {domain}", found, "use the graph without them")
        like = (x.device, self.weight.dtype)
        vectors = cached_tensors(
            domain,
            None,
            ("laplacian", self.count, *like),
            lambda: laplacian_eigenvectors(domain, self.count).to(*like),
        )
        if self.training:
            # The sign of an eigenvector is arbitrary, of each member's own: none is to be learnt.
            signs = torch.randint(2, (domain.num_members, self.count), device=x.device) * 2 - 1
            sizes = torch.tensor(domain.sizes, device=x.device)
            vectors = vectors * signs.repeat_interleave(sizes, 0, output_size=domain.num_nodes)
        return receiver.with_x(x + F.linear(vectors, self.weight).to(x.dtype))

    def extra_repr(self) -> str:
        return f"{self.count}, {self.channels_in}"


def laplacian_eigenvectors(domain: Domain, count: int) -> Tensor:
    """The first eigenvectors of `I - D^-1/2 A D^-1/2` with eigenvalues above 0, smallest first:
    `[N, count]`, float64.

    Links are undirected, as :func:`geodl.laplacian` counts them: one that is given in both
    directions counts once, self-loops drop out. Eigenvalue 0, once for each connected part, is left
    out; isolated nodes get zeros, and missing columns of a graph with fewer eigenvectors
    are zeros. Each member of a Batch has its own. An eigenvector is fixed up to its sign, those of
    an equal eigenvalue up to a rotation among them. Found once and kept as plans are.

    Args:
        domain: any, with links of non-negative weight.
        count: how many.

    Raises:
        GeodlError: if `count` is not a positive integer, if a weight is negative, or if the two
            directions of a link have different weights.

    >>> from geodl.domain import Chain
    >>> laplacian_eigenvectors(Chain(2), 1).abs().flatten()
    tensor([0.7071, 0.7071], dtype=torch.float64)
    """
    count = positive(f"{count!r} eigenvectors of {domain}", count)
    if domain.is_union:
        return torch.cat([laplacian_eigenvectors(member, count) for member in domain.members or ()])
    return cached_tensors(domain, None, ("laplacian", count), lambda: _eigenvectors(domain, count))


def _eigenvectors(domain: Domain, count: int) -> Tensor:
    from scipy.sparse import csgraph, csr_array, diags_array

    matrix = laplacian_matrix(domain)
    degree = matrix.diagonal()
    vectors = np.zeros((domain.num_nodes, count))
    # A node without a link has no degree to divide by: it gets zeros.
    linked = (degree > 0).nonzero()[0]
    if len(linked):
        root = np.sqrt(degree[linked])
        scale = diags_array(1 / root)
        normalised = (scale @ matrix[linked][:, linked] @ scale).tocsr()
        parts, part = csgraph.connected_components(normalised, directed=False)
        # The eigenvectors of eigenvalue 0: D^1/2 1 on each connected part, of length 1.
        lengths = np.sqrt(np.bincount(part, root**2))
        trivial = csr_array((root / lengths[part], (np.arange(len(linked)), part)))
        found = lowest(normalised, trivial, min(count, len(linked) - parts))
        vectors[linked, : found.shape[1]] = found
    return torch.from_numpy(vectors)
