"""Which module of torch.nn is which layer: two tables, and the two functions that read them.

A new pair is a file with both directions in it, and an entry in each table.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.interop.attention import from_attention, to_attention
from geodl.interop.conv import CONVS, from_conv, is_plain, to_conv
from geodl.interop.conversion import conversion
from geodl.interop.linear import from_linear, to_linear
from geodl.interop.pyg import OPTIONS
from geodl.interop.recurrent import from_recurrent, to_recurrent
from geodl.interop.sequential import from_sequential, is_kept, to_sequential
from geodl.interop.transformer import TRANSFORMERS, to_encoder, to_transformer
from geodl.interop.transposed import TRANSPOSED, from_transposed, to_transposed
from geodl.layer import (
    Attention,
    Concat,
    Conv,
    Dropout,
    EncoderDecoder,
    Layer,
    Recurrent,
    Sequential,
)
from geodl.layer.pointwise import instead_of
from geodl.neighborhood import itself


def from_torch(module: nn.Module, *, on: Domain | None = None) -> Layer:
    """A module of torch.nn as a layer of ours: the same numbers from our lowerings, and copies of
    its parameters.

    | torch.nn | layer |
    |---|---|
    | `Linear` | `Conv` over `itself()` |
    | `Conv1d/2d/3d` | `Conv` over `window(...)` |
    | `ConvTranspose1d/2d/3d` | `Conv` over a reversed window |
    | `RNN`, `GRU`, `LSTM` | `Recurrent`; in `Sequential(Concat(...), Dropout, ...)` if several |
    | `MultiheadAttention` | `Attention` over `full_or_adjacency()` |
    | `TransformerEncoderLayer`, `TransformerDecoderLayer` | a block as those of `g.models` |
    | `TransformerEncoder` | a `Sequential` of blocks |
    | `TransformerDecoder` | a `Sequential` of blocks, called `decoder(target, memory)` |
    | `Transformer` | an `EncoderDecoder`, called `layer(target, source)` |
    | `Sequential` | `Sequential` of linear layers or convolutions, and pointwise modules |

    Parameters are copied, with their dtype, device and `requires_grad`; train or eval mode is kept.

    Masks are not converted, because a mask is a missing edge: change the rule afterwards.
    `from_torch(attention).over(past())` is causal attention, `interop.over(from_torch(decoder),
    past())` a decoder with a causal `tgt_mask`. In place of a padding mask give
    `Signal.sequence(x, mask)`, in which padding is left out.

    The layout is the Signal's, `[B, N, C]`, whatever `batch_first` says; a Linear acts on channels.
    A convolution keeps its padding mode: with `padding_mode="circular"` it refuses a bounded grid
    and takes `Signal.image(x, periodic=True)`, with zeros it refuses a periodic one. A recurrent
    network without biases gets zeros that are not trained.

    Options that do not change the result are dropped: `enable_nested_tensor`, `inplace` of a
    Transformer's dropouts. In evaluation torch's fast path of `TransformerEncoderLayer` computes
    the exact GELU even for `approximate="tanh"`; the conversion computes what training computes.

    Args:
        module: of one of these types, not of a subclass.
        on: a domain; the layer then takes and returns tensors `[B, N, C]` on it. A transposed
            convolution with `output_padding` needs it, containers refuse it.

    Raises:
        GeodlError: if the type has no converter; if `on` does not fit.

            Of any module: if it has parametrizations, hooks, complex parameters, or one parameter
            in two places.

            Of a convolution: if it has groups, or `padding_mode` reflect or replicate.

            Of a recurrent network: if it has `proj_size`, or `dropout=1`.

            Of attention: if it has `kdim`, `vdim`, `add_bias_kv` or `add_zero_attn`.

            Of a Transformer: if it has parts of other types, an unknown `activation`, no layers, or
            `batch_first` in some layers only.

            Of a container: if it mixes layouts.

    >>> import torch
    >>> from geodl import Signal
    >>> twin, x = nn.Conv2d(3, 8, 3, padding=1), torch.randn(2, 3, 9, 9)
    >>> layer = from_torch(twin)
    >>> layer
    Conv(3, 8, window(3x3, boundary='zeros'))
    >>> torch.allclose(layer(Signal.image(x)).to_image(), twin(x), atol=1e-5)
    True
    """
    with conversion(f"from_torch({type(module).__name__})", module, on):
        return _from(module, on)


def to_torch(layer: Layer, *, on: Domain | None = None) -> nn.Module:
    """The inverse of :func:`from_torch`: a module of torch.nn with copies of a layer's parameters,
    batch first.

    Args:
        layer: `Conv` over `itself()`, a plain `window` or its reverse; `Recurrent` along a chain,
            and the containers that `from_torch` makes of them; `Attention` over `all_pairs()` or
            `full_or_adjacency()`, blocks and stacks of it as `from_torch` and `g.models` make them;
            `Sequential` of `Conv` and pointwise modules.
        on: the domain of the layer's signals, by default the one it was built on. A periodic one
            makes `padding_mode="circular"`, where the window does not remember the mode of a twin.

    Raises:
        GeodlError: if no module of torch.nn computes the layer; the error says what to do.

    >>> to_torch(from_torch(nn.LSTM(3, 8, num_layers=2, bidirectional=True)))
    LSTM(3, 8, num_layers=2, batch_first=True, bidirectional=True)
    """
    with conversion(f"to_torch({type(layer).__name__})", layer, on):
        return _to(layer, on)


def _from(module: nn.Module, on: Domain | None) -> Layer:
    kind = type(module)
    if kind in FROM_TORCH:
        return FROM_TORCH[kind](module, on)
    do = instead_of(module) or nearest(kind.__name__, [known.__name__ for known in FROM_TORCH])
    if is_kept(module):
        do = "a pointwise module needs no conversion: put it into a g.Sequential as it is"
    for known in FROM_TORCH:
        if isinstance(module, known):
            do = (
                f"a subclass of {known.__name__} may compute something else: "
                "copy its weights into a plain one"
            )
    raise GeodlError(f"from_torch({kind.__name__})", "a type with no converter", do)


def _from_part(module: nn.Module) -> nn.Module:
    """One part of a Sequential: converted where a converter exists, else copied (pointwise)."""
    if type(module) not in FROM_TORCH and is_kept(module):
        return copy.deepcopy(module)
    return _from(module, None)


def _to_part(layer: nn.Module, on: Domain | None) -> nn.Module:
    """One part of an `nn.Sequential`: the twin of a layer, or a copy of a pointwise module."""
    if is_kept(layer):
        return copy.deepcopy(layer)
    return _to(layer, on)


def _to(layer: nn.Module, on: Domain | None) -> nn.Module:
    kind = type(layer)
    if kind in TO_TORCH:
        if on is None:
            on = getattr(layer, "on", None)
        return TO_TORCH[kind](layer, on)
    do = nearest(kind.__name__, [known.__name__ for known in TO_TORCH])
    if is_kept(layer):
        do = "it is a module of torch.nn already"
    raise GeodlError(f"to_torch({kind.__name__})", "a type with no twin", do)


def _to_conv(layer: Conv, on: Domain | None) -> nn.Module:
    """`nn.Linear`, a convolution or a transposed one, by the neighborhood."""
    rule = layer.rule
    if rule == itself():
        return to_linear(layer, on)
    if is_plain(rule):
        return to_conv(layer, on)
    if is_plain(getattr(rule, "rule", None)):
        return to_transposed(layer, on)
    do = "itself(), window(...) and its reverse have twins"
    if rule in [known for _, _, known in OPTIONS]:
        do = "to_pyg knows graph convolutions"
    raise GeodlError(f"to_torch({layer.label})", f"{rule}, which no torch.nn module computes", do)


def _to_sequential(layer: Sequential, on: Domain | None) -> nn.Module:
    """A recurrent network, a Transformer or a plain `nn.Sequential`, by what is inside."""
    parts = list(layer.modules())
    if any(isinstance(part, Recurrent) for part in parts):
        return to_recurrent(layer, on)
    if any(isinstance(part, Attention) for part in parts):
        return to_encoder(layer, on)
    return to_sequential(layer, on, _to_part)


def _to_dropout(layer: Dropout, on: Domain | None) -> nn.Dropout:
    return nn.Dropout(layer.p).train(layer.training)


FROM_TORCH: dict[type[nn.Module], Callable[[Any, Domain | None], Layer]] = {
    nn.Linear: from_linear,
    **dict.fromkeys(CONVS, from_conv),
    **dict.fromkeys(TRANSPOSED, from_transposed),
    **dict.fromkeys((nn.RNN, nn.GRU, nn.LSTM), from_recurrent),
    nn.MultiheadAttention: from_attention,
    **TRANSFORMERS,
    nn.Sequential: partial(from_sequential, convert=_from_part),
}
TO_TORCH: dict[type[nn.Module], Callable[[Any, Domain | None], nn.Module]] = {
    Conv: _to_conv,
    Recurrent: to_recurrent,
    Concat: to_recurrent,
    Attention: to_attention,
    Sequential: _to_sequential,
    EncoderDecoder: to_transformer,
    Dropout: _to_dropout,
}
