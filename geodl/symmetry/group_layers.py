"""What each layer of a convolutional network becomes over a group, as :func:`geodl.symmetrize`
looks it up in `LAYERS`.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from geodl.errors import GeodlError
from geodl.group import Group
from geodl.layer import (
    BatchNorm,
    Conv,
    Dropout,
    Expected,
    GroupNorm,
    InstanceNorm,
    Layer,
    LocalResponseNorm,
    MessagePassing,
    Pointwise,
    Pool,
    Propagate,
    Sequential,
)
from geodl.layer.pointwise import ELEMENTWISE, is_pointwise
from geodl.layer.self_term import SelfTerm
from geodl.neighborhood import fiber, itself, lift, whole, window
from geodl.symmetry.widths import Widths

ACROSS_NODES = (
    "which reads the channels of all nodes of a flattened lattice at once",
    "use it before the lattice is flattened, or behind the linear layer",
)

Place = Literal["lattice", "group", "head"]


class Value(NamedTuple):
    """A signal between two parts of the model, and the one in its place in the twin.

    Attributes:
        place: "lattice" before the first window, "group" on the lattice times the group, "head"
            after a readout.
        before: channels of the model's signal; None while no layer has fixed them.
        channels: channels of the twin's signal; None likewise.
        makers: the paths of the layers that decided how many there are.
        flat: whether all nodes of the lattice were put side by side as channels.
    """

    place: Place
    before: int | None = None
    channels: int | None = None
    makers: frozenset[str] = frozenset()
    flat: bool = False


class Build:
    """How a twin is built.

    Args:
        asked: the call in words, for errors.
        group: acts on the lattice.
        pool: how the group is pooled over where the lattice ends.
        widths: of the twin's layers.
    """

    def __init__(self, asked: str, group: Group, pool: str, widths: Widths):
        self.asked = asked
        self.group = group
        self.pool = pool
        self.widths = widths

    def leaf(self, path: str, module: nn.Module, value: Value) -> tuple[nn.Module, Value]:
        """The twin of a part that is no container, in the mode of the part.

        Raises:
            GeodlError: a part that has none.
        """
        if getattr(module, "on", None) is not None:
            raise self.refusal(path, module, "built with on=, for one domain", "leave it out")
        convert = LAYERS.get(type(module))
        if convert is None:
            convert = _pointwise
            if isinstance(module, Layer):
                convert = _blind_layer
        try:
            twin, after = convert(self, path, module, value)
        except GeodlError as error:
            if error.args[0] == self.asked:
                raise
            raise self.refusal(path, module, str(error), "change it first") from error
        return twin.train(module.training), after

    def refusal(self, path: str, module: nn.Module, found: str, do: str) -> GeodlError:
        """An error that names a part and where it is."""
        label = getattr(module, "label", type(module).__name__)
        return GeodlError(self.asked, f"{path or 'the model'}: {label}, {found}", do)

    def over_fiber(self) -> Pool:
        """The pool over the group at each point."""
        return Pool(fiber(), self.pool)

    def dense(self, path: str, module: Any, count: int, out: int, value: Value) -> Conv:
        """A linear layer on all nodes of the lattice as a window as wide as the lattice.

        Args:
            path: of the layer.
            module: the linear layer.
            count: of the channels that it reads, those of all nodes.
            out: of the channels that it makes.
            value: what it reads.
        """
        axes = self.group.axes
        nodes, rest = divmod(count, value.before or 1)
        side = round(nodes ** (1 / axes))
        if rest or side**axes != nodes:
            found = f"which reads {nodes} nodes, of no lattice with {axes} equal axes"
            raise self.refusal(path, module, found, "end on a square lattice, or on a g.Readout")
        make = window
        if value.place == "lattice":
            make = lift
        rule = make((side,) * axes, group=self.group, padding="valid")
        bias = module.bias is not None
        return Conv(value.channels or 1, self.widths.of(path, out), rule, bias)


def _over_group(build: Build, path: str, layer: Any, rule: Any, value: Value) -> Any:
    """A layer's window, or the reverse of one, over the group: lifted where the signal has no
    fiber yet.
    """
    if getattr(rule, "size", None) is not None:
        make = window
        if value.place == "lattice":
            make = lift
        numbers = {"stride": rule.stride, "dilation": rule.dilation, "padding": rule.padding}
        made = make(rule.size, group=build.group, exact=rule.exact, basis=rule.basis, **numbers)
        return replace(made, boundary=rule.boundary, tiled=rule.tiled)
    forward = rule.reverse()
    if getattr(forward, "size", None) is None or value.place == "lattice":
        found = f"over {rule}, which is no window on a lattice"
        raise build.refusal(path, layer, found, "use windows, itself() and pools")
    onto = rule.onto
    if onto is not None:
        onto = onto.replace(onto.lattice, build.group, onto.periodic)
    return _over_group(build, path, layer, forward, value).reverse(onto)


def _conv(build: Build, path: str, layer: Any, value: Value) -> tuple[nn.Module, Value]:
    """A convolution: over the group from the first window to the end of the lattice."""
    if layer.rule.group is not None:
        found = f"over a group of its own, {layer.rule.group}"
        raise build.refusal(path, layer, found, "symmetrize the model without it")
    channels_in = value.channels or layer.channels_in
    bias = layer.bias is not None
    pointwise = layer.rule == itself()
    if value.flat:
        twin = build.dense(path, layer, layer.channels_in, layer.channels_out, value)
        return twin, _made("group", path, layer.channels_out, twin.channels_out)
    if value.place == "head" or (pointwise and value.place == "lattice"):
        twin = Conv(channels_in, layer.channels_out, layer.rule, bias, groups=layer.groups)
        return twin, _made(value.place, path, layer.channels_out, layer.channels_out)
    if pointwise:
        rule = window((1,) * build.group.axes, group=build.group)
    else:
        rule = _over_group(build, path, layer, layer.rule, value)
    groups, out = layer.groups, build.widths.of(path, layer.channels_out)
    if groups == layer.channels_in > 1:
        # Depthwise: as many blocks as there are channels, each with as many outputs as before.
        groups, out = channels_in, channels_in * (layer.channels_out // layer.channels_in)
    twin = Conv(channels_in, out, rule, bias, groups=groups)
    return twin, _made("group", path, layer.channels_out, out)


def _made(place: Place, path: str, before: int, channels: int) -> Value:
    return Value(place, before, channels, frozenset([path]))


def _linear(build: Build, path: str, module: Any, value: Value) -> tuple[nn.Module, Value]:
    """`nn.Linear` on the channels, as a convolution over the node itself."""
    layer = Conv(module.in_features, module.out_features, itself(), module.bias is not None)
    if value.place == "group" or value.flat:
        return _conv(build, path, layer, value)
    width = value.channels or module.in_features
    twin = nn.Linear(width, module.out_features, module.bias is not None)
    return twin, _made(value.place, path, module.out_features, module.out_features)


def _pool(build: Build, path: str, layer: Any, value: Value) -> tuple[nn.Module, Value]:
    """A pool: over windows on each sheet by itself; over all nodes once the group is pooled."""
    same = Pool(layer.rule, layer.options.reduction)
    if layer.rule == whole():
        after = value._replace(place="head")
        if value.place == "group":
            return Sequential(build.over_fiber(), same), after
        return same, after
    if getattr(layer.rule, "size", None) is None or layer.rule.group is not None:
        found = f"over {layer.rule}, which is no plain window"
        raise build.refusal(path, layer, found, "pool over windows and over whole()")
    return same, value


def _propagate(build: Build, path: str, layer: Any, value: Value) -> tuple[nn.Module, Value]:
    """Sums over a window or the reverse of one (nearest-neighbour upsampling), on each sheet."""
    rules = layer.rule, layer.rule.reverse()
    if layer.rule.group is not None or all(getattr(r, "size", None) is None for r in rules):
        found = f"over {layer.rule}, which is no plain window"
        raise build.refusal(path, layer, found, "use windows")
    return Propagate(layer.rule), value


def _norm(build: Build, path: str, layer: Any, value: Value) -> tuple[nn.Module, Value]:
    """A norm with one mean, one variance, one weight for all sheets of a channel."""
    if value.flat:
        raise build.refusal(path, layer, *ACROSS_NODES)
    channels = value.channels or _width_of(layer)
    options: dict[str, Any] = {"eps": layer.eps, "affine": layer.weight is not None}
    if isinstance(layer, GroupNorm):
        return GroupNorm(layer.num_groups, channels, **options), value
    options["momentum"] = layer.momentum
    options["track_running_stats"] = layer.running_mean is not None
    return type(layer)(channels, **options), value


def _width_of(layer: Any) -> int:
    return layer.channels_in


def _layer_norm(build: Build, path: str, module: Any, value: Value) -> tuple[nn.Module, Value]:
    """`nn.LayerNorm` and `nn.RMSNorm`, over the channels of each node."""
    if value.flat:
        raise build.refusal(path, module, *ACROSS_NODES)
    width = value.channels or module.normalized_shape[0]
    options: dict[str, Any] = {"elementwise_affine": module.elementwise_affine}
    if hasattr(module, "bias"):
        options["bias"] = module.bias is not None
    return type(module)(width, module.eps, **options), value


def _fresh(build: Build, path: str, module: Any, value: Value) -> tuple[nn.Module, Value]:
    """A copy of a part that acts on each number by itself, its parameters drawn anew."""
    twin = copy.deepcopy(module)
    for part in twin.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    return twin, value


def _pointwise(build: Build, path: str, module: Any, value: Value) -> tuple[nn.Module, Value]:
    """A module on the list of pointwise ones, which may change the number of channels."""
    if not is_pointwise(module):
        found = "of which nothing is known"
        raise build.refusal(path, module, found, "use layers of geodl and pointwise modules")
    if value.flat and type(module) not in ELEMENTWISE:
        raise build.refusal(path, module, *ACROSS_NODES)
    twin, _ = _fresh(build, path, module, value)
    return twin, _same_change(build, path, module, twin, value)


def _promised(build: Build, path: str, module: Any, value: Value) -> tuple[nn.Module, Value]:
    """A `g.Pointwise`: how its parameters depend on the number of channels is not known."""
    if any(True for _ in module.parameters()):
        found = "with parameters, whose shapes only its author knows"
        raise build.refusal(path, module, found, "use nn.Linear, norms and activations")
    twin = copy.deepcopy(module)
    return twin, _same_change(build, path, module, twin, value)


def _self_term(build: Build, path: str, module: Any, value: Value) -> tuple[nn.Module, Value]:
    """A self term multiplies all channels, and all nodes, by one number."""
    return copy.deepcopy(module), value


def _same_change(build: Build, path: str, module: Any, twin: Any, value: Value) -> Value:
    """What a pointwise module makes of the channels: it has to treat those of the twin as it treats
    the model's own.
    """
    if value.before is None or value.channels is None or value.flat:
        return value
    if type(module) in ELEMENTWISE:
        return value  # on meta, where widths are looked for, a call would import torch's compiler
    like = next(module.parameters(), torch.zeros(0))
    after = _width_after(module, value.before, like)
    try:
        channels = _width_after(twin, value.channels, like)
    except RuntimeError as error:
        found = f"which does not take {value.channels} channels in place of {value.before}"
        raise build.refusal(path, module, found, "choose widths that it divides") from error
    if after * value.channels != channels * value.before:
        found = f"which makes {after} channels of {value.before}, {channels} of {value.channels}"
        raise build.refusal(path, module, found, "choose widths that it divides")
    return value._replace(before=after, channels=channels)


@torch.no_grad()
def _width_after(module: Any, width: int, like: torch.Tensor) -> int:
    inner = module.module if isinstance(module, Pointwise) else module
    was = inner.training
    answer = inner.eval()(torch.zeros(1, 1, width, dtype=like.dtype, device=like.device))
    inner.train(was)
    return answer.shape[-1]


def _blind_layer(build: Build, path: str, layer: Any, value: Value) -> tuple[nn.Module, Value]:
    """A layer of another kind: kept where it does nothing but pool over plain windows."""
    if layer.breaks_symmetry:
        found = "which tells nodes apart by where they stand"
        raise build.refusal(path, layer, found, "leave it out")
    parts = [part for part in layer.modules() if isinstance(part, MessagePassing)]
    # A mean over windows of several sizes is a sum with weights.
    plain = (Pool, Propagate)
    pools = all(isinstance(part, plain) and part.rule.group is None for part in parts)
    if not layer.transparent or not parts or not pools or any(True for _ in layer.parameters()):
        found = "which has no twin over a group"
        raise build.refusal(path, layer, found, "use convolutions, pools, norms and activations")
    return copy.deepcopy(layer), value


Convert = Callable[[Build, str, Any, Value], tuple[nn.Module, Value]]
LAYERS: dict[type[nn.Module], Convert] = {
    BatchNorm: _norm,
    Conv: _conv,
    Dropout: _fresh,
    Expected: _fresh,
    GroupNorm: _norm,
    InstanceNorm: _norm,
    LocalResponseNorm: _fresh,
    Pointwise: _promised,
    Pool: _pool,
    Propagate: _propagate,
    SelfTerm: _self_term,
    nn.LayerNorm: _layer_norm,
    nn.Linear: _linear,
    nn.RMSNorm: _layer_norm,
}
