"""The same recipes with another library's layers: the peers that numbers are compared with.

Networks of PyG's layers, as PyG's own examples write them, on the nodes of one graph.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, final

import torch.nn.functional as F
from torch import Tensor, nn

from geodl.layer import Dropout
from geodl.signal import Signal


@final
class PygNodes(nn.Module):
    """Layers of PyG in a row: dropout before each of them, an activation between them.

    Args:
        layers: called with `(x, edge_index)`.
        dropout: before each layer.
        activation: between the layers.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        *,
        dropout: float,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout
        self.activation = activation

    def forward(self, signal: Any) -> Signal:
        """Class scores of the nodes of a graph, for a batch of one."""
        edge_index = signal.domain.edge_index
        x = dropped_features(signal, self.dropout, self.training)
        for number, layer in enumerate(self.layers):
            if number:
                x = F.dropout(self.activation(x), self.dropout, self.training)
            x = layer(x, edge_index)
        return signal.with_x(x[None])


@final
class PygAppnp(nn.Module):
    """A perceptron on each node, then PyG's `APPNP`.

    Args:
        channels: of the input, the hidden layer and the output.
        hops: how often its answer is propagated.
        teleport: the probability to start again.
        dropout: before both linear layers.
    """

    def __init__(self, *channels: int, hops: int, teleport: float, dropout: float):
        from torch_geometric.nn import APPNP

        super().__init__()
        features, hidden, classes = channels
        self.first = nn.Linear(features, hidden)
        self.second = nn.Linear(hidden, classes)
        self.propagate = APPNP(hops, teleport, cached=True)
        self.dropout = dropout

    def forward(self, signal: Any) -> Signal:
        """Class scores of the nodes of a graph, for a batch of one."""
        x = dropped_features(signal, self.dropout, self.training)
        hidden = F.relu(linear(self.first, x))
        predicted = self.second(F.dropout(hidden, self.dropout, self.training))
        return signal.with_x(self.propagate(predicted, signal.domain.edge_index)[None])


@final
class PygGcnii(nn.Module):
    """PyG's `GCN2Conv` between two linear layers.

    Args:
        channels: of the input, the hidden layers and the output.
        depth: how many of PyG's layers.
        alpha: the share of the first hidden layer.
        theta: falls off with the layer's number; the share of the weights.
        dropout: before each layer.
    """

    def __init__(self, *channels: int, depth: int, alpha: float, theta: float, dropout: float):
        from torch_geometric.nn import GCN2Conv

        super().__init__()
        features, hidden, classes = channels
        self.first = nn.Linear(features, hidden)
        layers = []
        for number in range(1, depth + 1):
            layers.append(GCN2Conv(hidden, alpha, theta, number, cached=True))
        self.layers = nn.ModuleList(layers)
        self.last = nn.Linear(hidden, classes)
        self.dropout = dropout

    def forward(self, signal: Any) -> Signal:
        """Class scores of the nodes of a graph, for a batch of one."""
        x = dropped_features(signal, self.dropout, self.training)
        first = x = F.relu(linear(self.first, x))
        for layer in self.layers:
            x = F.dropout(x, self.dropout, self.training)
            x = F.relu(layer(x, first, signal.domain.edge_index))
        x = self.last(F.dropout(x, self.dropout, self.training))
        return signal.with_x(x[None])


def gcn(*channels: int, dropout: float) -> PygNodes:
    """`GCNConv` in a row."""
    from torch_geometric.nn import GCNConv

    layers = [GCNConv(before, after, cached=True) for before, after in pairwise(channels)]
    return PygNodes(layers, dropout=dropout)


def chebnet(*channels: int, order: int, dropout: float) -> PygNodes:
    """`ChebConv` in a row, whose K is `order + 1`."""
    from torch_geometric.nn import ChebConv

    layers = [ChebConv(before, after, order + 1) for before, after in pairwise(channels)]
    return PygNodes(layers, dropout=dropout)


def graph_sage(*channels: int, aggregation: str, dropout: float) -> PygNodes:
    """`SAGEConv` in a row."""
    from torch_geometric.nn import SAGEConv

    layers = [SAGEConv(before, after, aggregation) for before, after in pairwise(channels)]
    return PygNodes(layers, dropout=dropout)


def gat(*channels: int, heads: int, dropout: float) -> PygNodes:
    """`GATConv` in a row, ELU between them, one head in the last."""
    from torch_geometric.nn import GATConv

    return _attention(GATConv, channels, heads, dropout)


def gatv2(*channels: int, heads: int, dropout: float) -> PygNodes:
    """`GATv2Conv` in a row, ELU between them, one head in the last."""
    from torch_geometric.nn import GATv2Conv

    return _attention(GATv2Conv, channels, heads, dropout)


def _attention(
    layer: Callable[..., nn.Module], channels: tuple[int, ...], heads: int, dropout: float
) -> PygNodes:
    *hidden, classes = channels
    layers = []
    for before, after in pairwise(hidden):
        layers.append(layer(before, after // heads, heads, dropout=dropout))
    layers.append(layer(hidden[-1], classes, 1, concat=False, dropout=dropout))
    return PygNodes(layers, dropout=dropout, activation=F.elu)


def dropped_features(signal: Signal, dropout: float, training: bool) -> Tensor:
    """The features of the nodes `[N, C]` after dropout, sparse where they are."""
    if training:
        signal = Dropout(dropout)(signal)
    x = signal.x
    if x.dim() == 3:
        (x,) = x
    return x


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer on features that may be sparse: torch adds no bias to a sparse product."""
    return x @ layer.weight.t() + layer.bias
