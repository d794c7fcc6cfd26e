"""The way to compare edges between lattices with fibers: by points, and by tables between sheets.

A claim that takes node (x, h) to (a x, b h), as shifts and the elements of a point group do,
carries the edges between two points together: those from q to p, whose types are a table T[s, r],
to edges from a q to a p with the table `T'[b s, b r] = T[s, r]`. They are edges of the rule exactly
when that is the table there. So tables are numbered, equal ones alike, and the edges between
*points* are compared, each with the number of its table in the place of a type. A window of 27
places on 8 x 8 x 8 points has 10,648 of them, where with 48 sheets 24.5 million are between nodes.

It is the same proof: every edge stands in one of the tables, nothing is rounded, and nothing is
concluded from one point to another. Where a window wraps around so short an axis that several of
its places join the same two points, equal edges may be spread over tables otherwise: therefore
wherever tables differ, the edges into that point are written out and compared one by one.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.neighborhood import SheetEdges, Symmetry
from geodl.symmetry.edge_by_edge import Codes, WrittenOut, among, fault, number


class Move(NamedTuple):
    """A move of nodes (x, h) to (a x, b h).

    Attributes:
        points: `[X]` where points go, -1 off the lattice.
        sheets: `[H]` where sheets go.
    """

    points: Tensor
    sheets: Tensor


def first_fault(here: WrittenOut, claim: Symmetry, there: WrittenOut) -> str:
    """The first edge that a claim does not carry to an edge of the same type and weight, in words
    ("" if none).

    Args:
        here: the edges that are carried.
        claim: carries them.
        there: the edges of the rule where the claim leads.
    """
    ours, theirs = here.sheets, there.sheets
    if ours is not None and theirs is not None:
        _, sheets_out, sheets_in = ours.types.shape
        receivers = as_move(claim.receivers, sheets_out)
        senders = as_move(claim.senders, sheets_in)
        if receivers and senders and theirs.types.shape[1:] == ours.types.shape[1:]:
            both = carry(ours, receivers, senders, theirs)
            types = int(theirs.types.max()) + 1
            # Most often there is no such point.
            for point in both.differing():
                some = ours.chosen(receivers.points[ours.dst] == point).written_out()
                known = theirs.chosen(theirs.dst == point).written_out()
                known = number(known, there.part, types)
                if found := fault(some, claim, here.part, known, both.leaves):
                    return found
            return ""
    return fault(here.edges, claim, here.part, there.numbered)


def as_move(nodes: Tensor, sheets: int) -> Move | None:
    """A move of nodes as one of points and one of sheets; None where it is not of this form.

    Args:
        nodes: `[X H]` where each node goes, -1 off the lattice.
        sheets: H.
    """
    table = nodes.view(-1, sheets)
    stays = table[:, 0] >= 0
    if not stays.any():
        return None
    points = torch.where(stays, table[:, 0] // sheets, -1)
    order = table[stays][0] % sheets
    moved = torch.where(stays[:, None], points[:, None] * sheets + order, -1)
    if not torch.equal(moved, table) or len(order.unique()) < sheets:
        return None
    return Move(points, order)


class Carried(NamedTuple):
    """Edges between points, each with the number of its table, where a claim carries them and where
    they are; ascending numbers `(dst X + src) n + table`.

    Attributes:
        carried: of the edges that a claim carries.
        present: of the rule's edges there.
        leaves: whether some are carried off the lattice, so that others may come from outside.
        span: `X n`, by which a number is divided for its receiving point.
    """

    carried: Codes
    present: Codes
    leaves: bool
    span: int

    def differing(self) -> list[int]:
        """The receiving points at which carried edges are not those of the rule; first those to
        which one is carried that is not among them.
        """
        if not self.leaves and np.array_equal(self.carried, self.present):
            return []
        missing = self.carried[~among(self.carried, self.present)]
        points = (missing // self.span).tolist()
        if not self.leaves:
            counts = Counter(self.present.tolist())
            counts.subtract(self.carried.tolist())
            points += sorted(code // self.span for code, count in counts.items() if count)
        return list(dict.fromkeys(points))


def carry(ours: SheetEdges, receivers: Move, senders: Move, theirs: SheetEdges) -> Carried:
    """The edges of one end of a claim, carried to the other, beside those that are there.

    Args:
        ours: the edges that are carried.
        receivers: how receivers move.
        senders: how senders move.
        theirs: the edges of the rule where they are carried to.
    """
    tables = torch.empty_like(ours.types)
    tables[:, receivers.sheets[:, None], senders.sheets] = ours.types
    numbers: dict[bytes, int] = {}
    ours_numbered = _numbered(tables, numbers)[ours.place]
    theirs_numbered = _numbered(theirs.types, numbers)[theirs.place]
    dst, src = receivers.points[ours.dst], senders.points[ours.src]
    stays = (dst >= 0) & (src >= 0)
    span = len(senders.points) * len(numbers)
    carried = dst * span + src * len(numbers) + ours_numbered
    present = theirs.dst * span + theirs.src * len(numbers) + theirs_numbered
    leaves = not bool(stays.all())
    return Carried(np.sort(carried[stays].numpy()), np.sort(present.numpy()), leaves, span)


def _numbered(tables: Tensor, numbers: dict[bytes, int]) -> Tensor:
    """The number of each table, equal ones alike: `[K]`; new ones are added to the numbers."""
    found = [numbers.setdefault(table.tobytes(), len(numbers)) for table in tables.numpy()]
    return torch.tensor(found)
