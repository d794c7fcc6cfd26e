"""Relational graph convolutions: a weight for each type of edge, free or shared."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from geodl.errors import GeodlError, positive
from geodl.layer import Conv, Residual, Sequential
from geodl.models.graph_parts import draw_by_glorot, stack
from geodl.neighborhood import adjacency, itself


class Bases(nn.Module):
    """`W_t = sum_b a_tb V_b`: a weight for each edge type out of a few, as the parametrization of
    `Conv.weight`.

    Args:
        types: T.
        bases: the number of V_b.
    """

    # PyG has it: a conversion need not refuse it as a parametrization of unknown code.
    has_twin = True

    def __init__(self, types: int, bases: int):
        super().__init__()
        self.share = nn.Parameter(torch.empty(types, bases))
        draw_by_glorot(self.share)

    def forward(self, basis: Tensor) -> Tensor:
        """`[bases, C_in, C_out]` to `[T, C_in, C_out]`."""
        return torch.einsum("tb,bio->tio", self.share, basis)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The V_b whose weights come nearest to the given ones, in the least squares."""
        inverse = torch.linalg.pinv(self.share.detach().to(weight.dtype))
        return torch.einsum("bt,tio->bio", inverse, weight)


def rgcn_layer(
    channels_in: int,
    channels_out: int,
    *,
    types: int,
    bases: int | None = None,
    blocks: int | None = None,
) -> Residual:
    """A layer of the relational GCN: `y_i = W_0 x_i + sum_t mean over edges of type t of W_t x_j +
    b`.

    With bases the weight is a parametrization: save the `state_dict`, as torch refuses to pickle
    such a module; `copy.deepcopy` copies it.

    Args:
        channels_in: C_in.
        channels_out: C_out.
        types: T, the graph's edge types.
        bases: the number of matrices V_b of which `W_t = sum_b a_tb V_b`; None for a free W_t of
            each type.
        blocks: the number of blocks of a block diagonal W_t; it divides both channels.

    Raises:
        GeodlError: if a number is not a positive integer, if bases and blocks are both given, or if
            the blocks do not divide the channels; at the call, if the graph has no types, or more.

    >>> rgcn_layer(3, 8, types=4).inner[0].weight.shape
    torch.Size([4, 3, 8])
    """
    types = positive(f"rgcn_layer(types={types!r})", types)
    if bases is not None and blocks is not None:
        asked = f"rgcn_layer(bases={bases!r}, blocks={blocks!r})"
        raise GeodlError(asked, "two ways to share weights", "choose one")
    rule = adjacency("row", types=types, weights=False)
    groups = 1
    if blocks is not None:
        groups = positive(f"rgcn_layer(blocks={blocks!r})", blocks)
    received = Conv(channels_in, channels_out, rule, groups=groups)
    if bases is not None:
        bases = positive(f"rgcn_layer(bases={bases!r})", bases)
        share_bases(received, types, bases)
    own = Conv(channels_in, channels_out, itself(), bias=False)
    draw_by_glorot(own.weight)
    return Residual(received, shortcut=own)


def share_bases(layer: Conv, types: int, bases: int) -> None:
    """Let the weights of a convolution be sums of a few, drawn anew by Glorot's rule."""
    parametrize.register_parametrization(layer, "weight", Bases(types, bases))
    held: Any = layer
    draw_by_glorot(held.parametrizations.weight.original)


def rgcn(
    *channels: int,
    types: int,
    bases: int | None = None,
    blocks: int | None = None,
    dropout: float = 0.0,
) -> Sequential:
    """The relational GCN of Schlichtkrull et al., "Modeling Relational Data with Graph
    Convolutional Networks" (2018): `[B, N, C_0]` to `[B, N, C_k]` on a graph with edge types.

    Rows of :func:`rgcn_layer` with ReLU between them; with bases they are saved by the
    `state_dict`, not by pickle.

    Args:
        channels: channels C_0 of the input, of each hidden layer, and C_k of the output.
        types: T, the graph's edge types.
        bases: as in :func:`rgcn_layer`.
        blocks: as in :func:`rgcn_layer`.
        dropout: probability of dropout before every layer.

    Raises:
        GeodlError: if there are fewer than two numbers of channels, or if one is not a positive
            integer; as :func:`rgcn_layer`.

    >>> import torch, geodl as g
    >>> graph = g.Graph([[0, 1], [1, 0]], edge_type=[0, 2])
    >>> rgcn(3, 16, 2, types=3, bases=2)(g.Signal(torch.zeros(1, 2, 3), graph)).x.shape
    torch.Size([1, 2, 2])
    """

    def make(before: int, after: int, last: bool) -> list[nn.Module]:
        return [rgcn_layer(before, after, types=types, bases=bases, blocks=blocks)]

    return stack("rgcn", channels, make, dropout=dropout)
