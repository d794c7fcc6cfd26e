"""Grids, where images and volumes live, and grids with a group over each point, where group CNNs'
feature maps do.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain.base import Domain, Lengths, Links, Wraps
from geodl.domain.lattice import coordinates, ravel, rotate_nodes, shift_nodes, turn_domain
from geodl.errors import GeodlError, positive
from geodl.group import C, Cosets, D, Group, O


@dataclass(frozen=True, init=False)
class Grid(Domain):
    """A box of nodes with one to three axes, the last axis fastest.

    Args:
        lengths: the number of nodes along each axis.
        periodic: whether the axes wrap around; one bool for all axes or one for each.

    Raises:
        GeodlError: if there are no axes or more than three, if a length is not a positive integer,
            or if there are not as many bools as axes.

    >>> Grid(28, 28).num_nodes
    784
    >>> Grid(8, periodic=True)
    Grid(8, periodic=True)
    """

    lattice: tuple[int, ...]  # pyright: ignore[reportIncompatibleVariableOverride] - narrower: a grid always has one
    periodic: tuple[bool, ...]
    linked_to_nearest = True

    def __init__(self, *lengths: int, periodic: bool | tuple[bool, ...] = False):
        asked = f"Grid{lengths}"
        if not 1 <= len(lengths) <= 3:
            do = "give one to three lengths, as in Grid(28, 28)"
            raise GeodlError(asked, f"{len(lengths)} axes", do)
        lattice = tuple(positive(asked, length) for length in lengths)
        wraps = (periodic,) * len(lattice)
        if isinstance(periodic, (tuple, list)):
            wraps = tuple(periodic)
        if len(wraps) != len(lattice) or not all(isinstance(wrap, bool) for wrap in wraps):
            raise GeodlError(asked, f"periodic={periodic!r}", "give one bool, or one for each axis")
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "periodic", wraps)

    def __repr__(self) -> str:
        lengths = ", ".join(map(str, self.lattice))
        if all(self.periodic):
            return f"Grid({lengths}, periodic=True)"
        if any(self.periodic):
            return f"Grid({lengths}, periodic={self.periodic})"
        return f"Grid({lengths})"

    @property
    def num_nodes(self) -> int:
        """The product of the lengths."""
        return math.prod(self.lattice)

    @cached_constants()
    def generators(self) -> Tensor:
        """Reflections of each axis, exchanges of equal axes, and unit shifts of periodic ones."""
        points, axes = coordinates(self.lattice), range(len(self.lattice))
        # Reflections and exchanges generate the symmetries of the box, unit shifts those of a
        # torus; a shift of a bounded axis would push nodes out.
        moves = []
        for axis in axes:
            mirrored = points.clone()
            mirrored[:, axis] = self.lattice[axis] - 1 - points[:, axis]
            moves.append(ravel(mirrored, self.lattice))
            if self.periodic[axis]:
                moves.append(shift_nodes(self, axis, 1))
        for a, b in combinations(axes, 2):
            if (self.lattice[a], self.periodic[a]) == (self.lattice[b], self.periodic[b]):
                exchanged = points.clone()
                exchanged[:, [a, b]] = points[:, [b, a]]
                moves.append(ravel(exchanged, self.lattice))
        return torch.stack(moves)

    @property
    def num_links(self) -> int:
        """Two for each pair of nearest neighbours."""
        total = 0
        for n, wraps in zip(self.lattice, self.periodic, strict=True):
            pairs = n - 1
            # A ring has a pair more than a row, from three nodes on.
            if wraps and n > 2:
                pairs = n
            total += 2 * pairs * (self.num_nodes // n)
        return total

    @cached_constants()
    def links(self) -> Links:
        """Nearest neighbors along each axis, in both directions."""
        return neighbours(unit_shifts(self))

    def replace(
        self, lattice: Lengths = None, fiber: Group | Cosets | None = None, periodic: Wraps = None
    ) -> Domain:
        """A grid of other lengths, with a fiber when one is given."""
        lengths = lattice or self.lattice
        wraps = self.periodic if periodic is None else periodic
        grid = Grid(*lengths, periodic=wraps)
        if fiber is None:
            return grid
        return GroupGrid(grid, fiber)

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        torus, cylinder = Grid(5, 5, periodic=True), Grid(3, 4, periodic=(True, False))
        return Grid(5), Grid(4, 4), torus, cylinder, Grid(3, 3, 3)


@dataclass(frozen=True)
class GroupGrid(Domain):
    """A grid with a copy of a group over each point: node `(x, h)` has number `x * |G| + h`.

    An element g acts by `(x, h) -> (g x, g h)` (Cohen and Welling, "Group Equivariant Convolutional
    Networks", 2016).

    Args:
        grid: the lattice.
        group: a group that acts on it; or cosets of one, with nodes `(x, hH)`, of which g makes
            `(g x, g hH)`.

    Raises:
        GeodlError: if the first is not a lattice or the second not a group, or if the group acts on
            another number of axes.

    >>> GroupGrid(Grid(28, 28), C(4)).num_nodes
    3136
    """

    grid: Grid
    group: Group | Cosets
    linked_to_nearest = True

    def __post_init__(self):
        asked = f"{self.group} over {self.grid}"
        if not isinstance(self.grid, Domain) or not isinstance(self.group, Group | Cosets):
            kinds = f"a {type(self.grid).__name__} and a {type(self.group).__name__}"
            raise GeodlError(asked, kinds, "give both, as in GroupGrid(Grid(8, 8), C(4))")
        axes = len(self.grid.lattice or ())
        if self.group.axes != axes or axes == 0:
            found = f"a group on {self.group.axes} axes and a lattice of {axes}"
            do = "use C(n) or D(n) on two axes, O() or Oh() on three"
            raise GeodlError(asked, found, do)

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
    def fiber(self) -> Group | Cosets:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """The group over each point."""
        return self.group

    @cached_constants()
    def generators(self) -> Tensor:
        """The group's generators that map the grid to itself, and unit shifts of periodic axes."""
        group = self.group.acting
        numbers = group.lattice_generators
        if not all(turn_domain(self, group, k) == self for k in numbers):
            # A quarter turn of unequal axes leads to another lattice: the half turn is a symmetry.
            elements = group.action.keeps_lattice.nonzero()[:, 0].tolist()
            kept = [k for k in elements if turn_domain(self, group, k) == self]
            numbers = group.generating(kept)
        moves = [rotate_nodes(self, group, k) for k in numbers]
        for axis, wraps in enumerate(self.periodic):
            if wraps:
                moves.append(shift_nodes(self, axis, 1))
        if not moves:
            return torch.zeros(0, self.num_nodes, dtype=torch.long)
        return torch.stack(moves)

    @cached_constants()
    def links(self) -> Links:
        """Nearest neighbors on each sheet, and along the fiber by the group's generators (a Cayley
        graph).
        """
        moves = unit_shifts(self)
        tables, order = self.group.tables, self.group.order
        node = torch.arange(self.num_nodes)
        point, sheet = node // order, node % order
        for element in self.group.generator_numbers:
            # h -> h g multiplies from the right, so that the action from the left preserves it.
            for step in (element, int(tables.inverse[element])):
                moves.append(point * order + tables.product[sheet, step])
        return neighbours(moves)

    def replace(
        self, lattice: Lengths = None, fiber: Group | Cosets | None = None, periodic: Wraps = None
    ) -> Domain:
        """A grid of other lengths, with a fiber when one is given."""
        return self.grid.replace(lattice, fiber, periodic)

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        torus = GroupGrid(Grid(4, 4, periodic=True), C(4))
        planes = GroupGrid(Grid(3, 3), C(4)), torus, GroupGrid(Grid(2, 2), C(2))
        corners = GroupGrid(Grid(3, 3), Cosets(D(4), D(1)))
        return (*planes, GroupGrid(Grid(2, 2, 2), O()), corners)


def unit_shifts(domain: Domain) -> list[Tensor]:
    """The moves of a lattice by one node, back and forth along each axis."""
    axes = range(len(domain.lattice or ()))
    return [shift_nodes(domain, axis, step) for axis in axes for step in (-1, 1)]


def neighbours(moves: list[Tensor]) -> Links:
    """The links i <- moves[k][i], each pair of nodes once, no node with itself."""
    dst = torch.arange(len(moves[0])).repeat(len(moves))
    src = torch.cat(moves)
    # A move off the lattice gives no link, and on an axis of one node it stays where it is; on
    # a ring of two nodes both directions give the same link.
    keep = (src >= 0) & (src != dst)
    pairs = torch.unique(torch.stack((dst[keep], src[keep])), dim=1)
    return Links(pairs[0], pairs[1])
