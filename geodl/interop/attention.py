"""Multi-head attention."""

from typing import Any

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.layer import Attention
from geodl.neighborhood import all_pairs, full_or_adjacency

WEIGHTS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


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
        context_channels=module.kdim,
        bias=module.in_proj_bias is not None,
        dropout=module.dropout,
        on=on,
    )
    return _copied(layer, module)


def _check_options(asked: str, module: nn.MultiheadAttention) -> None:
    if module.kdim != module.vdim:
        raise GeodlError(
            asked,
            f"kdim={module.kdim}, vdim={module.vdim}",
            "keys and values are read from one signal: project one of them with a Linear before",
        )
    extras = {"add_bias_kv": module.bias_k is not None, "add_zero_attn": module.add_zero_attn}
    for name, given in extras.items():
        if given:
            found = f"{name}=True, a sender that is not a node"
            raise GeodlError(asked, found, "use a module without it")


@converts(Attention, back="torch", form="all_pairs() or full_or_adjacency()")
def to_attention(layer: Attention, on: Domain | None) -> nn.MultiheadAttention | None:
    """The inverse of :func:`from_attention`, batch first; masks are given to the twin at each
    call. None of a layer that is none, where its domain is named.
    """
    refusal = _refusal(layer)
    if refusal is not None:
        if on is not None:
            return None
        raise refusal
    twin = nn.MultiheadAttention(
        layer.channels_in,
        layer.heads,
        dropout=layer.dropout,
        bias=layer.in_proj_bias is not None,
        batch_first=True,
        kdim=layer.context_channels,
        vdim=layer.context_channels,
    )
    return _copied(twin, layer)


def _copied(to: Any, other: Any) -> Any:
    """A layer or its twin with the parameters of the other, which have the same names in both."""
    out = other.out_proj
    with_parameters(to.out_proj, other, weight=out.weight, bias=out.bias)
    # In one weight where receivers and senders have the same channels, else in three.
    weights = {name: getattr(other, name) for name in WEIGHTS}
    return with_parameters(to, other, **weights, in_proj_bias=other.in_proj_bias)


def _refusal(layer: Attention) -> GeodlError | None:
    """What `nn.MultiheadAttention` does not compute, as an error; None where it is the twin."""
    asked = f"to_torch({layer.label})"
    if layer.rule not in (all_pairs(), full_or_adjacency()):
        return GeodlError(
            asked,
            str(layer.rule),
            "convert layer.over(all_pairs()) and give the missing edges as attn_mask at each call; "
            "of a model, convert interop.over(model, all_pairs()); or name the domain, on=domain",
        )
    found = _beyond_twin(layer)
    if found:
        do = "nn.MultiheadAttention knows the plain dot product only; or name the domain, on=domain"
        return GeodlError(asked, found, do)
    inner = layer.heads * layer.head_dim
    if inner != layer.channels_in:
        return GeodlError(
            asked,
            f"{inner} inner channels for {layer.channels_in}",
            "choose heads * head_dim = channels; or name the domain, on=domain",
        )
    return None


def _beyond_twin(layer: Attention) -> str:
    """What a layer computes that `nn.MultiheadAttention` does not; "" where there is nothing."""
    out = layer.out_proj
    if layer.options.score != "dot":
        return f"the score {layer.options.score!r}"
    if layer.relative_bias is not None:
        return "a relative bias"
    if layer.rotary:
        return "rotary positions"
    if layer.positions is not None:
        return "positions that queries and keys alone read: add them to both at the call"
    if layer.edge_channels is not None:
        return "features of edges"
    if layer.root_proj is not None:
        return "the receiver itself, added to the answer"
    if out is None or layer.join != "concat":
        return "heads that no out_proj joins"
    if len(layer.rows) != 3 or layer.head_dim != layer.value_dim:
        return "keys and values of one projection or of two widths"
    if layer.channels_out != layer.channels_in:
        return f"{layer.channels_out} channels out for {layer.channels_in}"
    return ""
