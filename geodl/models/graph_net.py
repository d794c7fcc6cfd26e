"""GraphNets: edges, nodes and whole graphs have states, each renewed by those of the others."""

from collections import OrderedDict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.domain import Complete
from geodl.errors import GeodlError, nearest, positive
from geodl.layer import EdgeUpdate, Layer, Message, Pool, Readout, Sequential
from geodl.layer.check import check_globals_given, check_no_sender, check_signal
from geodl.models.graph_parts import read_edges
from geodl.neighborhood import adjacency, whole
from geodl.signal import Signal

LEVELS = ("node", "edge", "graph")
LINKS = adjacency(weights=False)


class Widths(NamedTuple):
    """Channels of the three states; 0 where there is none."""

    nodes: int
    edges: int
    globals: int


def perceptron(channels: int, hidden: int, out: int) -> nn.Sequential:
    """A linear layer, ReLU and a linear layer.

    Args:
        channels: that it reads.
        hidden: channels between the two linear layers.
        out: channels of its answer.
    """
    net = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, out))
    return nn.Sequential(OrderedDict(net=net))


def edge_state(x_i: Tensor, x_j: Tensor, e_ij: Tensor, *u: Tensor) -> Tensor:
    """The message that is the state of the edge itself."""
    return e_ij


class GraphNet(Layer):
    """A block of a GraphNet; on the right stand the states that it reads, on the left the new ones:

        e'_ij = f(x_i, x_j, e_ij, u)
        x'_i = h(x_i, sum over edges (j -> i) of e'_ij, u)
        u' = k(u, mean over nodes of x'_i, mean over nodes of the sum that h read)

    (Battaglia et al., "Relational inductive biases, deep learning, and graph networks", 2018;
    Sanchez-Lengeling et al., "A Gentle Introduction to Graph Neural Networks", Distill, 2021.)

    Args:
        widths: channels of nodes, edges and globals that it reads; 0 for edges or globals that a
            signal does not have yet.
        hidden: channels of all three that it answers.

    Raises:
        GeodlError: at the call, if there is a second signal, or if the signal lacks a state that is
            read, or has one of other channels.
    """

    def __init__(self, widths: Widths, hidden: int):
        super().__init__()
        self.channels_in = widths.nodes
        self.edges_in, self.globals_in = widths.edges, widths.globals
        reads = widths.globals > 0
        # Side by side: both ends, the edge's own state and its graph's, where there are any.
        read = 2 * widths.nodes + widths.edges + widths.globals
        edge = nn.Sequential(OrderedDict(net=perceptron(read, hidden, hidden)))
        self.edge = EdgeUpdate(edge, LINKS, reads_globals=reads)
        self.received = Message(edge_state, LINKS, "sum")
        self.node = perceptron(widths.nodes + hidden + widths.globals, hidden, hidden)
        self.whole = perceptron(2 * hidden + widths.globals, hidden, hidden)
        self.mean, self.spread = Readout("mean"), Pool(whole().reverse(), "sum")

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal with three new states."""
        check_no_sender(self, sender)
        signal = self.edge(self._with_edges_read(check_signal(self, receiver)))
        received = self.received(signal)
        at_nodes, at_graphs = self._globals(receiver)
        x = self.node(torch.cat((signal.x, received.x, *at_nodes), -1))
        signal = signal.with_x(x)
        means = self.mean(signal).x, self.mean(received).x
        u = self.whole(torch.cat((*means, *at_graphs), -1))
        return signal.with_globals(u)

    def _with_edges_read(self, signal: Signal) -> Signal:
        """The signal, with a state of edges where one is read, and without where none is."""
        if not self.edges_in:
            return signal.with_edges(None)
        read_edges("a GraphNet", signal.edges, self.edges_in)
        return signal

    def _globals(self, signal: Signal) -> tuple[list[Tensor], list[Tensor]]:
        """The globals at each node, and at each graph; nothing where none are read."""
        if not self.globals_in:
            return [], []
        u = check_globals_given(self, signal.globals).expand(signal.shape[0], -1, -1)
        # Reversed, the readout sends what stands at a graph to all its nodes.
        spread = self.spread(signal, Signal(u, Complete(u.shape[1])))
        return [spread.x], [u]


class Level(Layer):
    """One of the three states as a signal of its own: `[B, N, C]` on the domain, `[B, E, C_e]` on
    `Complete(E)`, or `[B, D, C_g]` on `Complete(D)`.

    Args:
        level: "node", "edge" or "graph".
    """

    def __init__(self, level: str):
        super().__init__()
        if level not in LEVELS:
            raise GeodlError(f"graph_net(level={level!r})", do=nearest(str(level), LEVELS))
        self.level = level

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The state."""
        check_no_sender(self, sender)
        state: Any = {"edge": receiver.edges, "graph": receiver.globals}.get(self.level)
        if self.level == "node":
            return receiver
        if state is None:
            do = f"give a signal with a state of each {self.level}"
            raise GeodlError(f"the level {self.level!r}", "a signal without", do)
        return Signal(state, Complete(state.shape[1]))

    def extra_repr(self) -> str:
        return repr(self.level)


def graph_net(
    channels_in: int,
    hidden: int,
    channels_out: int,
    *,
    edge_channels: int | None = None,
    global_channels: int | None = None,
    depth: int = 2,
    level: str = "graph",
) -> Sequential:
    """A GraphNet for answers at nodes, edges or whole graphs: blocks of :class:`GraphNet` and a
    linear layer on one of the three states.

    Args:
        channels_in: C_in of the nodes.
        hidden: channels of all three states.
        channels_out: C_out.
        edge_channels: C_e of the signal's `edges`; None where it has none.
        global_channels: C_g of the signal's `globals`; None where it has none.
        depth: number of blocks.
        level: "node", "edge" or "graph": the answer is `[B, N, C_out]` on the domain, `[B, E,
            C_out]` on `Complete(E)`, or `[B, D, C_out]` on `Complete(D)`, D the graphs of a Batch.

    Raises:
        GeodlError: if a number is not a positive integer, or the level unknown; at the call, if the
            signal lacks a state that is read, or has one of other channels.

    >>> import torch, geodl as g
    >>> s = g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]), torch.zeros(1, 2, 4))
    >>> [tuple(graph_net(3, 8, 5, edge_channels=4, level=at)(s).x.shape) for at in LEVELS]
    [(1, 2, 5), (1, 2, 5), (1, 1, 5)]
    """
    asked = f"graph_net({channels_in!r}, {hidden!r}, {channels_out!r})"
    hidden = positive(asked, hidden)
    widths = Widths(
        nodes=positive(asked, channels_in),
        edges=_width(asked, edge_channels),
        globals=_width(asked, global_channels),
    )
    blocks: list[nn.Module] = []
    for _ in range(positive(f"{asked} with depth={depth!r}", depth)):
        blocks.append(GraphNet(widths, hidden))
        widths = Widths(hidden, hidden, hidden)
    return Sequential(*blocks, Level(level), nn.Linear(hidden, positive(asked, channels_out)))


def _width(asked: str, channels: int | None) -> int:
    if channels is None:
        return 0
    return positive(asked, channels)
