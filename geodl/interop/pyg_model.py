"""Whole models of PyG as networks: their trace, converted call by call on one graph."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.building import Builder
from geodl.interop.door import arguments_of
from geodl.interop.graph_door import GraphDoor, GraphEntrance, domain_of, edge_state
from geodl.interop.importing import (
    convert_calls,
    first_channels,
    make_network,
    run_on_example,
)
from geodl.interop.layout import Atom, Layout, nodes
from geodl.interop.pyg_pool import pooling_functions
from geodl.interop.tracing import trace_calls
from geodl.interop.values import Links, Value
from geodl.layer import Network
from geodl.signal import Signal

ROLES = ("edge_index", "edge_weight", "edge_attr", "batch")
NUM_NODES = 6


def import_graph_model(module: nn.Module, example: Any = None) -> Network:
    """A model of PyG as a network that takes Signals on graphs, or PyG's own arguments.

    Args:
        module: the model, which stays as it is.
        example: its arguments; by default a ring of six nodes, in two members where the model takes
            `batch`.

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
    twin = copy.deepcopy(module)
    _name_arguments(twin)
    names, defaults = arguments_of(twin)
    given = dict(defaults)
    if example is None:
        given |= _own_example(asked, twin, names, defaults)
    else:
        args = example if isinstance(example, tuple) else (example,)
        given |= dict(zip(names, args, strict=False))
    given = {name: given.get(name) for name in names}
    constants = {name: v for name, v in given.items() if not isinstance(v, Tensor)}
    trace = trace_calls(twin, constants, pooling_functions())
    if trace.graph is None:
        found = f"a forward that cannot be followed: {trace.reasons['']}"
        raise GeodlError(asked, found, "convert its parts one by one")
    examples = run_on_example(asked, trace, given)
    for part, original in zip(twin.modules(), module.modules(), strict=True):
        part.training = original.training
    inputs = GraphInputs(asked, given)
    builder = Builder(module.training, inputs.first)
    values = convert_calls(builder, trace, examples, inputs)

    def door(entrances: Any, exits: Any, form: Any) -> GraphDoor:
        known = [GraphEntrance(e, inputs.role(e.name)) for e in entrances]
        return GraphDoor(names, defaults, tuple(known), exits, form)

    return make_network(asked, module, builder, trace, values, given, door)


class GraphInputs:
    """What stands for the arguments of a model of PyG: values on the nodes of one graph, and the
    links and members that its domain holds.

    Args:
        asked: the call in words, for errors.
        given: the example's arguments by name.
    """

    def __init__(self, asked: str, given: dict[str, Any]):
        self.given = given
        features = [name for name, v in given.items() if self._is_feature(name, v)]
        if not features or not isinstance(given.get("edge_index"), Tensor):
            found = f"the arguments {', '.join(given)}"
            do = "give a model of (x, edge_index, ...), with these names"
            raise GeodlError(asked, found, do)
        links: list[Any] = [given.get(role) for role in ("edge_index", "edge_weight", "batch")]
        domain = domain_of(given[features[0]].shape[0], *links)
        edges = edge_state(given.get("edge_attr"))
        self.values = {name: _on_nodes(name, given[name], domain, edges) for name in features}
        self.first = self.values[features[0]]

    def value(self, node: fx.Node) -> Any:
        """The value of an argument."""
        name = str(node.target)
        if name in self.values:
            return self.values[name]
        given = self.given.get(name)
        if isinstance(given, Tensor) and name in ROLES:
            return Links(name, given, self.first)
        if isinstance(given, Tensor):
            return Value(name, None, given)
        return given

    def role(self, name: str) -> str:
        """What an argument is: "node", one of the graph's, or "" of others."""
        if name in self.values:
            return "node"
        return name if name in ROLES else ""

    def _is_feature(self, name: str, given: Any) -> bool:
        if name in ROLES or not isinstance(given, Tensor):
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


def _own_example(
    asked: str, module: nn.Module, names: tuple[str, ...], defaults: dict[str, Any]
) -> dict[str, Any]:
    """Arguments for a model: features on a ring, links both ways.

    Raises:
        GeodlError: if the model does not say how many channels it reads.
    """
    parameter = next(module.parameters(), torch.zeros(0))
    made = {"device": parameter.device, "dtype": parameter.dtype}
    ring = torch.arange(NUM_NODES, device=parameter.device)
    back = torch.stack((ring, ring.roll(1)))
    members = "batch" in names
    if members:
        # Two paths of three nodes.
        back = back[:, ring % 3 != 0]
    edge_index = torch.cat((back, back.flip(0)), 1)
    count = edge_index.shape[1]
    given: dict[str, Any] = {"edge_index": edge_index}
    wanted = [name for name in names if name not in ROLES and name not in defaults]
    if len(wanted) != 1:
        do = "give its arguments: from_pyg(model, example=(x, edge_index, ...))"
        raise GeodlError(asked, f"the arguments {', '.join(names)}", do)
    given[wanted[0]] = _features(asked, module, made)
    if "edge_weight" in names:
        given["edge_weight"] = torch.linspace(0.5, 1.5, count, **made)
    edge_dim: Any = next(
        (m.edge_dim for m in module.modules() if getattr(m, "edge_dim", None)), None
    )
    if "edge_attr" in names and edge_dim is not None:
        given["edge_attr"] = torch.linspace(-1, 1, count * edge_dim, **made).view(count, edge_dim)
    if members:
        given["batch"] = ring // 3
    return given


def _features(asked: str, module: nn.Module, made: dict[str, Any]) -> Tensor:
    """Features of as many channels as the first part reads; names of nodes where it embeds them."""
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            return torch.arange(NUM_NODES, device=made["device"]) % part.num_embeddings
        if first_channels(part) is not None:
            break
    channels = first_channels(module)
    if channels is None:
        do = "give its arguments: from_pyg(model, example=(x, edge_index, ...))"
        raise GeodlError(asked, "no part that says how many channels it reads", do)
    return torch.linspace(-1, 1, NUM_NODES * channels, **made).view(NUM_NODES, channels).sin()
