"""Whole models of PyG as networks: their trace, converted call by call on one graph."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from geodl.errors import GeodlError
from geodl.interop.pyg_pool import pooling_functions
from geodl.interop.whole.building import Builder
from geodl.interop.whole.door import CallForm, arguments_of
from geodl.interop.whole.graph_arguments import (
    NAMED,
    Arguments,
    ignored,
    left_out,
    roles_of,
    unread,
)
from geodl.interop.whole.graph_door import GraphDoor, Held, pairs_of
from geodl.interop.whole.graph_example import DO, Wanted, own_example
from geodl.interop.whole.graph_features import sparse_inputs, with_own_dropout
from geodl.interop.whole.graph_inputs import try_sizes
from geodl.interop.whole.importing import convert_calls, make_network
from geodl.interop.whole.self_check import Imported, Original, check_import
from geodl.interop.whole.tracing import Trace, trace_calls
from geodl.layer import Network

# What a model may read of a `Data`, where no example says it.
ATTRIBUTES = ("x", "edge_index", "edge_weight", "edge_attr", "edge_type", "batch", "num_graphs")
# What a `Data` says None of.
ABSENT = ("x", "edge_index", "edge_weight", "edge_attr", "batch", "pos", "y")
Functions = tuple[Callable[..., Any], ...]


class Given(NamedTuple):
    """What a model is tried with.

    Attributes:
        values: of its arguments by name, and of what it reads of a `Data`.
        holders: its arguments that are a `Data`, with the attributes of each.
    """

    values: dict[str, Any]
    holders: dict[str, dict[str, Any]]


def import_graph_model(module: nn.Module, example: Any = None) -> Network:
    """A model of PyG as a network that takes Signals on graphs, or PyG's own arguments.

    Args:
        module: the model, which stays as it is.
        example: its arguments, or a `Data` with all of them; by default a ring of six nodes, in two
            members where the model reads `batch`.

    Raises:
        GeodlError: if no example can be made; if the model fails on it, or cannot be followed.
    """
    with rows_with_names():
        return _import(module, example)


@contextmanager
def rows_with_names() -> Iterator[None]:
    """A block after which PyG's `Sequential` is as it was: each one that is made or copied gives
    its forward to the class.
    """
    from torch_geometric.nn import Sequential

    forward = Sequential.forward
    try:
        yield
    finally:
        Sequential.forward = forward


def _name_arguments(module: nn.Module) -> None:
    """Let every `Sequential` of PyG write its forward anew, with the names of its arguments.

    It does so when it is made, unless its caller's file is no module that can be imported.
    """
    for part in reversed(list(module.modules())):
        write: Any = getattr(part, "_set_jittable_template", None)
        if write is not None:
            part._caller_module = "torch"  # pyright: ignore[reportArgumentType] - PyG's attribute
            write(raise_on_error=True)


class Followed(NamedTuple):
    """A model of PyG whose calls are known.

    Attributes:
        twin: a copy, whose parts the calls name.
        arguments: of its forward.
        given: the example.
        trace: its calls.
        values: of the example, those that are a `Data` taken apart.
        roles: of the arguments that the domain and the edges hold.
        free: the arguments that it never reads.
        opened: the roles of those that it was followed without.
    """

    twin: nn.Module
    arguments: Arguments
    given: Given
    trace: Trace
    values: dict[str, Any]
    roles: dict[str, str]
    free: frozenset[str]
    opened: dict[str, str]


def _import(module: nn.Module, example: Any) -> Network:
    asked = f"from_pyg({type(module).__name__})"
    _check_one_kind(asked, module, example)
    _check_channels_known(asked, module)
    followed = _follow(asked, module, example)
    arguments, given, trace = followed.arguments, followed.given, followed.trace
    absent = set(arguments.absent())
    free = followed.free - absent
    try:
        tried = try_sizes(asked, trace, followed.values, followed.roles, followed.free)
    except GeodlError as error:
        if example is None:
            raise GeodlError(asked, error.args[1], DO) from error
        raise
    for part, original in zip(followed.twin.modules(), module.modules(), strict=True):
        part.training = original.training
    inputs = tried.inputs
    builder = Builder(module.training, inputs.first, tried.varying)
    calls = convert_calls(builder, trace, tried.answers, inputs)
    builder.nodes = with_own_dropout(builder.nodes)
    names, defaults = arguments.names, arguments.defaults

    def door(entrances: Any, exits: Any, answer: Any) -> GraphDoor:
        form = CallForm(names, defaults, entrances, exits, answer)
        held = Held(arguments.held(), arguments.needed())
        return GraphDoor(form, inputs.roles, free, held)

    network = make_network(asked, module, builder, trace, calls, followed.values, door)
    network.door.may_be_sparse = sparse_inputs(network)
    known = {**followed.roles, **followed.opened, **{name: NAMED.get(name, "") for name in absent}}
    known = {name: role for name, role in known.items() if name not in free}
    network.door.left_out = left_out(trace, known, followed.values)
    made = Imported(asked, network, trace, builder.places)
    check_import(made, _original(module, names, given, example))
    if tried.values is not None:
        longer = given._replace(values={**given.values, **tried.values})
        check_import(made, _by_name(module, names, longer), OTHER_SIZES)
    return network


def _follow(asked: str, module: nn.Module, example: Any) -> Followed:
    """The calls of a model, and what its arguments are.

    Raises:
        GeodlError: if no example can be made; if the model cannot be followed.
    """
    twin = copy.deepcopy(module)
    _name_arguments(twin)
    names, defaults = arguments_of(twin)
    functions = pooling_functions()
    if example is None:
        given = _own(asked, twin, names, defaults, functions)
    else:
        given = _bound(names, defaults, example)
    constants = _constants(names, given.values)
    arguments = Arguments(names, defaults, constants, given.holders)
    trace = trace_calls(twin, {}, functions, arguments)
    if trace.graph is None:
        found = f"a forward that cannot be followed: {trace.reasons['']}"
        raise GeodlError(asked, found, "convert its parts one by one")
    roles, free = roles_of(trace, functions), unread(trace) - constants.keys()
    unasked, opened = _unread_constants(twin, arguments, functions)
    free |= unasked
    values = {**given.values, **dict.fromkeys(arguments.absent())}
    values = {name: values[name] for name in arguments.flat() if name in values}
    _make_dense(values, roles)
    free -= {name for name, role in roles.items() if role == "edge_index"}
    roles = {name: role for name, role in roles.items() if name not in free}
    return Followed(twin, arguments, given, trace, values, roles, free, opened)


OTHER_SIZES = "a graph of another size"


def _original(module: nn.Module, names: tuple[str, ...], given: Given, example: Any) -> Original:
    """The model, and how it is called with its example."""
    if isinstance(example, tuple):
        return Original(module, example, {})
    if example is not None and given.holders:
        return Original(module, (example,), {})
    return _by_name(module, names, given)


def _by_name(module: nn.Module, names: tuple[str, ...], given: Given) -> Original:
    """The model, and values of its arguments by name."""
    values = {name: given.values[name] for name in names if name in given.values}
    if given.holders:
        from torch_geometric.data import Data

        for name, attributes in given.holders.items():
            known = {key: given.values.get(key, one) for key, one in attributes.items()}
            known = {key: one for key, one in known.items() if one is not None}
            values[name] = Data.from_dict(known)
    return Original(module, (), values)


def _make_dense(values: dict[str, Any], roles: dict[str, str]) -> None:
    """Replace a sparse adjacency by its links, which a call of the import reads of it as well."""
    for name, role in roles.items():
        value = values.get(name)
        if role == "edge_index" and isinstance(value, Tensor):
            values[name] = pairs_of(value)


def _check_one_kind(asked: str, module: nn.Module, example: Any) -> None:
    """Refuse several kinds of nodes: PyG keeps their parts in dictionaries of its own, and their
    tensors in dictionaries or a `HeteroData`.
    """
    kinds = {type(part).__module__ for part in module.modules()}
    found = ""
    if "torch_geometric.nn.module_dict" in kinds:
        found = "parts for several kinds of nodes or edges"
    args = example if isinstance(example, tuple) else (example,)
    if any(isinstance(value, dict) or hasattr(value, "x_dict") for value in args):
        found = "an example of several kinds of nodes or edges"
    if found:
        do = "convert its layers one by one, and call them with relations of "
        do += "interop.from_hetero(data)"
        raise GeodlError(asked, found, do)


def _check_channels_known(asked: str, module: nn.Module) -> None:
    """Refuse parts of `-1` channels, whose parameters PyG makes at their first call."""
    for name, parameter in module.named_parameters():
        if is_lazy(parameter):
            do = "run it once, model(x, edge_index), so that its channels are known"
            raise GeodlError(asked, f"{name}, of channels that no call has told yet", do)


def _constants(names: tuple[str, ...], values: dict[str, Any]) -> dict[str, Any]:
    """The arguments that stay as they are in a trace."""
    found = {}
    for name in names:
        value = values.get(name)
        is_count = NAMED.get(name) == "num_graphs" and value is not None
        if name in values and not isinstance(value, Tensor) and not is_count:
            found[name] = value
    return found


def _bound(names: tuple[str, ...], defaults: dict[str, Any], example: Any) -> Given:
    """An example by the names of a model's arguments."""
    args = example if isinstance(example, tuple) else (example,)
    given = dict(defaults)
    if len(args) == 1 and _is_data(example) and "edge_index" in names:
        attributes = _attributes(example)
        given |= {name: attributes[name] for name in names if attributes.get(name) is not None}
    else:
        given |= dict(zip(names, args, strict=False))
    values, holders = {}, {}
    for name in names:
        value = given.get(name)
        if _is_data(value):
            holders[name] = _attributes(value)
            values |= holders[name]
        else:
            values[name] = value
    return Given(values, holders)


