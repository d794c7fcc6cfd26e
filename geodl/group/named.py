"""The groups that have names: rotations and reflections of the plane and the cube, and all
permutations.
"""

import itertools
import math
from functools import lru_cache
from typing import Any

import numpy as np

from geodl.errors import GeodlError, positive
from geodl.group.check import Permutations
from geodl.group.value import Group, known_group

MOST_POINTS = 2**20


def C(n: int) -> Group:
    """Cyclic group: rotations of the plane by multiples of 360/n degrees.

    Element k turns by k * 360/n degrees in the sense of `torch.rot90`, and adds k to the numbers of
    elements. For n = 1, 2, 4 that maps the square lattice to itself; for others a filter basis
    approximates it.

    Raises:
        GeodlError: if n is no positive integer, or above 2^20.

    >>> C(4).action.matrices[1].tolist()
    [[0, -1], [1, 0]]
    >>> C(8).order, C(8).action.exact
    (8, False)
    """
    return _cyclic(_degree(f"C({n})", n))


def D(n: int) -> Group:
    """Dihedral group of 2n elements on (row, column): element k < n is that of :func:`C`, element
    n + k the mirror `column -> -column` followed by it.

    Raises:
        GeodlError: if n is no positive integer, or above 2^20.

    >>> D(4).order
    8
    """
    return _dihedral(_degree(f"D({n})", n))


def O() -> Group:
    """The 24 rotations of the cube, acting on the cubic lattice.

    >>> O().order
    24
    """
    return _cube(rotations_only=True)


def Oh() -> Group:
    """The 48 rotations and reflections of the cube, acting on the cubic lattice."""
    return _cube(rotations_only=False)


def S(n: int) -> Group:
    """The symmetric group: all n! permutations of n points. It does not act on a lattice.

    Raises:
        GeodlError: if n is no positive integer, or above 2^20.

    >>> S(5).order, tuple(S(5).elements.shape)
    (120, (120, 5))
    """
    return _symmetric(_degree(f"S({n})", n))


def _degree(asked: str, n: Any) -> int:
    """A number of points whose permutations, as tuples, take megabytes at most."""
    points = positive(asked, n)
    if points > MOST_POINTS:
        do = f"use at most {MOST_POINTS}, or a subgroup"
        raise GeodlError(asked, f"permutations of {points} points, too many to hold", do)
    return points


@lru_cache(maxsize=256)
def _cyclic(n: int) -> Group:
    turn = (tuple((k + 1) % n for k in range(n)),)
    return known_group(turn, (_turn(n),), f"C{n}", n)


@lru_cache(maxsize=256)
def _dihedral(n: int) -> Group:
    numbers = range(n)
    # With r the turn and m the mirror, element k is r^k and n + k is r^k m. From the left r adds 1
    # to k, and m r^k = r^-k m.
    turned = [(k + 1) % n for k in numbers]
    inverse = [-k % n for k in numbers]
    turn = [*turned, *(n + k for k in turned)]
    mirror = [*(n + k for k in inverse), *inverse]
    generators = (tuple(turn), tuple(mirror))
    matrices = (_turn(n), ((1, 0), (0, -1)))
    if n == 1:  # no turn generates anything
        generators, matrices = generators[1:], matrices[1:]
    return known_group(generators, matrices, f"D{n}", 2 * n)


@lru_cache(maxsize=256)
def _symmetric(n: int) -> Group:
    cycle = (*range(1, n), 0)
    exchange = (1, 0, *range(2, n))
    generators = (exchange, cycle)
    if n <= 2:
        generators = (cycle,)
    return known_group(generators, None, f"S{n}", math.factorial(n))


def _turn(n: int) -> Any:
    """The matrix of a turn by 360/n degrees on (row, column)."""
    exact = {1: ((1, 0), (0, 1)), 2: ((-1, 0), (0, -1)), 4: ((0, -1), (1, 0))}
    if n in exact:
        return exact[n]
    cos, sin = math.cos(2 * math.pi / n), math.sin(2 * math.pi / n)
    return ((cos, -sin), (sin, cos))


@lru_cache(maxsize=2)
def _cube(*, rotations_only: bool) -> Group:
    """The signed permutations of three axes, those of determinant 1 or all."""
    signed = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            # Row i of the matrix is a sign times the unit vector of axis order[i].
            signed.append(np.diag(signs)[list(order)])
    about_z = ((0, -1, 0), (1, 0, 0), (0, 0, 1))
    about_x = ((1, 0, 0), (0, 0, -1), (0, 1, 0))
    generators = (about_z, about_x)
    if rotations_only:
        signed = [matrix for matrix in signed if np.linalg.det(matrix) > 0]
    else:
        inversion = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
        generators = (*generators, inversion)
    name = "O" if rotations_only else "Oh"
    return known_group(_from_the_left(generators, signed), generators, name, len(signed))


def _from_the_left(factors: Any, matrices: list[np.ndarray]) -> Permutations:
    """The permutation of a group's elements by each factor: element k goes to factor times it."""
    number = {matrix.tobytes(): k for k, matrix in enumerate(matrices)}
    moves = [[number[(np.array(f) @ m).tobytes()] for m in matrices] for f in factors]
    return tuple(tuple(move) for move in moves)
