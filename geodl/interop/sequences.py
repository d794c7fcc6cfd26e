"""Calls of attention, recurrent networks and Transformers: masks, and which axis is the batch."""

from typing import Any

from torch import Tensor, nn

from geodl.interop.attention import from_attention
from geodl.interop.converters import converts
from geodl.interop.mask import over
from geodl.interop.mask_rules import rule_of_mask
from geodl.interop.recurrent import from_recurrent
from geodl.interop.recurrent_states import begins_at_zero, states_of_call
from geodl.interop.transformer import from_stack, from_transformer
from geodl.interop.transformer_block import from_block
from geodl.interop.whole import layout as layouts
from geodl.interop.whole.layout import Atom, Layout
from geodl.interop.whole.values import Call, Value
from geodl.neighborhood import Neighborhood, all_pairs

ENCODERS = (nn.TransformerEncoderLayer, nn.TransformerEncoder)
DECODERS = (nn.TransformerDecoderLayer, nn.TransformerDecoder)
RECURRENT = (nn.RNN, nn.GRU, nn.LSTM)
ABSENT = (None, False)


@converts(nn.MultiheadAttention, traced=True)
def convert_attention(build: Any, call: Call) -> Any:
    """`attention(query, key, value)` of which the weights are not read."""
    query, key, value, padding, _, mask, _, _ = call.given(
        "query",
        "key",
        "value",
        "key_padding_mask",
        "need_weights",
        "attn_mask",
        "average_attn_weights",
        "is_causal",
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
    )
    module: Any = call.module
    if padding is not None or call.used is None or not call.used <= {0} or not _same(key, value):
        return None
    rule = rule_of_mask(build, mask)
    if rule is None:
        return None
    layer = build.once(module, from_attention)
    receiver = sequence(build, query, module.batch_first)
    sender = None
    if not _same(query, key):
        if rule != all_pairs():
            return None
        layer = layer.over(all_pairs())
        sender = sequence(build, key, module.batch_first)
    elif rule != all_pairs():
        layer = layer.over(rule)
    answer = build.apply(call.name, layer, receiver, call.example[0], sender=sender)
    return (answer, None)


@converts(*RECURRENT, traced=True)
def convert_recurrent(build: Any, call: Call) -> Any:
    """A recurrent network; one that begins at zero, and of which no state is read, is the layer
    alone.
    """
    module: Any = call.module
    value, state = call.given("input", "hx", hx=None)
    if not isinstance(value, Value):
        return None
    read = sequence(build, value, module.batch_first)
    if not read.on.domain.ordered:
        read = build.rearrange(read, _rows(value.tensor, module.batch_first))
    if begins_at_zero(build, state):
        state = None
    if state is not None or call.used is None or not call.used <= {0}:
        return states_of_call(build, call, state, read)
    layer = build.once(module, from_recurrent)
    return (build.apply(call.name, layer, read, call.example[0]), None)


@converts(*ENCODERS, traced=True)
def convert_encoder(build: Any, call: Call) -> Any:
    """An encoder, or a layer of one, without a mask or with a causal one."""
    names = ("src", "mask", "src_key_padding_mask", "is_causal")
    if type(call.module) is nn.TransformerEncoderLayer:
        names = ("src", "src_mask", "src_key_padding_mask", "is_causal")
    value, mask, padding, _ = call.given(*names, **dict.fromkeys(names[1:]))
    rule = rule_of_mask(build, mask)
    if padding is not None or rule is None:
        return None
    module: Any = call.module
    layer = _masked(build.once(module, _converter(module)), rule)
    return build.apply(call.name, layer, sequence(build, value, _batch_first(module)), call.example)


@converts(*DECODERS, traced=True)
def convert_decoder(build: Any, call: Call) -> Any:
    """A decoder, or a layer of one, called with its target and the memory."""
    names = ("tgt", "memory", "tgt_mask", "memory_mask")
    names += ("tgt_key_padding_mask", "memory_key_padding_mask", "tgt_is_causal")
    names += ("memory_is_causal",)
    value, memory, mask, *others = call.given(*names, **dict.fromkeys(names[2:]))
    rule = rule_of_mask(build, mask)
    if rule is None or any(one not in ABSENT for one in others):
        return None
    module: Any = call.module
    layer = _masked(build.once(module, _converter(module)), rule)
    first = _batch_first(module)
    receiver, sender = sequence(build, value, first), sequence(build, memory, first)
    return build.apply(call.name, layer, receiver, call.example, sender=sender)


@converts(nn.Transformer, traced=True)
def convert_transformer(build: Any, call: Call) -> Any:
    """`transformer(source, target)` with a causal target, or without masks."""
    names = ("src", "tgt", "src_mask", "tgt_mask")
    source, target, source_mask, mask = call.given(*names, **dict.fromkeys(names[2:]))
    rule = rule_of_mask(build, mask)
    if rule is None or source_mask is not None:
        return None
    module: Any = call.module
    layer = _masked(build.once(module, from_transformer), rule)
    receiver = sequence(build, target, module.batch_first)
    sender = sequence(build, source, module.batch_first)
    return build.apply(call.name, layer, receiver, call.example, sender=sender)


def _masked(layer: Any, rule: Neighborhood) -> Any:
    """A layer whose self-attention keeps to the rule of a mask."""
    if rule == all_pairs():
        return layer
    return over(layer, rule)


def sequence(build: Any, value: Value, batch_first: bool) -> Value:
    """A value whose tensor is `[B, T, C]`, or `[T, B, C]`, of a signal with B rows of T nodes."""
    layout = value.layout
    if layout is not None and value.tensor.dim() == 3:
        batch = 0 if batch_first else 1
        nodes = layout.dims[1 - batch]
        alone = layout.dims[batch] == (layouts.BATCH,)
        if alone and layout.channel_dim() == 2 and all(atom.kind == "node" for atom in nodes):
            return value
    made = _rows(value.tensor, batch_first)
    if layout is None:
        return build.signal(value, made)
    return build.rearrange(value, made)


def _rows(x: Tensor, batch_first: bool) -> Layout:
    channels = (Atom("channel", 0, x.shape[-1]),)
    if batch_first:
        return Layout(((layouts.BATCH,), layouts.nodes(1), channels), "chain")
    return Layout((layouts.nodes(1), (layouts.BATCH,), channels), "chain")


def _same(one: Any, other: Any) -> bool:
    if not isinstance(one, Value) or not isinstance(other, Value):
        return False
    return one.name == other.name and one.layout == other.layout


def _converter(module: nn.Module) -> Any:
    if isinstance(module, nn.TransformerEncoder | nn.TransformerDecoder):
        return from_stack
    return from_block


def _batch_first(module: nn.Module) -> bool:
    attention = next(part for part in module.modules() if isinstance(part, nn.MultiheadAttention))
    return attention.batch_first
