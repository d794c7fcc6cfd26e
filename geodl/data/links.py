"""Links that are to be predicted: those of a graph, some of them hidden, and pairs of nodes that no
link joins.
"""

import torch
from torch import Generator, Tensor

from geodl.data.arguments import check_count, check_seed, describe
from geodl.data.base import LinkData, NodePairs
from geodl.domain import Domain, Graph
from geodl.errors import GeodlError, is_real
from geodl.signal import Signal

LOOP = -1  # in place of the number of a pair


def split_links(
    signal: Signal, *, val: float = 0.05, test: float = 0.1, seed: int = 0, name: str = "links"
) -> LinkData:
    """Hide some links of an undirected graph, to be told apart from as many pairs of nodes that no
    link joins.

    The two directions of a link are hidden together, and so are parallel links; self-loops are
    left in the graph and are never asked for. What the links carry (weights, types, features, a
    state of edges) stays with those that are left.

    Args:
        signal: the features on their graph, or another domain, whose links go both ways.
        val: the share of the links that are hidden to validate on.
        test: the share of the links that are hidden to report on.
        seed: which ones, and which pairs beside them.
        name: the data set, as it is printed beside a number.

    Raises:
        GeodlError: if it is no Signal, or one on a union of several graphs; if a link has no way
            back; if a share is not in [0, 1), or leaves no pair to learn from, to validate on or to
            test on; if there are too few pairs that no link joins.

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
    if not isinstance(signal, Signal):
        raise GeodlError(asked, describe(signal), "give a Signal on a graph")
    domain = signal.domain
    if domain.is_union:
        raise GeodlError(asked, f"several graphs, {domain}", "give a signal on one of them")
    for share in (val, test):
        if not is_real(share) or not 0 <= share < 1:
            raise GeodlError(asked, do="give shares of the links, in [0, 1)")
    _check_both_ways(asked, domain)
    known, of_link = _joined(domain)
    hidden = [int(share * len(known)) for share in (val, test)]
    counts = [len(known) - sum(hidden), *hidden]
    if min(counts) < 1:
        found = f"{counts[0]} links to learn from, {counts[1]} to validate and {counts[2]} to test"
        raise GeodlError(asked, found, "leave at least one to each")
    chance = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(known), generator=chance).to(known.device)
    learnt, *asked_for = [known[part.sort().values] for part in order.split(counts)]
    apart = unlinked(domain, sum(hidden), generator=chance).split(hidden, dim=1)
    parts = []
    for numbers, others in zip(asked_for, apart, strict=True):
        parts.append(NodePairs.of(_pairs(numbers, domain.num_nodes), others))
    kept = torch.isin(of_link, learnt) | (of_link == LOOP)
    train = _pairs(learnt, domain.num_nodes)
    return LinkData(name, _with_links(signal, kept), train, *parts)


def unlinked(domain: Domain, count: int, *, generator: Generator | None = None) -> Tensor:
    """Pairs of different nodes that no link joins in either direction, none of them twice:
    `[2, count]`, the smaller number first.

    They are drawn evenly from all such pairs, in random order: negative sampling.

    Args:
        domain: the nodes and their links.
        count: how many pairs.
        generator: where they are drawn from, on the CPU; None for torch's own.

    Raises:
        GeodlError: if it is no domain, or has fewer such pairs.

    >>> unlinked(Graph([[0, 1], [1, 2]], 3), 1)
    tensor([[0],
            [2]])
    """
    asked = f"{count} pairs of nodes that no link joins"
    count = check_count(asked, count)
    if not isinstance(domain, Domain):
        raise GeodlError(asked, describe(domain), "give a Graph or another domain")
    nodes = domain.num_nodes
    known, _ = _joined(domain)
    free = nodes * (nodes - 1) // 2 - len(known)
    if count > free:
        raise GeodlError(asked, f"{free} such pairs in {domain}", "ask for fewer")
    found = known.new_empty(0)
    while len(found) < count:
        # Both ends at random, and of those only what is new: every pair that is left is as likely
        # as any other. A graph with few such pairs takes some more rounds.
        ends = torch.randint(nodes, (2, 2 * count + 16), generator=generator).to(known.device)
        drawn = _numbers(ends[:, ends[0] != ends[1]], nodes)
        drawn = drawn[~torch.isin(drawn, torch.cat([known, found]))]
        found = torch.cat([found, _first_of_each(drawn)])
    return _pairs(found[:count], nodes)


def _check_both_ways(asked: str, domain: Domain) -> None:
    """Refuse a graph in which a link has no link back."""
    receiver, sender, _ = domain.links()
    there = sender * domain.num_nodes + receiver
    back = receiver * domain.num_nodes + sender
    alone = int((~torch.isin(there, back)).sum())
    if alone:
        do = "give both directions of each: torch_geometric.utils.to_undirected(edge_index)"
        raise GeodlError(asked, f"{alone} links of one direction in {domain}", do)


def _joined(domain: Domain) -> tuple[Tensor, Tensor]:
    """The numbers of all pairs that links join, in order and each once, and the number of each
    link's pair, `LOOP` of a loop.
    """
    receiver, sender, _ = domain.links()
    of_link = _numbers(torch.stack((sender, receiver)), domain.num_nodes)
    of_link = of_link.masked_fill(sender == receiver, LOOP)
    return of_link[of_link != LOOP].unique(), of_link


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


def _with_links(signal: Signal, kept: Tensor) -> Signal:
    """A signal on the same nodes with some of their links, and with what these carry."""
    domain = signal.domain
    receiver, sender, weight = domain.links()
    given = {
        "edge_weight": weight,
        "edge_type": getattr(domain, "edge_type", None),
        "edge_attr": getattr(domain, "edge_attr", None),
    }
    carried = {name: value[kept] for name, value in given.items() if value is not None}
    left = Graph(torch.stack((sender, receiver))[:, kept], domain.num_nodes, **carried)
    edges = signal.edges
    if edges is not None:
        edges = edges[:, kept]
    return Signal(signal.x, left, edges, signal.globals)
