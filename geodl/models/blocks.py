"""The blocks of Transformers: attention and a network for each node, around shortcuts."""

from typing import NamedTuple

from torch import nn

from geodl.domain.base import positive
from geodl.errors import GeodlError, nearest
from geodl.layer import Attention, Cross, Dropout, Residual, Sequential
from geodl.neighborhood import Neighborhood, all_pairs, past

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}
EVERYONE, PAST = all_pairs(), past()


class _Blocks(NamedTuple):
    """What the blocks of a stack have in common; the public functions below say what each field
    is.
    """

    channels: int
    heads: int
    hidden: int | None
    dropout: float
    activation: str
    pre_norm: bool
    bias: bool
    eps: float

    def stack(
        self, depth: int, rule: Neighborhood, crossed: Neighborhood | None, final_norm: bool | None
    ) -> Sequential:
        """Blocks in a row."""
        positive(f"a Transformer of depth {depth!r}", depth)
        last = self.pre_norm if final_norm is None else final_norm
        return Sequential(*[self.block(rule, crossed) for _ in range(depth)], *[self.norm()] * last)

    def block(self, rule: Neighborhood, crossed: Neighborhood | None) -> Sequential:
        """Attention to the signal itself, to the second signal where one is crossed to, and the
        layers of each node alone.
        """
        layers = self.around(self.attention(rule), Dropout(self.dropout))
        if crossed is not None:
            layers += self.around(Cross(self.attention(crossed)), Dropout(self.dropout))
        return Sequential(*layers, *self.around(*self.feed_forward()))

    def around(self, *layers: nn.Module) -> list[nn.Module]:
        """A shortcut around layers, with the norm before the layers or after the sum."""
        return (
            [Residual(self.norm(), *layers)] if self.pre_norm else [Residual(*layers), self.norm()]
        )

    def attention(self, rule: Neighborhood) -> Attention:
        return Attention(self.channels, rule, self.heads, bias=self.bias, dropout=self.dropout)

    def feed_forward(self) -> list[nn.Module]:
        if self.activation not in ACTIVATIONS:
            raise GeodlError(
                f"a Transformer with activation={self.activation!r}",
                do=nearest(self.activation, ACTIVATIONS),
            )
        hidden = 4 * self.channels if self.hidden is None else self.hidden
        positive(f"a Transformer with hidden={hidden!r}", hidden)
        wide, narrow = (
            nn.Linear(*io, bias=self.bias)
            for io in ((self.channels, hidden), (hidden, self.channels))
        )
        return [
            wide,
            ACTIVATIONS[self.activation](),
            Dropout(self.dropout),
            narrow,
            Dropout(self.dropout),
        ]

    def norm(self) -> nn.LayerNorm:
        return nn.LayerNorm(self.channels, self.eps, bias=self.bias)


def transformer_encoder(
    channels: int,
    heads: int = 8,
    depth: int = 6,
    *,
    hidden: int | None = None,
    dropout: float = 0.0,
    activation: str = "gelu",
    pre_norm: bool = True,
    rule: Neighborhood = EVERYONE,
    final_norm: bool | None = None,
    bias: bool = True,
    eps: float = 1e-5,
) -> Sequential:
    """Blocks of self-attention and of a two-layer network for each node: `[B, N, C]` to `[B, N, C]`
    on any domain.

    Each block is `Sequential(Residual(LayerNorm, Attention, Dropout), Residual(LayerNorm, Linear,
    activation, Dropout, Linear, Dropout))` with the norm first (Xiong et al., "On Layer
    Normalization in the Transformer Architecture", 2020), `Sequential(Residual(Attention, Dropout),
    LayerNorm, Residual(Linear, ..., Dropout), LayerNorm)` with the norm after the sum (Vaswani et
    al., "Attention Is All You Need", 2017): the two orders of `nn.TransformerEncoderLayer`. The
    modules are the same at dropout 0, so that weights load at any dropout.

    Args:
        channels: C.
        heads: of each attention; they divide C.
        depth: number of blocks.
        hidden: channels between the two linear layers, by default 4 C.
        dropout: of attention weights, after each attention, after the activation and at the block's
            end.
        activation: "gelu" or "relu".
        pre_norm: the norm before the layers, or after the sum.
        rule: who hears whom: `all_pairs()`; `past()` makes a causal stack,
            `adjacency()` one on a graph.
        final_norm: a norm after the last block; by default where norms come first.
        bias: of linear layers, attention and norms.
        eps: of the norms.

    Raises:
        GeodlError: heads that do not divide the channels, sizes below 1, an unknown activation.

    >>> import torch, geodl as g
    >>> model = transformer_encoder(16, heads=4, depth=2)
    >>> model(g.Signal(torch.zeros(3, 5, 16), g.Complete(5))).x.shape
    torch.Size([3, 5, 16])
    """
    blocks = _Blocks(channels, heads, hidden, dropout, activation, pre_norm, bias, eps)
    return blocks.stack(depth, rule, None, final_norm)


def transformer_decoder(
    channels: int,
    heads: int = 8,
    depth: int = 6,
    *,
    hidden: int | None = None,
    dropout: float = 0.0,
    activation: str = "gelu",
    pre_norm: bool = True,
    rule: Neighborhood = PAST,
    final_norm: bool | None = None,
    bias: bool = True,
    eps: float = 1e-5,
) -> Sequential:
    """Blocks as in :func:`transformer_encoder` with attention to a second signal in the middle:
    `decoder(target, memory)`.

    The middle is `Residual(LayerNorm, Cross(Attention), Dropout)`, or `Residual(Cross(Attention),
    Dropout), LayerNorm`, as in `nn.TransformerDecoderLayer`; each target node hears all nodes of
    the memory. `step` goes on token by token.

    Args:
        channels: C, of the memory too.
        heads: of each attention; they divide C.
        depth: number of blocks.
        hidden: channels between the two linear layers, by default 4 C.
        dropout: of attention weights, after each attention, after the activation and at the block's
            end.
        activation: "gelu" or "relu".
        pre_norm: the norm before the layers, or after the sum.
        rule: which target nodes a target node hears.
        final_norm: a norm after the last block; by default where norms come first.
        bias: of linear layers, attention and norms.
        eps: of the norms.

    >>> import torch, geodl as g
    >>> target, memory = (g.Signal.sequence(torch.zeros(3, n, 16)) for n in (5, 7))
    >>> transformer_decoder(16, heads=4, depth=2)(target, memory).x.shape
    torch.Size([3, 5, 16])
    """
    blocks = _Blocks(channels, heads, hidden, dropout, activation, pre_norm, bias, eps)
    return blocks.stack(depth, rule, EVERYONE, final_norm)
