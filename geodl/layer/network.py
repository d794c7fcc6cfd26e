"""A network of named layers that need not stand in a row."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from geodl.errors import GeodlError, nearest
from geodl.layer.base import Layer
from geodl.layer.containers import run_part, run_parts, step_part
from geodl.layer.image_sizes import name_image_sizes
from geodl.layer.joins import join_signals
from geodl.layer.network_nodes import (
    Given,
    Node,
    check_names,
    check_used,
    in_order,
    node_table,
    read_names,
    read_node,
    rows_of,
)
from geodl.layer.opaque import Opaque
from geodl.layer.program import OnTensors
from geodl.layer.steps import states_of
from geodl.layer.trace import made
from geodl.layer.unfolded import UnfoldedCalls, unfolded_calls
from geodl.neighborhood.exactness import InexactSize
from geodl.signal import Signal


class Network(Layer):
    """Named layers, each with the names of what it reads: a directed graph without cycles.

    `Sequential`, `Residual` and `Concat` are three of its shapes. A node is a tuple: a layer (or a
    module that acts on the last axis), then the names of its inputs. A layer with two inputs
    receives on the first and from the second, as in `layer(receiver, sender)`. In place of a layer
    a join may stand, which reads two or more: "add", "sub", "mul" on one domain and of one shape,
    "max" likewise, "cat" for channels one after another.

    Args:
        inputs: the names of the signals that the network is called with, in their order.
        nodes: by name, in any order. Dots in a name make a module of a module, as in torch, so that
            the parameters of "down.conv" are called `down.conv.weight`.
        outputs: the names of what it answers; by default that of the last node. Of one name the
            answer is a Signal, of a tuple of names a tuple of Signals.
        door: how calls with other things than Signals are read and answered; imports have one.

    Raises:
        GeodlError: if a name comes twice, is unknown or not allowed; if nodes read each other in a
            circle, which is named; if no output needs a node or an input; if a part is not a layer;
            if there are too many or too few inputs.

    >>> import torch
    >>> from geodl import Conv, Pool, window
    >>> unet = Network(
    ...     "image",
    ...     {
    ...         "down": (Conv(1, 4, window(3)), "image"),
    ...         "pooled": (Pool(window(2, stride=2)), "down"),
    ...         "up": (Conv(4, 4, window(2, stride=2).reverse()), "down", "pooled"),
    ...         "both": ("cat", "down", "up"),
    ...         "out": (Conv(8, 2, window(3)), "both"),
    ...     },
    ... )
    >>> unet(Signal.image(torch.zeros(1, 1, 6, 6))).to_image().shape
    torch.Size([1, 2, 6, 6])
    """

    transparent = True

    def __init__(
        self,
        inputs: str | Sequence[str],
        nodes: Mapping[str, Sequence[Any]],
        outputs: str | Sequence[str] | None = None,
        *,
        door: Any = None,
    ):
        super().__init__()
        self.door = door
        self.inputs = read_names("the inputs of a Network", inputs)
        if not isinstance(nodes, Mapping) or not nodes:
            raise GeodlError("Network(inputs, nodes)", "no nodes", "give name: (layer, input, ...)")
        if outputs is None:
            outputs = list(nodes)[-1]
        self.single = isinstance(outputs, str)
        self.outputs = read_names("the outputs of a Network", outputs)
        given = {name: read_node(name, node) for name, node in nodes.items()}
        check_names(self.inputs, given, self.outputs)
        paths = self._register(given)
        order = in_order(self.inputs, given)
        check_used(self.inputs, given, self.outputs)
        self.nodes = node_table(order, given, paths, self.outputs)
        self._rows = rows_of(self.nodes, given)

    def __call__(self, *given: Any, **named: Any) -> Any:
        """The network's answer.

        Args:
            given: one Signal for each input; of an import, what the original takes.
            named: of an import, what the original takes by name.

        Raises:
            GeodlError: if they are other things, or of another number.
        """
        door = self.door
        # Asked without a generator, which takes longer than the question.
        if door is not None and Signal not in map(type, given):
            return door.leave(self._called(door.enter(*given, **named)))
        if named:
            found = f"the arguments {', '.join(named)} by name"
            raise GeodlError(self.label, found, "give one Signal for each input, in order")
        self._check_given(given)
        return self._called(given)

    def compute(self, receiver: Any, sender: Any, rule: Any) -> Any:
        """Run the nodes in order; `sender` holds the signals of the other inputs."""
        given = (receiver, *_others(sender))
        calls = unfolded_calls(self, len(given))
        try:
            if calls is not None:
                return calls.run(given)
            return self._in_order(given)
        except InexactSize as error:
            # Of a layer inside, whose lattice is not the image.
            raise name_image_sizes(error, self, receiver) from None

    def _in_order(self, given: Sequence[Any]) -> Any:
        values = dict(zip(self.inputs, given, strict=True))
        for row in self._rows:
            node = row[0]
            if len(row) > 1:
                values[row[-1].name] = self._run_row(row, values)
                continue
            read = [values[name] for name in node.inputs]
            values[node.name] = self.run_node(node, read)
            # What no later node reads need not wait for the end of the call.
            for name in node.frees:
                del values[name]
        return self._answer(values)

    def unfold(self, calls: UnfoldedCalls, *places: int) -> Any:
        """Add the nodes to a list of calls, in their order."""
        made = dict(zip(self.inputs, places, strict=True))
        if self._checks_signals and calls.owner() is not self:
            # Inside of another container, which does not call it.
            calls.call(self.door.check_signals, *places)
        # What may be something else than a Signal is looked at before a layer reads it.
        unknown = set(self.inputs) if self.door is not None else set[str]()
        for node in self.nodes:
            read = [made[name] for name in node.inputs]
            part: Any = None
            if node.path:
                part = self[node.path]
                self._watch_path(calls, node.path)
            if isinstance(part, Opaque):
                unknown.add(node.name)
                made[node.name] = calls.call(part, *read)
                continue
            if not unknown.isdisjoint(node.inputs):
                calls.call(ValuesRead(node), *read)
            if part is None:
                run = partial(_join, node.join)
                made[node.name] = calls.call(run, *read, joins=node.join)
            else:
                made[node.name] = calls.part(part, *read)
        if self.single:
            return made[self.outputs[0]]
        return tuple(made[name] for name in self.outputs)

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Any, Any]:
        """Continue on the next nodes of a chain; the state are those of the network's nodes, in
        their order.

        Raises:
            GeodlError: if a node has no step.
        """
        given = (signal, *_others(sender))
        self._check_given(given)
        values: dict[str, Any] = dict(zip(self.inputs, given, strict=True))
        afters = []
        for node, before in zip(self.nodes, states_of(self, state, len(self.nodes)), strict=True):
            read = [values[name] for name in node.inputs]
            if node.join:
                value, after = self.run_node(node, read), None
            else:
                value, after = self._step(node, read, before)
            values[node.name] = value
            afters.append(after)
        return self._answer(values), tuple(afters)

    @property
    def takes_context(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Whether it reads a second signal."""
        return len(self.inputs) > 1

    def opaque(self) -> dict[str, str]:
        """The nodes that no layer computes, and why: those of networks inside it too."""
        found = {}
        for path, part in self.named_modules():
            if isinstance(part, Opaque):
                found[path] = part.reason
        return found

    @property
    def _checks_signals(self) -> bool:
        """Whether its door knows what its signals must not have."""
        return bool(getattr(self.door, "left_out", ()))

    def readers(self) -> list[nn.Module]:
        """For each input the first layer that reads it, or what was joined of it."""
        first = []
        for name in self.inputs:
            # Joins hand on what they read, so that their readers count as well.
            carried = {name}
            for node in self.nodes:
                if carried.isdisjoint(node.inputs):
                    continue
                if node.join:
                    carried.add(node.name)
                    continue
                first.append(self[node.path])
                break
            else:
                first.append(nn.Identity())
        return first

    def __getitem__(self, name: str) -> nn.Module:
        """The layer of a node."""
        module: Any = self
        for piece in name.split("."):
            module = module._modules.get(piece)
            if module is None:
                known = [node.name for node in self.nodes if node.path]
                raise GeodlError(f"network[{name!r}]", do=nearest(name, known))
        return module

    def __iter__(self) -> Iterator[str]:
        return (node.name for node in self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        lines = [f"Network({', '.join(self.inputs)} -> {', '.join(self.outputs)})"]
        for node in self.nodes:
            what = node.join
            if node.path:
                part = self[node.path]
                what = getattr(part, "label", "") or " ".join(str(part).split())
            lines.append(f"  {node.name}: {what} <- {', '.join(node.inputs)}")
        return "\n".join(lines)

    def extra_repr(self) -> str:
        return f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}"

    def _called(self, given: Sequence[Any]) -> Any:
        first, *others = given
        if len(others) < 2:
            return super().__call__(first, *others)
        return super().__call__(first, tuple(others))

    def _check_given(self, given: Sequence[Any]) -> None:
        kinds = [type(value).__name__ for value in given]
        if len(given) == len(self.inputs) and all(isinstance(value, Signal) for value in given):
            if self._checks_signals:
                self.door.check_signals(*given)
            return
        named = ", ".join(self.inputs)
        found = f"{len(given)} values: {', '.join(kinds)}"
        raise GeodlError(f"{self.label} called", found, f"give one Signal for each of {named}")

    def run_node(self, node: Node, read: list[Any]) -> Any:
        """What a node makes of the values that it reads."""
        if node.join:
            _check_read(node, read)
            return made(self, join_signals(node.join, read), *read)
        part = self[node.path]
        if isinstance(part, Opaque):
            return part(*read)
        _check_read(node, read)
        if len(read) == 2 or isinstance(part, Network):
            return part(*read)
        return run_part(part, read[0])

    def _run_row(self, row: tuple[Node, ...], values: dict[str, Any]) -> Any:
        """What the last of some nodes makes that read each other's answers, one after another."""
        first = row[0]
        (name,) = first.inputs
        _check_read(first, [values[name]])
        parts = [self[node.path] for node in row]
        if name not in first.frees:
            return run_parts(parts, values[name])
        # Given away, so that it goes as soon as it was read.
        return run_parts(parts, values.pop(name))

    def _step(self, node: Node, read: list[Any], before: Any) -> tuple[Any, Any]:
        part: Any = self[node.path]
        if isinstance(part, Opaque):
            found = "a node of which nobody knows which nodes it reads"
            raise GeodlError(f"a step of {node.name}", found, "call the whole network")
        if len(read) == 2:
            return part.step(read[0], before, read[1])
        return step_part(part, read[0], before)

    def _watch_path(self, calls: UnfoldedCalls, path: str) -> None:
        """Let a list of calls watch the modules between this one and the layer of a node."""
        place: Any = self
        for piece in path.split(".")[:-1]:
            place = place._modules[piece]
            calls.inside(place)

    def _answer(self, values: Mapping[str, Any]) -> Any:
        if self.single:
            return values[self.outputs[0]]
        return tuple(values[name] for name in self.outputs)

    def _register(self, given: Given) -> dict[str, str]:
        """Make the layers parts of this module, and say where each node's layer stands.

        A layer of several nodes stands at the first of them, so that a state dict lists it once.
        """
        places: dict[int, str] = {}
        paths = {}
        for name, (part, _) in given.items():
            if isinstance(part, str):
                paths[name] = ""
                continue
            if id(part) not in places:
                places[id(part)] = name
                _add_module(self, name, part)
            paths[name] = places[id(part)]
        return paths


