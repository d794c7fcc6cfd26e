"""What stands for the arguments of a model on graphs while it is imported."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.whole.example_run import run_on_example
from geodl.interop.whole.graph_door import domain_of, edge_state
from geodl.interop.whole.layout import Atom, Layout, nodes
from geodl.interop.whole.other_sizes import with_other_sizes
from geodl.interop.whole.tracing import Trace
from geodl.interop.whole.values import Links, Value
from geodl.signal import Signal


class Tried(NamedTuple):
    """A model on an example, and on one of other sizes.

    Attributes:
        inputs: what stands for the arguments, on the graph that the model is converted on.
        answers: of each call on it.
        values: of the arguments of other sizes, by name; None where the model is one of graphs of
            the example's size, or the example cannot be made longer.
        varying: the numbers of nodes and links, where no channels are as many.
    """

    inputs: "GraphInputs"
    answers: dict[fx.Node, Any]
    values: dict[str, Any] | None
    varying: frozenset[int]


def try_sizes(
    asked: str,
    trace: Trace,
    values: dict[str, Any],
    roles: dict[str, str],
    free: frozenset[str],
) -> Tried:
    """Run a model on an example, and on one whose numbers of nodes, links and graphs all differ.

    Args:
        asked: the call in words, for errors.
        trace: of the model.
        values: of the example, by name.
        roles: see :class:`GraphInputs`.
        free: likewise.

    Raises:
        GeodlError: if the model fails on the example.
    """
    answers = run_on_example(asked, trace, values)
    inputs = GraphInputs(asked, values, roles, free)
    others = with_other_sizes(values, inputs.roles, inputs.count, trace.module)
    if others is None:
        return Tried(inputs, answers, None, frozenset())
    try:
        longer = run_on_example(asked, trace, others)
    except GeodlError:
        return Tried(inputs, answers, None, frozenset())
    inputs = GraphInputs(asked, others, roles, free)
    varying = frozenset([inputs.count, inputs.num_links])
    return Tried(inputs, longer, others, varying)


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
        self.count = count
        self.num_links = domain.num_links
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
