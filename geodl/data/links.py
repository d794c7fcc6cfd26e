"""Links that are to be predicted: those of a graph, some of them hidden, and pairs of nodes that no
link joins.
"""

import torch
from torch import Generator, Tensor

from geodl.data.arguments import check_count, check_seed, describe
from geodl.data.base import LinkData, NodePairs
from geodl.domain import Graph
from geodl.errors import GeodlError, is_real
from geodl.signal import Signal


def split_links(
    signal: Signal, *, val: float = 0.05, test: float = 0.1, seed: int = 0, name: str = "links"
) -> LinkData:
    """Hide some links of an undirected graph, to be told apart from as many pairs of nodes that no
    link joins.

    The two directions of a link are hidden together, and so are parallel links; self-loops are
    left in the graph and are never asked for. What the links carry (weights, types, features, a
    state of edges) stays with those that are left.

    Args:
        signal: the features on their graph, whose links go both ways.
        val: the share of the links that are hidden to validate on.
        test: the share of the links that are hidden to report on.
        seed: which ones, and which pairs beside them.
        name: the data set, as it is printed beside a number.

    Raises:
        GeodlError: no signal on a Graph; a graph with links of one direction; shares that are no
            numbers in [0, 1) or hide all; a part that would be empty.

    Source: Kipf and Welling, "Variational Graph Auto-Encoders", 2016 (5 % and 10 %).

    >>> import geodl as g
    >>> data = split_links(g.data.karate().signal, val=0.1, test=0.2)
    >>> data.train.shape, data.val.labels.sum(), data.test.labels.bincount()
    (torch.Size([2, 56]), tensor(7), tensor([15, 15]))
    >>> data.signal.domain
    Graph(34 nodes, 112 edges)
    """
    asked = f"split_links(val={val!r}, test={test!r})"
    seed = check_seed(seed)
    graph = _graph_of(asked, signal)
    for share in (val, test):
        if not is_real(share) or not 0 <= share < 1:
            raise GeodlError(asked, do="give shares of the links, in [0, 1)")
    known, of_link = _joined(graph)
    _check_both_ways(asked, graph)
    hidden = [int(share * len(known)) for share in (val, test)]
    counts = [len(known) - sum(hidden), *hidden]
    if min(counts) < 1:
        found = f"{counts[0]} links to learn from, {counts[1]} to validate and {counts[2]} to test"
        raise GeodlError(asked, found, "leave at least one to each")
    chance = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(known), generator=chance)
    places = [part.sort().values for part in order.split(counts)]
    train, *others = [_pairs(known[part.to(known.device)], graph.num_nodes) for part in places]
    apart = unlinked(graph, sum(hidden), generator=chance).split(hidden, dim=1)
    parts = []
    for joined, others_apart in zip(others, apart, strict=True):
        parts.append(NodePairs.of(joined, others_apart))
    learnt = known[places[0].to(known.device)]
    kept = torch.isin(of_link, learnt) | (graph.edge_index[0] == graph.edge_index[1])
    return LinkData(name, _with_links(signal, graph, kept), train, *parts)


def unlinked(graph: Graph, count: int, *, generator: Generator | None = None) -> Tensor:
    """Pairs of different nodes that no link joins in either direction, none of them twice:
    `[2, count]`, the smaller number first.

    They are drawn evenly from all such pairs, in random order: negative sampling.

    Args:
        graph: the links.
        count: how many pairs.
        generator: where they are drawn from, on the CPU; None for torch's own.

    Raises:
        GeodlError: no Graph; more pairs than there are.

    >>> unlinked(Graph([[0, 1], [1, 2]], 3), 1)
    tensor([[0],
            [2]])
    """
    asked = f"{count} pairs of nodes that no link joins"
    count = check_count(asked, count)
    if not isinstance(graph, Graph):
        raise GeodlError(asked, describe(graph), "give a Graph")
    nodes = graph.num_nodes
    known, _ = _joined(graph)
    free = nodes * (nodes - 1) // 2 - len(known)
    if count > free:
        raise GeodlError(asked, f"{free} such pairs in {graph}", "ask for fewer")
    found = known.new_empty(0)
    while len(found) < count:
        # Both ends at random, and of those only what is new: every pair that is left is as likely
        # as any other. A graph with few such pairs takes some more rounds.
        ends = torch.randint(nodes, (2, 2 * count + 16), generator=generator).to(known.device)
        drawn = _numbers(ends[:, ends[0] != ends[1]], nodes)
        drawn = drawn[~torch.isin(drawn, torch.cat([known, found]))]
        found = torch.cat([found, _first_of_each(drawn)])
    return _pairs(found[:count], nodes)


def _graph_of(asked: str, signal: Signal) -> Graph:
    """The graph of a signal."""
    if not isinstance(signal, Signal):
        raise GeodlError(asked, describe(signal), "give a Signal on a Graph")
    graph = signal.domain
    if not isinstance(graph, Graph):
        do = "give a Signal on a Graph; of one with several members each for itself"
        raise GeodlError(asked, f"a signal on {graph}", do)
    return graph


def _check_both_ways(asked: str, graph: Graph) -> None:
    """Refuse a graph in which a link has no link back."""
    sender, receiver = graph.edge_index
    there = sender * graph.num_nodes + receiver
    back = receiver * graph.num_nodes + sender
    alone = int((~torch.isin(there, back)).sum())
    if alone:
        do = "give both directions of each: torch_geometric.utils.to_undirected(edge_index)"
        raise GeodlError(asked, f"{alone} links of one direction in {graph}", do)


def _joined(graph: Graph) -> tuple[Tensor, Tensor]:
    """The numbers of all pairs that links join, in order and each once, and the number of each
    link's pair, -1 for loops.
    """
    of_link = _numbers(graph.edge_index, graph.num_nodes)
    of_link = of_link.masked_fill(graph.edge_index[0] == graph.edge_index[1], -1)
    return of_link[of_link >= 0].unique(), of_link


def _numbers(ends: Tensor, nodes: int) -> Tensor:
    """One number for each pair `[2, M]`, whichever of the two comes first."""
    return ends.amin(0) * nodes + ends.amax(0)


def _pairs(numbers: Tensor, nodes: int) -> Tensor:
    """The pairs `[2, M]` of their numbers, the smaller node first."""
    return torch.stack((numbers // nodes, numbers % nodes))


def _first_of_each(numbers: Tensor) -> Tensor:
    """Each number once, in the order in which they came first."""
    kinds, kind = numbers.unique(return_inverse=True)
    first = numbers.new_full(kinds.shape, len(numbers))
    first.scatter_reduce_(0, kind, torch.arange(len(numbers), device=numbers.device), "amin")
    return numbers[first.sort().values]


def _with_links(signal: Signal, graph: Graph, kept: Tensor) -> Signal:
    """A signal on the same nodes with some of their links, and with what these carry."""
    (places,) = kept.nonzero(as_tuple=True)
    left = graph.part(places, graph.num_nodes, torch.zeros_like(places))
    edges = signal.edges
    if edges is not None:
        edges = edges[:, places]
    return Signal(signal.x, left, edges, signal.globals)
