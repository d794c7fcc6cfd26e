"""The multilayer perceptron and the graph convolutional network."""

from geodl.layer import Sequential
from geodl.models.graph_parts import convolutions
from geodl.neighborhood import adjacency, itself


def mlp(*channels: int, dropout: float = 0.0) -> Sequential:
    """Linear layers with ReLU between them, applied to each node alone: `[B, N, C_0]` to
    `[B, N, C_k]` on any domain.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output.
        dropout: probability of dropout before every layer.

    >>> len(mlp(8, 16, 4))
    3
    """
    return convolutions("mlp", itself(), channels, dropout)


def gcn(*channels: int, dropout: float = 0.5) -> Sequential:
    """The graph convolutional network of Kipf and Welling, "Semi-Supervised Classification with
    Graph Convolutional Networks" (2017): `[B, N, C_0]` to `[B, N, C_k]` on a graph.

    Each layer is `Y = D~^-1/2 (A + I) D~^-1/2 X W + b`, D~ the degrees of A + I, with ReLU between
    the layers.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output;
            (1433, 16, 7) in the paper for Cora.
        dropout: probability of dropout before every layer.

    >>> import torch, geodl as g
    >>> gcn(3, 16, 2)(g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))).x.shape
    torch.Size([1, 2, 2])
    """
    return convolutions("gcn", adjacency("sym", self_loops=True), channels, dropout)
