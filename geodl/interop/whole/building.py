"""From a trace to a network: one call after another, each by its converter or as it is."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from geodl.errors import GeodlError
from geodl.interop.conversion import check_part, check_shared
from geodl.interop.converters import Converter, Library
from geodl.interop.parametrized import from_parametrized
from geodl.interop.whole import layout as layouts
from geodl.interop.whole.channel_order import in_order
from geodl.interop.whole.entries import (
    agrees_with,
    allowed_name,
    changes_in_place,
    copy_of,
    entries_of,
    is_place,
    layout_after,
    learning_node,
    same_places,
)
from geodl.interop.whole.failures import Place
from geodl.interop.whole.giving_back import Stand, axes_of, lattice_of, options_of
from geodl.interop.whole.guesses import default_layout
from geodl.interop.whole.layout import Atom, Layout
from geodl.interop.whole.lengths import length_of
from geodl.interop.whole.on_tensors import Constant, OnTensors, Slot, close, identity, size_of
from geodl.interop.whole.opaque_calls import opaque_call, read_scores
from geodl.interop.whole.owners import Owners
from geodl.interop.whole.places import where_accepted
from geodl.interop.whole.rearrange import Rearrange
from geodl.interop.whole.structures import holds_values
from geodl.interop.whole.values import Call, Scalar, Size, Untraced, Value
from geodl.layer import Network, evaluated
from geodl.layer.opaque import Opaque

# What a converter raises of a call in a form that it does not know: it stays as it is then.
REFUSALS = (GeodlError, TypeError, ValueError, AttributeError, LookupError)
READ = "a tensor that the model reads by itself"


class Builder:
    """Collects the nodes of a network while the calls of a model are converted.

    Each converted call is run on the example at once and compared with what the model had there: a
    layer that differs is not taken.

    Args:
        training: whether the model is in training mode.
        graph: a value on the nodes of the graph, of a model on one.
        varying: how many nodes and links the example has, where no channels are as many.

    Attributes:
        nodes: of the network, by name.
        renamed: what a call in place made of a value, by the name of its node.
        stands: what stands for each part of the model, by its path.
        numbered: the name that each node would have had.
        values: what layers and joins make, by the names of their nodes.
        places: the lines of the model that the nodes stand for.
    """

    def __init__(
        self, training: bool, graph: Value | None = None, varying: frozenset[int] = frozenset()
    ):
        self.graph = graph
        self.varying = varying
        self.nodes: dict[str, tuple[Any, ...]] = {}
        self.training = training
        self.renamed: dict[str, Value] = {}
        self.stands: dict[str, Stand] = {}
        self.numbered: dict[str, str] = {}
        self.values: dict[str, Value] = {}
        self.places: dict[str, Place | None] = {}
        self.owners = Owners()
        self._units: list[tuple[dict[str, Tensor], Any]] = []
        self._by_tensors: dict[Any, Any] = {}
        self._originals: dict[int, Tensor] = {}
        self._of_module = False
        self._taken: set[str] = set()
        self.links: dict[str, Value | Scalar] = {}
        self._parts: dict[tuple[int, bool], Any] = {}

    def convert(self, call: Call) -> Any:
        """What stands for the answer of a call."""
        if isinstance(call.module, Untraced):
            return self.opaque(call._replace(module=call.module.module), call.module.reason)
        plain = call.module is None and not isinstance(call.example, Tensor)
        if plain and not holds_values((call.args, call.kwargs)):
            return call.example
        length = length_of(call)
        if length is not None:
            return length
        reason = "no converter"
        if call.module is not None:
            reason = f"{type(call.module).__name__} has no converter"
        elif call.in_training is not None:
            reason = "no converter of what has other arguments in training"
        entry, traced, scored = entries_of(call)
        mark = dict(self.nodes)
        self._of_module = call.module is not None
        if scored is not None:
            scores = self._by_scores(call, scored)
            if scores is not None:
                self._note(call, mark, scores)
                return scores
        call = read_scores(self, call)
        mark = dict(self.nodes)
        module: Any = call.module
        try:
            if module is not None:
                check_part(call.name, module)
                check_shared(call.name, module)
            answer = None
            if traced is not None:
                answer = traced.convert(self, call)
            if answer is None and entry is not None:
                answer = self._by_layer(call, entry)
            if answer is not None and agrees_with(answer, call.example):
                self._note(call, mark, answer)
                self._own(call, mark)
                return answer
        except REFUSALS as error:
            reason = str(error)
        self.nodes = mark
        self._units = []
        opaque = self.opaque(call, reason)
        self._own(call, mark)
        return opaque

    def _by_scores(self, call: Call, entry: Converter) -> Any:
        """What a converter of scores makes of a call; None where it is none of theirs."""
        mark = dict(self.nodes)
        try:
            return entry.convert(self, call)
        except REFUSALS:
            self.nodes = mark
            return None

    def _note(self, call: Call, before: dict[str, Any], answer: Any) -> None:
        """Note which node stands for the part of the model that is called."""
        module: Any = call.module
        if module is None or call.name in self.stands:
            return
        library: Library = "torch"
        if type(module).__module__.startswith("torch_geometric"):
            library = "pyg"
        first = answer[0] if isinstance(answer, tuple) else answer
        name = getattr(first, "name", "")
        if name not in self.nodes or name in before:
            # An answer of several, of which this one is not read, or cut out of all.
            name = learning_node(self.nodes, before)
        parameters = next(module.parameters(), None)
        if parameters is None:
            self.stands[call.name] = Stand("", library, module=copy.deepcopy(module))
        elif name:
            read = call.args[0] if call.args else None
            axes = axes_of(module)
            domain = lattice_of(getattr(getattr(read, "signal", None), "domain", None), axes)
            options = options_of(module)
            self.stands[call.name] = Stand(name, library, domain, axes, options=options)

    def _own(self, call: Call, before: dict[str, Any]) -> None:
        """Note which nodes keep copies of the model's parameters."""
        module: Any = call.module
        if module is not None:
            self._units.append((dict(module.named_parameters()), id(module)))
        names = self.nodes.keys() - before.keys()
        for tensors, unit in self._units:
            self.owners.add(tensors, unit, names)
        self._units = []

    def _by_layer(self, call: Call, entry: Converter) -> Value | None:
        """A call of one tensor as a layer in its place."""
        first, *others = call.args or (None,)
        if not isinstance(first, Value) or any(holds_values(one) for one in (others, call.kwargs)):
            return None
        if call.module is None:
            part = entry.convert(*others, **call.kwargs)
        elif others or call.kwargs:
            return None
        else:
            part = self.once(call.module, entry.convert)
        if part is None:
            return None
        inplace = changes_in_place(call)
        answer = self.apply(call.name, part, self.read(first, entry.reads), call.example)
        if inplace:
            self.renamed[first.name] = answer
        return answer

    def opaque(self, call: Call, reason: str) -> Any:
        """A call as it is, on the tensors."""
        return opaque_call(self, call, reason)

    def add(self, name: str, part: Any, read: list[str]) -> str:
        """Add a node under its name, or one like it that is free."""
        name = allowed_name(name)
        prefixes = {name[:k] for k, letter in enumerate(name) if letter == "."}
        if prefixes & self._taken or is_place(name, self._taken):
            # A layer is no place for other layers.
            name = name.replace(".", "_")
        free, count = name, 1
        while free in self._taken or is_place(free, self._taken):
            free, count = f"{name}_{count}", count + 1
        self._taken.add(free)
        self.numbered[free] = name
        self.nodes[free] = (part, *read)
        return free

    def reserve(self, name: str) -> None:
        """Keep a name for an input of the network."""
        self._taken.add(name)

    def once(self, module: Any, convert: Callable[..., Any]) -> Any:
        """The part that stands for a module, made at its first call and shared by later ones."""
        key = id(module), convert is copy_of
        if key not in self._parts:
            self._parts[key] = from_parametrized(module, partial(convert, on=None))
        return self._parts[key]

    def apply(
        self,
        name: str,
        part: nn.Module,
        value: Value,
        example: Tensor,
        layout: Layout | None = None,
        sender: Value | None = None,
    ) -> Value:
        """A layer, or a module on the list of pointwise ones, on a value.

        Args:
            name: of the node.
            part: the layer.
            value: what it reads.
            example: the tensor that the model has after it.
            layout: of that tensor; by default that of the value with as many channels as come out.
            sender: a second value that it reads, from which it receives.

        Raises:
            GeodlError: if the layer refuses the example, or differs from the model on it.
        """
        if sender is None:
            value = where_accepted(self, part, value)
        read = [value] if sender is None else [value, sender]
        signal = self.run(part, [one.on for one in read])
        if layout is None:
            layout = layout_after(value, signal)
        if not close(layout.to_tensor(signal), example):
            found = "other numbers than the model's on the example"
            raise GeodlError(f"the twin of {name}", found, "report the module")
        if not self._of_module or not list(part.parameters()):
            # A part that stands for a module has that one's mode.
            part.train(self.training)
        free = self.add(name, part, [one.name for one in read])
        self.values[free] = Value(free, layout, example, signal)
        return self.values[free]

    def join(self, name: str, how: str, values: list[Value], example: Tensor) -> Value:
        """A join of values in one layout on one domain."""
        signals = [value.on for value in values]
        network = Network(
            tuple(f"x{k}" for k in range(len(values))),
            {"y": (how, *(f"x{k}" for k in range(len(values))))},
        )
        with torch.no_grad():
            signal = network(*signals)
        layout = values[0].kept
        if how == "cat":
            layout = layout.merged().with_channels(signal.x.shape[2])
        free = self.add(name, how, [value.name for value in values])
        self.values[free] = Value(free, layout, example, signal)
        return self.values[free]

    @torch.no_grad()
    def run(self, part: nn.Module, signals: list[Any]) -> Any:
        """A part on the example's signals, in evaluation mode."""
        row = Network(
            tuple(f"x{k}" for k in range(len(signals))),
            {"y": (part, *(f"x{k}" for k in range(len(signals))))},
        )
        with evaluated(row):
            return row(*signals)

    def shared(
        self, tensors: dict[str, Tensor | None], options: Any, make: Callable[[], Any]
    ) -> Any:
        """The layer of some of the model's own tensors, made at the first call with them.

        Args:
            tensors: by their names in the layer's twin; "weight.T" of a transposed one.
            options: what else the layer is made with.
            make: makes it.
        """
        key = (tuple((name, id(tensor)) for name, tensor in tensors.items()), str(options))
        originals = {}
        for name, tensor in tensors.items():
            if id(tensor) in self._originals:
                originals[name] = self._originals[id(tensor)]
        self._units.append((originals, key))
        if key not in self._by_tensors:
            # The tensors stay alive as long as their addresses are keys.
            self._by_tensors[key] = (make(), tensors)
        return self._by_tensors[key][0]

    def note_table(self, source: Value, answer: Value) -> None:
        """Note that a layer stands for a table of the model."""
        for path, stand in self.stands.items():
            if stand.path == source.name:
                shape = tuple(source.tensor.shape)
                self.stands[path] = stand._replace(path=answer.name, entry="weight", shape=shape)

    def note_readers(self, nodes: dict[str, tuple[Any, ...]]) -> None:
        """Note which of the kept nodes stand for tensors that the model reads by itself."""
        for path, (node, entry) in self.owners.readers(nodes).items():
            if self.stands[path].path not in nodes:
                self.stands[path] = self.stands[path]._replace(path=node, entry=entry)

    def scalar(self, size: Size) -> Scalar:
        """A length as a node that finds it at each call."""
        reads = (size.value.layout,)
        part = Opaque(OnTensors(size_of, (Slot(0), size.dim), {}, reads), "the length of an axis")
        return Scalar(self.add("size", part, [size.value.name]), size.number)

    def constant(self, name: str, tensor: Tensor, *, saved: bool = True) -> Value:
        """A parameter or buffer of the model, copied; `saved` with its state, or not."""
        value = tensor.detach().clone()
        if isinstance(tensor, nn.Parameter):
            value = nn.Parameter(value, requires_grad=tensor.requires_grad)
        part = self._parts.setdefault((id(tensor), True), Opaque(Constant(value), READ))
        self._originals[id(part.function.value)] = tensor
        free = self.add(name, part, [])
        learns = isinstance(tensor, nn.Parameter)
        shape = tuple(tensor.shape)
        kept = None if learns else value
        stand = Stand(free, "torch", shape=shape, learns=learns, value=kept, saved=saved)
        self.stands[name] = stand
        self.owners.add({"value": tensor}, "constant", {free})
        self.owners.paths[id(tensor)] = name
        return Value(free, None, tensor.detach())

    def signal(self, value: Value, layout: Layout) -> Value:
        """A value as a signal: itself, or a plain tensor read in a layout."""
        if value.layout is not None:
            return value
        graph = self.graph
        if layout.num_channels in self.varying:
            found = f"shape {list(value.tensor.shape)}, as long as the graph on each axis"
            raise GeodlError(f"{value.name} read as a signal", found, "leave it a tensor")
        is_of_nodes = graph is not None and value.tensor.shape[:1] == graph.tensor.shape[:1]
        if graph is not None and is_of_nodes and value.tensor.dim() == 2:
            layout = Layout((layouts.nodes(1), (Atom("channel", 0, value.tensor.shape[1]),)), "set")
            made = OnTensors(identity, (Slot(0), Slot(1)), {}, (None, graph.layout), layout, 1)
            part = Opaque(made, "a tensor read anew")
            name = self.add(f"{value.name}_read", part, [value.name, graph.name])
            return Value(name, layout, value.tensor, layout.to_signal(value.tensor, graph.on))
        made = OnTensors(identity, (Slot(0),), {}, (None,), layout)
        name = self.add(f"{value.name}_read", Opaque(made, "a tensor read anew"), [value.name])
        return Value(name, layout, value.tensor, layout.to_signal(value.tensor))

    def read(self, value: Value, reads: str) -> Value:
        """A value whose signal has its channels where a module of torch reads them."""
        if value.layout is None:
            value = self.signal(value, default_layout(value.tensor, reads))
        if reads == "each":
            return value
        value = in_order(self, value)
        layout, dims = value.kept, value.tensor.dim()
        at = layout.channel_dim()
        if reads == "last" and at is not None and at == dims - 1:
            return value
        if reads == "second" and at == 1:
            return value
        if reads == "planes" and layout.is_planes(dims - 2):
            return value
        return self.rearrange(value, default_layout(value.tensor, reads))

    def rearrange(self, value: Value, made: Layout, like: Value | None = None) -> Value:
        """The same tensor as a signal in another layout, on the nodes of `like` where it is
        given.
        """
        if layouts.same_numbers(value.kept, made) and like is None and same_places(value, made):
            return value
        part = Rearrange(value.kept, made)
        if like is None:
            return self.apply(f"{value.name}_rearranged", part, value, value.tensor, made)
        name = f"{value.name}_rearranged"
        return self.apply(name, part, like, value.tensor, made, sender=value)
