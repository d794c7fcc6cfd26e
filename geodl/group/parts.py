"""Direct products, subgroups and cosets, computed on permutations, matrices and tables."""

import torch
from torch import Tensor

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


def spanned(product: Tensor, numbers: list[int]) -> Tensor:
    """The numbers, ascending, of the elements that some elements generate.

    Args:
        product: the table `[n, n]`.
        numbers: of the generators.
    """
    inside = torch.zeros(len(product), dtype=torch.bool)
    inside[0] = True
    count = 0
    while count < int(inside.sum()):
        count = int(inside.sum())
        inside[product[inside][:, numbers].reshape(-1)] = True
    return inside.nonzero()[:, 0]


def renumbered(moves: Tensor, inside: Tensor) -> Tensor:
    """Numbers of a group's elements as numbers among those that are `inside`, in order."""
    return torch.searchsorted(inside, moves.contiguous())


def coset_labels(product: Tensor, inside: Tensor) -> Tensor:
    """The number of the coset gH of each element: `[n]`, by first appearance.

    Args:
        product: the table `[n, n]`.
        inside: the numbers of the elements of H.
    """
    # A coset is known by its least element.
    least = product[:, inside].min(1).values
    return torch.unique(least, return_inverse=True)[1]


def _blocks(
    first: tuple[tuple[float, ...], ...], second: tuple[tuple[float, ...], ...]
) -> tuple[tuple[float, ...], ...]:
    right, left = (0,) * len(second), (0,) * len(first)
    above = [(*row, *right) for row in first]
    below = [(*left, *row) for row in second]
    return tuple(above + below)


def _identity(n: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(i == j) for j in range(n)) for i in range(n))
