"""Multi-head attention."""

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.base import with_parameters
from geodl.layer import Attention
from geodl.neighborhood import all_pairs, full_or_adjacency


def from_attention(module: nn.MultiheadAttention, on: Domain | None) -> Attention:
    """The same parameters under the same names, over `full_or_adjacency()`."""
    asked = f"from_torch(MultiheadAttention({module.embed_dim}, {module.num_heads}))"
    if not module._qkv_same_embed_dim:
        found = f"kdim={module.kdim}, vdim={module.vdim}"
        raise GeodlError(
            asked,
            found,
            "receivers and senders have one width here: project the senders with a Linear before",
        )
    if module.bias_k is not None or module.add_zero_attn:
        found = "add_bias_kv=True" if module.bias_k is not None else "add_zero_attn=True"
        raise GeodlError(asked, f"{found}, a sender that is no node", "use a module without it")
    biased = module.in_proj_bias is not None
    layer = Attention(
        module.embed_dim,
        full_or_adjacency(),
        module.num_heads,
        bias=biased,
        dropout=module.dropout,
        on=on,
    )
    with_parameters(
        layer.out_proj, module, weight=module.out_proj.weight, bias=module.out_proj.bias
    )
    return with_parameters(
        layer, module, in_proj_weight=module.in_proj_weight, in_proj_bias=module.in_proj_bias
    )


def to_attention(layer: Attention, on: Domain | None) -> nn.MultiheadAttention:
    """`nn.MultiheadAttention`, batch first; masks are given to it at each call."""
    asked, inner = f"to_torch({layer.label})", layer.heads * layer.head_dim
    if layer.rule not in (all_pairs(), full_or_adjacency()):
        advice = (
            "convert layer.over(all_pairs()) and give the missing edges as attn_mask at each call"
        )
        advice += "; of a model, convert interop.over(model, all_pairs())"
        raise GeodlError(asked, str(layer.rule), advice)
    if layer.relative_bias is not None or layer.rotary or layer.options.score != "dot":
        found = (
            "a relative bias"
            if layer.relative_bias is not None
            else f"the score {layer.options.score!r}"
        )
        found = "rotary positions" if layer.rotary else found
        raise GeodlError(asked, found, "nn.MultiheadAttention knows the plain dot product only")
    if inner != layer.channels_in:
        raise GeodlError(
            asked,
            f"{inner} inner channels for {layer.channels_in}",
            "choose heads * head_dim = channels",
        )
    biased = layer.in_proj_bias is not None
    twin = nn.MultiheadAttention(
        inner, layer.heads, dropout=layer.dropout, bias=biased, batch_first=True
    )
    with_parameters(twin.out_proj, layer, weight=layer.out_proj.weight, bias=layer.out_proj.bias)
    return with_parameters(
        twin, layer, in_proj_weight=layer.in_proj_weight, in_proj_bias=layer.in_proj_bias
    )
