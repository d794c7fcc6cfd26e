"""Graphs given by their edges: citations, molecules, meshes."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from geodl.domain import convert
from geodl.domain.base import Domain, Links, TensorDomain, positive, replace_tensors
from geodl.errors import GeodlError


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Graph(TensorDomain):
    """Any directed multigraph. An undirected edge is given in both directions, as in PyG's data
    sets.

    The tensors are copied once and never change; two graphs are equal only when they are the same
    object.

    Args:
        edge_index: `[2, E]` integers; row 0 sends, row 1 receives.
        num_nodes: N; None takes the largest node number plus one.
        edge_weight: `[E]` numbers, None for an unweighted graph.
        edge_attr: `[E, ...]` features of the edges, to make a Signal on :meth:`edge_domain`.
        edge_type: `[E]` relation numbers from 0, for `adjacency("sym", self_loops=True,
            types=...)`.

    Raises:
        GeodlError: wrong shape or dtype, node numbers out of range, no nodes, NaN weights, tensors
            on different devices.

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
        index = _edge_index(edge_index)
        n = num_nodes if num_nodes is not None else (int(index.max()) + 1 if index.numel() else 0)
        asked = f"Graph with {n} nodes and {index.shape[1]} edges"
        if n == 0:
            raise GeodlError(
                asked, "no nodes", "an empty graph carries no signal; give num_nodes of at least 1"
            )
        positive(asked, n)
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= n):
            raise GeodlError(
                asked,
                f"node numbers from {int(index.min())} to {int(index.max())}",
                f"node numbers lie in 0..{n - 1}",
            )
        parts = {"edge_weight": edge_weight, "edge_attr": edge_attr, "edge_type": edge_type}
        for name, value in parts.items():
            parts[name] = None if value is None else _edge_values(asked, name, value, index)
        object.__setattr__(self, "edge_index", index)
        object.__setattr__(self, "count", n)
        object.__setattr__(self, "cache", {})
        for name, value in parts.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        weighted = ", weighted" if self.edge_weight is not None else ""
        return f"Graph({self.num_nodes} nodes, {self.edge_index.shape[1]} edges{weighted})"

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.count

    def generators(self) -> Tensor:
        """None: the automorphisms of a given graph are not searched for."""
        return torch.zeros(0, self.num_nodes, dtype=torch.long)

    def links(self) -> Links:
        """The edges as given."""
        return Links(self.edge_index[1], self.edge_index[0], self.edge_weight)

    def relabel(self, permutation: Tensor) -> "Graph":
        """The same graph with node i called `permutation[i]`; edges keep their order."""
        if not torch.equal(permutation.sort().values.cpu(), torch.arange(self.num_nodes)):
            raise GeodlError(
                f"relabelling {self}",
                "no permutation of its nodes",
                f"give each of 0..{self.num_nodes - 1} once",
            )
        return replace_tensors(
            self, edge_index=permutation.to(self.edge_index.device)[self.edge_index]
        )

    def tensors(self) -> tuple[Tensor, ...]:
        """Edge index, then weights, attributes and types where given."""
        return tuple(
            t
            for t in (self.edge_index, self.edge_weight, self.edge_attr, self.edge_type)
            if t is not None
        )

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Self:
        """This graph over other copies of its tensors; itself when they are the very same."""
        if all(a is b for a, b in zip(tensors, self.tensors(), strict=True)):
            return self
        names = [
            n
            for n in ("edge_index", "edge_weight", "edge_attr", "edge_type")
            if getattr(self, n) is not None
        ]
        return replace_tensors(self, **dict(zip(names, tensors, strict=True)))

    @classmethod
    def from_networkx(cls, graph: Any, *, weight: str | None = None) -> "Graph":
        """A networkx graph; nodes in networkx's order, `weight` names the edge attribute to use.

        >>> import networkx as nx
        >>> Graph.from_networkx(nx.karate_club_graph())
        Graph(34 nodes, 156 edges)
        """
        index, n, weights = convert.from_networkx(graph, weight)
        return cls(index, n, edge_weight=weights)

    def to_networkx(self) -> Any:
        """A networkx MultiDiGraph with nodes 0..N-1 and, where the graph has them, weights."""
        return convert.to_networkx(self.edge_index, self.num_nodes, self.edge_weight)

    @classmethod
    def from_scipy(cls, matrix: Any) -> "Graph":
        """A sparse adjacency matrix A, receivers in rows: `A[i, j]` is the weight of the edge j ->
        i.
        """
        index, n, weights = convert.from_scipy(matrix)
        return cls(index, n, edge_weight=weights)

    def to_scipy(self) -> Any:
        """The adjacency matrix `[N, N]` as scipy CSR, receivers in rows; parallel edges add up."""
        return convert.to_scipy(self.edge_index, self.num_nodes, self.edge_weight)

    @classmethod
    def from_pyg(cls, data: Any) -> "Graph":
        """The graph of a PyG `Data`: edge_index, edge_weight, edge_attr and edge_type where it has
        them.
        """
        return cls(
            data.edge_index,
            data.num_nodes,
            edge_weight=data.get("edge_weight"),
            edge_attr=data.get("edge_attr"),
            edge_type=data.get("edge_type"),
        )

    def to_pyg(self) -> Any:
        """A PyG `Data` with the same tensors."""
        return convert.to_pyg(
            self.edge_index, self.num_nodes, self.edge_weight, self.edge_attr, self.edge_type
        )

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        ring = torch.arange(5)
        both = torch.stack((torch.cat((ring, (ring + 1) % 5)), torch.cat(((ring + 1) % 5, ring))))
        return (
            cls([[0], [0]], 1),
            cls(both, 7),
            cls(
                [[0, 0, 1, 2, 3, 3], [1, 1, 2, 2, 0, 4]],
                6,
                edge_weight=[0.5, 2.0, 1.0, 3.0, 0.25, 1.5],
            ),
            cls([[0, 1, 2, 3, 1], [1, 2, 3, 0, 3]], 4, edge_type=[0, 1, 0, 1, 1]),
        )


