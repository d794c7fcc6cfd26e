"""What the arguments of a model on graphs are: features of nodes, links, weights, members."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import fx, nn

from geodl.domain.graph import EDGE_VALUES
from geodl.interop.whole.tracing import CallTracer, Trace

# What an argument of PyG's own parts means, by its name there.
MEANINGS = {
    "edge_index": "edge_index",
    "edge_weight": "edge_weight",
    "edge_attr": "edge_attr",
    "edge_type": "edge_type",
    "batch": "batch",
    "index": "batch",
    "batch_size": "num_graphs",
    "num_graphs": "num_graphs",
    "size": "num_graphs",
    "dim_size": "num_graphs",
}
# The same of arguments of a model that no part reads as it is.
NAMED = {name: MEANINGS[name] for name in MEANINGS if name not in ("index", "size", "dim_size")}


class DataView:
    """Stands for a `Data` in a trace: each of its tensors that is read is an argument of its own.

    Args:
        known: its attributes by name: tensors, None of those that it lacks, plain values.
        tracer: that follows the model.
    """

    def __init__(self, known: dict[str, Any], tracer: CallTracer):
        self._known = known
        self._tracer = tracer
        self._read: dict[str, Any] = {}
        self._lacking: set[str] = set()
        self._needed: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._read:
            return self._read[name]
        if name == "num_nodes":
            return self.x.size(0)
        if name == "num_edges":
            return self.edge_index.size(1)
        if name not in self._known:
            # Also asked by `hasattr`: a call with it would go another way.
            self._lacking.add(name)
            raise AttributeError(f"data.{name}, which an import cannot read")
        value = self._known[name]
        if value is not None:
            value = self._tracer.create_proxy("placeholder", name, (), {})
        self._read[name] = value
        return value

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __contains__(self, name: str) -> bool:
        is_there = self._known.get(name) is not None
        if is_there:
            self._needed.add(name)
        else:
            self._lacking.add(name)
        return is_there


class Arguments:
    """What a forward is followed with: an open argument for each tensor.

    Args:
        names: of the forward's arguments.
        defaults: of those that may be left out.
        constants: those that stay as they are.
        holders: those that are a `Data`, with what is known of each.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        defaults: dict[str, Any],
        constants: dict[str, Any],
        holders: dict[str, dict[str, Any]],
    ):
        self.names = names
        self.defaults = defaults
        self.constants = constants
        self.holders = holders
        self._views: dict[str, list[DataView]] = {name: [] for name in holders}

    def __call__(self, tracer: CallTracer) -> dict[str, Any]:
        """The arguments of one trace, by name."""
        values = {}
        for name in self.names:
            if name in self.holders:
                values[name] = DataView(self.holders[name], tracer)
                self._views[name].append(values[name])
                continue
            default = ()
            if name in self.defaults:
                default = (self.defaults[name],)
            # Of constants, too: the way back has the arguments of the original.
            values[name] = tracer.create_proxy("placeholder", name, default, {})
            if name in self.constants:
                values[name] = self.constants[name]
        return values

    def held(self) -> dict[str, tuple[str, ...]]:
        """What the traces so far asked of each `Data`."""
        found = {}
        for name, views in self._views.items():
            asked: dict[str, None] = {}
            for view in views:
                asked |= dict.fromkeys([*view._read, *sorted(view._lacking | view._needed)])
            found[name] = tuple(asked)
        return found

    def flat(self) -> list[str]:
        """The names of all arguments, those that are a `Data` replaced by what is asked of them."""
        found = [name for name in self.names if name not in self.holders]
        for asked in self.held().values():
            found += asked
        return found

    def absent(self) -> list[str]:
        """What was asked and is not there."""
        found = []
        for holder, asked in self.held().items():
            found += [name for name in asked if self.holders[holder].get(name) is None]
        return found

    def needed(self) -> frozenset[str]:
        """What has to be there, since the model asked whether it is."""
        views = [view for every in self._views.values() for view in every]
        return frozenset([name for view in views for name in view._needed])


def roles_of(trace: Trace, functions: tuple[Callable[..., Any], ...]) -> dict[str, str]:
    """What each argument of a model is for the parts of PyG that read it; of the others what their
    names say. Features of nodes have no role.

    Args:
        trace: of the model.
        functions: of PyG, that are one call each.
    """
    assert trace.graph is not None
    roles = {}
    for node in trace.graph.nodes:
        if node.op != "placeholder":
            continue
        name = str(node.target)
        found = {MEANINGS[use] for _, use in uses_of(trace, node, functions) if use in MEANINGS}
        named = NAMED.get(name)
        if named is not None and (not found or named in found):
            roles[name] = named
        elif found:
            roles[name] = sorted(found)[0]
    return roles


def uses_of(
    trace: Trace, node: fx.Node, functions: tuple[Callable[..., Any], ...]
) -> Iterator[tuple[Any, str]]:
    """The parts of PyG that read a value of a trace, and the names that it has there."""
    for user in node.users:
        part: Any = user.target
        forward = part
        if user.op == "call_module":
            part = trace.module.get_submodule(str(user.target))
            forward = part.forward
        elif user.op != "call_function" or part not in functions:
            continue
        if isinstance(part, nn.Module) and not is_of_pyg(part):
            continue
        names = list(inspect.signature(forward).parameters)
        given = [*zip(names, user.args, strict=False), *user.kwargs.items()]
        for name, value in given:
            if value is node:
                yield part, name


def is_of_pyg(module: nn.Module) -> bool:
    """Whether a module is one of PyG's, or made as its convolutions are."""
    kinds = [kind.__module__ for kind in type(module).__mro__]
    return any(kind.startswith("torch_geometric.") for kind in kinds)


def left_out(trace: Trace, roles: dict[str, str], given: dict[str, Any]) -> tuple[str, ...]:
    """What a model would read of a graph's edges, and was imported without: of those that it takes
    as an argument, and of those that one of its parts takes and gets from nobody.

    Args:
        trace: of the model as it was imported.
        roles: of all arguments that it may read.
        given: the arguments by name, None of those that it was imported without.
    """
    assert trace.graph is not None
    read = {role for name, role in roles.items() if given.get(name) is not None}
    found = set(roles.values())
    for node in trace.graph.nodes:
        if node.op != "call_module":
            continue
        part = trace.module.get_submodule(str(node.target))
        if is_of_pyg(part):
            found |= set(inspect.signature(part.forward).parameters) & set(_of_edges(part))
    return tuple(sorted(found & set(EDGE_VALUES) - read))


def ignored(trace: Trace, functions: tuple[Any, ...]) -> list[str]:
    """The arguments that are read as `edge_attr` alone, by parts that do nothing with it."""
    assert trace.graph is not None
    found = []
    for node in trace.graph.nodes:
        if node.op != "placeholder" or not node.users:
            continue
        uses = list(uses_of(trace, node, functions))
        silent = [use for part, use in uses if getattr(part, "edge_dim", 0) is None]
        if silent == ["edge_attr"] * len(node.users):
            found.append(str(node.target))
    return found


def _of_edges(part: Any) -> list[str]:
    """What a part of PyG can do with edges, where its call has it."""
    if getattr(part, "edge_dim", None) is None:
        return ["edge_weight", "edge_type"]
    return list(EDGE_VALUES)


def unread(trace: Trace) -> frozenset[str]:
    """The arguments of a trace that no call reads."""
    if trace.graph is None:
        return frozenset()
    found = []
    for node in trace.graph.nodes:
        if node.op == "placeholder" and not node.users:
            found.append(str(node.target))
    return frozenset(found)
