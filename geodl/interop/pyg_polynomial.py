"""Convolutions of PyTorch Geometric with a weight for each of several operators: ChebConv and
RGCNConv; and GCN2Conv, which mixes what it receives with a first signal.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.conv import check_one_group
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import FROM, converts
from geodl.interop.pyg_conv import GCN_RULES, SUMS, check_message_passing, refuse_domain
from geodl.interop.whole.values import Call, Links, Value
from geodl.layer import Conv, Layer, Network, Pointwise, Propagate, Residual
from geodl.models.graph_parts import Mix, Times
from geodl.models.graph_relational import share_bases
from geodl.neighborhood import adjacency, itself, laplacian, polynomial

# PyG divides a Laplacian by the degrees of the senders, the rule by those of the receivers.
LAPLACIANS = {
    "sym": laplacian("sym", both_ways=True),
    "rw": laplacian("rw", both_ways=True).reverse(),
}
# The nodes of GCN2Conv, with one weight of both signals and with a weight of each.
SHARED = {"received", "kept", "weighed", "out"}
APART = SHARED | {"near", "far", "weighed_near", "weighed_far"}


@converts("ChebConv")
def from_cheb(twin: Any, on: Domain | None) -> Conv:
    """`ChebConv(K)` as a `Conv` over `polynomial(laplacian(...), K - 1)`.

    A graph with a link that has no way back is refused: the twin makes a matrix of it that is no
    Laplacian.
    """
    asked = "from_pyg(ChebConv)"
    check_message_passing(asked, twin, *SUMS)
    if twin.normalization is None:
        found = "normalization=None, scaled by the largest degree of each call's graph"
        raise GeodlError(asked, found, "convert with 'sym' or 'rw'")
    rule = polynomial(LAPLACIANS[twin.normalization], len(twin.lins) - 1)
    layer = Conv(twin.in_channels, twin.out_channels, rule, twin.bias is not None, on)
    weight = stacked(asked, [linear.weight.T for linear in twin.lins])
    return with_parameters(layer, twin, weight=weight, bias=twin.bias)


@converts(Conv, back="pyg", form="polynomial(laplacian(...), order)")
def to_cheb(layer: Conv, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_cheb`."""
    order = layer.weight.shape[0] - 1
    names: dict[Any, str] = {polynomial(base, order): name for name, base in LAPLACIANS.items()}
    # On graphs with links in both directions it is the same rule.
    names[polynomial(laplacian("sym"), order)] = "sym"
    names[polynomial(laplacian("rw").reverse(), order)] = "rw"
    if layer.rule not in names:
        return None
    check_one_group(f"to_pyg({layer.label})", layer)
    from torch_geometric.nn import ChebConv

    twin = ChebConv(
        layer.channels_in,
        layer.channels_out,
        order + 1,
        normalization=names[layer.rule],
        bias=layer.bias is not None,
    )
    for linear, weight in zip(twin.lins, layer.weight, strict=True):
        with_parameters(linear, layer, weight=weight.T)
    return with_parameters(twin, layer, bias=layer.bias)


def stacked(asked: str, parts: Sequence[Tensor]) -> Tensor:
    """Parameters of one shape as one that is trained or is not: `[T, ...]`."""
    if len({part.requires_grad for part in parts}) > 1:
        found = "parameters of which some are trained, which become one here"
        raise GeodlError(asked, found, "train all of them or none: part.requires_grad_(...)")
    return torch.stack(list(parts))


@converts("RGCNConv")
def from_rgcn(twin: Any, on: Domain | None) -> Layer:
    """`RGCNConv` as a `Conv` over `adjacency("row", types=R)`, with the receiver itself as the
    shortcut of a `Residual`: a `g.models.rgcn_layer`.

    Bases are a parametrization of the weight, blocks are `groups`. The types of the links are the
    graph's `edge_type`.
    """
    asked = "from_pyg(RGCNConv)"
    check_message_passing(asked, twin, "mean", *SUMS)
    if not isinstance(twin.in_channels, int):
        found = f"in_channels={twin.in_channels}, of two kinds of nodes"
        raise GeodlError(asked, found, "convert one of a single number of channels")
    norm = None
    if twin.aggr == "mean":
        norm = "row"
    if twin.root is not None:
        refuse_domain(asked, on)
    rule = adjacency(norm, types=twin.num_relations, weights=False)
    groups = twin.num_blocks or 1
    layer = Conv(twin.in_channels, twin.out_channels, rule, twin.bias is not None, on, groups)
    with_parameters(layer, twin, bias=twin.bias)
    if twin.num_bases is not None:
        share_bases(layer, twin.num_relations, twin.num_bases)
        held: Any = layer
        with_parameters(held.parametrizations.weight, twin, original=twin.weight)
        with_parameters(held.parametrizations.weight[0], twin, share=twin.comp)
    elif twin.num_blocks is not None:
        # Blocks [R, G, C_in / G, C_out / G] stand side by side along the channels out.
        with_parameters(layer, twin, weight=twin.weight.transpose(1, 2).flatten(2))
    else:
        with_parameters(layer, twin, weight=twin.weight)
    if twin.root is None:
        return layer
    own = Conv(twin.in_channels, twin.out_channels, itself(), bias=False)
    with_parameters(own, twin, weight=twin.root[None])
    return Residual(layer, shortcut=own).train(twin.training)


