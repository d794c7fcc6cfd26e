"""The cosets of a subgroup, on which the group acts: the fiber that pooling over it leaves."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.group.action import Action
from geodl.group.check import Permutations
from geodl.group.tables import Tables
from geodl.group.value import Group


@final
@dataclass(frozen=True, repr=False)
class Cosets:
    """The cosets hH of a subgroup H, in the order of their first elements; g takes hH to (g h)H.

    Over the points of a lattice they stand where the elements of a group do: pooling over H leaves
    them (Cohen and Welling, "Group Equivariant Convolutional Networks", 2016, section 6.3).

    Args:
        group: the group that acts.
        subgroup: H.

    Raises:
        GeodlError: if it is no subgroup.

    >>> from geodl.group import C, D
    >>> corners = Cosets(D(4), D(1))
    >>> corners, corners.order, corners.generators
    (D4/D1, 4, ((1, 2, 3, 0), (0, 3, 2, 1)))
    """

    group: Group
    subgroup: Group

    def __post_init__(self):
        self.group.cosets(self.subgroup)

    def __repr__(self) -> str:
        return f"{self.group}/{self.subgroup}"

    def __getstate__(self) -> dict[str, Any]:
        # Labels and tables are computed again from these.
        return {"group": self.group, "subgroup": self.subgroup}

    @property
    def acting(self) -> Group:
        """The group that acts on them."""
        return self.group

    @property
    def order(self) -> int:
        """The number of cosets, |G| / |H|."""
        return self.group.order // self.subgroup.order

    @property
    def axes(self) -> int:
        """The number of axes of the lattice on which the group acts."""
        return self.group.axes

    @property
    def action(self) -> Action:
        """How the group acts on the lattice."""
        return self.group.action

    @cached_property
    @cached_constants()
    def label(self) -> Tensor:
        """The coset of each element: `[n]`."""
        return self.group.cosets(self.subgroup)

    @cached_property
    @cached_constants()
    def tables(self) -> Tables:
        """Where each element of the group takes each coset, `[n, n / |H|]`, and the inverses of
        elements.
        """
        representative = torch.empty(self.order, dtype=torch.long)
        # Any element represents its coset: g takes all of them to the same one.
        representative[self.label] = torch.arange(self.group.order)
        product, inverse = self.group.tables
        return Tables(self.label[product[:, representative]], inverse)

    @property
    def generators(self) -> Permutations:
        """How the group's generators permute the cosets: what `GSet` takes."""
        moves = self.tables.product[list(self.group.generator_numbers)]
        return tuple(tuple(move) for move in moves.tolist())

    @property
    def generator_numbers(self) -> tuple[int, ...]:
        """None: cosets are multiplied from the left only, and have no links with each other."""
        return ()

    @property
    def lattice_generators(self) -> tuple[int, ...]:
        """The numbers of the elements that generate those which map the lattice to itself."""
        return self.group.lattice_generators

    def numbers_of(self, other: Group) -> Tensor:
        """The numbers of another group's elements in the group that acts."""
        return self.group.numbers_of(other)
