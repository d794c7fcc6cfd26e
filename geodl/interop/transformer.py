"""Stacks of Transformer layers, and the encoder and decoder of two of them."""

import copy
from typing import Any

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.converters import converts
from geodl.interop.rows import names_its_domain
from geodl.interop.transformer_block import (
    BRANCHES,
    FORM,
    check_convertible,
    from_block,
    no_twin,
    part_of,
    to_block,
)
from geodl.layer import Attention, EncoderDecoder, Recurrent, Residual, Sequential

STACKS: dict[type[nn.Module], type[nn.Module]] = {
    nn.TransformerEncoder: nn.TransformerEncoderLayer,
    nn.TransformerDecoder: nn.TransformerDecoderLayer,
}

NORMS = (nn.LayerNorm, nn.RMSNorm)


@converts(*STACKS)
def from_stack(module: Any, on: Domain | None = None) -> Sequential:
    """`nn.TransformerEncoder` or `nn.TransformerDecoder`: its blocks, and its norm if it has
    one.
    """
    check_convertible(module, on)
    count = len(module.layers)
    if not count:
        raise GeodlError(
            f"from_torch({type(module).__name__})", "num_layers=0", "give at least one layer"
        )
    kind = STACKS[type(module)]
    layers: list[nn.Module] = [
        from_block(part_of(module, f"layers.{depth}", kind)) for depth in range(count)
    ]
    if module.norm is not None:
        layers.append(copy.deepcopy(part_of(module, "norm", *NORMS)))
    stack = Sequential(*layers)
    stack.training = module.training
    return stack


@converts(nn.Transformer)
def from_transformer(module: Any, on: Domain | None = None) -> EncoderDecoder:
    """`nn.Transformer`, called `layer(target, source)`; torch takes the source first."""
    check_convertible(module, on)
    encoder = from_stack(part_of(module, "encoder", nn.TransformerEncoder))
    decoder = from_stack(part_of(module, "decoder", nn.TransformerDecoder))
    layer = EncoderDecoder(encoder, decoder)
    layer.training = module.training
    return layer


@converts(Sequential, back="torch", form=FORM)
def to_encoder(layer: Sequential, on: Domain | None = None) -> nn.Module | None:
    """A block or a stack as its twin, batch first."""
    attentions = [part for part in layer.modules() if isinstance(part, Attention)]
    if not attentions or any(isinstance(part, Recurrent) for part in layer.modules()):
        return None
    if any(map(names_its_domain, attentions)):
        return None
    if any(isinstance(part, Residual) for part in layer):
        return to_block(layer)
    return _to_stack(layer)


@converts(EncoderDecoder, back="torch", form="two stacks")
def to_transformer(layer: EncoderDecoder, on: Domain | None = None) -> nn.Module:
    """The inverse of :func:`from_transformer`, batch first."""
    for name in ("encoder", "decoder"):
        part = getattr(layer, name)
        if not any(isinstance(inner, Attention) for inner in part.modules()):
            raise GeodlError(
                f"to_torch({type(layer).__name__})",
                f"no attention in its {name}, where nn.Transformer has it",
                "convert its recurrent and linear layers one by one",
            )
    encoder, decoder = _to_stack(layer.encoder), _to_stack(layer.decoder)
    if [type(encoder), type(decoder)] != list(STACKS):
        raise no_twin(layer)
    attention: Any = decoder.layers[0].self_attn
    # A stack that is given is not drawn; an empty one is given, and takes its place below.
    empty: Any = nn.Identity()
    twin: Any = nn.Transformer(
        attention.embed_dim,
        attention.num_heads,
        custom_encoder=empty,
        custom_decoder=empty,
        batch_first=True,
    )
    twin.encoder, twin.decoder = encoder, decoder
    twin.training = layer.training
    return twin


def _to_stack(layer: Any) -> Any:
    parts = list(layer) if isinstance(layer, Sequential) else []
    norm = None
    if parts and type(parts[-1]) in NORMS:
        norm = copy.deepcopy(parts.pop())
    blocks = [to_block(part) for part in parts]
    kinds = {type(block) for block in blocks}
    stacks = [stack for stack, kind in STACKS.items() if kinds == {kind}]
    if not stacks:
        raise no_twin(layer)
    options: dict[str, Any] = {"num_layers": len(blocks), "norm": norm}
    if stacks[0] is nn.TransformerEncoder:
        # By default torch tries nested tensors, and warns where it cannot.
        options["enable_nested_tensor"] = False
    stack: Any = stacks[0]
    twin = stack(blocks[0], **options)
    twin.layers = nn.ModuleList(blocks)
    for part in (twin.layers, twin):
        part.training = layer.training
    return twin


TRANSFORMERS = (*BRANCHES, *STACKS, nn.Transformer)
