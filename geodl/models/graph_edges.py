"""Graph networks whose messages are learned along each edge: edge convolutions, gates, edge
networks.
"""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.errors import positive
from geodl.layer import BatchNorm, Conv, Layer, Message, Network, Residual, Sequential
from geodl.models.graph_parts import read_edges, reading, stack
from geodl.neighborhood import adjacency, itself
from geodl.signal import Signal, knn

LINKS = adjacency(weights=False)


class Differences(nn.Module):
    """The message of EdgeConv: `f(x_i, x_j - x_i)`.

    Args:
        net: f, from `[B, E, 2 C]`.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x_i: Tensor, x_j: Tensor, e_ij: Tensor | None) -> Tensor:
        """`[B, E, C_out]`."""
        return self.net(torch.cat((x_i, x_j - x_i), -1))


class Nearest(Layer):
    """A layer over the k nearest neighbors of each node, by the distance of the values that it
    reads: each call has a graph of its own.

    Args:
        layer: with one edge type; its own rule is not used.
        k: how many neighbors.

    Raises:
        GeodlError: if k is not a positive integer; at the call, as :func:`geodl.knn`, so that
            several clouds have to stand side by side, on a Batch.

    >>> import torch, geodl as g
    >>> s = g.Signal(torch.tensor([[[0.0], [1.0], [5.0]]]), g.Complete(3))
    >>> Nearest(g.Pool(g.adjacency()), 1)(s).x.flatten().tolist()
    [1.0, 0.0, 1.0]
    """

    def __init__(self, layer: Layer, k: int):
        super().__init__()
        self.layer = layer
        self.k = positive(f"Nearest(k={k!r})", k)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The layer's answer on the signal's own domain."""
        return self.layer(receiver, rule=knn(receiver, self.k))

    def extra_repr(self) -> str:
        return f"k={self.k}"


def edge_conv_layer(
    channels_in: int, channels_out: int, *, hidden: int | None = None, k: int | None = None
) -> Layer:
    """A layer of EdgeConv: `y_i = max over edges (j -> i) of f(x_i, x_j - x_i)`, f a linear layer,
    ReLU, a linear layer.

    Args:
        channels_in: C_in.
        channels_out: C_out.
        hidden: channels between the two linear layers of f, by default C_out.
        k: receive from the k nearest nodes, found anew at each call; None for the links.

    Raises:
        GeodlError: if a size or k is not a positive integer.

    >>> edge_conv_layer(3, 8, k=4)
    Nearest(
      k=4
      (layer): Message(
        adjacency(weights=False), reduce='max'
        (message): Differences(
          (net): Sequential(
            (0): Linear(in_features=6, out_features=8, bias=True)
            (1): ReLU()
            (2): Linear(in_features=8, out_features=8, bias=True)
          )
        )
      )
    )
    """
    asked = f"edge_conv_layer({channels_in!r}, {channels_out!r})"
    channels_in, channels_out = positive(asked, channels_in), positive(asked, channels_out)
    if hidden is None:
        hidden = channels_out
    first = nn.Linear(2 * channels_in, positive(asked, hidden))
    net = nn.Sequential(first, nn.ReLU(), nn.Linear(first.out_features, channels_out))
    layer = reading(Message(Differences(net), LINKS, "max"), channels_in)
    if k is None:
        return layer
    return Nearest(layer, k)


def edge_conv(*channels: int, k: int | None = 20, dropout: float = 0.0) -> Sequential:
    """The dynamic graph CNN of Wang et al., "Dynamic Graph CNN for Learning on Point Clouds"
    (2019): points `[1, N, C_0]`, several clouds side by side, to `[1, N, C_k]`.

    Rows of :func:`edge_conv_layer`, with batch norm and ReLU between them: the first finds
    neighbors in space, later ones among features. Followed by `Readout("max")` it answers for each
    cloud.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output.
        k: how many neighbors each layer finds; None for the links of a graph.
        dropout: probability of dropout before every layer.

    Raises:
        GeodlError: if there are fewer than two numbers of channels, or if one is not a positive
            integer;
            if k is no positive integer; at the call, as :func:`geodl.knn`.

    >>> import torch, geodl as g
    >>> clouds = g.Batch([g.Complete(5), g.Complete(7)])
    >>> edge_conv(3, 8, 4, k=2)(g.Signal(torch.randn(1, 12, 3), clouds)).x.shape
    torch.Size([1, 12, 4])
    """

    def make(before: int, after: int, last: bool) -> list[nn.Module]:
        layer = edge_conv_layer(before, after, k=k)
        if last:
            return [layer]
        return [layer, BatchNorm(after)]

    return stack("edge_conv", channels, make, dropout=dropout)