def _is_data(value: Any) -> bool:
    from torch_geometric.data import Data

    return isinstance(value, Data)


def _attributes(data: Any) -> dict[str, Any]:
    """What a model may read of a `Data`: its attributes, and None of the usual ones it lacks."""
    known = dict.fromkeys(ABSENT) | data.to_dict()
    if known.get("batch") is not None:
        known["num_graphs"] = data.num_graphs
    return known


def _own(
    asked: str,
    module: nn.Module,
    names: tuple[str, ...],
    defaults: dict[str, Any],
    functions: Functions,
) -> Given:
    """An example of ours, of what a first trace finds that the model reads."""
    required = [name for name in names if name not in defaults]
    constants = {name: value for name, value in defaults.items() if name not in NAMED}
    holder = ""
    if len(required) == 1 and "edge_index" not in names and required[0] != "x":
        # The only thing it is called with holds a graph.
        holder = required[0]
    holders: dict[str, dict[str, Any]] = {}
    if holder:
        holders[holder] = dict.fromkeys(ATTRIBUTES, True)
    arguments = Arguments(names, defaults, constants, holders)
    trace = trace_calls(module, {}, functions, arguments)
    if trace.graph is None and holder:
        raise GeodlError(asked, f"a forward that cannot be followed: {trace.reasons['']}", DO)
    if trace.graph is None:
        roles = {name: NAMED[name] for name in names if name in NAMED}
        needed = [name for name in required if name not in NAMED]
    else:
        roles = roles_of(trace, functions)
        needed = [name for name in _inputs(trace) if name not in roles]
        needed = [name for name in needed if name not in unread(trace) and name not in constants]
    if "edge_index" not in roles.values():
        found = f"the arguments {', '.join(names)}"
        do = "give a model of (x, edge_index, ...), or of a Data"
        raise GeodlError(asked, found, do)
    values = own_example(asked, Wanted(trace, roles, functions), needed)
    if holder:
        holders[holder] = {name: values.get(name) for name in ATTRIBUTES}
    return Given({**dict.fromkeys(required), **defaults, **values}, holders)


def _inputs(trace: Trace) -> list[str]:
    assert trace.graph is not None
    return [str(node.target) for node in trace.graph.nodes if node.op == "placeholder"]


def _unread_constants(
    module: nn.Module, arguments: Arguments, functions: Functions
) -> tuple[frozenset[str], dict[str, str]]:
    """The arguments that a model is tried without, and would not read; and what those would be that
    it would read.

    All are opened at once, since one may be read only beside another; of the graph's own alone,
    too, in case that no trace can have all.
    """
    known, found = arguments.constants, frozenset[str]()
    roles: dict[str, str] = {}
    every = [name for name in known if name not in arguments.holders]
    for opened in ([name for name in every if name in NAMED], every):
        kept = {name: value for name, value in known.items() if name not in opened}
        tried = Arguments(arguments.names, arguments.defaults, kept, arguments.holders)
        trace = trace_calls(module, {}, functions, tried)
        found |= unread(trace) & set(opened)
        if trace.graph is not None:
            roles |= roles_of(trace, functions)
            roles |= dict.fromkeys(ignored(trace, functions), "")
    return found, {name: role for name, role in roles.items() if name in every}
