"""Graph networks whose layers are attention: each node weighs its neighbors anew."""

from torch import nn

from geodl.layer import Attention, Sequential
from geodl.models.graph_parts import stack
from geodl.neighborhood import adjacency

# PyG's attention: a loop at each node, weights of links unread.
WITH_LOOPS = adjacency(self_loops=True, weights=False)


def gat(*channels: int, heads: int = 8, last_heads: int = 1, dropout: float = 0.6) -> Sequential:
    """The graph attention network of Velickovic et al., "Graph Attention Networks" (2018):
    `[B, N, C_0]` to `[B, N, C_k]` on a graph.

    Each node attends to its neighbors and to itself. Heads are concatenated, in the last layer
    averaged, with ELU between the layers.

    Args:
        channels: channels C_0 of the input, of each hidden layer (all its heads together), and C_k
            of the output; (1433, 64, 7) in the paper for Cora.
        heads: number of heads of each layer but the last; it divides the hidden channels.
        last_heads: number of heads of the last layer; 8 in the paper for PubMed.
        dropout: probability of dropout before every layer, and of attention weights.

    Raises:
        GeodlError: if the heads do not divide the hidden channels.

    >>> import torch, geodl as g
    >>> gat(3, 16, 2)(g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))).x.shape
    torch.Size([1, 2, 2])
    """
    return _attention_network("gat", channels, heads, last_heads, dropout)


def gatv2(*channels: int, heads: int = 8, last_heads: int = 1, dropout: float = 0.6) -> Sequential:
    """:func:`gat` with the scores of Brody, Alon and Yahav, "How Attentive are Graph Attention
    Networks?" (2022), whose order of the neighbors depends on the node that attends.

    Args:
        channels: channels C_0 of the input, of each hidden layer (all its heads together), and C_k
            of the output.
        heads: number of heads of each layer but the last; it divides the hidden channels.
        last_heads: number of heads of the last layer.
        dropout: probability of dropout before every layer, and of attention weights.

    Raises:
        GeodlError: if the heads do not divide the hidden channels.

    >>> import torch, geodl as g
    >>> gatv2(3, 16, 2)(g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))).x.shape
    torch.Size([1, 2, 2])
    """
    return _attention_network("gatv2", channels, heads, last_heads, dropout)


def graph_transformer(
    *channels: int,
    heads: int = 4,
    dropout: float = 0.3,
    edge_channels: int | None = None,
) -> Sequential:
    """The graph Transformer of Shi et al., "Masked Label Prediction: Unified Message Passing Model
    for Semi-Supervised Classification" (2021): `[B, N, C_0]` to `[B, N, C_k]` on a graph.

    Dot-product attention over the links, with a gate between what a node receives and itself;
    layer norm and ReLU between the layers. Heads are concatenated, in the last layer averaged.

    Args:
        channels: channels C_0 of the input, of each hidden layer (all its heads together), and C_k
            of the output.
        heads: number of heads of each layer; it divides the hidden channels.
        dropout: probability of dropout before every layer, and of attention weights.
        edge_channels: channels of the signal's `edges`, which keys and values then read.

    Raises:
        GeodlError: if the heads do not divide the hidden channels.

    >>> import torch, geodl as g
    >>> net = graph_transformer(3, 16, 2)
    >>> net(g.Signal(torch.zeros(1, 2, 3), g.Graph([[0, 1], [1, 0]]))).x.shape
    torch.Size([1, 2, 2])
    """

    def make(before: int, after: int, last: bool) -> list[nn.Module]:
        layer = Attention(
            before,
            adjacency(weights=False),
            heads,
            channels_out=after,
            edge_channels=edge_channels,
            out_proj=False,
            join=_join(last),
            root="gated",
            dropout=dropout,
        )
        if last:
            return [layer]
        return [layer, nn.LayerNorm(after)]

    return stack("graph_transformer", channels, make, dropout=dropout)


def _attention_network(
    score: str, channels: tuple[int, ...], heads: int, last_heads: int, dropout: float
) -> Sequential:
    """A network of attention layers with one score; their biases are those of PyG's twins."""
    bias: bool | str = True
    if score == "gat":
        bias = "out"

    def make(before: int, after: int, last: bool) -> list[nn.Module]:
        count = heads
        if last:
            count = last_heads
        layer = Attention(
            before,
            WITH_LOOPS,
            count,
            score,
            channels_out=after,
            out_proj=False,
            join=_join(last),
            bias=bias,
            dropout=dropout,
        )
        return [layer]

    return stack(score, channels, make, dropout=dropout, activation=nn.ELU)


def _join(last: bool) -> str:
    """How heads become one answer."""
    if last:
        return "mean"
    return "concat"
