"""Disjoint unions: many domains, of any kinds and sizes, as one."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import convert
from geodl.domain.base import Domain, Links, Selection, TensorDomain, memo, replace_fields
from geodl.domain.chain import Chain
from geodl.domain.chosen import Chosen, choose, choose_run
from geodl.domain.complete import Complete
from geodl.domain.graph import Graph
from geodl.domain.grid import Grid
from geodl.domain.reading import SortedGraphs, read_by_start
from geodl.domain.union import (
    Places,
    as_graph,
    check_graphs,
    check_members,
    check_numbers,
    check_starts,
    check_within_members,
    device_of_members,
    graph_of,
    joined_generators,
    joined_values,
    members_of,
    members_over,
    merged_links,
    places_of,
)
from geodl.domain.weights import is_reweighted, joined_weights
from geodl.errors import GeodlError


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Batch(TensorDomain):
    """Several domains side by side, with no edges between them; nodes are numbered member after
    member.

    A union of graphs may be flat: one Graph that holds the edges of all of them, and where each
    member begins (:meth:`from_union`, :meth:`from_pyg`). Then its members are made when they are
    asked for, and no layer does.

    Args:
        members: the domains, or a PyG `Batch`, taken as it is.

    Raises:
        GeodlError: if there are no members, if a member is not a domain or is a union itself, or if
            members are on different devices.

    >>> from geodl.domain import Chain, Grid
    >>> batch = Batch([Grid(2, 2), Chain(3)])
    >>> batch.num_nodes, batch.starts.tolist()
    (7, [0, 4, 7])
    """

    is_union = True
    given: tuple[Domain, ...] | None
    held: Graph | None
    counts: tuple[int, ...]
    count: int
    starts: Tensor
    chosen: Chosen | None
    sorted_graphs: SortedGraphs | None
    reweighted: bool
    cache: dict[Any, Any]

    def __init__(self, members: Any):
        if hasattr(members, "to_data_list"):
            flat = Batch.from_pyg(members)
            self._set(None, flat.union, flat.counts, flat.starts)
            return
        parts = check_members(members)
        sizes = tuple(part.num_nodes for part in parts)
        device = device_of_members(parts)
        with cached_constants():
            starts = torch.tensor((0, *sizes)).cumsum(0).to(device)
        self._set(parts, None, sizes, starts)

    def _set(
        self,
        given: tuple[Domain, ...] | None,
        held: Graph | None,
        counts: tuple[int, ...],
        starts: Tensor,
        chosen: Chosen | None = None,
        graphs: SortedGraphs | None = None,
    ) -> None:
        reweighted = is_reweighted(given or (held,))
        # A frozen dataclass lets no other assignment through.
        vars(self).update(given=given, held=held, counts=counts, count=sum(counts), starts=starts)
        vars(self).update(chosen=chosen, sorted_graphs=graphs, reweighted=reweighted, cache={})

    @classmethod
    def from_union(cls, union: Graph, starts: Any) -> "Batch":
        """Many graphs that stand in one already, as PyG and DGL hold their batches; nothing is
        taken apart.

        Args:
            union: the edges of all members, nodes numbered member after member.
            starts: `[D + 1]` integers: the first node of each member, and the number of all nodes
                (PyG's `ptr`).

        Raises:
            GeodlError: if it is not a Graph, if the starts do not grow from 0 to the number of
                nodes, or if an edge leads from one member to another.

        >>> two = Batch.from_union(Graph([[0, 3], [1, 2]], 5), [0, 2, 5])
        >>> [member.edge_index.tolist() for member in two.members]
        [[[0], [1]], [[1], [0]]]
        """
        asked = "Batch.from_union(union, starts)"
        if not isinstance(union, Graph):
            raise GeodlError(asked, f"a {type(union).__name__}", "give a Graph")
        with cached_constants():
            begins = check_starts(asked, starts, union.num_nodes, union.device)
            counts = check_within_members(asked, union, begins)
        return cls.unchecked(union, counts, begins)

    @classmethod
    def from_sorted(cls, graphs: SortedGraphs) -> "Batch":
        """A flat union of graphs that were read in one pass."""
        batch = cls.__new__(cls)
        batch._set(None, None, graphs.counts, graphs.starts, graphs=graphs)
        return batch

    @classmethod
    def unchecked(cls, union: Graph, counts: tuple[int, ...], starts: Tensor) -> "Batch":
        """A flat union of parts that are known to fit, as one that was chosen from another.

        Args:
            union: the edges of all members.
            counts: the nodes of each.
            starts: `[D + 1]` torch.long, where the union is: their running sum from 0.
        """
        batch = cls.__new__(cls)
        batch._set(None, union, counts, starts)
        return batch

    @classmethod
    def from_pyg(cls, batch: Any) -> "Batch":
        """The graphs of a PyG `Batch`, as they stand in it: nothing is taken apart.

        Reads `edge_index` (or `adj_t` in CSR), `edge_weight`, `edge_attr`, `edge_type` where it has
        them, and `ptr`, or else `batch`.

        Raises:
            GeodlError: as :meth:`Graph.from_pyg` and :meth:`from_union`; if it is not a batch.

        >>> from torch_geometric.data import Batch as Pyg, Data
        >>> pair = Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2)
        >>> Batch.from_pyg(Pyg.from_data_list([pair, pair])).starts.tolist()
        [0, 2, 4]
        """
        held = convert.pyg_attributes(batch)
        parts = convert.parts_of_pyg(batch, held)
        return cls.from_parts(parts, convert.pyg_starts(held, parts.num_nodes))

    @classmethod
    def from_parts(cls, parts: convert.GraphParts, starts: Any) -> "Batch":
        """A flat union of what another library's was read as; starts as of :meth:`from_union`."""
        graphs = None if parts.has_values else read_by_start(parts.edge_index, starts)
        if graphs is None:
            return cls.from_union(Graph.from_parts(parts), starts)
        return cls.from_sorted(graphs)

    def to_pyg(self) -> Any:
        """A PyG `Batch` of the members, edges member after member, which `to_data_list` takes apart
        again.

        Raises:
            GeodlError: if a member is not a graph.
        """
        graphs = check_graphs(f"{self} to PyG", self.members)
        return convert.to_pyg_batch([graph.to_pyg() for graph in graphs])

    def __getstate__(self) -> dict[str, Any]:
        # A copy holds its own links, and nothing of the union that its members were chosen from.
        return {**super().__getstate__(), "held": self.union, "chosen": None, "sorted_graphs": None}

    def __repr__(self) -> str:
        if self.is_flat:
            counts = f"{self.count} nodes, {self.num_links} edges"
            return f"Batch({self.num_members} graphs: {counts})"
        kinds = [str(member) for member in self.members[:3]]
        if self.num_members > 3:
            kinds.append("...")
        return f"Batch({self.num_members} members: {', '.join(kinds)})"

    @property
    def is_flat(self) -> bool:
        """Whether one Graph holds the links of all members."""
        return self.given is None

    @property
    def union(self) -> Graph | None:
        """The one Graph of a flat union, which may be made at the first call."""
        if self.held is None and self.is_flat:
            object.__setattr__(self, "held", graph_of(self))
        return self.held

    @property
    def members(self) -> tuple[Domain, ...]:  # pyright: ignore[reportIncompatibleVariableOverride] - narrower: a batch always has some
        """The domains of the union, those of a flat one made at the first call."""
        if self.given is not None:
            return self.given
        return memo(self, "members", lambda: members_of(self, self._places))

    @property
    def kinds(self) -> tuple[Domain, ...]:
        """Members that differ; of a flat union, whose members are all graphs, one graph for all."""
        if self.chosen is not None:
            return self.chosen.of.kinds  # nothing but graphs, as they are
        if self.union is not None:
            return (self.union,)
        # Tensor domains differ by identity, so that only values are found equal.
        return tuple(dict.fromkeys(self.members))

    @property
    def equal_member(self) -> Domain | None:
        """The member that all members are equal to, None where they differ."""
        if self.num_members == 1:
            return self.members[0]
        if self.is_flat:
            return None  # graphs differ by identity
        first = self.members[0]
        # Found once: comparing the members costs time in proportion to their number.
        equal = memo(self, "equal", lambda: all(member == first for member in self.members))
        return first if equal else None

    @property
    def _parts(self) -> tuple[Domain, ...]:
        """What holds the tensors: the members that were given, or the one graph of a flat union."""
        if self.given is not None:
            return self.given
        assert self.union is not None
        return (self.union,)

    @property
    def num_nodes(self) -> int:
        """The nodes of all members."""
        return self.count

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of nodes of each member."""
        return self.counts

    @property
    def num_members(self) -> int:
        """D, the number of members."""
        return len(self.counts)

    @property
    def num_links(self) -> int:
        """The links of all members."""
        if self.chosen is not None:
            return self.chosen.num_links
        return sum(part.num_links for part in self._parts)

    @property
    def device(self) -> torch.device:
        """Where the starts and the members' tensors are."""
        return self.starts.device

    @property
    def ordered(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Each member is ordered."""
        return not self.is_flat and all(part.ordered for part in self._parts)

    @property
    def edge_type(self) -> Tensor | None:
        """The relation number of each of :meth:`links`; None unless every member has them."""
        return self._joined_values("edge_type")

    def member_of(self) -> Tensor:
        """The member that each node belongs to: `[N]`."""
        return torch.repeat_interleave(self.starts.diff(), output_size=self.count)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Cut values `[B, N, ...]` on the batch into each member's `[B, N_d, ...]`, as views."""
        return x.split(self.counts, dim=1)

    def select(self, numbers: Tensor) -> Selection:
        """As every domain; of a flat union the one that is made is flat, too, each of its tensors
        gathered at once.

        >>> from geodl.domain import Chain
        >>> chosen = Batch([Chain(2), Chain(3)]).select(torch.tensor([1, 0, 1]))
        >>> chosen.domain, chosen.nodes.tolist()
        (Batch(3 members: Chain(3), Chain(2), Chain(3)), [2, 3, 4, 0, 1, 2, 3, 4])
        """
        check_numbers(self, numbers)
        with cached_constants():
            chosen = choose(self, numbers.numpy(), *self._places)
            nodes = torch.from_numpy(chosen.nodes).to(self.device)
            return Selection(self._union_of(chosen), nodes, chosen)

    def in_groups(self, sizes: Sequence[int]) -> "list[Domain]":
        """As of every union; of a flat one each group is flat, too.

        >>> Batch([Graph([[0], [1]])] * 3).flat().in_groups([2, 1])
        [Batch(2 graphs: 4 nodes, 2 edges), Batch(1 graphs: 2 nodes, 1 edges)]
        """
        with cached_constants():
            bounds = itertools.pairwise(itertools.accumulate(sizes, initial=0))
            return [self._union_of(choose_run(self, *bound, *self._places)) for bound in bounds]

    def _union_of(self, chosen: Chosen) -> "Batch":
        if not self.is_flat:
            return Batch([self.members[k] for k in chosen.numbers.tolist()]).to(self.device)
        held = None
        if self.reweighted:  # by weights that belong to this call
            held = chosen.make_graph()
        batch = Batch.__new__(Batch)
        starts = torch.from_numpy(chosen.starts).to(self.device)
        batch._set(None, held, tuple(chosen.counts.tolist()), starts, chosen)
        return batch

    def flat(self) -> "Batch":
        """As of every domain; weights are 1 where some members have none.

        >>> Batch([Graph([[0], [1]]), Graph([[0], [1]], 3)]).flat()
        Batch(2 graphs: 5 nodes, 2 edges)
        """
        if self.is_flat or not all(isinstance(m, Graph) for m in self.members):
            return self
        values = {name: self._joined_values(name) for name in ("edge_attr", "edge_type")}
        return Batch.unchecked(as_graph(self, **values), self.counts, self.starts)

    @cached_constants()
    def generators(self) -> Tensor:
        """Each member's generators, which leave the nodes of other members fixed."""
        # The members of a flat union, graphs, have none.
        return joined_generators(self.given or (), self.num_nodes)

    @property
    def runtime_weight(self) -> Tensor | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The weights of all links, where those of a member come with each call."""
        return joined_weights(self._parts) if self.reweighted else None

    def links(self) -> Links:
        """The members' links, merged once; weights that come with the call are its own."""
        if self.union is not None:
            return self.union.links()
        links = memo(self, "links", lambda: merged_links(self.members, self.starts))
        if self.reweighted:
            links = links._replace(weight=self.runtime_weight)
        return links

    @property
    def link_order(self) -> Tensor | None:
        """As of every domain; looked for once."""
        if not self.is_flat:
            return None
        return self._places[2]

    def _joined_values(self, name: str) -> Tensor | None:
        """The values of the links of all members by name; None unless every member has them."""
        if self.union is not None:
            return getattr(self.union, name)
        return joined_values(self.members, name)

    @property
    def _places(self) -> Places:
        return memo(self, "places", lambda: places_of(self))

    def relabel(self, permutation: Tensor) -> Domain:
        """The union as one Graph with node i renumbered to `permutation[i]`."""
        return as_graph(self, edge_type=self.edge_type).relabel(permutation)

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of the members (of a flat union, of the one graph), then the starts."""
        owned = [part.tensors() for part in self._parts]
        return (*itertools.chain.from_iterable(owned), self.starts)

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Self:
        """This union over other copies of its tensors; itself when they are the very same."""
        if all(new is old for new, old in zip(tensors, self.tensors(), strict=True)):
            return self
        if self.union is not None:
            union = self.union.with_tensors(tensors[:-1])
            return replace_fields(self, held=union, starts=tensors[-1])
        given = members_over(self.members, tensors)
        return replace_fields(self, given=given, starts=tensors[-1])

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        _, ring, weighted, _ = Graph.small()
        mixed = cls([Grid(3, 3), Chain(2), Complete(3)])
        # Links out of the order of the members, a loop, an isolated node; relations.
        edges = [[3, 0, 1, 4, 2], [4, 1, 0, 4, 3]]
        flat = cls.from_union(Graph(edges, 6, edge_type=[1, 0, 1, 0, 0]), [0, 2, 6])
        return cls([ring, weighted]), cls([Chain(4)] * 3), mixed, flat
