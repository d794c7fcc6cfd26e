"""PyTorch Geometric's attention on graphs: GATConv, GATv2Conv and TransformerConv.

PyG calls the senders' side "src", "l" or the first of two, the receivers' side "dst", "r" or the
second one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.pyg_conv import SUMS, check_message_passing
from geodl.layer import Attention
from geodl.neighborhood import Neighborhood, adjacency

SLOPE = 0.2  # of leaky_relu in both papers, and in our scores


@converts("GATConv")
def from_gat(module: Any, on: Domain | None) -> Attention:
    """`GATConv` as an `Attention` with the score "gat"; for a pair of channels with projections of
    receivers and senders apart.
    """
    _check_options(module)
    layer = _attention(module, "gat", on, root=module.residual, bias=_out_bias(module.bias))
    if module.lin is not None:
        weights = {"in_proj_weight": module.lin.weight}
    else:
        weights = _weights(layer, module.lin_dst.weight, module.lin_src.weight)
    vectors = [module.att_dst, module.att_src]
    if module.edge_dim is not None:
        vectors.append(module.att_edge)
    with_parameters(layer, module, **weights, score_vectors=_stacked(vectors))
    _with_edges_and_root(layer, module, module.res, module.bias)
    return layer


def to_gat(layer: Attention) -> nn.Module:
    """The inverse of :func:`from_gat`."""
    from torch_geometric.nn import GATConv

    apart = len(layer.rows) == 2
    options = _twin_options(layer, apart)
    _refuse(layer, layer.in_proj_bias is not None, "biases of its projections")
    _refuse(layer, layer.root_gate is not None, "a gate of the receiver")
    bias = _bias_of_answer(layer)
    twin: Any = GATConv(
        **options, **_loops(layer), residual=layer.root_proj is not None, bias=bias is not None
    )
    if apart:
        (of_receivers, _), (of_senders, _) = layer._projections()
        with_parameters(twin.lin_dst, layer, weight=of_receivers)
        with_parameters(twin.lin_src, layer, weight=of_senders)
    else:
        with_parameters(twin.lin, layer, weight=layer.in_proj_weight)
    vectors = _vectors(layer)
    names = ("att_dst", "att_src", "att_edge")[: len(vectors)]
    given = {name: vector[None] for name, vector in zip(names, vectors, strict=True)}
    with_parameters(twin, layer, **given, bias=bias)
    return _twin_with_edges_and_root(twin, layer, twin.res)


@converts("GATv2Conv")
def from_gatv2(module: Any, on: Domain | None) -> Attention:
    """`GATv2Conv` as an `Attention` with the score "gatv2"."""
    _check_options(module)
    count = 1 if module.share_weights else 2
    layer = _attention(
        module,
        "gatv2",
        on,
        root=module.residual,
        bias=module.bias is not None,
        projections=count,
    )
    ends = (module.lin_r, module.lin_l)[-count:]
    weights = _weights(layer, *(end.weight for end in ends))
    bias = None
    if module.bias is not None:
        bias = _stacked([end.bias for end in ends])
    with_parameters(layer, module, **weights, in_proj_bias=bias, score_vectors=module.att)
    _with_edges_and_root(layer, module, module.res, module.bias)
    return layer


def to_gatv2(layer: Attention) -> nn.Module:
    """The inverse of :func:`from_gatv2`."""
    from torch_geometric.nn import GATv2Conv

    shared = len(layer.rows) == 1
    _refuse(layer, layer.root_gate is not None, "a gate of the receiver")
    bias = _bias_of_answer(layer)
    both = (layer.in_proj_bias is None) == (bias is None)
    _refuse(layer, not both, "biases of the projections or of the answer alone")
    twin: Any = GATv2Conv(
        **_twin_options(layer, layer.context_channels != layer.channels_in),
        **_loops(layer),
        share_weights=shared,
        residual=layer.root_proj is not None,
        bias=bias is not None,
    )
    ends = (twin.lin_r, twin.lin_l)[-len(layer.rows) :]
    for end, (weight, own) in zip(ends, layer._projections(), strict=True):
        with_parameters(end, layer, weight=weight, bias=own)
    with_parameters(twin, layer, att=_vectors(layer), bias=bias)
    return _twin_with_edges_and_root(twin, layer, twin.res)


@converts("TransformerConv")
def from_transformer_conv(module: Any, on: Domain | None) -> Attention:
    """`TransformerConv` as an `Attention` of dot products that adds the receiver itself."""
    _check_options(module)
    biased = module.lin_key.bias is not None
    root: bool | str = module.root_weight
    if module.beta:
        root = "gated"
    bias: bool | str = biased
    if biased and not root:
        bias = "in"
    layer = _attention(module, "dot", on, root=root, bias=bias)
    ends = (module.lin_query, module.lin_key, module.lin_value)
    own = None
    if biased:
        own = _stacked([end.bias for end in ends])
    weights = _weights(layer, *(end.weight for end in ends))
    with_parameters(layer, module, **weights, in_proj_bias=own)
    if root:
        skip = module.lin_skip
        with_parameters(layer.root_proj, module, weight=skip.weight, bias=skip.bias)
    if module.beta:
        with_parameters(layer.root_gate, module, weight=module.lin_beta.weight)
    return _with_edges(layer, module)


def to_transformer_conv(layer: Attention) -> nn.Module:
    """The inverse of :func:`from_transformer_conv`."""
    from torch_geometric.nn import TransformerConv

    root, biased = layer.root_proj, layer.in_proj_bias is not None
    _refuse(layer, len(layer.rows) != 3, "keys that are values")
    _refuse(layer, _loops(layer)["add_self_loops"], f"self-loops, as {layer.rule} adds them")
    _refuse(layer, layer.out_bias is not None, "a bias without the receiver itself")
    if root is not None:
        both = (root.bias is not None) == biased
        _refuse(layer, not both, "biases of the projections or of the answer alone")
    twin: Any = TransformerConv(
        **_twin_options(layer, layer.context_channels != layer.channels_in),
        bias=biased,
        root_weight=root is not None,
        beta=layer.root_gate is not None,
    )
    ends = (twin.lin_query, twin.lin_key, twin.lin_value)
    for end, (weight, own) in zip(ends, layer._projections(), strict=True):
        with_parameters(end, layer, weight=weight, bias=own)
    if root is not None:
        with_parameters(twin.lin_skip, layer, weight=root.weight, bias=root.bias)
    else:
        # PyG makes it all the same and leaves it unread.
        _zeroed(twin.lin_skip.to(layer._projections()[0][0]))
    if layer.root_gate is not None:
        with_parameters(twin.lin_beta, layer, weight=layer.root_gate.weight)
    return _twin_with_edges_and_root(twin, layer, None)


def _attention(
    module: Any, score: str, on: Domain | None, *, root: Any, bias: Any, projections: Any = None
) -> Attention:
    """The layer of a module's options, its parameters not yet set."""
    senders = receivers = module.in_channels
    context = None
    if isinstance(module.in_channels, tuple):
        senders, receivers = module.in_channels
        context = senders
    out, join = module.out_channels, "mean"
    if module.concat:
        out, join = module.heads * out, "concat"
    return Attention(
        receivers,
        _rule(module),
        module.heads,
        score,
        channels_out=out,
        context_channels=context,
        edge_channels=module.edge_dim,
        projections=projections,
        out_proj=False,
        join=join,
        root=root,
        bias=bias,
        dropout=module.dropout,
        on=on,
    )


