"""Layers over a group as modules of torch, their filter banks written out.

A signal with |G| sheets over each point becomes an image of `C |G|` planes: channel c on sheet s is
plane `c |G| + s`, the order of escnn's regular fields. Each block of a grouped convolution and each
part of a concatenation then stays one run of planes.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.group import Cosets, Group
from geodl.interop.conv import CONVS, even_padding, padding_to
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.norm import with_axes
from geodl.interop.padding import check_domain, mode_of
from geodl.interop.transposed import TRANSPOSED
from geodl.layer import BatchNorm, Conv, GroupNorm, InstanceNorm, Pool, Propagate
from geodl.neighborhood import fiber, restriction

REDUCED = {"max": "amax", "min": "amin", "mean": "mean", "sum": "sum"}


@converts(Conv, back="torch", form="lift(...), window(..., group=...) and isotropic(...)")
def to_group_conv(layer: Conv, on: Domain | None) -> nn.Module | None:
    """A group convolution as `nn.Conv2d/3d` on planes, its weights copied to every entry of the
    bank. Trained further, the copies of a weight change independently: the symmetry is lost.
    """
    rule: Any = layer.rule
    if getattr(rule, "size", None) is None or rule.group is None:
        return None
    asked = f"to_torch({layer.label})"
    bank = filter_bank(layer, rule)
    sheets_out, sheets_in = bank.shape[:2]
    kind: Any = CONVS[len(rule.size) - 1]
    twin = kind(
        layer.channels_in * sheets_in,
        layer.channels_out * sheets_out,
        rule.size,
        stride=rule.stride,
        padding=padding_to(asked, rule),
        dilation=rule.dilation,
        groups=layer.groups,
        bias=layer.bias is not None,
        padding_mode=mode_of(asked, rule, on),
    )
    # [S, R, K, rows, C_out] to [C_out S, rows R, *kernel].
    weight = bank.permute(4, 0, 3, 1, 2).flatten(2, 3).flatten(0, 1).unflatten(2, rule.size)
    return with_parameters(twin, layer, weight=weight, bias=_spread(layer.bias, sheets_out))


@converts(Conv, back="torch", form="the reverse of a window over a group")
def to_group_transposed(layer: Conv, on: Domain | None) -> nn.Module | None:
    """A transposed group convolution as `nn.ConvTranspose2d/3d` on planes."""
    forward: Any = getattr(layer.rule, "rule", None)
    if getattr(forward, "size", None) is None or forward.group is None:
        return None
    asked = f"to_torch({layer.label})"
    padding = even_padding(forward)
    periodic = forward.boundary == "circular" or (on is not None and any(on.periodic))
    if padding is None or periodic or layer.rule.onto is not None:
        found = "a periodic domain, a named one, or padding that differs between the two sides"
        raise GeodlError(asked, found, "use equal padding, bounded domains, and no onto=")
    check_domain(asked, layer.rule, on)
    bank = filter_bank(layer, forward).unflatten(4, (layer.groups, -1))
    sheets_in, sheets_out = bank.shape[:2]
    kind: Any = TRANSPOSED[len(forward.size) - 1]
    twin = kind(
        layer.channels_in * sheets_in,
        layer.channels_out * sheets_out,
        forward.size,
        stride=forward.stride,
        padding=padding,
        groups=layer.groups,
        bias=layer.bias is not None,
        dilation=forward.dilation,
    )
    # [S, R, K, rows, groups, columns] to [groups rows S, columns R, *kernel].
    weight = bank.permute(4, 3, 0, 5, 1, 2).flatten(3, 4).flatten(0, 2)
    weight = weight.unflatten(2, forward.size)
    return with_parameters(twin, layer, weight=weight, bias=_spread(layer.bias, sheets_out))


def filter_bank(layer: Conv, rule: Any) -> Tensor:
    """The weight at every place of a window, between every two sheets:
    `[S, R, K, C_in / groups, C_out]`, gathered by edge types or summed over a basis.
    """
    edge_type, basis = rule.bank()
    weight = layer.weight
    bank = weight[edge_type.to(weight.device)]
    if basis is not None:
        bank = torch.einsum("srkj,srjio->srkio", basis.to(weight), bank)
    return bank.detach().requires_grad_(weight.requires_grad)


def on_sheets(layer: Conv, sheets: int, axes: int) -> nn.Module:
    """A linear layer on each sheet by itself as a 1x1 convolution on planes."""
    ones = (1,) * axes
    kind: Any = CONVS[axes - 1]
    twin = kind(
        layer.channels_in * sheets,
        layer.channels_out * sheets,
        ones,
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    same = torch.eye(sheets, dtype=layer.weight.dtype, device=layer.weight.device)
    weight = torch.kron(layer.weight[0].T.contiguous(), same).detach()
    weight = weight.view(*weight.shape, *ones).requires_grad_(layer.weight.requires_grad)
    return with_parameters(twin, layer, weight=weight, bias=_spread(layer.bias, sheets))


def norm_on_planes(layer: GroupNorm | InstanceNorm, sheets: int) -> nn.Module:
    """A norm of each example by itself, over a fiber, on planes.

    The planes of a channel, and those of a group of channels, are contiguous: group and instance
    norms are group norms of torch.

    Args:
        layer: the norm.
        sheets: |G|, of the fiber.

    Raises:
        GeodlError: if an instance norm has running statistics.
    """
    groups = layer.channels_in
    if isinstance(layer, GroupNorm):
        groups = layer.num_groups
    elif layer.running_mean is not None:
        asked = f"to_torch({layer.label}) over a fiber"
        found = "running statistics of channels over several planes"
        raise GeodlError(asked, found, "use track_running_stats=False")
    twin = nn.GroupNorm(groups, layer.channels_in * sheets, layer.eps, layer.weight is not None)
    return _with_affine(twin, layer, sheets)


def norm_batch(
    graph: fx.Graph, x: fx.Node, sheets: int, norm: Callable[[fx.Node], fx.Node]
) -> fx.Node:
    """A batch norm over a fiber on planes: the planes of a channel are one row `[B, C, ...]`, so
    that its statistics are taken over all of them.

    Args:
        graph: which the calls are added to.
        x: the planes.
        sheets: |G|, of the fiber.
        norm: adds the call of an `nn.BatchNorm1d`.
    """
    apart = graph.call_method("unflatten", (x, 1, (-1, sheets)))
    rows = graph.call_method("flatten", (apart, 2))
    return graph.call_method("reshape_as", (norm(rows), x))


def _with_affine(twin: Any, layer: Any, sheets: int) -> nn.Module:
    parameters = {name: _spread(getattr(layer, name), sheets) for name in ("weight", "bias")}
    for name in parameters:
        # Those of the norm that it was made from have one number a channel.
        setattr(twin, name, None)
    return with_parameters(twin, layer, **parameters)


def _spread(parameter: Tensor | None, sheets: int) -> Tensor | None:
    """A number for each channel, on each of its sheets."""
    if parameter is None:
        return None
    wide = parameter.detach().repeat_interleave(sheets)
    return wide.requires_grad_(parameter.requires_grad)


@converts(GroupNorm, InstanceNorm, back="torch", form="nodes of a GroupGrid")
def to_group_norm_on_planes(layer: Any, on: Domain | None) -> nn.Module | None:
    """A norm of each example on a domain with a fiber."""
    if on is None or on.fiber is None or on.lattice is None:
        return None
    return norm_on_planes(layer, on.fiber.order)


@converts(BatchNorm, back="torch", form="nodes of a GroupGrid")
def to_batch_norm_on_planes(layer: BatchNorm, on: Domain | None) -> nn.Module | None:
    """A batch norm on a domain with a fiber, as a graph of calls of torch."""
    if on is None or on.fiber is None or on.lattice is None:
        return None
    graph = fx.Graph()
    x = graph.placeholder("x")
    parts = {"norm": with_axes(layer, 1)}
    graph.output(
        norm_batch(graph, x, on.fiber.order, lambda rows: graph.call_module("norm", (rows,)))
    )
    return fx.GraphModule(parts, graph, "BatchNorm").train(layer.training)


@converts(Pool, back="torch", form="fiber(...), on=GroupGrid(...)")
def to_fiber_pool(layer: Pool, on: Domain | None) -> nn.Module | None:
    """A pool over the group at each point, or over cosets, as a graph of calls of torch."""
    rule: Any = layer.rule
    if on is None or on.fiber is None or not pools_sheets(rule) or rule.refuses(on):
        return None
    graph = fx.Graph()
    graph.output(pool_sheets(graph, graph.placeholder("x"), on.fiber, layer))
    return fx.GraphModule({}, graph, "FiberPool").train(layer.training)


@converts(Propagate, back="torch", form="restriction(...), join='concat'")
def to_restriction(layer: Propagate, on: Domain | None) -> nn.Module | None:
    """A restriction to a subgroup as a graph of calls of torch."""
    if not restricts(layer):
        return None
    graph = fx.Graph()
    graph.output(restrict_planes(graph, graph.placeholder("x"), layer))
    return fx.GraphModule({}, graph, "Restriction").train(layer.training)


def pools_sheets(rule: Any) -> bool:
    """Whether a rule pools over the group, or over cosets, at each point."""
    return rule == fiber(getattr(rule, "subgroup", None))


def pool_sheets(graph: fx.Graph, x: fx.Node, group: Group | Cosets, layer: Pool) -> fx.Node:
    """The planes of each channel reduced to one, or to one for each coset."""
    rule: Any = layer.rule
    planes = graph.call_method("unflatten", (x, 1, (-1, group.order)))
    reduced = REDUCED[layer.options.reduction]
    if rule.subgroup in (None, group):
        return graph.call_method(reduced, (planes, 2))
    # The elements of each coset one after another.
    order = group.acting.cosets(rule.subgroup).argsort(stable=True)
    planes = _in_order(graph, planes, order)
    cosets = graph.call_method("unflatten", (planes, 2, (-1, rule.subgroup.order)))
    return graph.call_method("flatten", (graph.call_method(reduced, (cosets, 3)), 1, 2))


def restricts(layer: Propagate) -> bool:
    """Whether a layer is a `Restrict`."""
    rule: Any = layer.rule
    whole = getattr(rule, "whole", None)
    return whole is not None and rule == restriction(whole, rule.group) and layer.keeps_apart


def restrict_planes(graph: fx.Graph, x: fx.Node, layer: Propagate) -> fx.Node:
    """Channel c on element h t becomes channel `t C + c` on element h."""
    rule: Any = layer.rule
    sheets = rule.sheets()
    planes = graph.call_method("unflatten", (x, 1, (-1, sheets.numel())))
    planes = _in_order(graph, planes, sheets.T.flatten())
    apart = graph.call_method("unflatten", (planes, 2, tuple(sheets.T.shape)))
    return graph.call_method("flatten", (graph.call_method("transpose", (apart, 1, 2)), 1, 3))


def _in_order(graph: fx.Graph, planes: fx.Node, order: Tensor) -> fx.Node:
    """The planes `[B, C, |G|, ...]` of each channel in another order."""
    everything = slice(None)
    index = (everything, everything, order.tolist())
    return graph.call_function(operator.getitem, (planes, index))
