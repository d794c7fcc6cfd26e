"""Edges on lattices with a fiber, said of its sheets: once for all points."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.structure import Structure


class SheetEdges(NamedTuple):
    """Edges between lattice points, each of which stands for all those between the sheets over its
    two ends: from `(src, r)` to `(dst, s)` of type `types[place, s, r]`.

    There are `[P] + [K, S, R]` numbers where the edges themselves are up to `P S R`: sheets meet in
    the same way over every point.

    Attributes:
        dst: `[P]` receiving points.
        src: `[P]` sending points.
        place: `[P]` which table says the types.
        types: `[K, S, R]` the type of the edge from sheet r to sheet s, -1 where there is none.
    """

    dst: Tensor
    src: Tensor
    place: Tensor
    types: Tensor

    def turned_around(self) -> "SheetEdges":
        """The same edges from receivers to senders."""
        return SheetEdges(self.src, self.dst, self.place, self.types.mT)

    def chosen(self, which: Tensor) -> "SheetEdges":
        """Some of the edges between points, by a mask `[P]`."""
        return SheetEdges(self.dst[which], self.src[which], self.place[which], self.types)

    def written_out(self) -> Edges:
        """The edges between nodes `point * S + s` and `point * R + r`."""
        types = self.types[self.place]
        edge, s, r = (types >= 0).nonzero().unbind(1)
        sheets_out, sheets_in = types.shape[1:]
        dst = self.dst[edge] * sheets_out + s
        src = self.src[edge] * sheets_in + r
        return Edges(dst, src, types[edge, s, r])


@dataclass(frozen=True, eq=False)
class OneOfEach(Structure):
    """Over each point, sheet s receives over type t from sheet `sheets[s, t]` alone; every sheet of
    the senders is one of these, once.

    Args:
        sheets: `[S, T]`.
    """

    sheets: Tensor

    def edges(self, source: Domain, target: Domain) -> Edges:
        sheets_out, types = self.sheets.shape
        receiver = torch.empty(self.sheets.numel(), dtype=torch.long)
        # The senders one after another, where the rule writes out its receivers.
        receiver[self.sheets.flatten()] = torch.arange(self.sheets.numel())
        src = torch.arange(source.num_nodes)
        point, sheet = src // len(receiver), src % len(receiver)
        dst = point * sheets_out + receiver[sheet] // types
        return Edges(dst, src, receiver[sheet] % types)

    def reverse(self) -> Structure | None:
        return None
