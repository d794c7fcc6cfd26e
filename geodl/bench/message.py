"""Learned messages on a sparse graph against PyG's `MessagePassing` and DGL's `apply_edges`:
forward and every gradient, and the memory.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.bench import peers
from geodl.bench.harness import Case, Side, leaf, step
from geodl.bench.meter import CPU
from geodl.domain import Graph
from geodl.layer import Message
from geodl.neighborhood import adjacency
from geodl.signal import Signal


class Sizes(NamedTuple):
    """Nodes, directed edges, channels of nodes, edges and messages, edges in a piece."""

    nodes: int = 20_000
    edges: int = 300_000
    channels: int = 32
    max_edges: int = 10_000


USUAL = Sizes()
# For the gradients of the network's weights. Of ten million values before a ReLU, and messages that
# compete for a maximum, some are equal to zero, or to each other, but for rounding: each such edge
# may move a weight's gradient by itself, in six seeds by up to 5e-4 of the largest where messages
# are added up and 4e-3 where they compete (measured).
WITHIN = {"sum": 1e-3, "max": 1e-2}


class EdgeNetwork(nn.Module):
    """A network on (x_i, x_j, e_ij) as users of all three libraries write it."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x_i: Tensor, x_j: Tensor, e_ij: Tensor) -> Tensor:
        return self.net(torch.cat((x_i, x_j, e_ij), -1))


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """Sum and max; the sum in pieces, which trades time for memory; and the sum of a function of
    which nothing is known.
    """
    shape = f"{sizes.nodes} nodes, {sizes.edges} edges, {sizes.channels} channels"
    c = sizes.channels
    net = nn.Sequential(nn.Linear(3 * c, c), nn.ReLU(), nn.Linear(c, c)).to(device)
    written = EdgeNetwork(net)
    inputs, missing = _inputs(sizes, device), peers.dgl_missing()
    for reduce, most, reach, memory in (
        ("sum", None, 0.9, 0.8),
        ("max", None, 0.8, 0.8),
        ("sum", sizes.max_edges, 1.2, 0.3),
    ):
        layer = Message(net, adjacency(), reduce, max_edges=most)
        name = f"Message {reduce}, {shape}"
        if most is not None:
            name += f", max_edges={most}"
        ours = _side(inputs, net, lambda s, layer=layer: layer(s).x)
        theirs = _pyg(inputs, written, reduce)
        within = WITHIN[reduce]
        yield Case(
            name, "PyG MessagePassing", ours, theirs, reach, memory_reach=memory, within=within
        )
        if most is not None:
            continue
        if missing:
            yield Case(name, "DGL apply_edges", missing=missing)
        else:
            theirs = _dgl(inputs, written, reduce)
            yield Case(name, "DGL apply_edges", ours, theirs, within=within)
    layer = Message(written, adjacency())
    ours = _side(inputs, net, lambda s: layer(s).x)
    name = f"Message sum of a function, {shape}"
    theirs = _pyg(inputs, written, "sum")
    yield Case(name, "PyG MessagePassing", ours, theirs, 0.9, memory_reach=1.0)


class Inputs(NamedTuple):
    """A signal, its state of edges, the upstream gradient, and PyG's edge index."""

    signal: Signal
    edges: Tensor
    upstream: Tensor
    edge_index: Tensor


def _inputs(sizes: Sizes, device: torch.device) -> Inputs:
    index = torch.randint(sizes.nodes, (2, sizes.edges), device=device)
    graph = Graph(index, sizes.nodes).to(device)
    x = leaf(1, sizes.nodes, sizes.channels, device=device)
    edges = leaf(1, sizes.edges, sizes.channels, device=device)
    return Inputs(Signal(x, graph, edges), edges, torch.randn_like(x), index)


def _side(inputs: Inputs, net: nn.Module, run: Callable[[Signal], Tensor]) -> Side:
    """Forward, and the gradients of nodes, edges and parameters."""
    s = inputs.signal
    leaves = [s.x, inputs.edges, *net.parameters()]
    call = step(lambda: run(s), leaves, inputs.upstream)
    return Side(call, call)


def _pyg(inputs: Inputs, net: nn.Module, reduce: str) -> Side:
    from torch_geometric.nn import MessagePassing

    class Twin(MessagePassing):
        """The same messages as PyG's users write them."""

        def forward(self, x: Tensor, index: Tensor, e: Tensor) -> Any:
            return self.propagate(index, x=x, e=e)

        def message(  # pyright: ignore[reportIncompatibleMethodOverride] - PyG reads the names
            self, x_i: Tensor, x_j: Tensor, e: Tensor
        ) -> Tensor:
            return net(x_i, x_j, e)

    twin = Twin(aggr=reduce)
    return _side(inputs, net, lambda s: twin(s.x[0], inputs.edge_index, inputs.edges[0])[None])


def _dgl(inputs: Inputs, net: nn.Module, reduce: str) -> Side:
    function = peers.dgl().function
    graph = peers.dgl_graph(inputs.edge_index, inputs.signal.domain.num_nodes)
    reduction = getattr(function, reduce)("m", "y")

    def message(edges: Any) -> dict[str, Tensor]:
        return {"m": net(edges.dst["x"], edges.src["x"], edges.data["e"])}

    def run(s: Signal) -> Tensor:
        with graph.local_scope():
            graph.ndata["x"], graph.edata["e"] = s.x[0], inputs.edges[0]
            graph.apply_edges(message)
            graph.update_all(function.copy_e("m", "m"), reduction)
            return graph.ndata["y"][None]

    return _side(inputs, net, run)
