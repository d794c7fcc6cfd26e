"""Grids of one to three axes: where images and volumes live."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.domain.action import shift
from geodl.domain.base import Domain, Links, coordinates, positive, ravel
from geodl.errors import GeodlError
from geodl.group import Group


@dataclass(frozen=True, init=False)
class Grid(Domain):
    """A box of nodes with one to three axes, the last axis fastest.

    Args:
        lengths: the number of nodes along each axis.
        periodic: whether the axes wrap around; one bool for all axes or one for each.

    >>> Grid(28, 28).num_nodes
    784
    >>> Grid(8, periodic=True)
    Grid(8, periodic=True)
    """

    lattice: tuple[int, ...]  # pyright: ignore[reportIncompatibleVariableOverride] - narrower: a grid always has one
    periodic: tuple[bool, ...]

    def __init__(self, *lengths: int, periodic: bool | tuple[bool, ...] = False):
        asked = f"Grid{lengths}"
        if not 1 <= len(lengths) <= 3:
            raise GeodlError(asked, f"{len(lengths)} axes", "give one to three lengths, as in Grid(28, 28)")
        positive(asked, *lengths)
        wraps = (periodic,) * len(lengths) if isinstance(periodic, bool) else tuple(periodic)
        if len(wraps) != len(lengths) or not all(isinstance(w, bool) for w in wraps):
            raise GeodlError(asked, f"periodic={periodic!r}", "give one bool, or one for each axis")
        object.__setattr__(self, "lattice", tuple(lengths))
        object.__setattr__(self, "periodic", wraps)

    def __repr__(self) -> str:
        wraps = {(True,): ", periodic=True", (False,): ""}.get(tuple(sorted(set(self.periodic))), f", periodic={self.periodic}")
        return f"Grid({', '.join(map(str, self.lattice))}{wraps})"

    @property
    def num_nodes(self) -> int:
        """The product of the lengths."""
        count = 1
        for n in self.lattice:
            count *= n
        return count

    def generators(self) -> Tensor:
        """Reflections of each axis, exchanges of equal axes, and unit shifts of periodic ones."""
        points, d = coordinates(self.lattice), len(self.lattice)
        moves = []
        for axis, n in enumerate(self.lattice):
            flipped = points.clone()
            flipped[:, axis] = n - 1 - flipped[:, axis]
            moves.append(ravel(flipped, self.lattice))
            if self.periodic[axis]:
                moves.append(shift(self, axis, 1))
        for a in range(d):
            for b in range(a + 1, d):
                if (self.lattice[a], self.periodic[a]) == (self.lattice[b], self.periodic[b]):
                    order = list(range(d))
                    order[a], order[b] = b, a
                    moves.append(ravel(points[:, order], self.lattice))
        return torch.stack(moves)

    def links(self) -> Links:
        """Nearest neighbours along each axis, in both directions."""
        moves = [(shift(self, axis, step)) for axis in range(len(self.lattice)) for step in (-1, 1)]
        return neighbours(moves)

    def like(
        self,
        lattice: tuple[int, ...] | None = None,
        fiber: Group | None = None,
        periodic: tuple[bool, ...] | None = None,
    ) -> Domain:
        """A grid of other lengths, with a fiber when one is given."""
        from geodl.domain.group_grid import GroupGrid

        grid = Grid(*(lattice or self.lattice), periodic=self.periodic if periodic is None else periodic)
        return grid if fiber is None else GroupGrid(grid, fiber)

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        return Grid(5), Grid(4, 4), Grid(5, 5, periodic=True), Grid(3, 4, periodic=(True, False)), Grid(3, 3, 3)


def neighbours(moves: list[Tensor]) -> Links:
    """The links i <- moves[k][i], each pair of nodes once, no node with itself."""
    dst = torch.arange(len(moves[0])).repeat(len(moves))
    src = torch.cat(moves)
    keep = (src >= 0) & (src != dst)
    pairs = torch.unique(torch.stack((dst[keep], src[keep])), dim=1)
    return Links(pairs[0], pairs[1])
