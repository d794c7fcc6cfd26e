"""Transformer layers and stacks: a block is a Sequential of shortcuts, a stack a Sequential of
blocks.
"""

import copy
from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.attention import from_attention, to_attention
from geodl.layer import (
    Attention,
    Cross,
    Dropout,
    EncoderDecoder,
    Layer,
    Residual,
    Sequential,
)
from geodl.layer.pointwise import ELEMENTWISE
from geodl.neighborhood import all_pairs

Model = TypeVar("Model", bound=nn.Module)

SELF, CROSS, FEED = "self_attn", "multihead_attn", "linear"
BRANCHES: dict[type[nn.Module], tuple[str, ...]] = {
    nn.TransformerEncoderLayer: (SELF, FEED),
    nn.TransformerDecoderLayer: (SELF, CROSS, FEED),
}
STACKS: dict[type[nn.Module], type[nn.Module]] = {
    nn.TransformerEncoder: nn.TransformerEncoderLayer,
    nn.TransformerDecoder: nn.TransformerDecoderLayer,
}
ACTIVATIONS = ELEMENTWISE - {nn.AlphaDropout, nn.PReLU, nn.RReLU}  # functions of x alone
NORMS = (nn.LayerNorm, nn.RMSNorm)
FUNCTIONS = (
    (F.relu, nn.ReLU),
    (torch.relu, nn.ReLU),
    (F.gelu, nn.GELU),
    (F.silu, nn.SiLU),
    (F.mish, nn.Mish),
    (F.elu, nn.ELU),
    (F.selu, nn.SELU),
    (torch.selu, nn.SELU),
    (F.celu, nn.CELU),
    (F.relu6, nn.ReLU6),
    (F.leaky_relu, nn.LeakyReLU),
    (torch.tanh, nn.Tanh),
    (F.tanh, nn.Tanh),
    (torch.sigmoid, nn.Sigmoid),
    (F.sigmoid, nn.Sigmoid),
    (F.softplus, nn.Softplus),
    (F.softsign, nn.Softsign),
    (F.hardtanh, nn.Hardtanh),
    (F.hardswish, nn.Hardswish),
    (F.hardsigmoid, nn.Hardsigmoid),
    (F.logsigmoid, nn.LogSigmoid),
)
CANON = (
    "blocks as g.models.transformer_encoder and transformer_decoder make "
    "them, in a Sequential, with a norm last or without"
)


def from_layer(module: Any, on: Domain | None = None) -> Sequential:
    """`nn.TransformerEncoderLayer` or `nn.TransformerDecoderLayer`: a shortcut around each part,
    norms first or last.
    """
    _convertible(module, on)
    layers: list[nn.Module] = []
    for k, name in enumerate(BRANCHES[type(module)], 1):
        norm = copy.deepcopy(_part(module, f"norm{k}", nn.LayerNorm))
        branch = [*_branch(module, name), _dropout(module, f"dropout{k}")]
        layers += [Residual(norm, *branch)] if module.norm_first else [Residual(*branch), norm]
    block = Sequential(*layers)
    for part in block.modules():
        if isinstance(part, Sequential | Residual | Cross):
            part.training = module.training
    return block


def from_stack(module: Any, on: Domain | None = None) -> Sequential:
    """`nn.TransformerEncoder` or `nn.TransformerDecoder`: its blocks, and its norm if it has
    one.
    """
    _convertible(module, on)
    kind, count = STACKS[type(module)], len(module.layers)
    if not count:
        raise GeodlError(
            f"from_torch({type(module).__name__})", "num_layers=0", "give at least one layer"
        )
    layers: list[nn.Module] = [from_layer(_part(module, f"layers.{k}", kind)) for k in range(count)]
    layers += [] if module.norm is None else [copy.deepcopy(_part(module, "norm", *NORMS))]
    return _like(Sequential(*layers), module)


