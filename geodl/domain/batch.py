"""Disjoint unions: many domains, of any kinds and sizes, as one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from geodl.domain.base import Domain, Links, TensorDomain, memo, replace_fields
from geodl.domain.chain import Chain
from geodl.domain.check import default_device
from geodl.domain.complete import Complete
from geodl.domain.graph import Graph
from geodl.domain.grid import Grid
from geodl.errors import GeodlError
from geodl.group import cached_constants


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Batch(TensorDomain):
    """Several domains side by side, with no edges between them; nodes are numbered member after
    member.

    Args:
        members: the domains, or a PyG `Batch`, taken as it is.

    Raises:
        GeodlError: no members, members that are no domains or are unions themselves, members on
            different devices.

    >>> from geodl.domain import Chain, Grid
    >>> batch = Batch([Grid(2, 2), Chain(3)])
    >>> batch.num_nodes, batch.starts.tolist()
    (7, [0, 4, 7])
    """

    members: tuple[Domain, ...]  # pyright: ignore[reportIncompatibleVariableOverride] - narrower: a batch always has some
    counts: tuple[int, ...]
    starts: Tensor
    cache: dict[Any, Any]

    def __init__(self, members: Any):
        parts = _members(members)
        sizes = tuple(part.num_nodes for part in parts)
        device = _device(parts)
        with cached_constants():
            starts = torch.tensor((0, *sizes)).cumsum(0).to(device)
        object.__setattr__(self, "members", parts)
        object.__setattr__(self, "counts", sizes)
        object.__setattr__(self, "starts", starts)
        object.__setattr__(self, "cache", {})

    def __repr__(self) -> str:
        kinds = [str(member) for member in self.members[:3]]
        if len(self.members) > 3:
            kinds.append("...")
        return f"Batch({len(self.members)} members: {', '.join(kinds)})"

    @property
    def num_nodes(self) -> int:
        """The nodes of all members."""
        return sum(self.counts)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of nodes of each member."""
        return self.counts

    @property
    def num_links(self) -> int:
        """The links of all members."""
        return sum(member.num_links for member in self.members)

    @property
    def device(self) -> torch.device:
        """Where the starts and the members' tensors are."""
        return self.starts.device

    @property
    def ordered(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Each member is ordered."""
        return all(member.ordered for member in self.members)

    @property
    def edge_type(self) -> Tensor | None:
        """The members' relation numbers, in the order of :meth:`links`; None unless every member
        has them.
        """
        kinds = [getattr(member, "edge_type", None) for member in self.members]
        present = [kind for kind in kinds if kind is not None]
        if len(present) < len(kinds):
            return None
        return torch.cat(present)

    def member_of(self) -> Tensor:
        """The member that each node belongs to: `[N]`."""
        return torch.repeat_interleave(self.starts.diff())

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Cut values `[B, N, ...]` on the batch into each member's `[B, N_d, ...]`, as views."""
        return x.split(self.counts, dim=1)

    @cached_constants()
    def generators(self) -> Tensor:
        """Each member's generators, the others at rest."""
        # Equal members could be exchanged, too; they are not, so that all members are vouched for
        # alike.
        moves, start = [], 0
        for member in self.members:
            for move in member.generators():
                whole = torch.arange(self.num_nodes)
                whole[start : start + len(move)] = move + start
                moves.append(whole)
            start += member.num_nodes
        if not moves:
            return torch.zeros(0, self.num_nodes, dtype=torch.long)
        return torch.stack(moves)

    def links(self) -> Links:
        """The members' links, merged once."""
        return memo(self, "links", self._merge_links)

    @cached_constants()
    def _merge_links(self) -> Links:
        parts = [member.links() for member in self.members]
        device = self.starts.device
        # Node i of a member is node start + i of the union, in the links of that member.
        counts = torch.tensor([len(part.dst) for part in parts], device=device)
        offset = torch.repeat_interleave(self.starts[:-1], counts)
        dst = torch.cat([part.dst.to(device) for part in parts]) + offset
        src = torch.cat([part.src.to(device) for part in parts]) + offset
        if all(part.weight is None for part in parts):
            return Links(dst, src)
        return Links(dst, src, torch.cat([_weights(part).to(device) for part in parts]))

    def relabel(self, permutation: Tensor) -> Domain:
        """The union as one Graph with node i called `permutation[i]`."""
        dst, src, weight = self.links()
        index, kind = torch.stack((src, dst)), self.edge_type
        graph = Graph(index, self.num_nodes, edge_weight=weight, edge_type=kind)
        return graph.relabel(permutation)

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of the members, then the starts."""
        return (*(t for member in self.members for t in member.tensors()), self.starts)

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Self:
        """This union over other copies of its members' tensors; itself when they are the very
        same.
        """
        if all(new is old for new, old in zip(tensors, self.tensors(), strict=True)):
            return self
        # The tensors stand member after member, as `tensors` lays them out, and the starts last.
        members, begin = [], 0
        for member in self.members:
            end = begin + len(member.tensors())
            members.append(member.with_tensors(tensors[begin:end]))
            begin = end
        return replace_fields(self, members=tuple(members), starts=tensors[begin])

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        _, ring, weighted, _ = Graph.small()
        mixed = cls([Grid(3, 3), Chain(2), Complete(3)])
        return cls([ring, weighted]), cls([Chain(4)] * 3), mixed


def _members(members: Any) -> tuple[Domain, ...]:
    """The members of a union, of a PyG `Batch` one Graph for each of its parts."""
    if hasattr(members, "to_data_list"):
        return tuple(Graph.from_pyg(data) for data in members.to_data_list())
    if not isinstance(members, Iterable):
        found = f"a {type(members).__name__}"
        raise GeodlError("Batch(members)", found, "give a list: Batch([domain, ...])")
    parts = tuple(members)
    if not parts:
        raise GeodlError("Batch([])", "no members", "give at least one domain")
    if any(not isinstance(part, Domain) or part.members is not None for part in parts):
        kinds = sorted({type(part).__name__ for part in parts})
        do = "give domains, none of them a Batch itself"
        raise GeodlError("Batch(members)", f"members of kinds {kinds}", do)
    return parts


def _weights(links: Links) -> Tensor:
    # float64 holds the weights of every member as they are.
    if links.weight is None:
        return torch.ones(len(links.dst), dtype=torch.float64)
    return links.weight.double()


def _device(members: Sequence[Domain]) -> torch.device:
    """The one device of the members' tensors, or where lists become tensors."""
    devices = {member.device for member in members if member.device is not None}
    if len(devices) > 1:
        found = f"members on {sorted(map(str, devices))}"
        raise GeodlError("Batch(members)", found, "move them to one device")
    if devices:
        return devices.pop()
    return default_device()