@converts(Residual, back="pyg", form="adjacency('row', types=R), with itself() as the shortcut")
def to_rgcn(layer: Residual, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_rgcn`, with a root."""
    own: Any = layer.shortcut
    received: Any = layer.inner[0]
    plain = getattr(own, "rule", None) == itself() and len(layer.inner) == 1
    if not plain or own.bias is not None:
        return None
    return _rgcn_of(received, own)


@converts(Conv, back="pyg", form="adjacency('row', types=R)")
def to_rgcn_without_root(layer: Conv, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_rgcn`, without a root."""
    return _rgcn_of(layer, None)


def _rgcn_of(layer: Any, own: Any) -> nn.Module | None:
    """The twin of a convolution over typed links, and of one of each node itself."""
    rule = getattr(layer, "rule", None)
    types = getattr(rule, "types", None)
    reductions = {
        adjacency("row", types=types, weights=False): "mean",
        adjacency(types=types, weights=False): "add",
    }
    if types is None or rule not in reductions:
        return None
    from torch_geometric.nn import RGCNConv

    bases, groups, held = None, None, None
    if parametrize.is_parametrized(layer, "weight"):
        held = layer.parametrizations.weight
        bases = held.original.shape[0]
    elif layer.groups > 1:
        groups = layer.groups
    twin: Any = RGCNConv(
        layer.channels_in,
        layer.channels_out,
        types,
        num_bases=bases,
        num_blocks=groups,
        aggr=reductions[rule],
        root_weight=own is not None,
        bias=layer.bias is not None,
    )
    if held is not None:
        with_parameters(twin, layer, weight=held.original, comp=held[0].share)
    elif groups is not None:
        blocks = layer.weight.unflatten(2, (groups, -1)).transpose(1, 2)
        with_parameters(twin, layer, weight=blocks)
    else:
        with_parameters(twin, layer, weight=layer.weight)
    if own is not None:
        with_parameters(twin, layer, root=own.weight[0])
    return with_parameters(twin, layer, bias=layer.bias)


@converts("GCN2Conv")
def from_gcn2(twin: Any, on: Domain | None) -> Network:
    """`GCN2Conv` as a network of two signals, `layer(signal, first)`: a `g.models.gcnii_layer`."""
    asked = "from_pyg(GCN2Conv)"
    refuse_domain(asked, on)
    check_message_passing(asked, twin, *SUMS)
    rules = {(norm, loops): rule for norm, loops, rule in GCN_RULES}
    # Loops are added where PyG normalises, and nowhere else.
    rule = rules[twin.normalize, twin.add_self_loops and twin.normalize]
    nodes: dict[str, tuple[Any, ...]] = {
        "received": (Propagate(rule), "x"),
        "kept": (Mix(twin.alpha), "received", "first"),
    }
    if twin.weight2 is None:
        nodes["weighed"] = (_weigher(twin, twin.weight1), "kept")
    else:
        nodes["near"] = (Pointwise(Times(1 - twin.alpha)), "received")
        nodes["far"] = (Pointwise(Times(twin.alpha)), "first")
        nodes["weighed_near"] = (_weigher(twin, twin.weight1), "near")
        nodes["weighed_far"] = (_weigher(twin, twin.weight2), "far")
        nodes["weighed"] = ("add", "weighed_near", "weighed_far")
    nodes["out"] = (Mix(twin.beta), "kept", "weighed")
    return Network(("x", "first"), nodes).train(twin.training)


@converts("GCN2Conv", traced=True)
def convert_gcn2(build: Any, call: Call) -> Any:
    """A call `conv(x, x_0, edge_index, edge_weight)` on the links of the graph."""
    module: Any = call.module
    names = ("x", "x_0", "edge_index", "edge_weight")
    value, first, links, weight = call.given(*names, edge_weight=None)
    of_graph = isinstance(links, Links) and links.role == "edge_index"
    if not of_graph or not isinstance(value, Value) or not isinstance(first, Value):
        return None
    # Without weights in its call the twin reads none, the layer those that the graph has.
    unread = weight is None and value.on.domain.links().weight is not None
    if unread or not (weight is None or isinstance(weight, Links)):
        return None
    layer = build.once(module, FROM["GCN2Conv"].convert)
    read = build.read(value, "last")
    return build.apply(call.name, layer, read, call.example, sender=build.read(first, "last"))


def _weigher(twin: Any, weight: Tensor) -> nn.Linear:
    linear = nn.Linear(twin.channels, twin.channels, bias=False)
    return with_parameters(linear, twin, weight=weight.T)


@converts(Network, back="pyg", form="the nodes of GCN2Conv")
def to_gcn2(layer: Network, on: Domain | None) -> nn.Module | None:
    """The inverse of :func:`from_gcn2`."""
    names = set(layer)
    if names not in (SHARED, APART):
        return None
    shared = names == SHARED
    options = {rule: (normalize, loops) for normalize, loops, rule in GCN_RULES}
    received: Any = layer["received"]
    if received.rule not in options:
        return None
    from torch_geometric.nn import GCN2Conv

    normalize, loops = options[received.rule]
    weigher = "weighed_near"
    if shared:
        weigher = "weighed"
    first: Any = layer[weigher]
    kept: Any = layer["kept"]
    out: Any = layer["out"]
    twin: Any = GCN2Conv(
        first.in_features,
        kept.share,
        shared_weights=shared,
        add_self_loops=loops,
        normalize=normalize,
    )
    # PyG computes it of theta and a layer's number, which are not kept.
    twin.beta = out.share
    with_parameters(twin, layer, weight1=first.weight.T)
    if not shared:
        other: Any = layer["weighed_far"]
        with_parameters(twin, layer, weight2=other.weight.T)
    return twin
