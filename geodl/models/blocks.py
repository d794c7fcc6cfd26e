"""The blocks of Transformers: attention, then a network applied to each node, both with
shortcuts.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import ParamSpec

from torch import nn

from geodl.errors import GeodlError, nearest, positive
from geodl.layer import Attention, Cross, Dropout, Residual, Sequential
from geodl.neighborhood import Neighborhood, all_pairs, past

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}
Fields = ParamSpec("Fields")


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and options of a stack of Transformer blocks: the arguments of
    :func:`transformer_encoder` and of :func:`transformer_decoder`.

    Args:
        channels: C, of the input and of the output.
        heads: number of heads of each attention; it divides C.
        depth: number of blocks.
        hidden: channels between the two linear layers of a block; None means 4 C.
        dropout: probability of dropout on attention weights, after each attention, after the
            activation and at the end of a block.
        activation: "gelu" or "relu".
        pre_norm: True normalises the input of each sublayer, False the sum with its shortcut.
        rule: which nodes of the signal attend to which; None means `all_pairs()` in an encoder and
            `past()` in a decoder. `past()` makes an encoder causal, `adjacency()` runs it on a
            graph.
        final_norm: whether a norm follows the last block; None means the value of `pre_norm`.
        bias: whether linear layers, attention and norms have biases.
        eps: added to the variance in the norms.

    Raises:
        GeodlError: if a depth or a hidden size is not a positive integer, or the activation is
            unknown.

    >>> TransformerConfig(16, heads=4).feed_forward_channels
    64
    """

    channels: int
    heads: int = 8
    depth: int = 6
    _: KW_ONLY
    hidden: int | None = None
    dropout: float = 0.0
    activation: str = "gelu"
    pre_norm: bool = True
    rule: Neighborhood | None = None
    final_norm: bool | None = None
    bias: bool = True
    eps: float = 1e-5

    def __post_init__(self):
        # A size may come as a number of numpy or a 0-d tensor: kept is an integer of Python.
        for name in ("depth", "channels", "heads", "hidden"):
            size = getattr(self, name)
            if name != "hidden" or size is not None:
                asked = f"a Transformer with {name}={size!r}"
                object.__setattr__(self, name, positive(asked, size))
        if not isinstance(self.activation, str) or self.activation not in ACTIVATIONS:
            asked = f"a Transformer with activation={self.activation!r}"
            raise GeodlError(asked, do=nearest(self.activation, ACTIVATIONS))

    @property
    def feed_forward_channels(self) -> int:
        """Channels between the two linear layers of a block."""
        return 4 * self.channels if self.hidden is None else self.hidden

    @property
    def ends_in_norm(self) -> bool:
        """Whether a norm follows the last block."""
        return self.pre_norm if self.final_norm is None else self.final_norm


def called_with_fields(
    config: Callable[Fields, TransformerConfig],
) -> Callable[[Callable[[TransformerConfig], Sequential]], Callable[Fields, Sequential]]:
    """Decorator: a function of a `TransformerConfig` is called with the fields of the config.

    `build(16, heads=4)` then means `build(TransformerConfig(16, heads=4))`, so that arguments,
    their defaults and their documentation are written once. The signature shows the fields.
    """

    def decorate(
        build: Callable[[TransformerConfig], Sequential],
    ) -> Callable[Fields, Sequential]:
        @functools.wraps(build)
        def call(*args: Fields.args, **fields: Fields.kwargs) -> Sequential:
            return build(config(*args, **fields))

        parameters = inspect.signature(config).parameters.values()
        signature = inspect.Signature(list(parameters), return_annotation=Sequential)
        call.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]
        return call

    return decorate


