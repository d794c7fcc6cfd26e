"""Graphs given by their edges: citations, molecules, meshes."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import convert
from geodl.domain.base import Domain, Links, TensorDomain, replace_fields
from geodl.domain.check import (
    check_edge_index,
    check_edge_values,
    check_has_values,
    check_link_weights,
    check_node_numbers,
    check_permutations,
    device_of,
    has_values,
)
from geodl.domain.convert import GraphParts
from geodl.errors import GeodlError, as_integer, positive

# What an edge may have, and the axis that runs over the edges: weights may come in rows.
EDGE_VALUES = {"edge_weight": -1, "edge_attr": 0, "edge_type": 0}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Graph(TensorDomain):
    """Any directed multigraph. An undirected edge is given in both directions, as in PyG's data
    sets.

    The tensors are copied once and never change; two graphs are equal only when they are the same
    object. Weights that are learned come by :meth:`with_weights`. Lists and arrays become tensors
    on torch's default device.

    Args:
        edge_index: `[2, E]` integers; row 0 sends, row 1 receives.
        num_nodes: N; None takes the largest node number plus one.
        edge_weight: `[E]` finite real numbers, None for an unweighted graph; integers up to 2^53
            become float64.
        edge_attr: `[E, ...]` features of the edges, to make a Signal on :meth:`edge_domain`.
        edge_type: `[E]` relation numbers from 0, for `adjacency(types=...)`.

    Raises:
        GeodlError: if `edge_index` has another shape or dtype, or node numbers out of range; if
            there are no nodes; if weights are NaN, infinite, complex or booleans; if tensors are on
            different devices or without values.

    >>> graph = Graph([[0, 1, 1], [1, 0, 2]])
    >>> graph
    Graph(3 nodes, 3 edges)
    >>> graph.links().dst.tolist()
    [1, 0, 2]
    """

    edge_index: Tensor
    count: int
    edge_weight: Tensor | None
    edge_attr: Tensor | None
    edge_type: Tensor | None
    reweighted: bool
    cache: dict[Any, Any]

    def __init__(
        self,
        edge_index: Any,
        num_nodes: int | None = None,
        *,
        edge_weight: Any = None,
        edge_attr: Any = None,
        edge_type: Any = None,
    ):
        # Asked before the modes of the caller are left: the default device is one of them.
        device = device_of(edge_index)
        with cached_constants():
            index = check_edge_index("Graph(edge_index)", edge_index, device)
            count = _count_nodes(index, num_nodes)
            check_node_numbers(index, count)
            values = dict(zip(EDGE_VALUES, (edge_weight, edge_attr, edge_type), strict=True))
            for name, value in values.items():
                if value is not None:
                    asked = f"Graph with {count} nodes and {index.shape[1]} edges"
                    values[name] = check_edge_values(asked, name, value, index)
        # A frozen dataclass lets no other assignment through.
        vars(self).update(edge_index=index, count=count, **values, reweighted=False, cache={})

    @classmethod
    def unchecked(cls, edge_index: Tensor, num_nodes: int) -> "Graph":
        """A graph of links that are known to fit, and that nobody else holds.

        Args:
            edge_index: `[2, E]` of torch.long.
            num_nodes: N.
        """
        graph = cls.__new__(cls)
        vars(graph).update(edge_index=edge_index, count=num_nodes, reweighted=False, cache={})
        vars(graph).update(dict.fromkeys(EDGE_VALUES))
        return graph

    def __repr__(self) -> str:
        edges = self.edge_index.shape[1]
        weighted = ""
        if self.edge_weight is not None:
            weighted = ", weighted"
        if self.reweighted:
            weighted = ", weighted at run time"
        return f"Graph({self.num_nodes} nodes, {edges} edges{weighted})"

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.count

    @property
    def num_links(self) -> int:
        """The number of edges."""
        return self.edge_index.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.edge_index.device

    @property
    def runtime_weight(self) -> Tensor | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The weights of a twin made by :meth:`with_weights`, None of any other graph."""
        if self.reweighted:
            return self.edge_weight
        return None

    def with_weights(self, weight: Any) -> "Graph":
        """This graph with weights that come with each call: a light twin, on the same nodes.

        It shares edges, cache and plans with this graph; layers compute what depends on the weights
        (norms, Laplacians) at each call, so that gradients flow to `weight` through all of it.
        Explainers, gates and learned structures need nothing else:
        `layer(Signal(x, graph.with_weights(w)))`.

        Rules that read weights carry them: `adjacency`, `laplacian`, polynomials of these and what
        is reversed; in `Conv`, `Propagate` and `Message`.

        Args:
            weight: `[E]`, or `[B, E]` for a batch whose entries differ in their weights; real
                floating point numbers, which may require a gradient.

        Raises:
            GeodlError: if the shape or device is another one, or if the weights are not finite
                floating point numbers.

        >>> graph, w = Graph([[0, 1], [1, 0]]), torch.ones(2, requires_grad=True)
        >>> graph.with_weights(w)
        Graph(2 nodes, 2 edges, weighted at run time)
        >>> graph.with_weights(w).cache is graph.cache
        True
        """
        asked = f"{self} with_weights(weight)"
        weight = check_link_weights(asked, weight, self.edge_index)
        # By hand: compilers follow neither the count of serial numbers nor the checks.
        twin = object.__new__(type(self))
        for name, value in {**vars(self), "edge_weight": weight, "reweighted": True}.items():
            object.__setattr__(twin, name, value)
        return twin

    @cached_constants()
    def generators(self) -> Tensor:
        """`[0, N]`, no generators: the automorphisms of a given graph are not searched for."""
        return torch.zeros(0, self.num_nodes, dtype=torch.long)

    @cached_constants()
    def links(self) -> Links:
        """The edges as given.

        Raises:
            GeodlError: if the edges are meta or fake tensors, which have no numbers to plan with.
        """
        if not has_values(self.edge_index):  # only then in words, which take longer than the links
            check_has_values(f"the links of {self}", self.edge_index)
        return Links(self.edge_index[1], self.edge_index[0], self.edge_weight)

    def relabel(self, permutation: Tensor) -> "Graph":
        """The same graph with node i called `permutation[i]`; edges keep their order.

        Raises:
            GeodlError: if it is not a permutation of the nodes.
        """
        with cached_constants():
            asked = f"relabelling {self}"
            moves = check_permutations(asked, [permutation], self.edge_index.device)
            if moves.shape[1] != self.num_nodes:
                found = f"{moves.shape[1]} numbers, not a permutation of its nodes"
                raise GeodlError(asked, found, f"give each of 0..{self.num_nodes - 1} once")
            return replace_fields(self, edge_index=moves[0][self.edge_index])

    def tensors(self) -> tuple[Tensor, ...]:
        """Edge index, then weights, attributes and types where given."""
        parts = (self.edge_index, self.edge_weight, self.edge_attr, self.edge_type)
        return tuple(part for part in parts if part is not None)

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Self:
        """This graph over other copies of its tensors; itself when they are the very same."""
        # A pytree that was only taken apart and put together keeps the domain, and so its plans.
        if all(new is old for new, old in zip(tensors, self.tensors(), strict=True)):
            return self
        names = ["edge_index"]
        names += [name for name in EDGE_VALUES if getattr(self, name) is not None]
        return replace_fields(self, **dict(zip(names, tensors, strict=True)))

    def part(self, places: Tensor | None, num_nodes: int, moved: Tensor) -> "Graph":
        """Some of the edges, between other nodes; unchecked.

        Args:
            places: `[E']` which edges, in the order wanted; None for all.
            num_nodes: N of the part.
            moved: `[E']` what is added to both node numbers of each.
        """
        values = {name: getattr(self, name) for name in ("edge_index", *EDGE_VALUES)}
        known = {name: value for name, value in values.items() if value is not None}
        if places is not None:
            index = known.pop("edge_index").index_select(1, places)
            for name, value in known.items():
                known[name] = value.index_select(EDGE_VALUES[name], places)
            known["edge_index"] = index
        known["edge_index"] = known["edge_index"] + moved
        return replace_fields(self, count=num_nodes, **known)

    def cut(self, first: int, count: int, num_nodes: int) -> "Graph":
        """Edges `first` to `first + count - 1` between nodes 0 to num_nodes - 1, as views;
        unchecked.
        """
        values = {name: getattr(self, name) for name in EDGE_VALUES}
        known = {name: value for name, value in values.items() if value is not None}
        cut = {}
        for name, value in known.items():
            cut[name] = value.narrow(EDGE_VALUES[name], first, count)
        index = self.edge_index.narrow(1, first, count)
        return replace_fields(self, edge_index=index, count=num_nodes, **cut)

    @classmethod
    def from_networkx(cls, graph: Any, *, weight: str | None = None) -> "Graph":
        """A networkx graph; nodes in networkx's order, an undirected edge in both directions.

        Args:
            graph: a Graph, DiGraph, MultiGraph or MultiDiGraph.
            weight: the edge attribute to use as weights. Edges without it weigh 1, as everywhere in
                networkx; where all weigh 1, the graph is unweighted.

        Raises:
            GeodlError: if it is not a networkx graph, if no edge has the attribute, or if a weight
                is not a number.

        >>> import networkx as nx
        >>> Graph.from_networkx(nx.karate_club_graph())
        Graph(34 nodes, 156 edges)
        """
        return cls.from_parts(convert.from_networkx(graph, weight))

    def to_networkx(self) -> Any:
        """A networkx MultiDiGraph with nodes 0..N-1 and, where the graph has them, weights."""
        return convert.to_networkx(self.edge_index, self.num_nodes, self._one_row())

    @classmethod
    def from_scipy(cls, matrix: Any) -> "Graph":
        """A sparse adjacency matrix A, receivers in rows: `A[i, j]` is the weight of the edge
        j -> i.

        Where all entries are 1, or booleans, the graph is unweighted.

        Raises:
            GeodlError: if the matrix is dense or not square, or if its entries are not weights.

        >>> import scipy.sparse as sp
        >>> Graph.from_scipy(sp.csr_array([[0, 2], [0, 0]])).edge_index.tolist()
        [[1], [0]]
        """
        return cls.from_parts(convert.from_scipy(matrix))

    def to_scipy(self) -> Any:
        """The adjacency matrix `[N, N]` as scipy CSR, receivers in rows; parallel edges add up."""
        return convert.to_scipy(self.edge_index, self.num_nodes, self._one_row())

    @classmethod
    def from_pyg(cls, data: Any) -> "Graph":
        """The graph of a PyG `Data`: edge_index (or adj_t in CSR), edge_weight, edge_attr and
        edge_type where it has them.

        Raises:
            GeodlError: if it is not a `Data`, has several kinds of nodes, no edges or no nodes.
        """
        return cls.from_parts(convert.from_pyg(data))

    def to_pyg(self) -> Any:
        """A PyG `Data` with the same tensors."""
        parts = (self._one_row(), self.edge_attr, self.edge_type)
        return convert.to_pyg(GraphParts(self.edge_index, self.num_nodes, *parts))

    def _one_row(self) -> Tensor | None:
        """The weights of the edges as one graph has them, `[E]`."""
        weight = self.edge_weight
        if weight is not None and weight.dim() == 2:
            found = f"{len(weight)} rows of weights, one for each entry of a batch"
            raise GeodlError(f"{self} as one graph", found, "choose one: with_weights(weight[0])")
        return weight

    @classmethod
    def from_parts(cls, parts: GraphParts) -> "Graph":
        """A graph of the arguments that another library's was read as; errors as of the class."""
        return cls(
            parts.edge_index,
            parts.num_nodes,
            edge_weight=parts.edge_weight,
            edge_attr=parts.edge_attr,
            edge_type=parts.edge_type,
        )

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        # A loop alone; a ring in both directions beside two isolated nodes; parallel edges, a loop
        # and an isolated node with weights; relations.
        ring = torch.arange(5)
        one_way = torch.stack((ring, (ring + 1) % 5))
        both_ways = torch.cat((one_way, one_way.flip(0)), dim=1)
        weights = [0.5, 2.0, 1.0, 3.0, 0.25, 1.5]
        weighted = cls([[0, 0, 1, 2, 3, 3], [1, 1, 2, 2, 0, 4]], 6, edge_weight=weights)
        typed = cls([[0, 1, 2, 3, 1], [1, 2, 3, 0, 3]], 4, edge_type=[0, 1, 0, 1, 1])
        return cls([[0], [0]], 1), cls(both_ways, 7), weighted, typed


def _count_nodes(index: Tensor, num_nodes: int | None) -> int:
    """N as given, or the largest node number plus one."""
    edges = index.shape[1]
    if num_nodes is None:
        num_nodes = int(index.max()) + 1 if edges else 0
    if type(num_nodes) is int and num_nodes > 0:
        return num_nodes
    asked = f"Graph with {num_nodes} nodes and {edges} edges"
    if as_integer(num_nodes) == 0:
        do = "an empty graph carries no signal; give num_nodes of at least 1"
        raise GeodlError(asked, "no nodes", do)
    return positive(asked, num_nodes)
