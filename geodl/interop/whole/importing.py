"""A whole model of torch as a network: its trace, converted call by call."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn

from geodl.errors import GeodlError
from geodl.interop.parametrized import copy_model, copy_modes, replace_hooks
from geodl.interop.whole.building import Builder
from geodl.interop.whole.door import CallForm, Entrance, TensorDoor, arguments_of
from geodl.interop.whole.entries import changes_in_place, is_place
from geodl.interop.whole.example_run import run_on_example
from geodl.interop.whole.exporting import export_calls
from geodl.interop.whole.giving_back import origin_of
from geodl.interop.whole.guesses import entry_layout
from geodl.interop.whole.layout import Layout
from geodl.interop.whole.lengths import as_scalar
from geodl.interop.whole.on_tensors import Slot, fill
from geodl.interop.whole.one_node import as_one_node, set_modes
from geodl.interop.whole.opaque_calls import tensor_of
from geodl.interop.whole.self_check import Imported, Original, check_import
from geodl.interop.whole.structures import leaves, replace_leaves
from geodl.interop.whole.tracing import OWN_TENSOR, Trace, bind, slots, trace_calls
from geodl.interop.whole.values import Call, Length, Scalar, Scores, Size, Untraced, Value
from geodl.layer import Network


def import_model(module: nn.Module, example: Any) -> Network:
    """A model as a network that is called as the model is.

    Args:
        module: the model, which stays as it is.
        example: its arguments: a tensor, or a tuple of them.

    Raises:
        GeodlError: if the model fails on the example.
    """
    asked = f"from_torch({type(module).__name__}, example)"
    args = example if isinstance(example, tuple) else (example,)
    twin = copy_model(module)
    replace_hooks(twin)
    given = _bound(asked, twin, args)
    constants = {name: value for name, value in given.items() if not _holds_tensors(value)}
    trace = trace_calls(twin, constants)
    if trace.graph is None:
        trace = export_calls(twin, given, trace.reasons[""])
    if trace.graph is None:
        network = as_one_node(module, trace, given)
        check_import(Imported(asked, network, trace, {}), Original(module, args, {}))
        return network
    examples = run_on_example(asked, trace, given)
    copy_modes(twin, module)
    builder = Builder(module.training)
    values = convert_calls(builder, trace, examples, Inputs(trace.module, given))
    names, defaults = arguments_of(module)

    def door(entrances: Any, exits: Any, form: Any) -> TensorDoor:
        return TensorDoor(CallForm(names, defaults, entrances, exits, form))

    network = make_network(asked, module, builder, trace, values, given, door)
    made = Imported(asked, network, trace, builder.places)
    check_import(made, Original(module, args, {}))
    return network


class Inputs:
    """What stands for the arguments of a model of torch.

    Args:
        module: the model.
        given: the example's arguments by name.
    """

    def __init__(self, module: nn.Module, given: dict[str, Any]):
        self.module = module
        self.given = given

    def value(self, node: fx.Node) -> Any:
        """The value of an argument, by what its first reader makes of it."""
        name = str(node.target)
        given = self.given.get(name)
        if not isinstance(given, Tensor):
            return given
        layout = entry_layout(self.module, node, given)
        if layout is None:
            return Value(name, None, given)
        return Value(name, layout, given, layout.to_signal(given))


def convert_calls(
    builder: Builder, trace: Trace, examples: dict[fx.Node, Any], inputs: Any
) -> dict[fx.Node, Any]:
    """What stands for the answer of every call of a trace."""
    assert trace.graph is not None
    values: dict[fx.Node, Any] = {}
    for node in trace.graph.nodes:
        if node.op == "placeholder":
            # A part may have the name of an argument.
            builder.reserve(str(node.target).lstrip("*"))
            values[node] = inputs.value(node)
        elif node.op == "get_attr":
            values[node] = _constant(builder, trace.module, node)
        elif node.op != "output":
            call = _call(builder, trace, node, values, examples)
            before = set(builder.nodes)
            values[node] = builder.convert(call)
            builder.places |= dict.fromkeys(builder.nodes.keys() - before, node.meta.get("place"))
            _rename(builder, call, values[node])
    return values


def _rename(builder: Builder, call: Call, answer: Any) -> None:
    """Let later calls read what a function in place made of its first argument; a converted module
    leaves its input as it is.
    """
    first = next(iter(call.args), None)
    if not isinstance(first, Value) or not isinstance(answer, Value):
        return
    if call.module is None and changes_in_place(call) and answer.name != first.name:
        builder.renamed.setdefault(first.name, answer)


def _call(
    builder: Builder,
    trace: Trace,
    node: fx.Node,
    values: dict[fx.Node, Any],
    examples: dict[fx.Node, Any],
) -> Call:
    slotted = slots(node)
    found = [current(builder, values[inner]) for inner in slotted.read]
    function: Any = node.target
    module = None
    name = _readable_name(node)
    if node.op == "call_module":
        function, module = None, trace.module.get_submodule(str(node.target))
        name = str(node.target)
        if name in trace.reasons:
            module = Untraced(module, trace.reasons[name])
    args, kwargs = fill((slotted.args, slotted.kwargs), found)
    in_training = None
    if slotted.in_training is not None:
        in_training = fill(slotted.in_training, found)
    return Call(name, function, module, args, kwargs, examples.get(node), _used(node), in_training)


def current(builder: Builder, value: Any) -> Any:
    """A value as it is now: what a call in place made of it, seen through its layout."""

    def renamed(leaf: Any) -> Any:
        while isinstance(leaf, Value) and leaf.name in builder.renamed:
            new = builder.renamed[leaf.name]
            if leaf.layout is None or new.signal is None:
                # A tensor that is no signal is what the call answered.
                leaf = new
                continue
            if new.on.shape != leaf.on.shape:
                break
            tensor = leaf.layout.to_tensor(new.on)
            leaf = Value(new.name, leaf.layout, tensor, new.signal)
        return leaf

    return replace_leaves(value, renamed)


def _readable_name(node: fx.Node) -> str:
    """The path of the part that a call stands in, and the name of what is called."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if path]
    name = getattr(node.target, "__name__", str(node.target)).strip("_") or "call"
    return ".".join([*paths[-1:], name])


