"""Blocks around the layers of graph networks: jumping knowledge, virtual nodes, attention beside
messages (GPS), sets.
"""

from typing import Any

from torch import nn

from geodl.errors import GeodlError, nearest, positive
from geodl.layer import (
    Attention,
    BatchNorm,
    Dropout,
    Layer,
    Network,
    Pool,
    Readout,
    Residual,
    Sequential,
)
from geodl.layer.check import check_no_sender, check_signal
from geodl.models.graph_isomorphism import gin_layer, gine_layer
from geodl.models.graph_parts import convolutions
from geodl.neighborhood import all_pairs, whole
from geodl.signal import Signal

JOINS = ("cat", "max", "add", "lstm")
READOUTS = ("sum", "mean", "max", "min")


class WeightedLayers(Layer):
    """`sum_k a_k h_k` of what K layers answer at a node, with weights that each node has of its
    own: the softmax over the layers of a linear map of what an LSTM says of each, which reads the
    layers as a sequence, in both directions.

    (The join "lstm" of Xu et al. 2018; PyG's `JumpingKnowledge("lstm")`.) Torch's compiler takes no
    `nn.LSTM`, unless `torch._dynamo.config.allow_rnn` is set.

    Args:
        channels: C of each answer.
        count: K.

    Shapes: in `[B, N, K C]`, the answers one after another; out `[B, N, C]`. The LSTM has
    `K C // 2` hidden units in each direction.

    >>> import torch, geodl as g
    >>> WeightedLayers(4, 3)(g.Signal(torch.zeros(2, 5, 12), g.Complete(5))).shape
    torch.Size([2, 5, 4])
    """

    nodewise = True
    transparent = True

    def __init__(self, channels: int, count: int):
        super().__init__()
        self.channels, self.count = channels, count
        self.channels_in = channels * count
        hidden = max(1, self.channels_in // 2)
        self.lstm = nn.LSTM(channels, hidden, bidirectional=True, batch_first=True)
        self.attention = nn.Linear(2 * hidden, 1)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The weighted sum of the answers at each node."""
        check_no_sender(self, sender)
        x = check_signal(self, receiver).x
        # The layers are the steps of a sequence, and each node a row of the batch.
        answers = x.reshape(-1, self.count, self.channels)
        read, _ = self.lstm(answers)
        weight = self.attention(read).softmax(1)
        y = (weight * answers).sum(1)
        return receiver.with_x(y.reshape(*x.shape[:2], self.channels))

    def extra_repr(self) -> str:
        return f"{self.channels}, {self.count}"


def jumping_knowledge(
    *layers: nn.Module, join: str = "cat", channels: int | None = None
) -> Network:
    """Layers in a row whose answers are joined: each node sees as far as is good for it (Xu et al.,
    "Representation Learning on Graphs with Jumping Knowledge Networks", 2018).

    `Sequential(jumping_knowledge(*blocks), Readout("sum"), nn.Linear(...))` is the readout of GIN.

    Args:
        layers: layers that stay on their domain; for all joins but "cat" with as many channels
            each.
        join: "cat", "max" or "add" of all answers; "lstm" for their sum with weights that a node
            has of its own, by :class:`WeightedLayers`.
        channels: of each answer; needed for "lstm" alone.

    Raises:
        GeodlError: if there are no layers, if the join is unknown, or if "lstm" has no `channels`.

    >>> import torch, geodl as g
    >>> rule = g.adjacency("sym", self_loops=True)
    >>> net = jumping_knowledge(g.Conv(3, 8, rule), g.Conv(8, 8, rule))
    >>> net(g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))).x.shape
    torch.Size([1, 2, 16])
    """
    if not layers:
        raise GeodlError("jumping_knowledge()", "no layers", "give at least one")
    if join not in JOINS:
        raise GeodlError(f"jumping_knowledge(join={join!r})", do=nearest(str(join), JOINS))
    if join == "lstm":
        channels = positive(f"jumping_knowledge(join='lstm', channels={channels!r})", channels)
    elif channels is not None:
        asked = f"jumping_knowledge(join={join!r}, channels={channels!r})"
        raise GeodlError(asked, do="leave channels out: they are read off the answers")
    nodes: dict[str, tuple[Any, ...]] = {}
    names: list[str] = []
    last = "x"
    for k, layer in enumerate(layers, 1):
        nodes[f"layer{k}"] = (layer, last)
        last = f"layer{k}"
        names.append(last)
    if len(names) == 1:
        return Network("x", nodes)
    if join != "lstm":
        nodes["joined"] = (join, *names)
        return Network("x", nodes)
    assert channels is not None
    nodes["side_by_side"] = ("cat", *names)
    nodes["joined"] = (WeightedLayers(channels, len(names)), "side_by_side")
    return Network("x", nodes)


def virtual_node(*layers: nn.Module, channels: int) -> Network:
    """Layers in a row with a virtual node that all nodes of a graph send to and receive from
    between them (Gilmer et al. 2017; Li, Cai and He, "Learning Graph-Level Representation for Drug
    Discovery", 2017): `x <- layer_k(x + v)`, `v <- f_k(v + sum over nodes of x)`, from v = 0.

    Args:
        layers: two at least, that stay on their domain and answer `channels`; those after the
            first read as many, too.
        channels: of the virtual node, and of every answer.

    Raises:
        GeodlError: if there are fewer than two layers, or if `channels` is not a positive integer.

    >>> import torch, geodl as g
    >>> rule = g.adjacency("sym", self_loops=True)
    >>> net = virtual_node(g.Conv(3, 8, rule), g.Conv(8, 8, rule), channels=8)
    >>> net(g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))).x.shape
    torch.Size([1, 2, 8])
    """
    channels = positive(f"virtual_node(channels={channels!r})", channels)
    if len(layers) < 2:
        found = f"{len(layers)} layers"
        raise GeodlError("virtual_node(*layers)", found, "it stands between layers: give two")
    first, *others = layers
    nodes: dict[str, tuple[Any, ...]] = {"layer1": (first, "x")}
    last, virtual = "layer1", ""
    for k, layer in enumerate(others, 1):
        nodes[f"sum{k}"] = (Readout("sum"), last)
        told = f"sum{k}"
        if virtual:
            told = f"told{k}"
            nodes[told] = ("add", virtual, f"sum{k}")
        virtual = f"virtual{k}"
        nodes[virtual] = (_perceptron(channels), told)
        # Reversed, the readout sends what a graph's one node holds to all its nodes.
        nodes[f"spread{k}"] = (Pool(whole().reverse(), "sum"), last, virtual)
        nodes[f"both{k}"] = ("add", last, f"spread{k}")
        last = f"layer{k + 1}"
        nodes[last] = (layer, f"both{k}")
    return Network("x", nodes)


def _perceptron(channels: int) -> Sequential:
    first, second = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
    return Sequential(first, nn.ReLU(), second)


def gps_layer(channels: int, local: Layer, *, heads: int = 4, dropout: float = 0.0) -> Network:
    """A layer of GPS: messages along the links and attention of all nodes of a graph side by side,
    then a perceptron, each around a shortcut and followed by batch norm.

    Args:
        channels: C, in and out.
        local: the layer along the links, of C channels in and out.
        heads: of the attention; it divides C.
        dropout: probability of dropout after each part.

    Raises:
        GeodlError: if `heads` does not divide `channels`, or if a number is out of range.

    >>> import torch, geodl as g
    >>> s = g.Signal(torch.randn(1, 2, 8), g.Graph([[0, 1], [1, 0]]))
    >>> gps_layer(8, gin_layer(8, 8))(s).x.shape
    torch.Size([1, 2, 8])
    """
    everyone = Attention(channels, all_pairs(), heads)
    wide = positive(f"gps_layer({channels!r})", channels) * 2
    perceptron = [nn.Linear(channels, wide), nn.ReLU(), Dropout(dropout), nn.Linear(wide, channels)]
    nodes: dict[str, tuple[Any, ...]] = {
        "local": (_with_shortcut(channels, local, Dropout(dropout)), "x"),
        "global": (_with_shortcut(channels, everyone, Dropout(dropout)), "x"),
        "both": ("add", "local", "global"),
    }
    last = _with_shortcut(channels, *perceptron, Dropout(dropout))
    nodes["out"] = (last, "both")
    return Network("x", nodes)


def _with_shortcut(channels: int, *layers: nn.Module) -> Sequential:
    return Sequential(Residual(*layers), BatchNorm(channels))


def gps(
    channels_in: int,
    hidden: int,
    channels_out: int,
    *,
    depth: int = 3,
    heads: int = 4,
    edge_channels: int | None = None,
    dropout: float = 0.0,
) -> Sequential:
    """The graph Transformer of Rampasek et al., "Recipe for a General, Powerful, Scalable Graph
    Transformer" (2022): `[B, N, C_in]` to `[B, N, C_out]` on a graph.

    A linear layer, rows of :func:`gps_layer` with GIN along the links (GINE where edges are read),
    a linear layer. Positions come before it, as `LaplacianPositions`.

    Args:
        channels_in: C_in.
        hidden: channels of every layer.
        channels_out: C_out.
        depth: number of layers.
        heads: of each attention; it divides `hidden`.
        edge_channels: C_e of the signal's `edges`; None where none are read.
        dropout: probability of dropout after each part.

    Raises:
        GeodlError: if a size is not a positive integer, or if `heads` does not divide `hidden`.

    >>> import torch, geodl as g
    >>> s = g.Signal(torch.randn(1, 2, 3), g.Graph([[0, 1], [1, 0]]))
    >>> gps(3, 8, 2)(s).x.shape
    torch.Size([1, 2, 2])
    """
    asked = f"gps({channels_in!r}, {hidden!r}, {channels_out!r}, depth={depth!r})"
    channels_in, hidden = positive(asked, channels_in), positive(asked, hidden)
    channels_out, depth = positive(asked, channels_out), positive(asked, depth)
    layers: list[nn.Module] = [nn.Linear(channels_in, hidden)]
    for _ in range(depth):
        local: Layer = gin_layer(hidden, hidden)
        if edge_channels is not None:
            local = gine_layer(hidden, hidden, edge_channels=edge_channels)
        layers.append(gps_layer(hidden, local, heads=heads, dropout=dropout))
    return Sequential(*layers, nn.Linear(hidden, channels_out))


def deep_sets(*channels: int, readout: str | None = None, dropout: float = 0.0) -> Sequential:
    """The networks of Zaheer et al., "Deep Sets" (2017): `[B, N, C_0]` to `[B, N, C_k]` on a set,
    whatever the order of its nodes.

    Each layer is `y_i = W x_i + V sum over j != i of x_j + b`, every linear map that commutes with
    all permutations, with ReLU between the layers. With a readout the last layer stands behind it:
    `[B, N, C_0]` to `[B, 1, C_k]`, for each set of a Batch one.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output.
        readout: "sum", "mean", "max" or "min" over the nodes; None for an answer at each node.
        dropout: probability of dropout before every layer.

    Raises:
        GeodlError: if there are fewer than two numbers of channels, or if one is not a positive
            integer; if the readout is unknown.

    >>> import torch, geodl as g
    >>> s = g.Signal(torch.zeros(1, 5, 3), g.Complete(5))
    >>> deep_sets(3, 8, 2)(s).x.shape, deep_sets(3, 8, 2, readout="sum")(s).x.shape
    (torch.Size([1, 5, 2]), torch.Size([1, 1, 2]))
    """
    network = convolutions("deep_sets", all_pairs("self"), channels, dropout)
    if readout is None:
        return network
    if readout not in READOUTS:
        raise GeodlError(f"deep_sets(readout={readout!r})", do=nearest(str(readout), READOUTS))
    inner = list(network)[:-1]
    return Sequential(*inner, Readout(readout), nn.Linear(channels[-2], channels[-1]))
