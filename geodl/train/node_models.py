"""The networks of the recipes on citations: ours, and PyG's in their place."""

from typing import Literal

from torch import nn

from geodl import models
from geodl.train import peer

Library = Literal["geodl", "pyg"]


def gcn(
    *, features: int, classes: int, library: Library, hidden: int = 16, dropout: float = 0.5
) -> nn.Module:
    """The graph convolutional network of Kipf and Welling (2017), two layers.

    Args:
        features: channels of the input.
        classes: channels of the output.
        library: whose layers.
        hidden: channels of the hidden layer.
        dropout: before both layers.
    """
    if library == "pyg":
        return peer.gcn(features, hidden, classes, dropout=dropout)
    return models.gcn(features, hidden, classes, dropout=dropout)


def cheb(
    *,
    features: int,
    classes: int,
    library: Library,
    hidden: int = 16,
    order: int = 2,
    dropout: float = 0.5,
) -> nn.Module:
    """The Chebyshev network of Defferrard et al. (2016), two layers.

    Args:
        features: channels of the input.
        classes: channels of the output.
        library: whose layers.
        hidden: channels of the hidden layer.
        order: of the polynomials.
        dropout: before both layers.
    """
    if library == "pyg":
        return peer.chebnet(features, hidden, classes, order=order, dropout=dropout)
    return models.chebnet(features, hidden, classes, order=order, dropout=dropout)


def sage(
    *,
    features: int,
    classes: int,
    library: Library,
    hidden: int = 64,
    aggregation: str = "mean",
    dropout: float = 0.5,
) -> nn.Module:
    """The GraphSAGE of Hamilton et al. (2017), two layers.

    Args:
        features: channels of the input.
        classes: channels of the output.
        library: whose layers.
        hidden: channels of the hidden layer.
        aggregation: of the neighbors, mean or max.
        dropout: before both layers.
    """
    sizes = (features, hidden, classes)
    if library == "pyg":
        return peer.graph_sage(*sizes, aggregation=aggregation, dropout=dropout)
    return models.graph_sage(*sizes, aggregation=aggregation, dropout=dropout)


def gat(
    *,
    features: int,
    classes: int,
    library: Library,
    hidden: int = 64,
    heads: int = 8,
    dropout: float = 0.6,
) -> nn.Module:
    """The graph attention network of Velickovic et al. (2018), two layers.

    Args:
        features: channels of the input.
        classes: channels of the output.
        library: whose layers.
        hidden: channels of all heads of the first layer together.
        heads: of the first layer; the second has one.
        dropout: before both layers, and of attention weights.
    """
    if library == "pyg":
        return peer.gat(features, hidden, classes, heads=heads, dropout=dropout)
    return models.gat(features, hidden, classes, heads=heads, dropout=dropout)


def gatv2(
    *,
    features: int,
    classes: int,
    library: Library,
    hidden: int = 64,
    heads: int = 8,
    dropout: float = 0.6,
) -> nn.Module:
    """The graph attention network with the scores of Brody et al. (2022), two layers.

    Args:
        features: channels of the input.
        classes: channels of the output.
        library: whose layers.
        hidden: channels of all heads of the first layer together.
        heads: of the first layer; the second has one.
        dropout: before both layers, and of attention weights.
    """
    if library == "pyg":
        return peer.gatv2(features, hidden, classes, heads=heads, dropout=dropout)
    return models.gatv2(features, hidden, classes, heads=heads, dropout=dropout)


def appnp(
    *,
    features: int,
    classes: int,
    library: Library,
    hidden: int = 64,
    hops: int = 10,
    teleport: float = 0.1,
    dropout: float = 0.5,
) -> nn.Module:
    """The network of Gasteiger et al. (2019), which predicts and then propagates.

    Args:
        features: channels of the input.
        classes: channels of the output.
        library: whose layers.
        hidden: channels of the hidden layer.
        hops: how often predictions are propagated.
        teleport: the probability to start again.
        dropout: before both linear layers.
    """
    sizes = (features, hidden, classes)
    if library == "pyg":
        return peer.PygAppnp(*sizes, hops=hops, teleport=teleport, dropout=dropout)
    return models.appnp(*sizes, hops=hops, teleport=teleport, dropout=dropout)


def gcnii(
    *,
    features: int,
    classes: int,
    library: Library,
    hidden: int = 64,
    depth: int = 32,
    alpha: float = 0.1,
    theta: float = 0.5,
    dropout: float = 0.6,
) -> nn.Module:
    """The deep graph convolutional network of Chen et al. (2020).

    Args:
        features: channels of the input.
        classes: channels of the output.
        library: whose layers.
        hidden: channels of all hidden layers.
        depth: how many of them.
        alpha: the share of the first hidden layer in each.
        theta: falls off with a layer's number; the share of its weights.
        dropout: before each layer.
    """
    build = models.gcnii
    if library == "pyg":
        build = peer.PygGcnii
    sizes = (features, hidden, classes)
    return build(*sizes, depth=depth, alpha=alpha, theta=theta, dropout=dropout)
