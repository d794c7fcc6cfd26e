"""Direct products: permutations and matrices of two groups side by side."""

from geodl.group.check import Matrices, Permutations


def side_by_side(first: Permutations, second: Permutations) -> Permutations:
    """Generators of a direct product: those of each factor, the points of the other at rest."""
    ours, theirs = len(first[0]), len(second[0])
    moves = [(*move, *range(ours, ours + theirs)) for move in first]
    moves += [(*range(ours), *(ours + point for point in move)) for move in second]
    return tuple(moves)


def block_diagonal(first: Matrices, second: Matrices) -> Matrices:
    """The matrices of :func:`side_by_side`: each acts on the axes of its own factor."""
    ours, theirs = len(first[0]), len(second[0])
    matrices = [_blocks(matrix, _identity(theirs)) for matrix in first]
    matrices += [_blocks(_identity(ours), matrix) for matrix in second]
    return tuple(matrices)


def _blocks(
    first: tuple[tuple[float, ...], ...], second: tuple[tuple[float, ...], ...]
) -> tuple[tuple[float, ...], ...]:
    right, left = (0,) * len(second), (0,) * len(first)
    above = [(*row, *right) for row in first]
    below = [(*left, *row) for row in second]
    return tuple(above + below)


def _identity(n: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(i == j) for j in range(n)) for i in range(n))
