"""How an imported graph model is called as its original is: with nodes' features and links."""

import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.domain import Batch, Domain, Graph
from geodl.errors import GeodlError
from geodl.interop.door import Entrance, bind_arguments, check_constant, leave_tensors
from geodl.interop.layout import Layout
from geodl.signal import Signal

KEPT = 8  # graphs that a door remembers
DOMAIN_ROLES = ("edge_index", "edge_weight", "batch")


class GraphEntrance(NamedTuple):
    """One argument of the original.

    Attributes:
        entrance: how it is read.
        role: "node" of features, "edge_index", "edge_weight", "edge_attr", "batch", or "".
    """

    entrance: Entrance
    role: str


class GraphDoor:
    """Reads `(x, edge_index, ...)` as signals on a graph, and gives answers as tensors.

    Graphs are remembered by the very tensors they were made of, so that calls on one graph find its
    plans.

    Args:
        names: of the arguments of the original's forward, in order.
        defaults: of those that may be left out.
        entrances: the arguments.
        exits: the tensors that are answered: of which output of the network, and how it is read;
            None of a plain tensor.
        answer: the form of the answer.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        defaults: dict[str, Any],
        entrances: tuple[GraphEntrance, ...],
        exits: tuple[tuple[int, Layout | None], ...],
        answer: Any,
    ):
        self.names = names
        self.defaults = defaults
        self.entrances = entrances
        self.exits = exits
        self.answer = answer
        self.origin: Any = None
        self._graphs: list[tuple[tuple[Any, ...], Domain]] = []

    def enter(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The network's inputs: signals on the graph of the call.

        Raises:
            GeodlError: if the arguments are other ones than the original's; whatever a Graph or a
                Signal refuses.
        """
        bound = bind_arguments(self.names, self.defaults, args, kwargs)
        links = {e.role: bound[e.entrance.name] for e in self.entrances}
        features = [bound[e.entrance.name] for e in self.entrances if e.role == "node"]
        if not isinstance(features[0], Tensor) or not isinstance(links.get("edge_index"), Tensor):
            asked = "a call of an imported graph model"
            raise GeodlError(asked, "no tensors x and edge_index", "give them, or only Signals")
        domain = self._domain(features[0].shape[0], links)
        edges = edge_state(links.get("edge_attr"))
        values = []
        for entrance, role in self.entrances:
            given = bound[entrance.name]
            if entrance.input and role == "node":
                values.append(_on_nodes(given, domain, edges))
            elif entrance.input:
                values.append(given)
            elif not role and not isinstance(given, Tensor):
                check_constant(entrance, given)
        return values

    def leave(self, answer: Any) -> Any:
        """The answer in the original's form."""
        return leave_tensors(self.exits, self.answer, answer)

    def __getstate__(self) -> dict[str, Any]:
        # Tensors are remembered by identity, which a copy does not share.
        return {**self.__dict__, "_graphs": []}

    def _domain(self, count: int, links: dict[str, Any]) -> Domain:
        """The domain of a call: one that is remembered, or a new one."""
        edge_index, weight, batch = (links.get(role) for role in DOMAIN_ROLES)
        if weight is not None and weight.requires_grad:
            # Weights that are learnt differ at each call: the pattern alone is remembered.
            graph = self._kept(count, (edge_index, None, None))
            return union_of(graph.with_weights(weight), batch)
        return self._kept(count, (edge_index, weight, batch))

    def _kept(self, count: int, given: tuple[Any, ...]) -> Any:
        found = self._remembered(count, given)
        if found is None:
            found = domain_of(count, *given)
            marks = tuple(_mark(tensor) for tensor in given)
            self._graphs = [*self._graphs[1 - KEPT :], (marks, found)]
        return found

    def _remembered(self, count: int, given: tuple[Any, ...]) -> Domain | None:
        if torch.compiler.is_compiling():
            return None
        for marks, domain in self._graphs:
            same = all(map(_is_marked, marks, given))
            if same and domain.num_nodes == count:
                return domain
        return None


def _mark(tensor: Any) -> Any:
    """What tells a tensor from every other one, and from itself once it is changed."""
    if tensor is None:
        return None
    return weakref.ref(tensor), tensor._version


def _is_marked(mark: Any, tensor: Any) -> bool:
    if mark is None or tensor is None:
        return mark is None and tensor is None
    reference, version = mark
    return reference() is tensor and tensor._version == version


def domain_of(
    count: int, edge_index: Tensor, edge_weight: Tensor | None, batch: Tensor | None
) -> Domain:
    """The domain of PyG's arguments.

    Args:
        count: of the nodes.
        edge_index: `[2, E]`, senders first.
        edge_weight: `[E]`.
        batch: `[N]`, the member of each node, in order.
    """
    return union_of(Graph(edge_index, count, edge_weight=edge_weight), batch)


def union_of(graph: Graph, batch: Tensor | None) -> Domain:
    """A graph whose nodes belong to the members that `batch` numbers; itself without one."""
    if batch is None:
        return graph
    counts = torch.bincount(batch)
    starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    return Batch.from_union(graph, starts)


def edge_state(edge_attr: Tensor | None) -> Tensor | None:
    """`[E, C_e]` or `[E]` as the state of a signal's edges."""
    if edge_attr is None:
        return None
    if edge_attr.dim() == 1:
        edge_attr = edge_attr[:, None]
    return edge_attr[None]


def _on_nodes(x: Any, domain: Domain, edges: Tensor | None) -> Signal:
    if not isinstance(x, Tensor):
        asked = "a call of an imported graph model"
        raise GeodlError(asked, f"a {type(x).__name__} on the nodes", "give a tensor [N, C]")
    if x.dim() == 1:
        x = x[:, None]
    return Signal(x[None], domain, edges)
