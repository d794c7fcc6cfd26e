"""Grids, where images and volumes live, and grids with a group over each point, where group CNNs'
feature maps do.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.domain.action import rotate_nodes, shift_nodes
from geodl.domain.base import Domain, Links, coordinates, positive, ravel
from geodl.errors import GeodlError
from geodl.group import C, Group, O


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
            raise GeodlError(
                asked, f"{len(lengths)} axes", "give one to three lengths, as in Grid(28, 28)"
            )
        positive(asked, *lengths)
        wraps = (
            tuple(periodic) if isinstance(periodic, (tuple, list)) else (periodic,) * len(lengths)
        )
        if len(wraps) != len(lengths) or not all(isinstance(w, bool) for w in wraps):
            raise GeodlError(asked, f"periodic={periodic!r}", "give one bool, or one for each axis")
        object.__setattr__(self, "lattice", tuple(lengths))
        object.__setattr__(self, "periodic", wraps)

    def __repr__(self) -> str:
        wraps = (
            ", periodic=True"
            if all(self.periodic)
            else (f", periodic={self.periodic}" if any(self.periodic) else "")
        )
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
                moves.append(shift_nodes(self, axis, 1))
        for a in range(d):
            for b in range(a + 1, d):
                if (self.lattice[a], self.periodic[a]) == (self.lattice[b], self.periodic[b]):
                    order = list(range(d))
                    order[a], order[b] = b, a
                    moves.append(ravel(points[:, order], self.lattice))
        return torch.stack(moves)

    def links(self) -> Links:
        """Nearest neighbours along each axis, in both directions."""
        moves = [
            (shift_nodes(self, axis, step)) for axis in range(len(self.lattice)) for step in (-1, 1)
        ]
        return neighbours(moves)

    def replace(
        self,
        lattice: tuple[int, ...] | None = None,
        fiber: Group | None = None,
        periodic: tuple[bool, ...] | None = None,
    ) -> Domain:
        """A grid of other lengths, with a fiber when one is given."""
        grid = Grid(
            *(lattice or self.lattice), periodic=self.periodic if periodic is None else periodic
        )
        return grid if fiber is None else GroupGrid(grid, fiber)

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        return (
            Grid(5),
            Grid(4, 4),
            Grid(5, 5, periodic=True),
            Grid(3, 4, periodic=(True, False)),
            Grid(3, 3, 3),
        )


@dataclass(frozen=True)
class GroupGrid(Domain):
    """A grid with a copy of a group over each point: node `(x, h)` has number `x * |G| + h`.

    An element g acts by `(x, h) -> (g x, g h)` (Cohen and Welling, "Group Equivariant Convolutional
    Networks", 2016).

    Args:
        grid: the lattice.
        group: a group that acts on it.

    >>> GroupGrid(Grid(28, 28), C(4)).num_nodes
    3136
    """

    grid: Grid
    group: Group

    def __post_init__(self):
        axes = len(self.grid.lattice or ())
        if self.group.axes != axes or axes == 0:
            found = f"a group on {self.group.axes} axes and a lattice of {axes}"
            raise GeodlError(
                f"{self.group} over {self.grid}",
                found,
                "use C(n) or D(n) on two axes, O() or Oh() on three",
            )

    def __repr__(self) -> str:
        return f"GroupGrid({self.grid}, {self.group})"

    @property
    def num_nodes(self) -> int:
        """Lattice points times group elements."""
        return self.grid.num_nodes * self.group.order

    @property
    def lattice(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """The lengths of the grid."""
        return self.grid.lattice

    @property
    def periodic(self) -> tuple[bool, ...]:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """The periodic axes of the grid."""
        return self.grid.periodic

    @property
    def fiber(self) -> Group:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """The group over each point."""
        return self.group

    def generators(self) -> Tensor:
        """The group's generators that map the grid to itself, and unit shifts of periodic axes."""
        moves = [rotate_nodes(self, self.group, k) for k in self.group.generators]
        moves = [m for m in moves if (m >= 0).all()]
        moves += [shift_nodes(self, axis, 1) for axis, wraps in enumerate(self.periodic) if wraps]
        return torch.stack(moves) if moves else torch.zeros(0, self.num_nodes, dtype=torch.long)

    def links(self) -> Links:
        """Nearest neighbours on each sheet, and along the fiber by the group's generators (a Cayley
        graph).
        """
        moves = [
            shift_nodes(self, axis, step) for axis in range(len(self.lattice)) for step in (-1, 1)
        ]
        tables, node = self.group.tables, torch.arange(self.num_nodes)
        point, sheet = node // self.group.order, node % self.group.order
        for k in self.group.generators:
            for step in (
                k,
                int(tables.inverse[k]),
            ):  # from the right, so that the action from the left preserves it
                moves.append(point * self.group.order + tables.product[sheet, step])
        return neighbours(moves)

    def replace(
        self,
        lattice: tuple[int, ...] | None = None,
        fiber: Group | None = None,
        periodic: tuple[bool, ...] | None = None,
    ) -> Domain:
        """A grid of other lengths, with a fiber when one is given."""
        return self.grid.replace(lattice, fiber, periodic)

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        return (
            GroupGrid(Grid(3, 3), C(4)),
            GroupGrid(Grid(4, 4, periodic=True), C(4)),
            GroupGrid(Grid(2, 2), C(2)),
            GroupGrid(Grid(2, 2, 2), O()),
        )


def neighbours(moves: list[Tensor]) -> Links:
    """The links i <- moves[k][i], each pair of nodes once, no node with itself."""
    dst = torch.arange(len(moves[0])).repeat(len(moves))
    src = torch.cat(moves)
    keep = (src >= 0) & (src != dst)
    pairs = torch.unique(torch.stack((dst[keep], src[keep])), dim=1)
    return Links(pairs[0], pairs[1])
