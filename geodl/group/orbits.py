"""Orbits of nodes, of all pairs of nodes and of edges: the sets that permutations map to
themselves and that cannot be divided further.

Each item begins with a label of its own. One generator after another merges labels: an item and its
image get the same one. The merged labels are the connected components of a graph with a link from
each item's label to that of its image (`scipy.sparse.csgraph`).
"""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.constants import cached_constants
from geodl.errors import GeodlError

Numbers = NDArray[np.int64]


@cached_constants()
def node_orbits(generators: Tensor) -> Tensor:
    """Number the orbits of nodes: `[N]`, labels 0..n-1 in order of first appearance.

    An invariant vector, as the bias of an equivariant layer, is constant on them.

    Args:
        generators: `[G, N]`, row k maps node i to `generators[k, i]`.

    >>> node_orbits(torch.tensor([[1, 0, 2]])).tolist()
    [0, 0, 1]
    """
    moves = (generator.numpy() for generator in generators)
    return torch.from_numpy(_labels(generators.shape[1], moves))


@cached_constants()
def pair_orbits(generators: Tensor) -> Tensor:
    """Number the orbits of ordered node pairs under permutations of the nodes.

    Two pairs of nodes get the same number when a product of the generators carries one to the
    other; a linear layer commutes with the generators exactly when its matrix is constant on these
    orbits (Ravanbakhsh, Schneider, Poczos, "Equivariance Through Parameter-Sharing", 2017).

    Args:
        generators: `[G, N]`, row k maps node i to `generators[k, i]`.

    Returns:
        `[N, N]` integers, receivers first, labels 0..n-1 in order of first appearance.

    >>> pair_orbits(torch.tensor([[1, 2, 0]])).tolist()
    [[0, 1, 2], [2, 0, 1], [1, 2, 0]]
    """
    n = generators.shape[1]
    # Pair (i, j) has number i * n + j, and a generator moves it to (g i, g j).
    moves = ((g[:, None] * n + g[None, :]).reshape(-1).numpy() for g in generators)
    return torch.from_numpy(_labels(n * n, moves)).reshape(n, n)


@cached_constants()
def edge_orbits(asked: str, generators: Tensor, dst: Tensor, src: Tensor) -> Tensor:
    """Number the orbits of some pairs of nodes only, the edges (dst, src): `[E]`, labels 0..n-1 in
    order of first appearance. Parallel edges are one pair.

    Args:
        asked: what the caller asked for, the beginning of the error.
        generators: `[G, N]`, row k maps node i to `generators[k, i]`.
        dst: `[E]` receivers.
        src: `[E]` senders.

    Raises:
        GeodlError: if a generator carries an edge to a pair that is none; the first is named.
    """
    n = generators.shape[1]
    code, edge = torch.unique(dst * n + src, return_inverse=True)
    receiver, sender = code // n, code % n

    def moves() -> Iterable[Numbers]:
        for k, g in enumerate(generators):
            moved = g[receiver] * n + g[sender]
            at = torch.searchsorted(code, moved).clamp(max=max(0, len(code) - 1))
            missing = (code[at] != moved).nonzero()[:1, 0].tolist()
            for e in missing:
                ends = f"{int(receiver[e])} <- {int(sender[e])}"
                goes = f"{int(g[receiver[e]])} <- {int(g[sender[e]])}"
                found = (
                    f"an edge {ends} that generator {k + 1} carries to {goes}, where there is none"
                )
                do = "use a rule that this symmetry keeps, or a GSet of generators that keep it"
                raise GeodlError(asked, found, do)
            yield at.numpy()

    label = torch.from_numpy(_labels(len(code), moves()))[edge]
    return torch.from_numpy(_by_appearance(label.numpy()))


def _labels(count: int, moves: Iterable[Numbers]) -> Numbers:
    """A label for each item, the same for items that permutations map to each other, by first
    appearance: `[count]`.

    Args:
        count: the number of items.
        moves: the permutations; each gives the image of every item, `[count]`.
    """
    # Importing geodl takes no scipy.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    label = np.arange(count, dtype=np.int32)
    for move in moves:
        moved = label[move]
        apart = moved != label
        if not apart.any():
            continue
        links = label[apart], moved[apart]
        labels = int(label.max()) + 1
        ones = np.ones(len(links[0]), dtype=np.int8)
        graph = coo_matrix((ones, links), shape=(labels, labels))
        _, merged = connected_components(graph, directed=False)
        label = merged[label]
    return _by_appearance(label)


def _by_appearance(label: NDArray[np.integer]) -> Numbers:
    """Labels renumbered in the order in which they appear first."""
    if not len(label):
        return label.astype(np.int64)
    count = int(label.max()) + 1
    first = np.empty(count, dtype=np.int64)
    # Where an index occurs several times, numpy keeps the last value: in reversed order that is the
    # first appearance.
    first[label[::-1]] = np.arange(len(label) - 1, -1, -1)
    number = np.empty(count, dtype=np.int64)
    number[np.argsort(first)] = np.arange(count)
    return number[label]
