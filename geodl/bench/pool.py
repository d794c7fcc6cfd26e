"""Pooling over the neighbors in a large sparse graph against DGL's `update_all` and PyG's
aggregations: forward and the gradient of the input, and the memory.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.bench import peers
from geodl.bench.harness import Case, Side, step
from geodl.bench.meter import CPU
from geodl.domain import Graph
from geodl.layer import Pool
from geodl.neighborhood import adjacency


class Sizes(NamedTuple):
    """Nodes, directed edges, channels."""

    nodes: int = 100_000
    edges: int = 1_500_000
    channels: int = 64


USUAL = Sizes()
AGAINST_DGL = {"max": 1.0, "mean": 0.9}


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """A maximum and a mean, against either peer."""
    c = sizes.channels
    index = torch.randint(sizes.nodes, (2, sizes.edges), device=device)
    graph = Graph(index, sizes.nodes).to(device)
    x = _distinct(sizes, device)
    up = torch.randn(1, sizes.nodes, c, device=device)
    for reduce, reach in AGAINST_DGL.items():
        name = f"Pool {reduce}, {sizes.nodes} nodes, {sizes.edges} edges, {c} channels"
        ours = _ours(Pool(adjacency(), reduce, on=graph), x, up)
        peer = f"DGL update_all(copy_u, {reduce})"
        if peers.dgl_missing():
            yield Case(name, peer, reach=reach, missing=peers.dgl_missing())
        else:
            yield Case(name, peer, ours, _dgl(reduce, graph, x, up), reach)
        theirs = _pyg(reduce, graph, x, up)
        peer = f"PyG {reduce.capitalize()}Aggregation"
        yield Case(name, peer, ours, theirs, 0.1, memory_reach=1 / 3)


def _distinct(sizes: Sizes, device: torch.device) -> Tensor:
    """Random values of which no two are equal: libraries share the gradient of ties differently,
    and among millions of normal numbers in single precision there are some.
    """
    count = sizes.nodes * sizes.channels
    places = torch.randperm(count, device=device).float().view(1, sizes.nodes, sizes.channels)
    # None of them is 0 either, with which PyG begins: it takes a 0 for one more of a tie.
    return ((places + 0.25) / count - 0.5).requires_grad_()


def _ours(layer: Any, x: Tensor, up: Tensor) -> Side:
    call = step(lambda: layer(x), [x], up)
    return Side(call, call)


def _dgl(reduce: str, graph: Graph, x: Tensor, up: Tensor) -> Side:
    function: Any = peers.dgl().function
    theirs = peers.dgl_graph(graph.edge_index, graph.num_nodes)
    send, take = function.copy_u("x", "m"), getattr(function, reduce)("m", "y")
    flat = x.detach()[0].requires_grad_()

    def pool() -> Tensor:
        with theirs.local_scope():
            theirs.ndata["x"] = flat
            theirs.update_all(send, take)
            return theirs.ndata["y"]

    return _unbatched(pool, flat, up)


def _pyg(reduce: str, graph: Graph, x: Tensor, up: Tensor) -> Side:
    from torch_geometric.nn import MaxAggregation, MeanAggregation

    aggregation = {"max": MaxAggregation, "mean": MeanAggregation}[reduce]()
    src, dst = graph.edge_index
    flat = x.detach()[0].requires_grad_()

    def pool() -> Tensor:
        return aggregation(flat[src], dst, dim_size=graph.num_nodes)

    return _unbatched(pool, flat, up)


def _unbatched(pool: Any, flat: Tensor, up: Tensor) -> Side:
    call = step(pool, [flat], up[0])
    return Side(call, lambda: [t[None] for t in call()])
