"""Graphs to try claims on, and their shift operators written out as dense matrices."""

from collections.abc import Callable

import torch
from torch import Tensor

from geodl import Conv, Domain, Graph
from geodl.verify.base import normal


def ring(n: int, chords: tuple[tuple[int, int], ...] = ()) -> Graph:
    """A ring with chords, every edge in both directions, with random positive weights and one
    isolated node more.
    """
    pairs = [(i, (i + 1) % n) for i in range(n)] + list(chords)
    weight = normal(7)(len(pairs)).abs() + 0.1
    index = torch.tensor(pairs + [(j, i) for i, j in pairs]).T
    return Graph(index, n + 1, edge_weight=torch.cat((weight, weight)))


def multigraph(weighted: bool, typed: bool) -> Graph:
    """A directed graph with parallel edges, self-loops and an isolated node."""
    src, dst = [0, 0, 1, 2, 3, 3, 4, 5, 5, 5, 2, 6], [1, 1, 2, 2, 0, 4, 0, 3, 1, 5, 5, 0]
    weight, types = None, None
    if weighted:
        weight = normal(8)(len(src)).abs() + 0.1
    if typed:
        types = torch.arange(len(src)) % 3
    return Graph([src, dst], 8, edge_weight=weight, edge_type=types)


def dense(graph: Graph, norm: str | None, loops: bool, types: int | None) -> Tensor:
    """The shift operators `[T, N, N]` of a graph, written out entry by entry.

    Args:
        graph: with weights and types or without.
        norm: None for A, "row" for D^-1 A, "sym" for D^-1/2 A D^-1/2.
        loops: whether nodes without a self-loop get one of weight 1, of a type of its own.
        types: number of edge types of the graph, None for one operator.
    """
    operators = _adjacencies(graph, types)
    if loops:
        operators = _with_loops(operators, graph, own_type=types is not None)
    if norm == "row":
        degrees = operators.sum(2, keepdim=True)
        return operators / degrees.masked_fill(degrees == 0, 1.0)
    if norm == "sym":
        root = operators.sum((0, 2)).sqrt()
        return operators / (root[:, None] * root[None, :])
    return operators


def _adjacencies(graph: Graph, types: int | None) -> Tensor:
    """`S[t, i, j]`: the sum of the weights of all edges of type t from j to i."""
    n, links = graph.num_nodes, graph.edge_index.T.tolist()
    weights, kinds = [1.0] * len(links), [0] * len(links)
    if graph.edge_weight is not None:
        weights = graph.edge_weight.tolist()
    if types is not None and graph.edge_type is not None:
        kinds = graph.edge_type.tolist()
    operators = torch.zeros(types or 1, n, n, dtype=torch.float64)
    for (j, i), weight, kind in zip(links, weights, kinds, strict=True):
        operators[kind, i, j] += weight
    return operators


def _with_loops(operators: Tensor, graph: Graph, own_type: bool) -> Tensor:
    """The operators with a self-loop of weight 1 at each node that has none."""
    n, links = graph.num_nodes, graph.edge_index.T.tolist()
    if own_type:
        operators = torch.cat((operators, operators.new_zeros(1, n, n)))
    for i in range(n):
        if [i, i] not in links:
            operators[-1, i, i] = 1.0
    return operators


def dense_laplacian(graph: Graph) -> Tensor:
    """`D - A` `[N, N]` of the undirected links of a graph, entry by entry: a link in one direction
    counts in both, links in both directions are one.
    """
    n = graph.num_nodes
    a = dense(graph, None, False, None)[0]
    for i in range(n):
        a[i, i] = 0.0
        for j in range(i):
            a[i, j] = a[j, i] = max(a[i, j], a[j, i])
    return torch.diag(a.sum(1)) - a


def dense_links(domain: Domain) -> Tensor:
    """`D - A` `[N, N]` of a domain whose links have weight 1, each pair of linked nodes once."""
    links, n = domain.links(), domain.num_nodes
    a = torch.zeros(n, n, dtype=torch.float64)
    a[links.dst, links.src] = 1.0
    a[links.src, links.dst] = 1.0
    a.fill_diagonal_(0.0)
    return torch.diag(a.sum(1)) - a


def dense_layer(layer: Conv, operators: Tensor) -> Callable[[Tensor], Tensor]:
    """`Y = sum_t S_t X W_t + b` with dense S_t and the layer's own parameters."""

    def apply(x: Tensor) -> Tensor:
        terms = [s @ x @ w for s, w in zip(operators, layer.weight, strict=True)]
        y = torch.stack(terms).sum(0)
        return y if layer.bias is None else y + layer.bias

    return apply
