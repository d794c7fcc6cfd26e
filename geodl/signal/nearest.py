"""Nearest neighbors of the nodes of a signal, as a rule that is data."""

import torch
from torch import Tensor

from geodl.domain.check import can_be_read, check_unmapped
from geodl.errors import GeodlError, positive
from geodl.neighborhood.relation import Relation
from geodl.signal.base import Signal
from geodl.signal.check import describe

MOST_DISTANCES = 2**24  # numbers of one block of distances, 64 MB in float32


def knn(signal: Signal, k: int, *, loops: bool = False) -> Relation:
    """Each node receives from the k nearest nodes of its member, by the distance of their values.

    The relation is within one set of nodes: `layer(signal, rule=knn(signal, k))` answers on the
    signal's own domain, as in EdgeConv (Wang et al., "Dynamic Graph CNN", 2019). A member of fewer
    than k other nodes gives all of them. Numbers of neighbors have no gradient; which neighbors
    there are depends on data, outside of what is compiled whole.

    Args:
        signal: one cloud of points for each member, of batch 1.
        k: how many neighbors a node has.
        loops: whether a node is its own nearest neighbor; without loops it is none.

    Returns:
        Edges one receiver after the other, its nearest sender first.

    Raises:
        GeodlError: if it is not a Signal, if its values are sparse or tokens, if its batch is not
            1, if k is not a positive integer, if distances are NaN or infinite, or if
            `torch.func.vmap` maps over them.

    >>> from geodl.domain import Complete
    >>> points = Signal(torch.tensor([[[0.0], [1.0], [5.0]]]), Complete(3))
    >>> knn(points, 1).edge_index.tolist()
    [[1, 0, 1], [0, 1, 2]]
    """
    asked = f"knn(signal, k={k!r})"
    k = positive(asked, k)
    if not isinstance(signal, Signal):
        raise GeodlError(asked, describe(signal), "give a Signal")
    x, domain = signal.x, signal.domain
    if x.layout != torch.strided or not x.is_floating_point():
        raise GeodlError(asked, f"values of {x.dtype} in {x.layout}", "give dense numbers")
    if x.shape[0] != 1:
        found = f"a batch of {x.shape[0]}, whose rows have different neighbors"
        raise GeodlError(asked, found, "put the rows side by side: g.Batch([domain, ...])")
    check_unmapped(asked, "nearest nodes", x)
    # Distances of half precision would tie; torch has none.
    wide = torch.promote_types(x.dtype, torch.float32)
    points, sizes = x[0].detach().to(wide), torch.tensor(domain.sizes)
    starts = sizes.cumsum(0) - sizes
    found = []
    # Members of one size are one batch of distances.
    for size in sizes.unique().tolist():
        of_size = starts[sizes == size].to(x.device)
        nodes = of_size[:, None] + torch.arange(size, device=x.device)
        found.append(_nearest(asked, points, nodes, k, loops))
    index = torch.cat(found, dim=1)
    # Receivers in the order of their numbers; those of equal ones keep their order, nearest first.
    index = index[:, torch.argsort(index[1], stable=True)]
    return Relation(index, domain.num_nodes, domain.num_nodes, one_set=True)


def _nearest(asked: str, points: Tensor, nodes: Tensor, k: int, loops: bool) -> Tensor:
    """Edges `[2, E]` from the nearest nodes of D members of one size.

    Args:
        asked: the call in words, for the error.
        points: `[N, C]`.
        nodes: `[D, n]` the nodes of each member.
        k: how many neighbors.
        loops: whether a node is a neighbor of its own.
    """
    members, size = nodes.shape
    count = min(k, size - 1)
    if loops:
        count = min(k, size)
    clouds = points[nodes]
    rows = max(1, MOST_DISTANCES // max(1, members * size))
    parts = []
    for begin in range(0, size, rows):
        receivers = clouds[:, begin : begin + rows]
        # By differences, not by products: those lose the digits that tell near nodes apart.
        exact = "donot_use_mm_for_euclid_dist"
        distance = torch.cdist(receivers, clouds, compute_mode=exact)
        place = torch.arange(receivers.shape[1], device=points.device)
        if loops:
            # Before all others, also where another node stands at the same place.
            distance[:, place, begin + place] = -1.0
        else:
            distance[:, place, begin + place] = torch.inf
        least, nearest = distance.topk(count, dim=2, largest=False, sorted=True)
        if can_be_read(least) and not torch.isfinite(least).all():
            found = "distances that are no finite numbers, under which no node is near"
            do = "clean the values first, as x.nan_to_num(), or scale them"
            raise GeodlError(asked, found, do)
        src = torch.gather(nodes, 1, nearest.flatten(1))
        dst = nodes[:, begin : begin + rows, None].expand_as(nearest)
        parts.append(torch.stack((src.flatten(), dst.flatten())))
    return torch.cat(parts, dim=1)
