"""Disjoint unions: many domains, of any kinds and sizes, as one."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from geodl.domain import convert
from geodl.domain.base import Domain, Links, Selection, TensorDomain, memo, replace_fields
from geodl.domain.chain import Chain
from geodl.domain.check import check_has_values
from geodl.domain.complete import Complete
from geodl.domain.graph import Graph
from geodl.domain.grid import Grid
from geodl.domain.runs import Runs, running_sum, runs_of
from geodl.domain.union import (
    check_members,
    check_numbers,
    check_starts,
    cut_members,
    device_of_members,
    merged_links,
    places_of_links,
)
from geodl.domain.weights import is_reweighted, joined_weights
from geodl.errors import GeodlError
from geodl.group import cached_constants


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
    union: Graph | None
    counts: tuple[int, ...]
    count: int
    starts: Tensor
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
        union: Graph | None,
        counts: tuple[int, ...],
        starts: Tensor,
    ) -> None:
        object.__setattr__(self, "given", given)
        object.__setattr__(self, "union", union)
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "count", sum(counts))
        object.__setattr__(self, "starts", starts)
        object.__setattr__(self, "reweighted", is_reweighted(self._parts))
        object.__setattr__(self, "cache", {})

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
            sizes = begins.diff()
            counts = tuple(sizes.tolist())
            member = torch.repeat_interleave(sizes, output_size=union.num_nodes)
            ends = member[union.edge_index]
            if not torch.equal(ends[0], ends[1]):
                k = int((ends[0] != ends[1]).nonzero()[0, 0])
                found = f"an edge from member {int(ends[0, k])} to member {int(ends[1, k])}"
                raise GeodlError(asked, found, "members have no edges between them")
        return cls.unchecked(union, counts, begins)

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
        union = Graph.from_pyg(batch)
        return cls.from_union(union, convert.pyg_starts(batch, union.num_nodes))

    def to_pyg(self) -> Any:
        """A PyG `Batch` of the members, edges member after member, which `to_data_list` takes apart
        again.

        Raises:
            GeodlError: if a member is not a graph.
        """
        graphs = []
        for member in self.members:
            if not isinstance(member, Graph):
                do = "give graphs: PyG knows nothing else"
                raise GeodlError(f"{self} to PyG", f"a member {member}", do)
            graphs.append(member.to_pyg())
        return convert.to_pyg_batch(graphs)

    def __repr__(self) -> str:
        if self.union is not None:
            edges = self.union.edge_index.shape[1]
            return f"Batch({self.num_members} graphs: {self.count} nodes, {edges} edges)"
        kinds = [str(member) for member in self.members[:3]]
        if self.num_members > 3:
            kinds.append("...")
        return f"Batch({self.num_members} members: {', '.join(kinds)})"

    @property
    def members(self) -> tuple[Domain, ...]:  # pyright: ignore[reportIncompatibleVariableOverride] - narrower: a batch always has some
        """The domains of the union, those of a flat one made at the first call."""
        if self.given is not None:
            return self.given
        return memo(self, "members", self._made_members)

    @property
    def kinds(self) -> tuple[Domain, ...]:
        """Members that differ; of a flat union, whose members are all graphs, one graph for all."""
        if self.union is not None:
            return (self.union,)
        # Tensor domains differ by identity, so that only values are found equal.
        return tuple(dict.fromkeys(self.members))

    @property
    def equal_member(self) -> Domain | None:
        """The member that all members are equal to, None where they differ."""
        if self.num_members == 1:
            return self.members[0]
        if self.union is not None:
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
        return sum(part.num_links for part in self._parts)

    @property
    def device(self) -> torch.device:
        """Where the starts and the members' tensors are."""
        return self.starts.device

    @property
    def ordered(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Each member is ordered."""
        return all(part.ordered for part in self._parts)

    @property
    def edge_type(self) -> Tensor | None:
        """The members' relation numbers, in the order of :meth:`links`; None unless every member
        has them.
        """
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
        check_numbers(f"members of {self}", numbers, self.num_members)
        with cached_constants():
            nodes_of, links_of, order = memo(self, "places", self._places)
            chosen = numbers.numpy()
            nodes, node_counts = nodes_of.select(chosen)
            links, link_counts = links_of.select(chosen)
            if order is not None:
                links = order[links]
            nodes, links = nodes.to(self.device), links.to(self.device)
            if self.union is None:
                domain = Batch([self.members[k] for k in numbers.tolist()]).to(self.device)
                return Selection(domain, nodes, links)
            starts = running_sum(node_counts)
            moved = (starts[:-1] - nodes_of.first[chosen]).repeat(link_counts)
            shift = torch.from_numpy(moved).to(self.device)
            union = self.union.part(links, int(starts[-1]), shift)
            begins = torch.from_numpy(starts).to(self.device)
            batch = Batch.unchecked(union, tuple(node_counts.tolist()), begins)
            return Selection(batch, nodes, links)

    def flat(self) -> "Batch":
        """As of every domain; weights are 1 where some members have none.

        >>> Batch([Graph([[0], [1]]), Graph([[0], [1]], 3)]).flat()
        Batch(2 graphs: 5 nodes, 2 edges)
        """
        if self.union is not None or not all(isinstance(m, Graph) for m in self.members):
            return self
        dst, src, weight = self.links()
        values = {name: self._joined_values(name) for name in ("edge_attr", "edge_type")}
        union = Graph(torch.stack((src, dst)), self.count, edge_weight=weight, **values)
        return Batch.unchecked(union, self.counts, self.starts)

    @cached_constants()
    def generators(self) -> Tensor:
        """Each member's generators, which leave the nodes of other members fixed."""
        # Equal members are not exchanged: the group does not depend on which members are equal.
        moves, start = [], 0
        for member in self.given or ():  # the members of a flat union, graphs, have none
            for move in member.generators():
                whole = torch.arange(self.num_nodes)
                whole[start : start + len(move)] = move + start
                moves.append(whole)
            start += member.num_nodes
        if not moves:
            return torch.zeros(0, self.num_nodes, dtype=torch.long)
        return torch.stack(moves)

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
        if self.union is None:
            return None
        return memo(self, "places", self._places)[2]

    def _joined_values(self, name: str) -> Tensor | None:
        """The values of the links of all members by name; None unless every member has them."""
        if self.union is not None:
            return getattr(self.union, name)
        values = [getattr(member, name, None) for member in self.members]
        present = [value for value in values if value is not None]
        if len(present) < len(values):
            return None
        return torch.cat(present)

    def _places(self) -> "tuple[Runs, Runs, Tensor | None]":
        """Where the nodes and the links of each member stand, on the CPU; and, where links stand in
        another order, the order that brings those of one member together.
        """
        nodes = runs_of(self.counts)
        if self.union is None:
            return nodes, runs_of([member.num_links for member in self.members]), None
        check_has_values(f"the members of {self}", self.starts)
        return nodes, *places_of_links(self.union, self.member_of(), self.num_members)

    @cached_constants()
    def _made_members(self) -> tuple[Domain, ...]:
        """The graphs of a flat union: views of its tensors where links stand member after
        member.
        """
        assert self.union is not None
        if self.num_members == 1:
            return (self.union,)
        _, links, order = memo(self, "places", self._places)
        return cut_members(self.union, self.counts, self.starts, links.length, order)

    def relabel(self, permutation: Tensor) -> Domain:
        """The union as one Graph with node i renumbered to `permutation[i]`."""
        dst, src, weight = self.links()
        index, kind = torch.stack((src, dst)), self.edge_type
        graph = Graph(index, self.num_nodes, edge_weight=weight, edge_type=kind)
        return graph.relabel(permutation)

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of the members (of a flat union, of the one graph), then the starts."""
        return (*(t for part in self._parts for t in part.tensors()), self.starts)

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Self:
        """This union over other copies of its tensors; itself when they are the very same."""
        if all(new is old for new, old in zip(tensors, self.tensors(), strict=True)):
            return self
        if self.union is not None:
            union = self.union.with_tensors(tensors[:-1])
            return replace_fields(self, union=union, starts=tensors[-1])
        # The tensors stand member after member, as `tensors` lays them out, and the starts last.
        members, begin = [], 0
        for member in self.members:
            end = begin + len(member.tensors())
            members.append(member.with_tensors(tensors[begin:end]))
            begin = end
        return replace_fields(self, given=tuple(members), starts=tensors[begin])

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        _, ring, weighted, _ = Graph.small()
        mixed = cls([Grid(3, 3), Chain(2), Complete(3)])
        # Links out of the order of the members, a loop, an isolated node; relations.
        edges = [[3, 0, 1, 4, 2], [4, 1, 0, 4, 3]]
        flat = cls.from_union(Graph(edges, 6, edge_type=[1, 0, 1, 0, 0]), [0, 2, 6])
        return cls([ring, weighted]), cls([Chain(4)] * 3), mixed, flat