def _used(node: fx.Node) -> frozenset[int] | None:
    """The entries of an answer that are read, where nothing else of it is."""
    indices = set()
    for user in node.users:
        if not _is_entry(user, node):
            return None
        # `y, (h, c) = ...` takes every entry, and reads one.
        if not _is_unread(user):
            indices.add(ENTRIES.get(str(user.args[1]), user.args[1]))
    return frozenset(indices)


ENTRIES = {"values": 0, "indices": 1}  # of `x.max(dim)` and the like


def _is_entry(user: fx.Node, node: fx.Node) -> bool:
    if user.target is getattr and user.args[0] is node:
        return user.args[1] in ENTRIES
    item = getattr(user.target, "__name__", "") == "getitem"
    return item and user.args[0] is node and isinstance(user.args[1], int)


def _is_unread(node: fx.Node) -> bool:
    """Whether nothing reads an entry, nor entries of it."""
    return all(_is_entry(user, node) and _is_unread(user) for user in node.users)


def _constant(builder: Builder, module: nn.Module, node: fx.Node) -> Any:
    path = str(node.target)
    owner: Any = module
    *outer, last = path.split(".")
    for piece in outer:
        owner = getattr(owner, piece)
    value = getattr(owner, last)
    if not isinstance(value, Tensor):
        return value
    # What a forward makes itself is in no state.
    saved = not last.startswith(OWN_TENSOR)
    saved = saved and last not in getattr(owner, "_non_persistent_buffers_set", ())
    return builder.constant(path, value, saved=saved)