class Gates(nn.Module):
    """The message of a gated convolution: `sigmoid(k_i + q_j + E e_ij) (v_j + F e_ij)`, of
    receivers that hold k and senders that hold `[q, v]`.

    Args:
        channels: C of each of the three.
        edge_channels: C_e of the edges; None where none are read.
    """

    def __init__(self, channels: int, edge_channels: int | None):
        super().__init__()
        self.channels, self.edge_channels = channels, edge_channels
        self.of_edges = None
        if edge_channels is not None:
            self.of_edges = nn.Linear(edge_channels, 2 * channels, bias=False)

    def forward(self, x_i: Tensor, x_j: Tensor, e_ij: Tensor | None) -> Tensor:
        """`[B, E, C]`."""
        # Split and not cut: the gradient of a cut is a tensor of zeros as long as all edges.
        sent, value = x_j.split(self.channels, -1)
        gate = x_i + sent
        if self.of_edges is not None and self.edge_channels is not None:
            edge = self.of_edges(read_edges("a gated message", e_ij, self.edge_channels))
            of_gate, of_value = edge.split(self.channels, -1)
            gate = gate + of_gate
            value = value + of_value
        return torch.sigmoid(gate) * value


def gated_gcn_layer(
    channels_in: int, channels_out: int, *, edge_channels: int | None = None
) -> Network:
    """A gated graph convolution: `y_i = W x_i + b + sum over edges (j -> i) of sigmoid(K x_i + Q
    x_j + E e_ij) (V x_j + F e_ij)`, the gate one number for each channel.

    K, Q and V are applied to the nodes, once each, and not to the edges.

    Args:
        channels_in: C_in.
        channels_out: C_out.
        edge_channels: C_e of the signal's `edges`; None where none are read.

    Raises:
        GeodlError: if a number of channels is not a positive integer; at the call, if the signal
            lacks the `edges` that are read.

    >>> import torch, geodl as g
    >>> s = g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))
    >>> gated_gcn_layer(3, 8)(s).x.shape
    torch.Size([1, 2, 8])
    """
    asked = f"gated_gcn_layer({channels_in!r}, {channels_out!r})"
    channels_in, channels_out = positive(asked, channels_in), positive(asked, channels_out)
    nodes = {
        "key": (nn.Linear(channels_in, channels_out), "x"),
        "sent": (nn.Linear(channels_in, 2 * channels_out), "x"),
        "received": (Message(Gates(channels_out, edge_channels), LINKS, "sum"), "key", "sent"),
        "own": (Conv(channels_in, channels_out, itself()), "x"),
        "out": ("add", "own", "received"),
    }
    return Network("x", nodes)


def gated_gcn(*channels: int, edge_channels: int | None = None, dropout: float = 0.0) -> Sequential:
    """The gated graph network of Bresson and Laurent, "Residual Gated Graph ConvNets" (2017):
    `[B, N, C_0]` to `[B, N, C_k]` on a graph.

    Each layer but the last is :func:`gated_gcn_layer`, batch norm and ReLU, around a shortcut where
    the channels stay.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output.
        edge_channels: C_e of the signal's `edges`; None where none are read.
        dropout: probability of dropout before every layer.

    Raises:
        GeodlError: if there are fewer than two numbers of channels, or if one is not a positive
            integer;
            at the call, if the signal lacks the `edges` that are read.

    >>> import torch, geodl as g
    >>> s = g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))
    >>> gated_gcn(3, 8, 8, 2)(s).x.shape
    torch.Size([1, 2, 2])
    """

    def make(before: int, after: int, last: bool) -> list[nn.Module]:
        layer = gated_gcn_layer(before, after, edge_channels=edge_channels)
        if last:
            return [layer]
        block = [layer, BatchNorm(after), nn.ReLU()]
        if before == after:
            return [Residual(*block)]
        return block

    return stack("gated_gcn", channels, make, dropout=dropout, activation=None)


