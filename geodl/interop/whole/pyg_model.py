"""Whole models of PyG as networks: their trace, converted call by call on one graph."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.pyg_pool import pooling_functions
from geodl.interop.whole.building import Builder
from geodl.interop.whole.door import CallForm, arguments_of
from geodl.interop.whole.graph_arguments import NAMED, Arguments, roles_of, unread
from geodl.interop.whole.graph_door import GraphDoor, Held, domain_of, edge_state
from geodl.interop.whole.graph_example import DO, Wanted, own_example
from geodl.interop.whole.graph_features import sparse_inputs, with_own_dropout
from geodl.interop.whole.importing import convert_calls, make_network, run_on_example
from geodl.interop.whole.layout import Atom, Layout, nodes
from geodl.interop.whole.self_check import Original, check_import
from geodl.interop.whole.tracing import Trace, trace_calls
from geodl.interop.whole.values import Links, Value
from geodl.layer import Network
from geodl.signal import Signal

# What a model may read of a `Data`, where no example says it.
ATTRIBUTES = ("x", "edge_index", "edge_weight", "edge_attr", "edge_type", "batch", "num_graphs")
ABSENT = ("x", "edge_index", "edge_attr", "batch", "pos", "y")  # what a `Data` says None of
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


def _import(module: nn.Module, example: Any) -> Network:
    asked = f"from_pyg({type(module).__name__})"
    _check_one_kind(asked, module)
    _check_channels_known(asked, module)
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
    free |= _unread_constants(twin, arguments, functions)
    values = {**given.values, **dict.fromkeys(arguments.absent())}
    values = {name: values[name] for name in arguments.flat() if name in values}
    try:
        examples = run_on_example(asked, trace, values)
    except GeodlError as error:
        if example is None:
            raise GeodlError(asked, error.args[1], DO) from error
        raise
    for part, original in zip(twin.modules(), module.modules(), strict=True):
        part.training = original.training
    free -= {name for name, role in roles.items() if role == "edge_index"}
    roles = {name: role for name, role in roles.items() if name not in free}
    inputs = GraphInputs(asked, values, roles, free)
    builder = Builder(module.training, inputs.first)
    calls = convert_calls(builder, trace, examples, inputs)
    builder.nodes = with_own_dropout(builder.nodes)

    held = Held(arguments.held(), arguments.needed())

    def door(entrances: Any, exits: Any, answer: Any) -> GraphDoor:
        form = CallForm(names, defaults, entrances, exits, answer)
        return GraphDoor(form, inputs.roles, free - set(arguments.absent()), held)

    network = make_network(asked, module, builder, trace, calls, values, door)
    network.door.may_be_sparse = sparse_inputs(network)
    check_import(asked, network, _original(module, names, given, example), trace)
    return network


def _original(module: nn.Module, names: tuple[str, ...], given: Given, example: Any) -> Original:
    """The model, and how it is called with its example."""
    if isinstance(example, tuple):
        return Original(module, example, {})
    if example is not None and given.holders:
        return Original(module, (example,), {})
    values = {name: given.values[name] for name in names if name in given.values}
    if given.holders:
        from torch_geometric.data import Data

        for name, attributes in given.holders.items():
            known = {key: one for key, one in attributes.items() if one is not None}
            values[name] = Data.from_dict(known)
    return Original(module, (), values)


def _check_one_kind(asked: str, module: nn.Module) -> None:
    """Refuse several kinds of nodes: PyG keeps their parts in dictionaries of its own."""
    for part in module.modules():
        if type(part).__module__ == "torch_geometric.nn.module_dict":
            do = "convert its layers one by one, and call them with relations of "
            do += "interop.from_hetero(data)"
            raise GeodlError(asked, "parts for several kinds of nodes or edges", do)


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
) -> frozenset[str]:
    """The arguments that a model is tried without, and would not read.

    All are opened at once, since one may be read only beside another; of the graph's own alone,
    too, in case that no trace can have all.
    """
    known, found = arguments.constants, frozenset[str]()
    every = [name for name in known if name not in arguments.holders]
    for opened in ([name for name in every if name in NAMED], every):
        kept = {name: value for name, value in known.items() if name not in opened}
        tried = Arguments(arguments.names, arguments.defaults, kept, arguments.holders)
        found |= unread(trace_calls(module, {}, functions, tried)) & set(opened)
    return found


class GraphInputs:
    """What stands for the arguments of a model of PyG: values on the nodes of one graph, and the
    links and members that its domain holds.

    Args:
        asked: the call in words, for errors.
        given: the example's values by name.
        roles: of those that the domain holds, and of the features of edges.
        free: those that the model never reads.
    """

    def __init__(
        self, asked: str, given: dict[str, Any], roles: dict[str, str], free: frozenset[str]
    ):
        self.given = given
        self.roles = {name: role for name, role in roles.items() if name in given}
        of_role = {role: given[name] for name, role in self.roles.items()}
        features = [name for name, value in given.items() if self._is_feature(name, value)]
        features = [name for name in features if name not in free]
        if not features or not isinstance(of_role.get("edge_index"), Tensor):
            found = f"the arguments {', '.join(given)}"
            do = "give a model of (x, edge_index, ...), or of a Data"
            raise GeodlError(asked, found, do)
        count = given[features[0]].shape[0]
        features = [name for name in features if given[name].shape[0] == count]
        domain = domain_of(count, of_role)
        edges = edge_state(of_role.get("edge_attr"))
        self.values = {name: _on_nodes(name, given[name], domain, edges) for name in features}
        self.roles |= dict.fromkeys(features, "node")
        self.first = self.values[features[0]]

    def value(self, node: fx.Node) -> Any:
        """The value of an argument."""
        name = str(node.target)
        if name in self.values:
            return self.values[name]
        given = self.given.get(name)
        if given is not None and name in self.roles:
            return Links(self.roles[name], given, self.first)
        if isinstance(given, Tensor):
            return Value(name, None, given)
        return given

    def _is_feature(self, name: str, given: Any) -> bool:
        if name in self.roles or not isinstance(given, Tensor):
            return False
        tokens = given.dtype == torch.long and given.dim() == 1
        return tokens or (given.is_floating_point() and given.dim() == 2)


def _on_nodes(name: str, x: Tensor, domain: Domain, edges: Tensor | None) -> Value:
    """A tensor `[N, C]`, or tokens `[N]`, as a value on the graph."""
    dims: tuple[Any, ...] = (nodes(1),)
    values = x[None, :, None]
    if x.dim() == 2:
        dims = (nodes(1), (Atom("channel", 0, x.shape[1]),))
        values = x[None]
    return Value(name, Layout(dims, "set"), x, Signal(values, domain, edges))
