"""Whole networks on a lattice, with or without a group, as a graph of torch's calls on images."""

import copy
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from geodl.domain import Domain, Grid
from geodl.errors import GeodlError
from geodl.group import Cosets, Group
from geodl.interop.converters import converts, to_module
from geodl.interop.group_conv import (
    REDUCED,
    norm_batch,
    norm_on_planes,
    on_sheets,
    pool_sheets,
    pools_sheets,
    restrict_planes,
    restricts,
)
from geodl.interop.norm import with_axes
from geodl.interop.rows import names_its_domain, planes_of, reads_rows, rows_of
from geodl.layer import (
    Attention,
    BatchNorm,
    Concat,
    Conv,
    Dropout,
    Expected,
    GroupNorm,
    InstanceNorm,
    LocalResponseNorm,
    MessagePassing,
    Network,
    Pool,
    Propagate,
    Recurrent,
    Residual,
    Sequential,
)
from geodl.layer.pointwise import ELEMENTWISE, is_pointwise
from geodl.neighborhood import itself, whole

NORMS = (BatchNorm, GroupNorm, InstanceNorm)
# Of two tensors; of several one after the other. Channels one after another need their axis.
JOINED: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "max": torch.maximum,
}


class Image(NamedTuple):
    """A value of the graph: `[B, C |G|, *axes]`, or `[B, C]` behind a readout.

    Attributes:
        node: of the graph.
        group: whose elements, or cosets, stand over each point, or None.
        ended: whether the value is behind a readout, without a lattice.
        domain: of the signal it stands for, where the caller named one.
    """

    node: fx.Node
    group: Group | Cosets | None = None
    ended: bool = False
    domain: Domain | None = None


def goes_by_planes(model: nn.Module) -> bool:
    """Whether a model is a network on a lattice with a group, a readout, a concatenation, or images
    of one size, or on a domain that its layers are built for; others are rows, or graphs, of twins.
    """
    parts = list(model.modules())
    imported = getattr(getattr(model, "door", None), "origin", None) is not None
    if imported or any(isinstance(part, Recurrent) for part in parts):
        return False
    if any(names_its_domain(part) for part in parts):
        return True
    rules = [part.rule for part in parts if isinstance(part, MessagePassing)]
    if _count_axes(rules) == 0 or any(isinstance(part, Attention) for part in parts):
        return False
    known = any(isinstance(part, Concat | Expected) for part in parts)
    return known or any(rule.group is not None or rule == whole() for rule in rules)


def _count_axes(rules: list[Any]) -> int:
    """The axes of the windows among rules; 0 without any."""
    for rule in rules:
        for one in (rule, getattr(rule, "rule", None)):
            size = getattr(one, "size", None)
            if size is not None:
                return len(size)
    return 0


def _count_axes_of(domain: Domain | None) -> int:
    """The axes of a domain's lattice; one, that of its nodes, where it has none."""
    if domain is None or domain.lattice is None:
        return 1
    return len(domain.lattice)


@converts(
    Sequential, Residual, Concat, Network, back="torch", form="layers on a lattice that have twins"
)
def to_planes(model: Any, on: Domain | None) -> nn.Module | None:
    """A network as a `torch.fx.GraphModule` of torch's modules and functions alone, with the same
    names of parts: images `[B, C, *axes]` in, images out, or `[B, C]` behind a readout, and where a
    model of images of one size leaves one node; without windows rows `[B, N, C]` in and out. Filter
    banks over a group are written out; planes stand as :mod:`geodl.interop.group_conv` says.

    Args:
        model: of convolutions, attention, norms, pools, dropout, pointwise modules and joins.
        on: the domain of its input, followed from layer to layer; needed where it wraps, and by
            layers that are no windows.
    """
    if not goes_by_planes(model):
        return None
    layers = [part for part in model.modules() if isinstance(part, MessagePassing)]
    if on is None and layers:
        on = layers[0].on
    axes = _count_axes([layer.rule for layer in layers if not reads_rows(layer)])
    drawing = Drawing(f"to_torch({type(model).__name__})", axes or _count_axes_of(on))
    group = None if on is None else on.fiber
    x = drawing.graph.placeholder("x")
    if axes == 0:
        x = planes_of(drawing.graph, x, on)
    made = drawing.part("", model, [Image(x, group, False, on)])
    answer = made.node
    if not made.ended and (_ends_flat(model) or _ends_on_one_node(model, made)):
        answer = drawing.graph.call_method("flatten", (answer, 1))
    if axes == 0 and not made.ended:
        answer = rows_of(drawing.graph, answer, made.domain)
    drawing.graph.output(answer)
    twin = fx.GraphModule(drawing.parts, drawing.graph, type(model).__name__)
    twin.train(model.training)
    for path, part in drawing.parts.items():
        for one, other in zip(part.modules(), twin.get_submodule(path).modules(), strict=True):
            other.training = one.training
    return twin