def from_transformer(module: Any, on: Domain | None = None) -> EncoderDecoder:
    """`nn.Transformer`, called `layer(target, source)`; torch takes the source first."""
    _convertible(module, on)
    encoder, decoder = (
        _part(module, name, kind) for name, kind in zip(("encoder", "decoder"), STACKS, strict=True)
    )
    return _like(EncoderDecoder(from_stack(encoder), from_stack(decoder)), module)


def _convertible(module: nn.Module, on: Domain | None) -> None:
    """Refuse a domain, and layers that disagree about which axis is which."""
    asked = f"from_torch({type(module).__name__})"
    if on is not None:
        raise GeodlError(
            f"{asked[:-1]}, on={on})", "a container, which takes Signals", "convert without on="
        )
    layouts = {
        part.batch_first
        for part in module.modules()
        if isinstance(part, nn.MultiheadAttention | nn.Transformer)
    }
    if len(layouts) > 1:
        raise GeodlError(
            asked,
            "batch_first=True in some parts only",
            "give all one layout: the others attend over the batch",
        )


def _part(module: nn.Module, name: str, *kinds: type[nn.Module]) -> Any:
    """A part of a module, of one of these types and of no other."""
    part = attrgetter(name)(module)
    if type(part) not in kinds:
        wanted = " or ".join(f"nn.{kind.__name__}" for kind in kinds)
        found = f"{name} of type {type(part).__name__}"
        raise GeodlError(
            f"from_torch({type(module).__name__})", found, f"{wanted} has a converter here"
        )
    return part


def _branch(module: Any, name: str) -> list[nn.Module]:
    if name != FEED:
        attention = from_attention(_part(module, name, nn.MultiheadAttention), None)
        return [attention] if name == SELF else [Cross(attention.over(all_pairs()))]
    wide, narrow = (copy.deepcopy(_part(module, f"linear{k}", nn.Linear)) for k in (1, 2))
    return [wide, _activation(module), _dropout(module, "dropout"), narrow]


def _dropout(module: nn.Module, name: str) -> Dropout:
    dropout = _part(module, name, nn.Dropout)
    return Dropout(dropout.p).train(dropout.training)


def _activation(module: Any) -> nn.Module:
    given = module.activation
    if type(given) in ACTIVATIONS:
        return copy.deepcopy(given)
    kind = next((kind for function, kind in FUNCTIONS if function is given), None)
    if kind is None:
        found = (
            f"activation={getattr(given, '__name__', type(given).__name__)}, "
            "which may be any function"
        )
        names = ", ".join(sorted(known.__name__ for known in ACTIVATIONS))
        raise GeodlError(
            f"from_torch({type(module).__name__})", found, f"use one of {names}, or its function"
        )
    return kind().train(module.training)


def to_transformer(layer: Any, on: Domain | None = None) -> nn.Module:
    """A block, a stack, or an encoder and a decoder, as their twin, batch first."""
    if not isinstance(layer, EncoderDecoder):
        return (
            _to_layer(layer)
            if any(isinstance(part, Residual) for part in layer)
            else _to_stack(layer)
        )
    encoder, decoder = _to_stack(layer.encoder), _to_stack(layer.decoder)
    if [type(encoder), type(decoder)] != list(STACKS):
        raise _formless(layer)
    attention: Any = decoder.layers[0].self_attn
    empty: Any = nn.Identity()  # a stack would draw its parameters anew
    twin: Any = nn.Transformer(
        attention.embed_dim,
        attention.num_heads,
        custom_encoder=empty,
        custom_decoder=empty,
        batch_first=True,
    )
    twin.encoder, twin.decoder = encoder, decoder
    return _like(twin, layer)


