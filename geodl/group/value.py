"""Finite groups by value: what their generators make, whatever they are called."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, final

import numpy as np
import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.errors import GeodlError, as_integer
from geodl.group.action import NEAR, Action, make_action
from geodl.group.check import Matrices, Permutations, read_matrices, read_permutations
from geodl.group.counting import count_elements, in_words
from geodl.group.listing import MOST_NUMBERS, Listed, Numbering, list_elements
from geodl.group.products import block_diagonal, side_by_side
from geodl.group.subgroups import coset_labels, renumbered, spanned
from geodl.group.tables import Elements, Tables, find_elements, make_tables

FEW_NUMBERS = 2**18  # groups whose elements hold so many numbers are counted by listing them
MOST_ELEMENTS = math.isqrt(MOST_NUMBERS)  # of a group whose products are listed
EXACT = "C(n) and D(n) with n = 1, 2, 4, O() and Oh() act exactly"


@final
@dataclass(frozen=True, eq=False, repr=False)
class Group:
    """A finite group: all products of some permutations, and the matrices by which it acts on
    space.

    It is compared by its generators and their matrices: C(2), a half turn, and D(1), a mirror, are
    one group of permutations with two actions. The name is for printing only. Elements stand in the
    lexicographic order of their permutations, the identity first.

    Args:
        generators: permutations of the points 0..d-1, each of which lists where its points go.
        matrices: of the generators, `[G, d, d]`: integers where they map the lattice Z^d to itself.
            None: it acts on no lattice.
        name: as it is printed.

    Raises:
        GeodlError: if generators are no permutations of one degree, or a string; if matrices are
            not as many square ones, or do not multiply as the permutations do; if a group with
            matrices is too large to list.

    >>> mirror = Group([[1, 0]], [[[-1]]])  # of an axis
    >>> mirror.order, mirror.axes
    (2, 1)
    >>> mirror * mirror
    Group(order 4, on 4 points)
    """

    generators: Permutations
    matrices: Matrices | None = None
    name: str = field(default="", kw_only=True)
    _hash: int = field(init=False)

    def __post_init__(self):
        asked = "Group(generators)"
        generators = read_permutations(asked, self.generators)
        matrices = self.matrices
        if matrices is not None:
            matrices = read_matrices("Group(generators, matrices)", matrices, len(generators))
        self.__setstate__({"generators": generators, "matrices": matrices, "name": self.name})
        if matrices is not None:
            self._check_matrices()

    @classmethod
    def from_generators(cls, *permutations: Sequence[int]) -> Self:
        """The group that permutations generate; it acts on no lattice.

        Raises:
            GeodlError: as :class:`Group`.

        >>> quaternions = Group.from_generators([1, 2, 3, 0, 5, 6, 7, 4], [4, 7, 6, 5, 2, 1, 0, 3])
        >>> quaternions
        Group(order 8, on 8 points)
        """
        return cls(permutations)  # type: ignore[arg-type] - read and checked there

    def __repr__(self) -> str:
        if self.name:
            return self.name
        points = "point" if self.degree == 1 else "points"
        return f"Group(order {in_words(self.order)}, on {self.degree} {points})"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Group):
            return NotImplemented
        same_hash = self._hash == other._hash
        return same_hash and (self.generators, self.matrices) == (other.generators, other.matrices)

    def __hash__(self) -> int:
        return self._hash

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself, as any value."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Elements, tables and numbers are computed again from these.
        return {"generators": self.generators, "matrices": self.matrices, "name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        vars(self)["_hash"] = hash((self.generators, self.matrices))

    @property
    def degree(self) -> int:
        """How many points are permuted."""
        return len(self.generators[0])

    @property
    def acting(self) -> Self:
        """Itself: over a lattice point a group acts on its own elements."""
        return self

    @property
    def axes(self) -> int:
        """The number of axes of the space that the matrices act on; 0 without matrices."""
        if self.matrices is None:
            return 0
        return len(self.matrices[0])

    @cached_property
    def order(self) -> int:
        """The number of elements. They are listed for it only where they are few.

        >>> Group.from_generators([1, 0, *range(2, 200)], [*range(1, 200), 0]).order > 10**374
        True
        """
        # A list is faster than a chain of stabilisers, and needs no import of sympy.
        few = list_elements(np.array(self.generators), None, FEW_NUMBERS // self.degree)
        if few is not None:
            return len(few.elements)
        return count_elements(self.generators)

    @property
    def elements(self) -> Tensor:
        """All elements as permutations `[n, degree]`.

        Raises:
            GeodlError: if these are more than 2^24 numbers.
        """
        return self._listed_permutations

    @cached_property
    @cached_constants()
    def generator_numbers(self) -> tuple[int, ...]:
        """The numbers that the generators have among the elements, without the identity."""
        numbers = self._numbering.find(torch.tensor(self.generators)).tolist()
        return tuple(k for k in dict.fromkeys(numbers) if k != 0)

    @cached_property
    @cached_constants()
    def tables(self) -> Tables:
        """Products and inverses of the elements, by their numbers.

        Raises:
            GeodlError: if these are more than 2^24 numbers.
        """
        if self.order > MOST_ELEMENTS:
            do = f"use a group of at most {MOST_ELEMENTS} elements, as a subgroup"
            found = f"{in_words(self.order)} elements"
            raise GeodlError(f"the product table of {self}", found, do)
        return make_tables(self.elements, self._numbering)

    @cached_property
    @cached_constants()
    def action(self) -> Action:
        """How the elements act on space, by matrices.

        Raises:
            GeodlError: of a group without matrices.
        """
        matrices = self._listed.matrices
        if matrices is None:
            do = f"give matrices: Group(generators, matrices); {EXACT}"
            raise GeodlError(f"the action of {self} on a lattice", "no matrices", do)
        return make_action(torch.from_numpy(matrices))

    @cached_property
    @cached_constants()
    def lattice_generators(self) -> tuple[int, ...]:
        """The numbers of elements that generate those which map the lattice to itself: all where
        the action is exact, of C(8) the quarter turns.
        """
        if self.action.exact:
            return self.generator_numbers
        return self.generating(self.action.keeps_lattice.nonzero()[:, 0].tolist())

    def integer_matrices(self, asked: str) -> Tensor:
        """The matrices of an action that maps the lattice to itself: `[n, d, d]`.

        Args:
            asked: what the caller asked for, the beginning of the error.

        Raises:
            GeodlError: if some element does not; if there are no matrices.
        """
        if not self.action.exact:
            found = f"elements of {self} that take lattice points between lattice points"
            raise GeodlError(asked, found, f"{EXACT}; a filter basis approximates others")
        return self.action.matrices

    @cached_constants()
    def numbers_of(self, other: "Group") -> Tensor:
        """Where the elements of another group stand in this one: `[other.order]`, -1 for each that
        is not in it.

        Elements are the same when their matrices are; in groups without matrices, and where
        several elements have one matrix, when their permutations are.

        Raises:
            GeodlError: if it is no group, or one too large to list.

        >>> from geodl.group import C, D
        >>> D(4).numbers_of(C(2)).tolist()
        [0, 2]
        """
        if not isinstance(other, Group):
            found = f"a {type(other).__name__}"
            raise GeodlError(f"elements of another group in {self}", found, "give a group, as C(4)")
        if self == other:
            return torch.arange(len(self.elements))
        nowhere = torch.full((len(other.elements),), -1)
        if self.axes != other.axes:
            return nowhere
        if self.axes == 0:
            if self.degree != other.degree:
                return nowhere
            return self._numbering.find(other.elements)
        ours = Elements(self.elements, self.action.matrices.double())
        return find_elements(ours, Elements(other.elements, other.action.matrices.double()))

    def __mul__(self, other: "Group") -> "Group":
        """The direct product: pairs of elements, each of which acts on its own points and axes.

        The pair (a, b) has number `a * other.order + b`.

        >>> mirror = Group([[1, 0]], [[[-1]]], name="mirror")
        >>> from geodl.group import C
        >>> C(4) * mirror, (C(4) * mirror).axes
        (C4 x mirror, 3)
        """
        if not isinstance(other, Group):
            return NotImplemented
        generators = side_by_side(self.generators, other.generators)
        matrices = None
        if self.axes or other.axes:
            ours = self.matrices or ((),) * len(self.generators)
            theirs = other.matrices or ((),) * len(other.generators)
            matrices = block_diagonal(ours, theirs)
        name = ""
        if self.name and other.name:
            name = f"{self.name} x {other.name}"
        return known_group(generators, matrices, name, self.order * other.order)

    def subgroup(self, *generators: int | Sequence[int]) -> "Group":
        """What some of the elements generate.

        A subgroup of a group with matrices permutes its own elements, so that `D(4).subgroup(1)` is
        C(4); without matrices it permutes the points of the whole group.

        Args:
            generators: numbers of elements, or their permutations; none for the identity alone.

        Raises:
            GeodlError: if one is not in the group.

        >>> from geodl.group import C, D, S
        >>> D(4).subgroup(1) == C(4), S(4).subgroup([1, 2, 3, 0]).order
        (True, 4)
        """
        asked = f"a subgroup of {self}"
        only_permutations = bool(generators) and all(as_integer(k) is None for k in generators)
        is_symmetric = self.order == math.factorial(self.degree)
        if self.matrices is None and is_symmetric and only_permutations:
            # Every permutation is an element of S(n): none is looked up, as S(200) has too many to
            # be listed.
            permutations = read_permutations(asked, generators)
            if len(permutations[0]) == self.degree:
                return Group(permutations)
        numbers = [self._number_of(asked, generator) for generator in generators or (0,)]
        if self.matrices is None:
            return Group(self.elements[numbers])  # type: ignore[arg-type] - read and checked there
        inside = spanned(self.tables.product, numbers)
        matrices = self.action.matrices[numbers]
        moves = renumbered(self.tables.product[numbers][:, inside], inside)
        return Group(moves, matrices)  # type: ignore[arg-type] - read and checked there

    def generating(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """Some of the given elements, which generate all of them; by their numbers.

        >>> from geodl.group import C
        >>> C(8).generating([2, 4, 6])
        (2,)
        """
        chosen: list[int] = []
        reached = {0}
        for number in numbers:
            if number not in reached:
                chosen.append(number)
                reached = set(spanned(self.tables.product, chosen).tolist())
        return tuple(chosen)

    @cached_constants()
    def cosets(self, subgroup: "Group") -> Tensor:
        """The number of the coset gH that each element g is in: `[n]`, by first appearance, 0 for H
        itself.

        Raises:
            GeodlError: if it is no subgroup.

        >>> from geodl.group import C, D
        >>> D(2).cosets(C(2)).tolist()
        [0, 0, 1, 1]
        """
        inside = self.numbers_of(subgroup)
        if (inside < 0).any():
            do = f"give a part of it: {self}.subgroup(numbers of elements)"
            raise GeodlError(f"cosets of {subgroup} in {self}", "elements that are not in it", do)
        return coset_labels(self.tables.product, inside)

    def contains(self, other: "Group") -> bool:
        """Whether every element of another group is an element of this one."""
        # The order of a part divides that of the whole: what is too large is not listed.
        if isinstance(other, Group) and self.order % other.order:
            return False
        return bool((self.numbers_of(other) >= 0).all())

    def _number_of(self, asked: str, element: Any) -> int:
        """The number of an element that is given by it, or by its permutation."""
        number = as_integer(element)
        if number is None:
            (permutation,) = read_permutations(asked, [element])
            number = -1
            if len(permutation) == self.degree:
                number = int(self._numbering.find(torch.tensor([permutation])))
        if not 0 <= number < self.order:
            do = f"give numbers of elements, 0 to {in_words(self.order - 1)}, or their permutations"
            raise GeodlError(asked, f"{element!r}, no element of it", do)
        return number

    @cached_property
    @cached_constants()
    def _listed(self) -> Listed:
        matrices = None
        if self.matrices is not None:
            matrices = np.array(self.matrices, dtype=np.float64)
        count = self.order * self.degree
        if count > MOST_NUMBERS:
            found = f"{in_words(self.order)} elements on {self.degree} points"
            do = "give its generators to GSet, or use a subgroup"
            raise GeodlError(f"the elements of {self}", found, do)
        listed = list_elements(np.array(self.generators), matrices, self.order)
        assert listed is not None
        return listed

    @cached_property
    @cached_constants()
    def _listed_permutations(self) -> Tensor:
        return torch.from_numpy(self._listed.elements).long()

    @cached_property
    @cached_constants()
    def _numbering(self) -> Numbering:
        return Numbering(self.elements)

    @cached_constants()
    def _check_matrices(self) -> None:
        """Refuse matrices that do not multiply as the permutations do."""
        matrices = self._listed.matrices
        assert matrices is not None and self.matrices is not None
        points = self._numbering.points
        for generator, matrix in zip(self.generators, self.matrices, strict=True):
            moved = torch.tensor(generator)[self.elements[:, points]]
            product = self._numbering.number(moved)
            if not np.allclose(matrices[product], np.array(matrix) @ matrices, atol=NEAR):
                found = "matrices that do not multiply as the permutations do"
                do = "give each generator its own matrix, as of as many turns"
                raise GeodlError("Group(generators, matrices)", found, do)


def known_group(
    generators: Permutations, matrices: Matrices | None, name: str, order: int
) -> Group:
    """A group of known order, whose permutations and matrices are right by construction: nothing is
    checked.
    """
    group = object.__new__(Group)
    group.__setstate__({"generators": generators, "matrices": matrices, "name": name})
    vars(group)["order"] = order
    return group
