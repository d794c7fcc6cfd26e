"""Disjoint unions: many domains, of any kinds and sizes, as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from geodl.domain.base import Complete, Domain, Links, TensorDomain
from geodl.domain.chain import Chain
from geodl.domain.graph import Graph
from geodl.domain.grid import Grid
from geodl.errors import GeodlError


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Batch(TensorDomain):
    """Several domains side by side, with no edges between them; nodes are numbered member after
    member.

    Args:
        members: the domains, or a PyG `Batch`, taken as it is.

    >>> from geodl.domain import Chain, Grid
    >>> batch = Batch([Grid(2, 2), Chain(3)])
    >>> batch.num_nodes, batch.starts.tolist()
    (7, [0, 4, 7])
    """

    members: tuple[Domain, ...]  # pyright: ignore[reportIncompatibleVariableOverride] - narrower: a batch always has some
    starts: Tensor
    cache: dict[Any, Any]

    def __init__(self, members: Any):
        found = _from_pyg(members) if hasattr(members, "to_data_list") else tuple(members)
        if not found:
            raise GeodlError("Batch([])", "no members", "give at least one domain")
        if any(not isinstance(m, Domain) or m.members is not None for m in found):
            kinds = sorted({type(m).__name__ for m in found})
            raise GeodlError(
                "Batch(members)",
                f"members of kinds {kinds}",
                "give domains, none of them a Batch itself",
            )
        sizes = torch.tensor([0] + [m.num_nodes for m in found])
        object.__setattr__(self, "members", found)
        object.__setattr__(self, "starts", sizes.cumsum(0).to(_device(found)))
        object.__setattr__(self, "cache", {})

    def __repr__(self) -> str:
        kinds = ", ".join(map(str, self.members[:3])) + (", ..." if len(self.members) > 3 else "")
        return f"Batch({len(self.members)} members: {kinds})"

    @property
    def num_nodes(self) -> int:
        """The nodes of all members."""
        return sum(m.num_nodes for m in self.members)

    @property
    def num_members(self) -> int:
        """D, the number of members."""
        return len(self.members)

    @property
    def ordered(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Each member is ordered."""
        return all(m.ordered for m in self.members)

    @property
    def edge_type(self) -> Tensor | None:
        """The members' relation numbers, in the order of :meth:`links`; None unless every member
        has them.
        """
        kinds = [getattr(m, "edge_type", None) for m in self.members]
        return (
            torch.cat([k for k in kinds if k is not None])
            if all(k is not None for k in kinds)
            else None
        )

    def member_of(self) -> Tensor:
        """The member each node belongs to: `[N]`."""
        return torch.repeat_interleave(self.starts.diff())

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Cut values `[B, N, ...]` on the batch into each member's `[B, N_d, ...]`, as views."""
        return x.split([m.num_nodes for m in self.members], dim=1)

    def generators(self) -> Tensor:
        """Each member's generators, the others at rest."""
        moves = []
        for start, member in zip(self.starts.tolist(), self.members, strict=False):
            for move in member.generators():
                whole = torch.arange(self.num_nodes)
                whole[start : start + len(move)] = move + start
                moves.append(whole)
        return torch.stack(moves) if moves else torch.zeros(0, self.num_nodes, dtype=torch.long)

    def links(self) -> Links:
        """The members' links, merged once."""
        merged = self.cache.get("links")
        if merged is None:
            parts = [m.links() for m in self.members]
            device = self.starts.device
            offset = torch.repeat_interleave(
                self.starts[:-1], torch.tensor([len(p.dst) for p in parts], device=device)
            )
            dst = torch.cat([p.dst.to(device) for p in parts]) + offset
            src = torch.cat([p.src.to(device) for p in parts]) + offset
            weight = None
            if any(p.weight is not None for p in parts):
                weight = torch.cat([_weights(p).to(device) for p in parts])
            merged = self.cache["links"] = Links(dst, src, weight)
        return merged

    def relabel(self, permutation: Tensor) -> Domain:
        """The union as one Graph with node i called `permutation[i]`."""
        dst, src, weight = self.links()
        return Graph(
            torch.stack((src, dst)), self.num_nodes, edge_weight=weight, edge_type=self.edge_type
        ).relabel(permutation)

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of the members, then the starts."""
        return (*(t for m in self.members for t in m.tensors()), self.starts)

    def with_tensors(self, tensors: tuple[Tensor, ...]) -> Self:
        """This union over other copies of its members' tensors; itself when they are the very
        same.
        """
        if all(a is b for a, b in zip(tensors, self.tensors(), strict=True)):
            return self
        rest, members = list(tensors), []
        for m in self.members:
            count = len(m.tensors())
            members.append(m.with_tensors(tuple(rest[:count])))
            rest = rest[count:]
        twin = type(self)(members)
        object.__setattr__(twin, "starts", rest[0])
        return twin

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        graphs = Graph.small()
        return (
            cls([graphs[1], graphs[2]]),
            cls([Chain(4), Chain(4), Chain(4)]),
            cls([Grid(3, 3), Chain(2), Complete(3)]),
        )


def _from_pyg(batch: Any) -> tuple[Domain, ...]:
    return tuple(Graph.from_pyg(data) for data in batch.to_data_list())


def _weights(links: Links) -> Tensor:
    return (
        torch.ones(len(links.dst), dtype=torch.float64)
        if links.weight is None
        else links.weight.double()
    )


def _device(members: Sequence[Domain]) -> torch.device:
    devices = {t.device for m in members for t in m.tensors()}
    if len(devices) > 1:
        raise GeodlError(
            "Batch(members)", f"members on {sorted(map(str, devices))}", "move them to one device"
        )
    return devices.pop() if devices else torch.device("cpu")
