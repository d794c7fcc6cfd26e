"""How an imported graph model is called as its original is: with nodes' features and links."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.domain import Batch, Domain, Graph
from geodl.domain.reading import read_by_member
from geodl.errors import GeodlError
from geodl.interop.whole.door import (
    CallForm,
    bind_arguments,
    check_constant,
    leave_tensors,
    reordered,
)
from geodl.interop.whole.graph_features import SparseCopies
from geodl.interop.whole.memory import Memory
from geodl.signal import Signal

KEPT = 8  # graphs that a door remembers
DOMAIN_ROLES = ("edge_index", "edge_weight", "edge_type", "batch")
ASKED = "a call of an imported graph model"


class Held(NamedTuple):
    """What a model reads of arguments that are a `Data`.

    Attributes:
        attributes: of each of them.
        needed: those that have to be there.
    """

    attributes: dict[str, tuple[str, ...]]
    needed: frozenset[str]


class GraphDoor:
    """Reads `(x, edge_index, ...)`, or a `Data`, as signals on a graph, and gives answers as
    tensors.

    Graphs are remembered by the very tensors they were made of, so that calls on one graph find its
    plans. Changes of them that torch does not count, as writes into the numpy array behind one, are
    not seen (see :class:`Memory`).

    Args:
        form: of the call.
        roles: "node" of features, of what the domain or the edges hold "edge_index", "edge_weight",
            "edge_type", "edge_attr", "batch" or "num_graphs", by the names of the arguments.
        free: the arguments that the original never reads.
        held: what it reads of arguments that are a `Data`.

    Attributes:
        origin: the calls of the original, for the way back.
        may_be_sparse: the features that are read by layers alone which take sparse ones.
        left_out: what of a graph's edges the original would read, and was imported without.
    """

    def __init__(
        self,
        form: CallForm,
        roles: dict[str, str],
        free: frozenset[str],
        held: Held,
    ):
        self.form = form
        self.roles = roles
        self.free = free
        self.held = held
        self.origin: Any = None
        self.may_be_sparse: frozenset[str] = frozenset()
        self.left_out: tuple[str, ...] = ()
        self._graphs = Memory(KEPT)
        self._sparse = SparseCopies()

    def enter(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The network's inputs: signals on the graph of the call.

        Raises:
            GeodlError: if the arguments are other ones than the original's; whatever a Graph or a
                Signal refuses.
        """
        bound = bind_arguments(self.form, args, kwargs)
        if self.held.attributes:
            bound = self._by_name(bound)
        links, features = {}, []
        for name, role in self.roles.items():
            if role == "node":
                features.append(bound[name])
            else:
                links[role] = bound[name]
        if not isinstance(features[0], Tensor) or not isinstance(links.get("edge_index"), Tensor):
            raise GeodlError(ASKED, "no tensors x and edge_index", "give them, or only Signals")
        domain = self._domain(features[0].shape[0], links)
        edges = edge_state(links.get("edge_attr"))
        values = []
        for entrance in self.form.entrances:
            given, role = bound[entrance.name], self.roles.get(entrance.name, "")
            if entrance.input and role == "node":
                values.append(self._on_nodes(entrance.name, given, domain, edges))
            elif entrance.input:
                values.append(given)
            elif (entrance.name not in self.free and entrance.constant is None) or (
                entrance.name not in self.free and not isinstance(given, Tensor) and not role
            ):
                check_constant(entrance, given)
        return values

    def check_signals(self, *signals: Any) -> None:
        """Refuse signals on a graph with what the import was made without.

        Raises:
            GeodlError: edges with weights, features or types that the original would read.
        """
        for signal in signals:
            for role in self.left_out:
                if isinstance(signal, Signal) and _has(signal, role):
                    found = f"a Signal with {role}, and an import made with {role}=None"
                    do = "give one without it, or import the model once more with it among the "
                    do += "example"
                    raise GeodlError(ASKED, found, do)

    def leave(self, answer: Any) -> Any:
        """The answer in the original's form."""
        return leave_tensors(self.form, answer)

    def reordered(self, answer: Any) -> list[str]:
        """The tensors of an answer whose axes are not those of its signal, in words."""
        return reordered(self.form, answer)

    def _by_name(self, bound: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call, those that are a `Data` taken apart."""
        for name, attributes in self.held.attributes.items():
            data = bound[name]
            if isinstance(data, Tensor) or not hasattr(data, attributes[0]):
                found = f"a {type(data).__name__} as {name}"
                raise GeodlError(ASKED, found, f"give a Data with {', '.join(attributes)}")
            for attribute in attributes:
                bound[attribute] = getattr(data, attribute, None)
                if bound[attribute] is None and attribute in self.held.needed:
                    do = "import the model once more with such a Data as the example"
                    raise GeodlError(ASKED, f"no {name}.{attribute}, which the import had", do)
        return bound

    def _on_nodes(self, name: str, x: Any, domain: Domain, edges: Tensor | None) -> Signal:
        """A feature `[N, C]`, or tokens `[N]`, as a signal."""
        if not isinstance(x, Tensor):
            raise GeodlError(ASKED, f"{name}, a {type(x).__name__}", "give a tensor [N, C]")
        if name in self.may_be_sparse:
            x = self._sparse.of(x)
        if x.layout == torch.sparse_csr:
            return Signal(x, domain, edges)
        if x.dim() == 1:
            x = x[:, None]
        return Signal(x[None], domain, edges)

    def _domain(self, count: int, links: dict[str, Any]) -> Domain:
        """The domain of a call: one that is remembered, or a new one."""
        weight = links.get("edge_weight")
        if weight is not None and weight.requires_grad:
            # Weights that are learnt differ at each call: the pattern alone is remembered.
            alone = {"edge_index": links["edge_index"], "edge_type": links.get("edge_type")}
            graph = self._kept(count, alone)
            domain = union_of(graph.with_weights(weight), links.get("batch"))
        else:
            domain = self._kept(count, links)
        graphs = links.get("num_graphs")
        if graphs is not None and int(graphs) != domain.num_members:
            found = f"{graphs} graphs and a batch vector of {domain.num_members}"
            raise GeodlError(ASKED, found, "leave out graphs without nodes")
        return domain

    def _kept(self, count: int, links: dict[str, Any]) -> Any:
        """A domain that is remembered, or a new one. Compilers follow no weak references."""
        if torch.compiler.is_compiling():
            return domain_of(count, links)
        given = tuple(map(links.get, DOMAIN_ROLES))
        found = self._graphs.find(given)
        if found is None or found.num_nodes != count:
            found = domain_of(count, links)
            # Small graphs that are new at every step are read sooner than remembered.
            if found.sorted_graphs is None or self._graphs.has_seen(links["edge_index"]):
                self._graphs.keep(given, found)
        return found


def _has(signal: Signal, role: str) -> bool:
    """Whether the edges of a signal have weights, types or features."""
    if role == "edge_attr":
        return signal.edges is not None
    if role == "edge_type":
        return getattr(signal.domain, role, None) is not None
    domain: Any = signal.domain
    graph = getattr(domain, "union", None) or domain
    if hasattr(graph, role):
        # Sooner than by its links, which are two views of a tensor.
        return graph.edge_weight is not None
    return domain.links().weight is not None


def domain_of(count: int, links: dict[str, Any]) -> Domain:
    """The domain of PyG's arguments.

    Args:
        count: of the nodes.
        links: by their roles: `edge_index` `[2, E]`, senders first; `edge_weight` and `edge_type`
            `[E]`; `batch` `[N]`, the member of each node, in order.
    """
    index, member = links["edge_index"], links.get("batch")
    weight, kind = links.get("edge_weight"), links.get("edge_type")
    if member is not None and weight is None and kind is None:
        read = read_by_member(index, member)
        if read is not None and member.shape[0] == count:
            return Batch.from_sorted(read)
    graph = Graph(pairs_of(index), count, edge_weight=weight, edge_type=kind)
    return union_of(graph, member)


def pairs_of(edge_index: Tensor) -> Tensor:
    """Links as `[2, E]`, also of a sparse matrix with receivers in rows, PyG's `adj_t`.

    Raises:
        GeodlError: if the matrix has weights, which only some of PyG's layers read.
    """
    if edge_index.layout == torch.strided:
        return edge_index
    coo = edge_index.to_sparse_coo().coalesce()
    if not bool((coo.values() == 1).all()):
        do = "give edge_index and edge_weight"
        raise GeodlError(ASKED, "a sparse adjacency with weights", do)
    return coo.indices().flip(0)


def union_of(graph: Graph, batch: Tensor | None) -> Domain:
    """A graph whose nodes belong to the members that `batch` numbers; itself without one.

    Raises:
        GeodlError: if there is not one number from 0 for each node; if the nodes do not stand
            member after member; if a member has none; if an edge leads from one to another.
    """
    if batch is None:
        return graph
    member = np.zeros(0, dtype=np.int64)
    is_numbers = batch.dim() == 1 and batch.dtype in (torch.int32, torch.int64)
    if is_numbers:
        # By numpy, in a fourth of the time: batches are new at every step.
        member = batch.numpy(force=True).astype(np.int64, copy=False)
    if not is_numbers or len(member) != graph.num_nodes or member[0] < 0:
        found = f"a batch vector of {batch.dtype} and shape {list(batch.shape)}"
        do = f"give the graph of each of the {graph.num_nodes} nodes, integers from 0"
        raise GeodlError(ASKED, found, do)
    # As numbers without a sign, steps down are the largest.
    step = int((member[1:] - member[:-1]).view(np.uint64).max(initial=0))
    if step > len(member) and (member[1:] < member[:-1]).any():
        found = "a batch vector whose nodes do not stand graph after graph"
        raise GeodlError(ASKED, found, "sort the nodes by their graph")
    counts = np.bincount(member)
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    counts.cumsum(out=starts[1:])
    is_known = step <= 1 and member[0] == 0  # no member without nodes
    if is_known and graph.device.type == "cpu":
        src, dst = member[graph.edge_index.numpy()]
        if not (src != dst).any():
            return Batch.unchecked(graph, tuple(counts.tolist()), torch.from_numpy(starts))
    return Batch.from_union(graph, starts)  # which says what is wrong


def edge_state(edge_attr: Tensor | None) -> Tensor | None:
    """`[E, C_e]` or `[E]` as the state of a signal's edges."""
    if edge_attr is None:
        return None
    if edge_attr.dim() == 1:
        edge_attr = edge_attr[:, None]
    return edge_attr[None]
