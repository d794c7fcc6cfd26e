"""The multilayer perceptron and the graph convolutional network."""

from itertools import pairwise

from torch import nn

from geodl.layer import Conv, Dropout, Sequential
from geodl.neighborhood import Neighborhood, adjacency, itself


def mlp(*channels: int, dropout: float = 0.0) -> Sequential:
    """Linear layers with ReLU between them: each node hears only itself.

    Args:
        channels: channels of the input, of each hidden layer and of the output.
        dropout: before every layer.

    >>> len(mlp(8, 16, 4))
    3
    """
    return _stack(itself(), channels, dropout)


def gcn(*channels: int, dropout: float = 0.5) -> Sequential:
    """The graph convolutional network of Kipf and Welling, "Semi-Supervised Classification with
    GCNs" (2017).

    Args:
        channels: channels of the input, of each hidden layer and of the output; (1433, 16, 7) in
            the paper for Cora.
        dropout: before every layer.

    >>> import torch, geodl as g
    >>> gcn(3, 16, 2)(g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))).x.shape
    torch.Size([1, 2, 2])
    """
    return _stack(adjacency("sym", self_loops=True), channels, dropout)


def _stack(neighborhood: Neighborhood, channels: tuple[int, ...], dropout: float) -> Sequential:
    layers: list[nn.Module] = []
    for k, (before, after) in enumerate(pairwise(channels)):
        layers += [nn.ReLU()] if k else []
        layers += [Dropout(dropout)] if dropout else []
        layers.append(Conv(before, after, neighborhood))
    return Sequential(*layers)