class EdgeNetwork(nn.Module):
    """The message of MPNN: `A(e_ij) x_j`, where a network A maps the edge's state to a matrix.

    Args:
        channels: C, of nodes and of messages.
        edge_channels: C_e.
        hidden: channels between the two linear layers of A.
    """

    def __init__(self, channels: int, edge_channels: int, hidden: int):
        super().__init__()
        self.channels, self.edge_channels = channels, edge_channels
        last = nn.Linear(hidden, channels * channels)
        self.net = nn.Sequential(nn.Linear(edge_channels, hidden), nn.ReLU(), last)

    def forward(self, x_i: Tensor, x_j: Tensor, e_ij: Tensor | None) -> Tensor:
        """`[B, E, C]`."""
        e_ij = read_edges("an edge network", e_ij, self.edge_channels)
        matrix = self.net(e_ij).unflatten(-1, (self.channels, self.channels))
        return (x_j[..., None, :] @ matrix)[..., 0, :]


class GatedUpdate(nn.Module):
    """The update of MPNN: a node's state, renewed by a GRU cell that reads what it received.

    Args:
        channels: C, of states and of messages.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.cell = nn.GRUCell(channels, channels)

    def forward(self, x_i: Tensor, y_i: Tensor) -> Tensor:
        """`[B, N, C]`."""
        # The cell takes rows: all nodes of all signals.
        state = self.cell(y_i.flatten(0, 1), x_i.flatten(0, 1))
        return state.view(x_i.shape)


def mpnn(
    channels_in: int,
    hidden: int,
    channels_out: int,
    *,
    edge_channels: int,
    steps: int = 3,
    edge_hidden: int = 128,
) -> Network:
    """The message passing network of Gilmer et al., "Neural Message Passing for Quantum Chemistry"
    (2017): `[B, N, C_in]` to `[B, N, C_out]` on a graph whose signal has `edges`.

    A linear layer and ReLU, then `steps` times, with the same weights, `h_i <- GRU(h_i, sum over
    edges (j -> i) of A(e_ij) h_j)`, then a linear layer. Followed by a :class:`geodl.Readout` it
    answers for each graph.

    Args:
        channels_in: C_in.
        hidden: channels of a node's state.
        channels_out: C_out.
        edge_channels: C_e of the signal's `edges`.
        steps: how many rounds of messages.
        edge_hidden: channels between the two linear layers of A.

    Raises:
        GeodlError: if a size is not a positive integer; at the call, if the signal has no `edges`,
            or `edges` of other channels.

    >>> import torch, geodl as g
    >>> graph, e = g.Graph([[0, 1], [1, 0]]), torch.zeros(1, 2, 4)
    >>> net = mpnn(3, 8, 2, edge_channels=4)
    >>> net(g.Signal(torch.zeros(1, 2, 3), graph, e)).x.shape
    torch.Size([1, 2, 2])
    """
    asked = f"mpnn({channels_in!r}, {hidden!r}, {channels_out!r}, steps={steps!r})"
    hidden, steps = positive(asked, hidden), positive(asked, steps)
    channels_in, channels_out = positive(asked, channels_in), positive(asked, channels_out)
    asked = f"mpnn(edge_channels={edge_channels!r}, edge_hidden={edge_hidden!r})"
    message = EdgeNetwork(hidden, positive(asked, edge_channels), positive(asked, edge_hidden))
    step = reading(Message(message, LINKS, "sum", GatedUpdate(hidden)), hidden)
    nodes: dict[str, tuple[Any, ...]] = {}
    nodes["first"] = (Sequential(nn.Linear(channels_in, hidden), nn.ReLU()), "x")
    last = "first"
    for k in range(1, steps + 1):
        nodes[f"step{k}"] = (step, last)
        last = f"step{k}"
    nodes["last"] = (nn.Linear(hidden, channels_out), last)
    return Network("x", nodes)