def make_network(
    asked: str,
    module: nn.Module,
    builder: Builder,
    trace: Trace,
    values: dict[fx.Node, Any],
    given: dict[str, Any],
    door: Callable[..., Any],
) -> Network:
    """The network of what the answer needs.

    Args:
        asked: the call in words, for errors.
        module: the original.
        builder: with the nodes of all calls.
        trace: of the original.
        values: what stands for the answer of each call.
        given: the example's arguments by name.
        door: makes the door of the network from entrances, exits and the form of the answer.

    Raises:
        GeodlError: if the answer does not depend on the arguments.
    """
    assert trace.graph is not None
    form, outputs, exits = _answer(builder, trace, values)
    nodes, inputs = needed(builder.nodes, outputs)
    nodes = builder.owners.tie(asked, nodes)
    builder.note_readers(nodes)
    names = short_names(nodes, inputs, builder.numbered)
    nodes = {
        names[name]: (part, *(names.get(one, one) for one in read))
        for name, (part, *read) in nodes.items()
    }
    outputs = [names[name] for name in outputs]
    builder.places = {names[name]: builder.places.get(name) for name in names}
    # Of the arguments themselves: a view of one has its name, too.
    arguments = [values[node] for node in trace.graph.nodes if node.op == "placeholder"]
    by_name = {v.name: v for v in arguments if isinstance(v, Value)}
    entrances = []
    for name, constant in given.items():
        if name in inputs:
            entrances.append(Entrance(name, True, by_name[name].layout, None))
        else:
            entrances.append(Entrance(name, False, None, constant))
    ordered = [entrance.name for entrance in entrances if entrance.input]
    if not ordered or not outputs:
        raise GeodlError(
            asked,
            "an answer that does not depend on the example's tensors",
            "give an example with the tensors that the model reads",
        )
    answered: Any = tuple(outputs)
    if len(outputs) == 1:
        answered = outputs[0]
    entry = door(tuple(entrances), tuple(exits), form)
    network = Network(tuple(ordered), nodes, answered, door=entry)
    paths = {node.name: node.path for node in network.nodes}
    stands = {}
    for path, stand in builder.stands.items():
        name = names.get(stand.path, "")
        stands[path] = stand._replace(path=paths.get(name, ""))
    entry.origin = origin_of(trace.graph, stands, module)
    set_modes(network, module.training)
    return network


def _answer(
    builder: Builder, trace: Trace, values: dict[fx.Node, Any]
) -> tuple[Any, list[str], list[tuple[int, Layout | None]]]:
    """The form of a model's answer with a slot for each tensor, the nodes that give them, and for
    each slot which of these nodes it is and how it is read.
    """
    assert trace.graph is not None
    output = next(node for node in trace.graph.nodes if node.op == "output")
    slotted = slots(output)
    found = [current(builder, values[node]) for node in slotted.read]
    answer = fill(slotted.args[0], found)
    outputs: list[str] = []
    exits: list[tuple[int, Layout | None]] = []

    def exit_of(leaf: Any) -> Any:
        if isinstance(leaf, Scores):
            leaf = tensor_of(builder, leaf)
        if isinstance(leaf, Size | Length):
            leaf = as_scalar(builder, leaf)
        if not isinstance(leaf, Value | Scalar):
            return leaf
        name = _node_of(builder, leaf)
        if name not in outputs:
            outputs.append(name)
        exits.append((outputs.index(name), getattr(leaf, "layout", None)))
        return Slot(len(exits) - 1)

    return replace_leaves(answer, exit_of), outputs, exits


def _node_of(builder: Builder, value: Value | Scalar) -> str:
    """The node that gives a value; an argument that is answered as it is gets one."""
    if value.name in builder.nodes:
        return value.name
    return builder.add(f"{value.name}_as_it_is", nn.Identity(), [value.name])


def needed(
    nodes: dict[str, tuple[Any, ...]], outputs: list[str]
) -> tuple[dict[str, tuple[Any, ...]], set[str]]:
    """The nodes that outputs depend on, and the inputs among what they read."""
    wanted: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in wanted:
            continue
        wanted.add(name)
        if name in nodes:
            waiting += nodes[name][1:]
    kept = {name: node for name, node in nodes.items() if name in wanted}
    return kept, wanted - kept.keys()


def short_names(
    nodes: dict[str, tuple[Any, ...]], inputs: set[str], numbered: dict[str, str]
) -> dict[str, str]:
    """The names of the nodes that are kept: without the number that told one from a node that is
    not.
    """
    short: dict[str, str] = {}
    taken = {*nodes, *inputs}
    for name in nodes:
        base = numbered.get(name, name)
        short[name] = name
        if base not in taken and not is_place(base, taken):
            short[name] = base
            taken.add(base)
    return short


def _bound(asked: str, module: nn.Module, args: tuple[Any, ...]) -> dict[str, Any]:
    if not any(isinstance(value, Tensor) for value in args):
        found = f"an example of {[type(value).__name__ for value in args]}"
        raise GeodlError(asked, found, "give the tensors that the model is called with")
    try:
        return bind(module, args, {})
    except TypeError as error:
        raise GeodlError(asked, str(error), "give the model's arguments in order") from None


def _holds_tensors(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in leaves(value))


def first_channels(module: nn.Module) -> int | None:
    """The channels that the first part of a module reads; None where none says it."""
    for part in module.modules():
        for name in ("in_channels", "in_features"):
            channels = getattr(part, name, None)
            if isinstance(channels, int) and channels > 0:
                return channels
    return None
