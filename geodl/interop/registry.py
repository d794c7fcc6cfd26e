"""Which module of torch.nn is which layer. A new pair is an entry in each of the two tables."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.interop.attention import from_attention, to_attention
from geodl.interop.base import conversion
from geodl.interop.conv import CONVS, TRANSPOSED, from_conv, from_linear, from_transposed, to_conv
from geodl.interop.recurrent import from_recurrent, to_recurrent
from geodl.interop.transformer import TRANSFORMERS, to_transformer
from geodl.layer import (
    Attention,
    Concat,
    Conv,
    Dropout,
    EncoderDecoder,
    Layer,
    MessagePassing,
    Recurrent,
    Sequential,
)
from geodl.layer.pointwise import ELEMENTWISE


def from_torch(module: nn.Module, *, on: Domain | None = None) -> Layer:
    """A module of torch.nn as a layer of ours: the same numbers from our lowerings and copies of
    its parameters.

    `nn.Linear` becomes `Conv` over `itself()`; `nn.Conv1d/2d/3d` over `window(...)`;
    `nn.ConvTranspose1d/2d/3d` over a reversed window; `nn.RNN`, `nn.GRU`, `nn.LSTM` `Recurrent`, in
    `Sequential(Concat(...), Dropout, ...)` for more layers and directions; `nn.MultiheadAttention`
    `Attention` over `full_or_adjacency()`; `nn.Sequential` of the first three and pointwise modules
    `Sequential`. The twin is not kept inside; dtype, device, mode and `requires_grad` are.

    `nn.TransformerEncoderLayer` and `DecoderLayer` become a block as those of
    `g.models.transformer_encoder` and `transformer_decoder`, `nn.TransformerEncoder` and `Decoder`
    a `Sequential` of blocks, called `decoder(target, memory)`; `nn.Transformer` becomes both,
    called `layer(target, source)`.

    A mask is a missing edge: a conversion hears what torch hears without masks, and the
    neighborhood may be exchanged: `from_torch(attention).over(past())`;
    `interop.over(from_torch(decoder), past())` is causal, as with `tgt_mask`. What torch pads,
    `Signal.sequence(x, mask)` leaves out: rows of different lengths live on a Batch of chains.

    The layout is the Signal's, `[B, N, C]`, whatever `batch_first` says; a Linear acts on channels.
    A window with `padding_mode="circular"` wraps on a periodic domain (`Grid(..., periodic=True)`),
    and only there. A recurrent network without biases gets zeros that are not trained.
    `enable_nested_tensor`, which changes no number, is not kept.

    Args:
        module: of one of these types, not of a subclass.
        on: a domain; the layer then takes and returns tensors `[B, N, C]` on it. A transposed
            convolution with `output_padding` needs it, containers refuse it.

    Raises:
        GeodlError: another type; groups, `padding_mode` reflect or replicate, `proj_size`, `kdim`,
            `vdim`, `add_bias_kv`, `add_zero_attn`, `dropout=1`; a Transformer with parts of other
            types, another `activation` than a known one, no layers, or `batch_first` in some layers
            only; parametrizations, hooks, a parameter in two places; a container that mixes
            layouts.

    >>> import torch
    >>> from geodl import Signal
    >>> twin, x = nn.Conv2d(3, 8, 3, padding=1), torch.randn(2, 3, 9, 9)
    >>> layer = from_torch(twin)
    >>> layer
    Conv(3, 8, window(3x3))
    >>> torch.allclose(layer(Signal.image(x)).to_image(), twin(x), atol=1e-5)
    True
    """
    with conversion(module):
        return _from(module, on)


def to_torch(layer: Layer, *, on: Domain | None = None) -> nn.Module:
    """The inverse of :func:`from_torch`: a module of torch.nn with copies of a layer's parameters,
    batch first.

    Args:
        layer: `Conv` over `itself()`, a plain `window` or its reverse; `Recurrent` along a chain,
            and the containers that `from_torch` makes of them; `Attention` over `all_pairs()` or
            `full_or_adjacency()`, blocks and stacks of it as `from_torch` and `g.models` make them;
            `Sequential` of `Conv` and pointwise modules.
        on: the domain of the layer's signals, by default the one it was built on; a periodic one
            makes `padding_mode="circular"`.

    Raises:
        GeodlError: a layer that no module of torch.nn computes, with what to do.

    >>> to_torch(from_torch(nn.LSTM(3, 8, num_layers=2, bidirectional=True)))
    LSTM(3, 8, num_layers=2, batch_first=True, bidirectional=True)
    """
    with conversion(layer):
        return _to(layer, on)


def _from(module: nn.Module, on: Domain | None) -> Layer:
    convert = FROM_TORCH.get(type(module))
    if convert is None:
        name = type(module).__name__
        kin = next((known.__name__ for known in FROM_TORCH if isinstance(module, known)), None)
        advice = (
            f"a subclass of {kin} may compute something else: copy its weights into a plain one"
        )
        known = [kind.__name__ for kind in FROM_TORCH]
        raise GeodlError(
            f"from_torch({name})",
            "a type with no converter",
            advice if kin else nearest(name, known),
        )
    return convert(module, on)


def _to(layer: nn.Module, on: Domain | None) -> nn.Module:
    convert = TO_TORCH.get(type(layer))
    if convert is None:
        name = type(layer).__name__
        raise GeodlError(
            f"to_torch({name})",
            "a type with no twin",
            nearest(name, [kind.__name__ for kind in TO_TORCH]),
        )
    return convert(layer, getattr(layer, "on", None) if on is None else on)


def _from_sequential(module: nn.Sequential, on: Domain | None) -> Sequential:
    if on is not None:
        raise GeodlError(
            f"from_torch(Sequential, on={on})",
            "a container, which takes Signals",
            "convert without on=",
        )
    _one_layout("from_torch(Sequential)", module)
    layer = Sequential(*(_pointwise(part) or _from(part, None) for part in module))
    layer.training = module.training
    return layer


def _to_sequential(layer: Sequential, on: Domain | None) -> nn.Module:
    if any(isinstance(part, Recurrent) for part in layer.modules()):
        return to_recurrent(layer, on)
    if any(isinstance(part, Attention) for part in layer.modules()):
        return to_transformer(layer, on)
    parts = []
    for part in layer:
        parts.append(_pointwise(part) or _to(part, on))
        on = part.rule.target(on) if on is not None and isinstance(part, MessagePassing) else on
    twin = nn.Sequential(*parts)
    _one_layout(f"to_torch({type(layer).__name__})", twin)
    twin.training = layer.training
    return twin


def _pointwise(module: nn.Module) -> nn.Module | None:
    return copy.deepcopy(module) if type(module) in ELEMENTWISE or _norm(module) else None


def _norm(module: nn.Module) -> bool:
    return type(module) is nn.LayerNorm and len(module.normalized_shape) == 1


def _one_layout(asked: str, module: nn.Sequential) -> None:
    """torch's convolutions have channels on axis 1, its linear layers on the last: a chain of both
    mixes two meanings.
    """
    lost = [
        m
        for m in module.modules()
        if isinstance(m, (nn.RNNBase, nn.MultiheadAttention, *TRANSFORMERS))
    ]
    if lost:
        found = f"{type(lost[0]).__name__}, which may take or return more than one tensor"
        raise GeodlError(asked, found, "convert it alone, and put the layers into a g.Sequential")
    planes = _names(module, (*CONVS, *TRANSPOSED))
    if planes and (last := _names(module, (nn.Linear, nn.LayerNorm))):
        found = f"{planes[0]}, with channels on axis 1, and {last[0]}, on the last"
        raise GeodlError(
            asked,
            found,
            "convert the parts one by one, and put them into a g.Sequential as they are meant",
        )


def _names(module: nn.Module, kinds: Iterable[type]) -> list[str]:
    return [type(m).__name__ for m in module.modules() if isinstance(m, tuple(kinds))]


def _to_dropout(layer: Dropout, on: Domain | None) -> nn.Dropout:
    return nn.Dropout(layer.p).train(layer.training)


FROM_TORCH: dict[type[nn.Module], Callable[[Any, Domain | None], Layer]] = {
    nn.Linear: from_linear,
    **dict.fromkeys(CONVS, from_conv),
    **dict.fromkeys(TRANSPOSED, from_transposed),
    **dict.fromkeys((nn.RNN, nn.GRU, nn.LSTM), from_recurrent),
    nn.MultiheadAttention: from_attention,
    **TRANSFORMERS,
    nn.Sequential: _from_sequential,
}
TO_TORCH: dict[type[nn.Module], Callable[[Any, Domain | None], nn.Module]] = {
    Conv: to_conv,
    Recurrent: to_recurrent,
    Concat: to_recurrent,
    Attention: to_attention,
    Sequential: _to_sequential,
    EncoderDecoder: to_transformer,
    Dropout: _to_dropout,
}