def _ends_flat(model: Any) -> bool:
    """Whether an import answers `[B, C]` where a lattice of one node is left."""
    door = getattr(model, "door", None)
    if door is None:
        return False
    _, layout = door.form.exits[0]
    return layout is not None and layout.num_axes == 0


def _ends_on_one_node(model: Any, made: Image) -> bool:
    """Whether a model of images of one size is known to leave one node of them: torch's networks
    flatten what they read by fully connected layers.
    """
    sized = any(isinstance(part, Expected) for part in model.modules())
    return sized and made.domain is not None and made.domain.num_nodes == 1


class Drawing:
    """A graph of torch's calls, drawn layer by layer.

    Args:
        asked: the call in words, for errors.
        axes: of the lattice.
    """

    def __init__(self, asked: str, axes: int):
        self.asked = asked
        self.axes = axes
        self.graph = fx.Graph()
        self.parts: dict[str, nn.Module] = {}

    def part(self, path: str, module: Any, read: list[Image]) -> Image:
        """The answer of a part to values."""
        x = read[-1]
        kind = type(module)
        if kind in (Sequential, nn.Sequential):
            for name, inner in module._modules.items():
                x = self.part(_inside(path, name), inner, [x])
            return x
        if kind is Residual:
            kept = x
            if module.shortcut is not None:
                kept = self.part(_inside(path, "shortcut"), module.shortcut, [x])
            return self.joined("add", [kept, self.part(_inside(path, "inner"), module.inner, [x])])
        if kind is Concat:
            parts = module._modules.items()
            return self.joined("cat", [self.part(_inside(path, n), one, [x]) for n, one in parts])
        if kind is Network:
            return self.network(path, module, read)
        return self.leaf(path, module, read)

    def network(self, path: str, module: Any, read: list[Image]) -> Image:
        """The nodes of a network in order."""
        if len(module.inputs) > 1 or not module.single:
            raise self.refusal(path, module, "several inputs or answers")
        values = {module.inputs[0]: read[-1]}
        for node in module.nodes:
            given = [values[name] for name in node.inputs]
            if node.join:
                values[node.name] = self.joined(node.join, given)
            else:
                values[node.name] = self.part(_inside(path, node.path), module[node.path], given)
        return values[module.outputs[0]]

    def joined(self, join: str, read: list[Image]) -> Image:
        """A sum, a product, channels one after another: the same on planes as on signals."""
        nodes = [one.node for one in read]
        if join == "cat":
            return read[0]._replace(node=self.graph.call_function(torch.cat, (nodes, 1)))
        how = JOINED[join]
        joined = reduce(lambda a, b: self.graph.call_function(how, (a, b)), nodes)
        return read[0]._replace(node=joined)

    def leaf(self, path: str, module: Any, read: list[Image]) -> Image:
        """The answer of a layer."""
        x = read[-1]
        if reads_rows(module):
            return self.on_rows(path, module, read)
        if isinstance(module, Conv):
            return self.convolved(path, module, read)
        if isinstance(module, Pool):
            return self.pooled(path, module, x)
        if isinstance(module, Propagate) and restricts(module):
            node = restrict_planes(self.graph, x.node, module)
            return self.moved(module, x)._replace(node=node)
        if isinstance(module, NORMS):
            if x.group is None:
                # Of a lattice nothing but the number of axes is asked.
                grid = None if x.ended else Grid(*(1,) * self.axes)
                return self.called(path, to_module(module, grid, "torch"), x)
            if isinstance(module, BatchNorm):
                return self.batch_normed(path, module, x, x.group.order)
            return self.called(path, norm_on_planes(module, x.group.order), x)
        if isinstance(module, Dropout):
            return self.called(path, to_module(module, None, "torch"), x)
        if is_pointwise(module):
            return self.pointwise(path, module, x)
        if isinstance(module, LocalResponseNorm):
            return self.across_channels(path, module, x)
        if isinstance(module, Expected) and x.domain is None:
            x = x._replace(domain=Grid(*module.lengths))
        return self.called(path, to_module(module, x.domain, "torch"), self.moved(module, x))

    def on_rows(self, path: str, layer: Any, read: list[Image]) -> Image:
        """The answer of a layer that is written out on rows of a domain."""
        x = read[-1]
        if len(read) > 1 or x.ended:
            raise self.refusal(path, layer, "which receives from a second signal, or from none")
        if layer.on is not None:
            x = x._replace(domain=layer.on)
        twin = to_module(layer, x.domain, "torch")
        rows = rows_of(self.graph, x.node, x.domain)
        if isinstance(twin, nn.MultiheadAttention):
            self.parts.setdefault(path or "layer", twin)
            several = self.graph.call_module(path or "layer", (rows, rows, rows))
            node = self.graph.call_function(operator.getitem, (several, 0))
        else:
            node = self.called(path, twin, x._replace(node=rows)).node
        x = self.moved(layer, x)
        if self.axes > 1 and x.domain is not None and x.domain.lattice is None:
            raise self.refusal(path, layer, f"which leads from images to {x.domain}")
        return x._replace(node=planes_of(self.graph, node, x.domain))

    def convolved(self, path: str, layer: Conv, read: list[Image]) -> Image:
        """The answer of a convolution, which may be told the size that it restores."""
        x = read[-1]
        if x.ended or layer.rule != itself():
            twin = to_module(layer, x.domain, "torch")
        else:
            sheets = 1 if x.group is None else x.group.order
            twin = on_sheets(layer, sheets, self.axes)
        named = {}
        if len(read) > 1:
            shape = self.graph.call_function(getattr, (read[0].node, "shape"))
            named["output_size"] = self.graph.call_function(
                operator.getitem, (shape, slice(2, None))
            )
            return self.called(path, twin, x, **named)._replace(group=read[0].group)
        return self.called(path, twin, self.moved(layer, x))

    def pooled(self, path: str, layer: Pool, x: Image) -> Image:
        """The answer of a pool: over windows, over the group, over all nodes."""
        if pools_sheets(layer.rule) and x.group is not None:
            node = pool_sheets(self.graph, x.node, x.group, layer)
            return self.moved(layer, x)._replace(node=node)
        if layer.rule == whole():
            node = x.node
            if x.group is not None:
                node = self.graph.call_method("unflatten", (node, 1, (-1, x.group.order)))
            nodes = self.graph.call_method("flatten", (node, 2))
            node = self.graph.call_method(REDUCED[layer.options.reduction], (nodes, 2))
            return self.moved(layer, x)._replace(node=node, group=None, ended=True)
        twin = to_module(layer, x.domain, "torch")
        return self.called(path, twin, self.moved(layer, x))

    def pointwise(self, path: str, module: Any, x: Image) -> Image:
        """A module that reads each number alone as it is; others with the channels last."""
        twin = copy.deepcopy(module)
        if type(module) in ELEMENTWISE or x.ended:
            return self.called(path, twin, x)
        node = x.node
        if x.group is not None:
            node = self.graph.call_method("unflatten", (node, 1, (-1, x.group.order)))
        last = self.graph.call_method("movedim", (node, 1, -1))
        made = self.called(path, twin, x._replace(node=last)).node
        node = self.graph.call_method("movedim", (made, -1, 1))
        if x.group is not None:
            node = self.graph.call_method("flatten", (node, 1, 2))
        return x._replace(node=node)

    def batch_normed(self, path: str, module: BatchNorm, x: Image, sheets: int) -> Image:
        """A batch norm with one channel for all sheets of it."""
        twin = with_axes(module, 1)

        def norm(rows: fx.Node) -> fx.Node:
            return self.called(path, twin, x._replace(node=rows)).node

        return x._replace(node=norm_batch(self.graph, x.node, sheets, norm))

    def across_channels(self, path: str, module: Any, x: Image) -> Image:
        """A norm across the channels at axis 1, of each element of a group by itself."""
        twin = to_module(module, None, "torch")
        if x.group is None:
            return self.called(path, twin, x)
        node = self.graph.call_method("unflatten", (x.node, 1, (-1, x.group.order)))
        made = self.called(path, twin, x._replace(node=node)).node
        return x._replace(node=self.graph.call_method("flatten", (made, 1, 2)))

    def moved(self, layer: Any, x: Image) -> Image:
        """The value with the group, and the domain where it is known, that it has after a layer."""
        rule = getattr(layer, "rule", None)
        domain = x.domain
        if rule is None or rule == itself():
            return x
        if domain is not None:
            domain = rule.target(domain)
            return x._replace(domain=domain, group=domain.fiber)
        if pools_sheets(rule) or (isinstance(layer, Propagate) and restricts(layer)):
            # The sheets over one point say what they become over every point.
            point = Grid(*(1,) * self.axes).replace(fiber=x.group)
            return x._replace(group=rule.target(point).fiber)
        forward = getattr(rule, "rule", rule)
        if rule.group is None:
            return x
        has_fiber = forward.out_fiber if forward is rule else forward.in_fiber
        group = None
        if has_fiber:
            group = rule.group
        return x._replace(group=group)

    def called(self, path: str, twin: nn.Module, x: Image, **named: Any) -> Image:
        """A call of a module, which stands at the path of the layer it is the twin of."""
        name = path or "layer"
        self.parts.setdefault(name, twin)
        return x._replace(node=self.graph.call_module(name, (x.node,), named))

    def refusal(self, path: str, module: Any, found: str) -> GeodlError:
        """An error that names a part."""
        label = getattr(module, "label", type(module).__name__)
        return GeodlError(self.asked, f"{path}: {label}, {found}", "convert its layers one by one")


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