def _to_stack(layer: Any) -> Any:
    parts = list(layer) if isinstance(layer, Sequential) else []
    norm = copy.deepcopy(parts.pop()) if parts and type(parts[-1]) in NORMS else None
    layers = [_to_layer(part) for part in parts]
    kinds = {type(one) for one in layers}
    stack = next((stack for stack, kind in STACKS.items() if kinds == {kind}), None)
    if stack is None:
        raise _formless(layer)
    unnested = (
        {"enable_nested_tensor": False} if stack is nn.TransformerEncoder else {}
    )  # it warns where it cannot
    twin: Any = stack(layers[0], len(layers), norm, **unnested)
    twin.layers = _like(nn.ModuleList(layers), layer)
    return _like(twin, layer)


def _to_layer(block: Any) -> Any:
    norm_first, norms, branches = _branches(block)
    names = tuple(map(_name, branches))
    kind: Any = next((kind for kind, wanted in BRANCHES.items() if wanted == names), None)
    if kind is None or {type(norm) for norm in norms} != {nn.LayerNorm}:
        raise _formless(block)
    attention, (wide, activation, dropout, narrow, _) = branches[0][0], branches[-1]
    twin = kind(
        attention.channels_in,
        attention.heads,
        wide.out_features,
        norm_first=norm_first,
        batch_first=True,
        activation=_function(activation),
    )
    for k, (norm, branch, name) in enumerate(zip(norms, branches, names, strict=True), 1):
        setattr(twin, f"norm{k}", copy.deepcopy(norm))
        setattr(twin, f"dropout{k}", _like(nn.Dropout(branch[-1].p), branch[-1]))
        if name != FEED:
            setattr(twin, name, to_attention(branch[0] if name == SELF else branch[0].layer, None))
    twin.linear1, twin.linear2 = copy.deepcopy(wide), copy.deepcopy(narrow)
    twin.dropout = _like(nn.Dropout(dropout.p), dropout)
    return _like(twin, block)


def _branches(block: Any) -> tuple[bool, list[nn.Module], list[list[Any]]]:
    """Whether norms come first, the norms, and the layers of each shortcut besides them."""
    parts = list(block) if isinstance(block, Sequential) else []
    inner = [list(part.inner) for part in parts if isinstance(part, Residual)]
    if parts and len(inner) == len(parts) and all(inner):
        return True, [layers[0] for layers in inner], [layers[1:] for layers in inner]
    if not all(isinstance(part, Residual) for part in parts[::2]) or len(parts) != 2 * len(inner):
        raise _formless(block)
    return False, parts[1::2], inner


def _name(branch: list[Any]) -> str:
    """What torch calls the layers of a shortcut; nothing where it has none like them."""
    kinds = [Dropout if type(part) is nn.Dropout else type(part) for part in branch]
    if kinds == [Attention, Dropout]:
        return SELF
    if kinds == [Cross, Dropout] and isinstance(branch[0].layer, Attention):
        return CROSS
    fed = (
        kinds[:1] + kinds[2:] == [nn.Linear, Dropout, nn.Linear, Dropout]
        and kinds[1] in ACTIVATIONS
    )
    return FEED if fed else ""


def _function(activation: nn.Module) -> Any:
    """The function of a module, where its options are the function's own.

    A module would be lost: a `nn.TransformerDecoderLayer` with one forgets it, and computes ReLU,
    once it is copied.
    """
    function = next(
        (function for function, kind in FUNCTIONS if repr(kind()) == repr(activation)), None
    )
    return copy.deepcopy(activation) if function is None else function


def _like(module: Model, other: nn.Module) -> Model:
    """A module in the mode of another; its parts stay in theirs."""
    module.training = other.training
    return module


def _formless(layer: Any) -> GeodlError:
    return GeodlError(
        f"to_torch({type(layer).__name__})",
        "a form that nn.Transformer and its parts do not have",
        f"give {CANON}",
    )


TRANSFORMERS: dict[type[nn.Module], Callable[[Any, Domain | None], Layer]] = {
    **dict.fromkeys(BRANCHES, from_layer),
    **dict.fromkeys(STACKS, from_stack),
    nn.Transformer: from_transformer,
}
