"""Lattice times group: where the feature maps of group convolutions live."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.domain.action import shift, turn
from geodl.domain.base import Domain, Links
from geodl.domain.grid import Grid, neighbours
from geodl.errors import GeodlError
from geodl.group import C, Group, O


@dataclass(frozen=True)
class GroupGrid(Domain):
    """A grid with a copy of a group over each point: node `(x, h)` has number `x * |G| + h`.

    An element g acts by `(x, h) -> (g x, g h)` (Cohen and Welling, "Group Equivariant Convolutional Networks", 2016).

    Args:
        grid: the lattice.
        group: a group that acts on it.

    >>> GroupGrid(Grid(28, 28), C(4)).num_nodes
    3136
    """

    grid: Grid
    group: Group

    def __post_init__(self):
        if self.group.axes != len(self.grid.lattice):
            raise GeodlError(
                f"{self.group} over {self.grid}",
                f"a group on {self.group.axes} axes and a lattice of {len(self.grid.lattice)}",
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
        moves = [turn(self, self.group, k) for k in self.group.generators]
        moves = [m for m in moves if (m >= 0).all()]
        moves += [shift(self, axis, 1) for axis, wraps in enumerate(self.periodic) if wraps]
        return torch.stack(moves) if moves else torch.zeros(0, self.num_nodes, dtype=torch.long)

    def links(self) -> Links:
        """Nearest neighbours on each sheet, and along the fiber by the group's generators (a Cayley graph)."""
        moves = [shift(self, axis, step) for axis in range(len(self.lattice)) for step in (-1, 1)]
        tables, node = self.group.tables, torch.arange(self.num_nodes)
        point, sheet = node // self.group.order, node % self.group.order
        for k in self.group.generators:
            for step in (k, int(tables.inverse[k])):  # from the right, so that the action from the left preserves it
                moves.append(point * self.group.order + tables.product[sheet, step])
        return neighbours(moves)

    def like(
        self,
        lattice: tuple[int, ...] | None = None,
        fiber: Group | None = None,
        periodic: tuple[bool, ...] | None = None,
    ) -> Domain:
        """A grid of other lengths, with a fiber when one is given."""
        return self.grid.like(lattice, fiber, periodic)

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        return (
            GroupGrid(Grid(3, 3), C(4)),
            GroupGrid(Grid(4, 4, periodic=True), C(4)),
            GroupGrid(Grid(2, 2), C(2)),
            GroupGrid(Grid(2, 2, 2), O()),
        )
