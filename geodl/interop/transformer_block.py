"""Layers of Transformers: a block is a `Sequential` of shortcuts, with norms before or after."""

import copy
from operator import attrgetter
from typing import Any

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.activation import ACTIVATIONS, from_activation, to_activation
from geodl.interop.attention import from_attention, to_attention
from geodl.interop.converters import converts
from geodl.layer import Attention, Cross, Dropout, Residual, Sequential
from geodl.neighborhood import all_pairs

# What torch calls the layers inside of each shortcut, in their order.
SELF, CROSS, FEED = "self_attn", "multihead_attn", "linear"
BRANCHES: dict[type[nn.Module], tuple[str, ...]] = {
    nn.TransformerEncoderLayer: (SELF, FEED),
    nn.TransformerDecoderLayer: (SELF, CROSS, FEED),
}
FORM = (
    "give blocks as g.models.transformer_encoder and transformer_decoder make "
    "them, in a Sequential, with a norm last or without"
)


@converts(*BRANCHES)
def from_block(module: Any, on: Domain | None = None) -> Sequential:
    """`nn.TransformerEncoderLayer` or `nn.TransformerDecoderLayer` as a block.

    With `norm_first` it is `Residual(norm, ...)` for each branch, else `Residual(...), norm`.
    """
    check_convertible(module, on)
    layers: list[nn.Module] = []
    for k, name in enumerate(BRANCHES[type(module)], 1):
        norm = copy.deepcopy(part_of(module, f"norm{k}", nn.LayerNorm))
        branch = [*_from_branch(module, name), _from_dropout(module, f"dropout{k}")]
        if module.norm_first:
            layers.append(Residual(norm, *branch))
        else:
            layers += [Residual(*branch), norm]
    block = Sequential(*layers)
    for part in block.modules():
        if isinstance(part, Sequential | Residual | Cross):
            part.training = module.training
    return block


def _from_branch(module: Any, name: str) -> list[nn.Module]:
    """The layers of a branch but for its last dropout."""
    if name == FEED:
        wide = copy.deepcopy(part_of(module, "linear1", nn.Linear))
        narrow = copy.deepcopy(part_of(module, "linear2", nn.Linear))
        asked = f"from_torch({type(module).__name__})"
        activation = from_activation(asked, module.activation, module.training)
        return [wide, activation, _from_dropout(module, "dropout"), narrow]
    attention = from_attention(part_of(module, name, nn.MultiheadAttention), None)
    if name == SELF:
        return [attention]
    return [Cross(attention.over(all_pairs()))]


def _from_dropout(module: nn.Module, name: str) -> Dropout:
    dropout = part_of(module, name, nn.Dropout)
    return Dropout(dropout.p).train(dropout.training)


def part_of(module: nn.Module, name: str, *kinds: type[nn.Module]) -> Any:
    """A part of a module, of one of these types and of no other."""
    part = attrgetter(name)(module)
    if type(part) not in kinds:
        wanted = " or ".join(f"nn.{kind.__name__}" for kind in kinds)
        raise GeodlError(
            f"from_torch({type(module).__name__})",
            f"{name} of type {type(part).__name__}",
            f"{wanted} has a converter here",
        )
    return part


def check_convertible(module: nn.Module, on: Domain | None) -> None:
    """Refuse a domain, and layers that disagree about which axis is which."""
    asked = f"from_torch({type(module).__name__})"
    if on is not None:
        raise GeodlError(
            f"{asked} with on={on}", "a container, which takes Signals", "convert without on="
        )
    kinds = nn.MultiheadAttention | nn.Transformer
    layouts = {part.batch_first for part in module.modules() if isinstance(part, kinds)}
    if len(layouts) > 1:
        raise GeodlError(
            asked,
            "batch_first=True in some parts only",
            "give all one layout: the others attend over the batch",
        )


def to_block(block: Any) -> Any:
    """The inverse of :func:`from_block`, batch first."""
    norm_first, norms, branches = _read(block)
    names = tuple(map(_name, branches))
    kinds = [kind for kind, wanted in BRANCHES.items() if wanted == names]
    if not kinds or {type(norm) for norm in norms} != {nn.LayerNorm}:
        raise no_twin(block)
    attention = branches[0][0]
    wide, activation, dropout, narrow, _ = branches[-1]
    kind: Any = kinds[0]
    twin = kind(
        attention.channels_in,
        attention.heads,
        wide.out_features,
        norm_first=norm_first,
        batch_first=True,
        activation=to_activation(activation),
    )
    for k, (norm, branch, name) in enumerate(zip(norms, branches, names, strict=True), 1):
        setattr(twin, f"norm{k}", copy.deepcopy(norm))
        setattr(twin, f"dropout{k}", _to_dropout(branch[-1]))
        if name == SELF:
            twin.self_attn = to_attention(branch[0], None)
        elif name == CROSS:
            twin.multihead_attn = to_attention(branch[0].layer, None)
    twin.linear1, twin.linear2 = copy.deepcopy(wide), copy.deepcopy(narrow)
    twin.dropout = _to_dropout(dropout)
    twin.training = block.training
    return twin


def _read(block: Any) -> tuple[bool, list[nn.Module], list[list[Any]]]:
    """Whether norms come first, the norms, and the layers of each shortcut besides them."""
    parts = list(block) if isinstance(block, Sequential) else []
    if any(getattr(part, "shortcut", None) is not None for part in parts):
        raise no_twin(block)
    inner = [list(part.inner) for part in parts if isinstance(part, Residual)]
    if parts and len(inner) == len(parts) and all(inner):
        norms = [layers[0] for layers in inner]
        return True, norms, [layers[1:] for layers in inner]
    alternating = all(isinstance(part, Residual) for part in parts[::2])
    if not alternating or len(parts) != 2 * len(inner):
        raise no_twin(block)
    return False, parts[1::2], inner


def _name(branch: list[Any]) -> str:
    """What torch calls the layers of a shortcut; nothing where it has none like them."""
    same = {nn.Dropout: Dropout}
    kinds = [same.get(type(part), type(part)) for part in branch]
    if kinds == [Attention, Dropout]:
        return SELF
    if kinds == [Cross, Dropout] and isinstance(branch[0].layer, Attention):
        return CROSS
    around = kinds[:1] + kinds[2:]
    if around == [nn.Linear, Dropout, nn.Linear, Dropout] and kinds[1] in ACTIVATIONS:
        return FEED
    return ""


def _to_dropout(dropout: Any) -> nn.Dropout:
    return nn.Dropout(dropout.p).train(dropout.training)


def no_twin(layer: Any) -> GeodlError:
    """The error for layers around attention that are not a block or a stack as torch has them."""
    name = type(layer).__name__
    if isinstance(layer, Sequential):
        name = f"Sequential of {', '.join(type(part).__name__ for part in layer)}"
    return GeodlError(
        f"to_torch({name})", "a form that nn.Transformer and its parts do not have", FORM
    )
