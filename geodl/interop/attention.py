"""Multi-head attention."""

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.layer import Attention
from geodl.neighborhood import all_pairs, full_or_adjacency


@converts(nn.MultiheadAttention)
def from_attention(module: nn.MultiheadAttention, on: Domain | None) -> Attention:
    """`nn.MultiheadAttention` as an `Attention` over `full_or_adjacency()`: the same parameters
    under the same names.
    """
    asked = f"from_torch(MultiheadAttention({module.embed_dim}, {module.num_heads}))"
    _check_options(asked, module)
    layer = Attention(
        module.embed_dim,
        full_or_adjacency(),
        module.num_heads,
        bias=module.in_proj_bias is not None,
        dropout=module.dropout,
        on=on,
    )
    out = module.out_proj
    with_parameters(layer.out_proj, module, weight=out.weight, bias=out.bias)
    return with_parameters(
        layer, module, in_proj_weight=module.in_proj_weight, in_proj_bias=module.in_proj_bias
    )


def _check_options(asked: str, module: nn.MultiheadAttention) -> None:
    if not module._qkv_same_embed_dim:
        raise GeodlError(
            asked,
            f"kdim={module.kdim}, vdim={module.vdim}",
            "receivers and senders have one width here: project the senders with a Linear before",
        )
    extras = {"add_bias_kv": module.bias_k is not None, "add_zero_attn": module.add_zero_attn}
    for name, given in extras.items():
        if given:
            found = f"{name}=True, a sender that is not a node"
            raise GeodlError(asked, found, "use a module without it")


@converts(Attention, back="torch", form="all_pairs() or full_or_adjacency()")
def to_attention(layer: Attention, on: Domain | None) -> nn.MultiheadAttention:
    """The inverse of :func:`from_attention`, batch first; masks are given to the twin at each
    call.
    """
    _check_twin(layer)
    twin = nn.MultiheadAttention(
        layer.channels_in,
        layer.heads,
        dropout=layer.dropout,
        bias=layer.in_proj_bias is not None,
        batch_first=True,
    )
    out = layer.out_proj
    with_parameters(twin.out_proj, layer, weight=out.weight, bias=out.bias)
    return with_parameters(
        twin, layer, in_proj_weight=layer.in_proj_weight, in_proj_bias=layer.in_proj_bias
    )


def _check_twin(layer: Attention) -> None:
    """Refuse what `nn.MultiheadAttention` does not compute."""
    asked = f"to_torch({layer.label})"
    if layer.rule not in (all_pairs(), full_or_adjacency()):
        raise GeodlError(
            asked,
            str(layer.rule),
            "convert layer.over(all_pairs()) and give the missing edges as attn_mask at each call; "
            "of a model, convert interop.over(model, all_pairs())",
        )
    found = ""
    if layer.options.score != "dot":
        found = f"the score {layer.options.score!r}"
    if layer.relative_bias is not None:
        found = "a relative bias"
    if layer.rotary:
        found = "rotary positions"
    if found:
        raise GeodlError(asked, found, "nn.MultiheadAttention knows the plain dot product only")
    inner = layer.heads * layer.head_dim
    if inner != layer.channels_in:
        raise GeodlError(
            asked,
            f"{inner} inner channels for {layer.channels_in}",
            "choose heads * head_dim = channels",
        )
