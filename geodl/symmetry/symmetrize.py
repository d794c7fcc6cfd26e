"""`symmetrize`: the architecture of a convolutional network over a group, part by part."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from geodl.errors import GeodlError, nearest
from geodl.group import Group
from geodl.layer import (
    Concat,
    Conv,
    GroupNorm,
    Layer,
    MessagePassing,
    Network,
    Residual,
    Sequential,
)
from geodl.layer.pool import REDUCTIONS
from geodl.neighborhood.exactness import check_group
from geodl.symmetry.group_layers import Build, Value
from geodl.symmetry.widths import Scaling, Widths

KEPT = ("parameters", "planes")
SOFTMAXES = (nn.Softmax, nn.LogSoftmax, nn.Softmin)


def symmetrize(
    model: nn.Module, group: Group, keep: str = "parameters", *, pool: str = "max"
) -> Layer:
    """The architecture of a convolutional network over a group, with new parameters.

    The first window is lifted, later ones are windows over the group, 1x1 convolutions (`itself()`,
    `nn.Linear`) before the lattice ends too; norms share their numbers over the group, pools act on
    the lattice of each element, and where the lattice ends the group is pooled over: before a
    readout, after a linear layer on the flattened lattice, else at the end. Names stay, so that the
    state of a hand-written network of the same architecture fits. (Cohen and Welling, "Group
    Equivariant Convolutional Networks", 2016, section 8.)

    Hidden channels are scaled by `1 / sqrt(|G|)`, so that the network has about as many parameters
    as before, or by `1 / |G|` for as many planes, to the nearest whole number; `answer.scaling`
    says what became of them. Channels of the answer, and of layers behind the end of the lattice,
    stay. Dropout stays as it is, for each number by itself; so do dtype, device and modes.

    Args:
        model: a `Sequential`, `Residual`, `Concat` or `Network` of convolutions over windows, 1x1
            convolutions, pools, norms, dropout and pointwise modules, as `from_torch` makes them.
        group: acts on the lattice: `C(n)` and `D(n)` on images, `O()` and `Oh()` on volumes.
        keep: what stays equal, "parameters" or "planes".
        pool: how the group is pooled over in the end: "max", "mean", "sum" or "min".

    Raises:
        GeodlError: if a part has no twin over a group, by its name and path: attention, learned
            positions, recurrent layers, rules with a group of their own, opaque nodes; if the model
            has no window; if it joins a signal from before the first window with one behind it.

    >>> import geodl as g
    >>> net = symmetrize(g.models.z2cnn(), g.C(4))
    >>> g.certify(net, g.Grid(28, 28)).exact
    True
    >>> print(net.scaling)
    over C4, parameters kept: channels 20 -> 10 (rounded), 21,750 parameters -> 24,680
    """
    asked = f"symmetrize({type(model).__name__}, {group})"
    if not isinstance(model, nn.Module):
        raise GeodlError(asked, f"a {type(model).__name__}", "give a layer or a model of layers")
    if not isinstance(group, Group):
        raise GeodlError(asked, f"a {type(group).__name__}", "give a group, as C(4)")
    check_group(asked, group)
    if pool not in REDUCTIONS:
        raise GeodlError(f"{asked} with pool={pool!r}", do=nearest(str(pool), REDUCTIONS))
    if keep not in KEPT:
        raise GeodlError(f"{asked} with keep={keep!r}", do=nearest(str(keep), KEPT))
    model = getattr(model, "_orig_mod", model)  # what a compiled model was made of
    step = _common_groups(model)
    # Which layers make the channels of the answer is known at the end of a first pass.
    with torch.device("meta"):
        first = Symmetrizer(Build(asked, group, pool, Widths(group, keep, step, frozenset())))
        _, value = first.part("", model, Value("lattice"))
    widths = Widths(group, keep, step, value.makers)
    twin = Symmetrizer(Build(asked, group, pool, widths)).whole(model)
    like = next(model.parameters(), torch.zeros(0))
    twin.to(device=like.device, dtype=like.dtype)
    sizes = [sum(p.numel() for p in net.parameters()) for net in (model, twin)]
    twin.scaling = Scaling(group, keep, tuple(widths.rounded.items()), (sizes[0], sizes[1]))
    return twin


def _common_groups(model: nn.Module) -> int:
    """The least common multiple of the groups of all grouped convolutions and group norms."""
    counts = {1}
    for part in model.modules():
        if isinstance(part, Conv) and part.groups < part.channels_in:
            counts.add(part.groups)
        elif isinstance(part, GroupNorm):
            counts.add(part.num_groups)
    return math.lcm(*counts)


class Symmetrizer:
    """Walks a model in the order in which it runs.

    Args:
        build: makes the twins of its parts.
    """

    def __init__(self, build: Build):
        self.build = build
        self.known: dict[int, tuple[Value, nn.Module, Value]] = {}

    def whole(self, model: nn.Module) -> Any:
        """The twin of a model, which ends without the group."""
        twin, value = self.part("", model, Value("lattice"))
        rules = [part.rule for part in twin.modules() if isinstance(part, MessagePassing)]
        if all(rule.group is None for rule in rules):
            found, do = "no window over a lattice", "give a model with a convolution over window()"
            raise GeodlError(self.build.asked, found, do)
        if value.flat or (value.place != "head" and _answers_flat(getattr(model, "door", None))):
            found = "whose answer is a flattened lattice, on which the group acts"
            raise self.build.refusal(
                "", model, found, "end on a linear layer, or before flattening"
            )
        if value.place == "head":
            return twin
        pooled = self.build.over_fiber().train(model.training)
        if isinstance(twin, Network):
            return self._pooled_outputs(twin, pooled)
        if not isinstance(twin, Sequential):
            return Sequential(twin, pooled).train(model.training)
        # A softmax in the end is taken of what is pooled.
        last = list(twin._modules)[-1]
        if isinstance(twin[-1], SOFTMAXES):
            softmax = twin[-1]
            twin._modules[last] = Sequential(pooled, softmax).train(softmax.training)
        else:
            twin.add_module(str(len(twin)), pooled)
        return twin

    def part(self, path: str, module: nn.Module, value: Value) -> tuple[nn.Module, Value]:
        """The twin of a part, and what it makes of a value. A part that stands in two places has
        one twin.
        """
        before, twin, after = self.known.get(id(module), (None, None, None))
        if before is None or twin is None or after is None:
            twin, after = self._made(path, module, value)
            self.known[id(module)] = value, twin, after
        elif (before.place, before.channels) != (value.place, value.channels):
            found = "in two places, before and behind the first window or the end of the lattice"
            raise self.build.refusal(path, module, found, "use two layers")
        return twin, after

    def _made(self, path: str, module: nn.Module, value: Value) -> tuple[nn.Module, Value]:
        hooks = [name for name, held in vars(module).items() if "forward" in name and held]
        if any(name.endswith("_hooks") for name in hooks):
            raise self.build.refusal(path, module, "with hooks, which would be lost", "remove them")
        if type(module) in (Sequential, nn.Sequential):
            return self._sequential(path, module, value)
        if type(module) is Residual:
            return self._residual(path, module, value)
        if type(module) is Concat:
            return self._concat(path, module, value)
        if type(module) is Network:
            return self._network(path, module, value)
        return self.build.leaf(path, module, value)

    def _sequential(self, path: str, module: Any, value: Value) -> tuple[nn.Module, Value]:
        twin = Sequential()
        for name, part in module._modules.items():
            made, value = self.part(_inside(path, name), part, value)
            twin.add_module(name, made)
        twin.training = module.training
        return twin, value

    def _residual(self, path: str, module: Any, value: Value) -> tuple[nn.Module, Value]:
        twin, kept = Residual(), value
        if module.shortcut is not None:
            twin.shortcut, kept = self.part(_inside(path, "shortcut"), module.shortcut, value)
        twin.inner, made = self.part(_inside(path, "inner"), module.inner, value)  # pyright: ignore[reportAttributeAccessIssue] - a Sequential again
        twin.training = module.training
        return twin, self._joined(path, module, "add", [kept, made])

    def _concat(self, path: str, module: Any, value: Value) -> tuple[nn.Module, Value]:
        parts, values = {}, []
        for name, part in module._modules.items():
            made, after = self.part(_inside(path, name), part, value)
            parts[name] = made
            values.append(after)
        twin = Concat(parts)
        twin.training = module.training
        return twin, self._joined(path, module, "cat", values)

    def _network(self, path: str, module: Any, value: Value) -> tuple[nn.Module, Value]:
        if len(module.inputs) > 1 or len(module.outputs) > 1:
            found = f"with {len(module.inputs)} inputs and {len(module.outputs)} outputs"
            raise self.build.refusal(path, module, found, "give a network of one image, one answer")
        nodes: dict[str, Any] = {}
        values = {module.inputs[0]: value}
        names = {module.inputs[0]: module.inputs[0]}
        for node in module.nodes:
            read = [values[name] for name in node.inputs]
            where = _inside(path, node.name)
            if node.join:
                part, after = node.join, self._joined(where, module, node.join, read)
            else:
                part, after = self._node(where, module[node.path], read)
            nodes[node.name] = (part, *(names[name] for name in node.inputs))
            names[node.name] = node.name
            if any(one.flat for one in read) and not after.flat:
                # A window as wide as the lattice: here it ends.
                names[node.name] = _free(f"{node.name}_pooled", nodes)
                nodes[names[node.name]] = (self.build.over_fiber(), node.name)
                after = after._replace(place="head")
            values[node.name] = after
        answer = module.outputs[0]
        answered: Any = names[answer]
        if not module.single:
            answered = (answered,)
        twin = Network(module.inputs, nodes, answered, door=_door(module.door))
        twin.training = module.training
        return twin, values[answer]

    def _node(self, path: str, layer: Any, read: list[Value]) -> tuple[Any, Value]:
        """The twin of a node's layer, which receives on the first value from the last one."""
        count = getattr(layer, "flattened_channels", 0)
        value = read[-1]
        if count and value.place != "head" and len(read) == 1:
            channels = value.channels or count
            return nn.Identity(), value._replace(before=count, channels=channels, flat=True)
        if len({one.place for one in read}) > 1:
            found = "which reads signals before and behind the first window, or the lattice's end"
            raise self.build.refusal(path, layer, found, "take both from one side of it")
        return self.part(path, layer, value)

    def _joined(self, path: str, module: Any, join: str, values: list[Value]) -> Value:
        """What a sum, a product or a concatenation makes."""
        first = values[0]
        if len({(one.place, one.flat) for one in values}) > 1:
            found = "which joins signals before and behind the first window, or the lattice's end"
            raise self.build.refusal(path, module, found, "take all from one side of it")
        makers = frozenset[str]().union(*(one.makers for one in values))
        if join == "cat":
            befores = [one.before for one in values if one.before is not None]
            channels = [one.channels for one in values if one.channels is not None]
            if len(befores) < len(values) or len(channels) < len(values):
                return first._replace(makers=makers)
            return first._replace(before=sum(befores), channels=sum(channels), makers=makers)
        known = next((one for one in values if one.channels is not None), first)
        if any(one.channels not in (None, known.channels) for one in values):
            found = f"which joins {' and '.join(str(one.channels) for one in values)} channels"
            raise self.build.refusal(path, module, found, "choose widths that are scaled alike")
        return known._replace(makers=makers)

    def _pooled_outputs(self, network: Network, pooled: nn.Module) -> Network:
        nodes: dict[str, Any] = {}
        for node in network.nodes:
            part: Any = node.join or network[node.path]
            nodes[node.name] = (part, *node.inputs)
        answer = network.outputs[0]
        name = _free(f"{answer}_pooled", nodes)
        last, *read = nodes.get(answer, (None,))
        if isinstance(last, SOFTMAXES):
            # A softmax in the end is taken of what is pooled.
            del nodes[answer]
            nodes[name] = (pooled, *read)
            nodes[answer] = (last, name)
        else:
            nodes[name] = (pooled, answer)
            answer = name
        twin = Network(network.inputs, nodes, answer, door=network.door)
        twin.training = network.training
        return twin


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _free(name: str, nodes: Mapping[str, Any]) -> str:
    """The name itself where no node has it, else with a number behind it."""
    free, count = name, 1
    while free in nodes:
        free, count = f"{name}_{count}", count + 1
    return free


def _answers_flat(door: Any) -> bool:
    """Whether an import answers the channels of all nodes side by side on one axis."""
    if door is None:
        return False
    layouts = [layout for _, layout in door.form.exits if layout is not None]
    kinds = [{atom.kind for atom in dim} for layout in layouts for dim in layout.dims]
    return any({"channel", "node"} <= of_axis for of_axis in kinds)


def _door(door: Any) -> Any:
    """The way into an import, without the calls that it came from, which compute something else."""
    if door is None:
        return None
    twin = copy.copy(door)
    twin.origin = None
    return twin