def _rule(module: Any) -> Neighborhood:
    """Links alone: PyG's attention reads no weights. Only features of edges tell loops apart."""
    if not getattr(module, "add_self_loops", False):
        return adjacency(weights=False)
    if module.edge_dim is None:
        return adjacency(self_loops=True, weights=False)
    return adjacency(self_loops="anew", fill=module.fill_value, weights=False)


def _check_options(module: Any) -> None:
    """Refuse what an `Attention` does not compute."""
    asked = f"from_pyg({type(module).__name__})"
    slope = getattr(module, "negative_slope", SLOPE)
    if slope != SLOPE:
        raise GeodlError(asked, f"negative_slope={slope}", f"our scores have {SLOPE}")
    fill, loops = getattr(module, "fill_value", None), getattr(module, "add_self_loops", False)
    known = isinstance(fill, int | float) or (isinstance(fill, str) and fill == "mean")
    if module.edge_dim is not None and loops and not known:
        found = f"fill_value={fill!r}"
        raise GeodlError(asked, found, "give a number or 'mean', or add the loops before")
    check_message_passing(asked, module, *SUMS)


def _weights(layer: Attention, *weights: Tensor) -> dict[str, Tensor]:
    """Weights of the projections by the names that they have in a layer, queries first."""
    if layer.in_proj_weight is not None:
        return {"in_proj_weight": _stacked(weights)}
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    if len(weights) == 2:
        names = ("q_proj_weight", "v_proj_weight")
    return dict(zip(names, weights, strict=True))


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """Parameters one below the other, as one that is trained or is not."""
    if len({part.requires_grad for part in parts}) > 1:
        raise GeodlError(
            "from_pyg(...)",
            "parameters of which some are trained, which become one here",
            "train all parts of a projection or none: part.requires_grad_(...)",
        )
    return torch.cat(list(parts))