@called_with_fields(TransformerConfig)
def transformer_encoder(config: TransformerConfig) -> Sequential:
    """A stack of blocks of self-attention and of a two-layer network applied to each node:
    `[B, N, C]` to `[B, N, C]` on any domain that the rule accepts.

    With `pre_norm` a block is `Sequential(Residual(LayerNorm, Attention, Dropout),
    Residual(LayerNorm, Linear, activation, Dropout, Linear, Dropout))` (Xiong et al., "On Layer
    Normalization in the Transformer Architecture", 2020), without it
    `Sequential(Residual(Attention, Dropout), LayerNorm, Residual(Linear, activation, Dropout,
    Linear, Dropout), LayerNorm)` (Vaswani et al., "Attention Is All You Need", 2017). These are the
    two orders of `nn.TransformerEncoderLayer`. The names of the parameters do not depend on
    `dropout`: a state_dict loads into a model with any other.

    Args: the fields of :class:`TransformerConfig`.

    Raises:
        GeodlError: if the heads do not divide the channels, a size is below 1, or the activation is
            unknown.

    >>> import torch, geodl as g
    >>> model = transformer_encoder(16, heads=4, depth=2)
    >>> model(g.Signal(torch.zeros(3, 5, 16), g.Complete(5))).x.shape
    torch.Size([3, 5, 16])
    """
    rule = all_pairs() if config.rule is None else config.rule
    return _stack(config, rule, None)


@called_with_fields(TransformerConfig)
def transformer_decoder(config: TransformerConfig) -> Sequential:
    """A stack of the blocks of :func:`transformer_encoder` with attention to a second signal
    between self-attention and the two-layer network: `decoder(target, memory)` is `[B, T, C]`.

    That attention is `Residual(LayerNorm, Cross(Attention), Dropout)` with `pre_norm`, else
    `Residual(Cross(Attention), Dropout), LayerNorm`, as in `nn.TransformerDecoderLayer`. Each node
    of the target attends to all nodes of the memory, which has C channels too. `step` continues
    token by token.

    Args: the fields of :class:`TransformerConfig`.

    Raises:
        GeodlError: if the heads do not divide the channels, a size is below 1, or the activation is
            unknown.

    >>> import torch, geodl as g
    >>> target = g.Signal.sequence(torch.zeros(3, 5, 16))
    >>> memory = g.Signal.sequence(torch.zeros(3, 7, 16))
    >>> transformer_decoder(16, heads=4, depth=2)(target, memory).x.shape
    torch.Size([3, 5, 16])
    """
    rule = past() if config.rule is None else config.rule
    return _stack(config, rule, all_pairs())


def _stack(
    config: TransformerConfig, rule: Neighborhood, memory_rule: Neighborhood | None
) -> Sequential:
    """All blocks of a stack, and the norm after the last one."""
    layers: list[nn.Module] = [_block(config, rule, memory_rule) for _ in range(config.depth)]
    if config.ends_in_norm:
        layers.append(_norm(config))
    return Sequential(*layers)


def _block(
    config: TransformerConfig, rule: Neighborhood, memory_rule: Neighborhood | None
) -> Sequential:
    """Self-attention, attention to a second signal if there is a rule for it, and the two-layer
    network.
    """
    dropout = config.dropout
    layers = _with_shortcut(config, _attention(config, rule), Dropout(dropout))
    if memory_rule is not None:
        to_memory = Cross(_attention(config, memory_rule))
        layers += _with_shortcut(config, to_memory, Dropout(dropout))
    layers += _with_shortcut(config, *_feed_forward(config))
    return Sequential(*layers)


def _with_shortcut(config: TransformerConfig, *sublayer: nn.Module) -> list[nn.Module]:
    """`x + f(norm(x))` with `pre_norm`, else `norm(x + f(x))`."""
    if config.pre_norm:
        return [Residual(_norm(config), *sublayer)]
    return [Residual(*sublayer), _norm(config)]


def _attention(config: TransformerConfig, rule: Neighborhood) -> Attention:
    return Attention(config.channels, rule, config.heads, bias=config.bias, dropout=config.dropout)


def _feed_forward(config: TransformerConfig) -> list[nn.Module]:
    """The two-layer network of a block."""
    channels, hidden = config.channels, config.feed_forward_channels
    wide = nn.Linear(channels, hidden, bias=config.bias)
    narrow = nn.Linear(hidden, channels, bias=config.bias)
    activation = ACTIVATIONS[config.activation]()
    return [wide, activation, Dropout(config.dropout), narrow, Dropout(config.dropout)]


def _norm(config: TransformerConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.channels, config.eps, bias=config.bias)