def _edge_index(edge_index: Any) -> Tensor:
    index = (
        edge_index if isinstance(edge_index, Tensor) else torch.as_tensor(np.asarray(edge_index))
    )
    if index.numel() == 0 and index.shape[-1] == 0:
        index = index.reshape(2, 0).long()
    if index.dim() != 2 or index.shape[0] != 2:
        raise GeodlError(
            "Graph(edge_index)",
            f"shape {list(index.shape)}",
            "give [2, E]: row 0 sends, row 1 receives",
        )
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise GeodlError(
            "Graph(edge_index)",
            f"dtype {index.dtype}",
            "node numbers are integers: use edge_index.long()",
        )
    return index.detach().long().clone()


def _edge_values(asked: str, name: str, value: Any, index: Tensor) -> Tensor:
    values = value if isinstance(value, Tensor) else torch.as_tensor(value)
    if values.shape[:1] != index.shape[1:] or (name != "edge_attr" and values.dim() != 1):
        shape = f"[{index.shape[1]}{', ...' if name == 'edge_attr' else ''}]"
        raise GeodlError(
            asked, f"{name} of shape {list(values.shape)}", f"give {name} of shape {shape}"
        )
    if values.device != index.device:
        raise GeodlError(
            asked,
            f"{name} on {values.device} and edge_index on {index.device}",
            "move them to one device",
        )
    if name == "edge_type" and (
        values.is_floating_point() or (values.numel() and int(values.min()) < 0)
    ):
        raise GeodlError(
            asked,
            f"edge_type with dtype {values.dtype} or negative numbers",
            "give relation numbers from 0",
        )
    if values.requires_grad:
        found = f"{name} that asks for a gradient, which a graph's frozen copy would lose"
        raise GeodlError(
            asked, found, "learn it as a Signal on edge_domain() with Message, or give it detached"
        )
    if name == "edge_weight":
        values = values if values.is_floating_point() else values.double()
        if not torch.isfinite(values).all():
            raise GeodlError(
                asked, "NaN or infinite edge weights", "clean the weights, or leave the edges out"
            )
    return values.detach().clone()
