"""The networks of the recipes on links and on whole graphs: ours, and PyG's in their place."""

from torch import nn

from geodl import models
from geodl.layer import BatchNorm, Dropout, Readout, Sequential
from geodl.train import peer
from geodl.train.node_models import Library
from geodl.train.peer_graphs import PygEdgeConv, PygGin, PygGraphNet


def link_encoder(
    *, features: int, library: Library, hidden: int = 32, codes: int = 16, dropout: float = 0.0
) -> nn.Module:
    """The encoder of Kipf and Welling's graph auto-encoder (2016), two graph convolutions.

    Args:
        features: channels of the input.
        library: whose layers.
        hidden: channels of the hidden layer.
        codes: channels of the vector that each node is given.
        dropout: before both layers.
    """
    if library == "pyg":
        return peer.gcn(features, hidden, codes, dropout=dropout)
    return models.gcn(features, hidden, codes, dropout=dropout)


def gin(
    *,
    features: int,
    classes: int,
    library: Library,
    hidden: int = 32,
    depth: int = 4,
    dropout: float = 0.5,
) -> nn.Module:
    """The graph isomorphism network of Xu et al. (2019): sums over the nodes after each layer, side
    by side, into a linear layer.

    Args:
        features: channels of the input.
        classes: channels of the output.
        library: whose layers.
        hidden: channels of each layer.
        depth: how many layers.
        dropout: before the linear layer.
    """
    if library == "pyg":
        return PygGin(features, classes, hidden=hidden, depth=depth, dropout=dropout)
    blocks = []
    width = features
    for _ in range(depth):
        block = (models.gin_layer(width, hidden), BatchNorm(hidden), nn.ReLU())
        blocks.append(Sequential(*block))
        width = hidden
    return Sequential(
        models.jumping_knowledge(*blocks),
        Readout("sum"),
        Dropout(dropout),
        nn.Linear(depth * hidden, classes),
    )


def edge_conv(
    *,
    classes: int,
    library: Library,
    hidden: int = 64,
    depth: int = 2,
    neighbors: int = 10,
    dropout: float = 0.5,
) -> nn.Module:
    """The dynamic graph CNN of Wang et al. (2019): edge convolutions, each over nearest neighbors
    of its own, the maximum over the points, a perceptron.

    Args:
        classes: channels of the output.
        library: whose layers.
        hidden: channels of each edge convolution, and of the perceptron.
        depth: how many edge convolutions.
        neighbors: from how many points each receives.
        dropout: in the perceptron.
    """
    if library == "pyg":
        return PygEdgeConv(
            classes, hidden=hidden, depth=depth, neighbors=neighbors, dropout=dropout
        )
    widths = [3] + [hidden] * depth
    return Sequential(
        models.edge_conv(*widths, k=neighbors),
        Readout("max"),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        Dropout(dropout),
        nn.Linear(hidden, classes),
    )


def graph_net(
    *,
    features: int,
    edge_features: int,
    classes: int,
    library: Library,
    hidden: int = 32,
    depth: int = 2,
) -> nn.Module:
    """The GraphNet of Battaglia et al. (2018): edges, nodes and whole graphs have states, each
    renewed by those of the others; the answer is read from that of the graph.

    Args:
        features: channels of the nodes.
        edge_features: channels of the edges.
        classes: channels of the output.
        library: whose layers.
        hidden: channels of all three states.
        depth: how many blocks.
    """
    if library == "pyg":
        return PygGraphNet(features, edge_features, classes, hidden=hidden, depth=depth)
    return models.graph_net(features, hidden, classes, edge_channels=edge_features, depth=depth)
