"""Graphs to try claims on, and their shift operators written out as dense matrices."""

from collections.abc import Callable

import torch
from torch import Tensor

from geodl import Conv, Graph
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
    weight = normal(8)(len(src)).abs() + 0.1 if weighted else None
    kind = torch.arange(len(src)) % 3 if typed else None
    return Graph([src, dst], 8, edge_weight=weight, edge_type=kind)


def dense(graph: Graph, norm: str | None, loops: bool, types: int | None) -> Tensor:
    """The shift operators `[T, N, N]` of a graph, written out entry by entry."""
    n, links = graph.num_nodes, graph.edge_index.T.tolist()
    weight = [1.0] * len(links) if graph.edge_weight is None else graph.edge_weight.tolist()
    kind = (
        [0] * len(links) if types is None or graph.edge_type is None else graph.edge_type.tolist()
    )
    s = torch.zeros(1 if types is None else types + loops, n, n, dtype=torch.float64)
    for (j, i), w, t in zip(links, weight, kind, strict=True):
        s[t, i, j] += w
    if loops:
        for i in range(n):
            if [i, i] not in links:
                s[-1, i, i] = 1.0
    if norm == "laplacian":
        return torch.diag(s[0].sum(1))[None] - s
    if norm == "row":
        return s / s.sum(2, keepdim=True).where(
            s.sum(2, keepdim=True) > 0, torch.ones((), dtype=s.dtype)
        )
    if norm == "sym":
        root = s.sum((0, 2)).sqrt()
        return s / (root[:, None] * root[None, :])
    return s


def dense_layer(layer: Conv, operators: Tensor) -> Callable[[Tensor], Tensor]:
    """`Y = sum_t S_t X W_t + b`, S_t dense."""

    def apply(x: Tensor) -> Tensor:
        y = torch.stack([s @ x @ w for s, w in zip(operators, layer.weight, strict=True)]).sum(0)
        return y if layer.bias is None else y + layer.bias

    return apply