def _out_bias(bias: Tensor | None) -> bool | str:
    """What `bias=` of a layer is where the answer alone may have one."""
    if bias is None:
        return False
    return "out"


def _with_edges(layer: Attention, module: Any) -> Attention:
    """The layer with a module's weight of the edges."""
    if module.edge_dim is None:
        return layer
    return with_parameters(layer, module, edge_proj_weight=module.lin_edge.weight)


def _with_edges_and_root(layer: Attention, module: Any, root: Any, bias: Tensor | None) -> None:
    """Set a layer's weight of the edges, its receivers' own weight, and the bias of its answer."""
    _with_edges(layer, module)
    if root is None:
        with_parameters(layer, module, out_bias=bias)
        return
    with_parameters(layer.root_proj, module, weight=root.weight, bias=bias)


def _twin_with_edges_and_root(twin: Any, layer: Attention, root: Any) -> Any:
    if layer.edge_proj_weight is not None:
        with_parameters(twin.lin_edge, layer, weight=layer.edge_proj_weight)
    if root is not None:
        with_parameters(root, layer, weight=layer.root_proj.weight)
    for part in twin.modules():
        part.training = layer.training
    return twin


def _bias_of_answer(layer: Attention) -> Tensor | None:
    if layer.root_proj is not None:
        return layer.root_proj.bias
    return layer.out_bias


def _vectors(layer: Attention) -> Tensor:
    assert layer.score_vectors is not None
    return layer.score_vectors


def _zeroed(part: nn.Module) -> None:
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.zero_()


def _twin_options(layer: Attention, pair: bool) -> dict[str, Any]:
    """The options that all three have in common."""
    channels: Any = layer.channels_in
    if pair:
        channels = (layer.context_channels, layer.channels_in)
    return {
        "in_channels": channels,
        "out_channels": layer.value_dim,
        "heads": layer.heads,
        "concat": layer.join == "concat",
        "dropout": layer.dropout,
        "edge_dim": layer.edge_channels,
    }


def _loops(layer: Attention) -> dict[str, Any]:
    """The options of the added self-loops that say what a layer's rule says."""
    rule, fill = layer.rule, getattr(layer.rule, "fill", 0.0)
    if rule in (adjacency(), adjacency(weights=False)):
        return {"add_self_loops": False}
    known = [adjacency(self_loops="anew", fill=fill, weights=flag) for flag in (True, False)]
    if layer.edge_channels is None:
        # Without features a loop is a loop, whoever gave it.
        loops = {"self_loops": True, "fill": fill}
        known += [adjacency(**loops, weights=flag) for flag in (True, False)]
    if rule in known:
        return {"add_self_loops": True, "fill_value": fill}
    raise GeodlError(
        f"to_pyg({layer.label})",
        f"{rule}, which PyG's attention does not compute",
        'it computes adjacency(), with self_loops=True or, of features of edges, "anew"',
    )


def _refuse(layer: Attention, wrong: bool, found: str) -> None:
    if wrong:
        do = "no attention of PyG computes it: build the layer without"
        raise GeodlError(f"to_pyg({layer.label})", found, do)


@converts(Attention, back="pyg", form="adjacency(...)")
def to_attention_conv(layer: Attention, on: Domain | None) -> nn.Module:
    """The twin of an attention layer in PyG, by its score.

    Raises:
        GeodlError: if it has an option that no twin has.
    """
    _refuse(layer, layer.out_proj is not None, "a projection of the answer, out_proj")
    _refuse(layer, layer.relative_bias is not None, "a relative bias")
    _refuse(layer, layer.rotary or layer.positions is not None, "positions")
    _refuse(layer, layer.head_dim != layer.value_dim, "keys and values of two widths")
    score = layer.options.score
    _refuse(layer, score not in TO_PYG, f"the score {score!r}")
    return TO_PYG[score](layer)


TO_PYG: dict[str, Callable[[Attention], nn.Module]] = {
    "gat": to_gat,
    "gatv2": to_gatv2,
    "dot": to_transformer_conv,
}