def _others(sender: Any) -> tuple[Any, ...]:
    if sender is None:
        return ()
    if isinstance(sender, tuple):
        return sender
    return (sender,)


def _add_module(network: nn.Module, name: str, part: nn.Module) -> None:
    """Register a part under a name with dots: one plain module for each piece before the last."""
    *outer, last = name.split(".")
    place: nn.Module = network
    for piece in outer:
        inner = place._modules.get(piece)
        if inner is None:
            inner = nn.Module()
            _add_piece(place, name, piece, inner)
        elif type(inner) is not nn.Module:
            found = f"the node {piece!r}, which is a layer itself"
            raise GeodlError(f"the node {name!r} of a Network", found, "choose another name")
        place = inner
    _add_piece(place, name, last, part)


def _add_piece(place: nn.Module, name: str, piece: str, part: nn.Module) -> None:
    if hasattr(place, piece):
        found = f"{piece!r}, which a module of torch uses itself, or another node"
        raise GeodlError(f"the node {name!r} of a Network", found, "choose another name")
    place.add_module(piece, part)


def _check_read(node: Node, read: list[Any]) -> None:
    for name, value in zip(node.inputs, read, strict=True):
        if not isinstance(value, Signal):
            asked = f"the node {node.name!r} of a Network reading {name!r}"
            raise GeodlError(asked, f"a {type(value).__name__}", "layers and joins read Signals")


class ValuesRead(NamedTuple):
    """Asks whether what a node reads are signals."""

    node: Node

    def __call__(self, *read: Any) -> None:
        """Refuse anything else."""
        _check_read(self.node, list(read))

    def on_tensors(self) -> OnTensors:
        """Nothing is asked where signals were given."""
        return OnTensors(_first)


def _first(*read: Any) -> Any:
    return read[0]


def _join(name: str, *read: Signal) -> Signal:
    return join_signals(name, read)
