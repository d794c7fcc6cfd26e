"""Graph isomorphism networks: sums over neighbors that a perceptron reads."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.errors import GeodlError, is_real, positive
from geodl.layer import BatchNorm, Message, Pool, Residual, Sequential
from geodl.layer.self_term import SelfTerm
from geodl.models.graph_parts import read_edges, stack
from geodl.neighborhood import adjacency

LINKS = adjacency(weights=False)


def gin_layer(
    channels_in: int,
    channels_out: int,
    *,
    hidden: int | None = None,
    eps: float = 0.0,
    train_eps: bool = False,
) -> Sequential:
    """A layer of GIN: `y_i = f((1 + eps) x_i + sum over edges (j -> i) of x_j)`, f a linear layer,
    batch norm, ReLU, a linear layer.

    Args:
        channels_in: C_in.
        channels_out: C_out.
        hidden: channels between the two linear layers of f, by default C_out.
        eps: how much more than its neighbors the node itself counts.
        train_eps: whether eps is a parameter.

    Raises:
        GeodlError: if a size is no positive integer, or if eps is no number.

    >>> [type(part).__name__ for part in gin_layer(3, 8)]
    ['Residual', 'Linear', 'BatchNorm', 'ReLU', 'Linear']
    """
    hidden = _hidden("gin_layer", channels_in, channels_out, hidden)
    gathered = Residual(Pool(LINKS, "sum"), shortcut=_itself("gin_layer", eps, train_eps))
    return Sequential(gathered, *_two_layers(channels_in, hidden, channels_out))


def gin(
    *channels: int, eps: float = 0.0, train_eps: bool = False, dropout: float = 0.0
) -> Sequential:
    """The graph isomorphism network of Xu et al., "How Powerful are Graph Neural Networks?" (2019):
    `[B, N, C_0]` to `[B, N, C_k]` on a graph.

    Rows of :func:`gin_layer`, with batch norm and ReLU between them. For an answer for each graph
    build `Sequential(gin(...), Readout("sum"), nn.Linear(...))`, or, as in the paper, a readout of
    all layers: :func:`jumping_knowledge`.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output.
        eps: how much more than its neighbors the node itself counts.
        train_eps: whether eps is a parameter, one for each layer.
        dropout: probability of dropout before every layer.

    Raises:
        GeodlError: if there are fewer than two numbers of channels, or if one is not a positive
            integer; if eps is no number.

    >>> import torch, geodl as g
    >>> s = g.Signal(torch.randn(1, 2, 3), g.Graph([[0, 1], [1, 0]]))
    >>> gin(3, 16, 2)(s).x.shape
    torch.Size([1, 2, 2])
    """

    def make(before: int, after: int, last: bool) -> list[nn.Module]:
        return _with_norm(gin_layer(before, after, eps=eps, train_eps=train_eps), after, last)

    return stack("gin", channels, make, dropout=dropout)


class EdgeAdded(nn.Module):
    """The message of GINE: `ReLU(x_j + E e_ij)`.

    Args:
        channels: of the nodes, C.
        edge_channels: C_e; None where edges have C channels, and E is the identity.
    """

    def __init__(self, channels: int, edge_channels: int | None):
        super().__init__()
        self.edge_channels, self.project = channels, None
        if edge_channels is not None:
            self.edge_channels = edge_channels
            self.project = nn.Linear(positive("GINE with edge_channels", edge_channels), channels)

    def forward(self, x_i: Tensor, x_j: Tensor, e_ij: Tensor | None) -> Tensor:
        """`[B, E, C]`."""
        edge = read_edges("a message of GINE", e_ij, self.edge_channels)
        if self.project is not None:
            edge = self.project(edge)
        return torch.relu(x_j + edge)


def gine_layer(
    channels_in: int,
    channels_out: int,
    *,
    edge_channels: int,
    hidden: int | None = None,
    eps: float = 0.0,
    train_eps: bool = False,
) -> Sequential:
    """A layer of GIN that reads edges: `y_i = f((1 + eps) x_i + sum of ReLU(x_j + E e_ij))`, f as
    in :func:`gin_layer`.

    Args:
        channels_in: C_in.
        channels_out: C_out.
        edge_channels: C_e of the signal's `edges`.
        hidden: channels between the two linear layers of f, by default C_out.
        eps: how much more than its neighbors the node itself counts.
        train_eps: whether eps is a parameter.

    Raises:
        GeodlError: as :func:`gin_layer`; at the call, if the signal has no `edges`, or `edges` of
            other channels.

    >>> import torch, geodl as g
    >>> graph, e = g.Graph([[0, 1], [1, 0]]), torch.zeros(1, 2, 4)
    >>> gine_layer(3, 8, edge_channels=4)(g.Signal(torch.randn(1, 2, 3), graph, e)).x.shape
    torch.Size([1, 2, 8])
    """
    hidden = _hidden("gine_layer", channels_in, channels_out, hidden)
    message = Message(EdgeAdded(channels_in, edge_channels), LINKS)
    gathered = Residual(message, shortcut=_itself("gine_layer", eps, train_eps))
    return Sequential(gathered, *_two_layers(channels_in, hidden, channels_out))


def gine(
    *channels: int,
    edge_channels: int,
    eps: float = 0.0,
    train_eps: bool = False,
    dropout: float = 0.0,
) -> Sequential:
    """:func:`gin` of layers that read edges (Hu et al., "Strategies for Pre-training Graph Neural
    Networks", 2020): `[B, N, C_0]` to `[B, N, C_k]` on a graph whose signal has `edges`.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output.
        edge_channels: C_e of the signal's `edges`.
        eps: how much more than its neighbors the node itself counts.
        train_eps: whether eps is a parameter, one for each layer.
        dropout: probability of dropout before every layer.

    Raises:
        GeodlError: if there are fewer than two numbers of channels, or if one is not a positive
            integer; if eps is no number;
            at the call, if the signal has no `edges`, or `edges` of other channels.

    >>> import torch, geodl as g
    >>> graph, e = g.Graph([[0, 1], [1, 0]]), torch.zeros(1, 2, 4)
    >>> gine(3, 16, 2, edge_channels=4)(g.Signal(torch.randn(1, 2, 3), graph, e)).x.shape
    torch.Size([1, 2, 2])
    """

    def make(before: int, after: int, last: bool) -> list[nn.Module]:
        options: dict[str, Any] = {"edge_channels": edge_channels, "eps": eps}
        layer = gine_layer(before, after, **options, train_eps=train_eps)
        return _with_norm(layer, after, last)

    return stack("gine", channels, make, dropout=dropout)


def _itself(asked: str, eps: float, train_eps: bool) -> SelfTerm:
    """The self term."""
    if not is_real(eps):
        raise GeodlError(f"{asked}(eps={eps!r})", do="give a number")
    value = torch.tensor([float(eps)])
    if train_eps:
        value = nn.Parameter(value)
    return SelfTerm(value)


def _hidden(asked: str, before: int, after: int, hidden: int | None) -> int:
    if hidden is None:
        hidden = after
    asked = f"{asked}({before!r}, {after!r}, hidden={hidden!r})"
    positive(asked, before)
    positive(asked, after)
    return positive(asked, hidden)


def _two_layers(before: int, hidden: int, after: int) -> list[nn.Module]:
    """The perceptron of GIN."""
    first, second = nn.Linear(before, hidden), nn.Linear(hidden, after)
    return [first, BatchNorm(hidden), nn.ReLU(), second]


def _with_norm(layer: nn.Module, channels: int, last: bool) -> list[nn.Module]:
    """A layer and the batch norm before the next activation."""
    if last:
        return [layer]
    return [layer, BatchNorm(channels)]
