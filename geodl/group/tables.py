"""The arithmetic of a group as tables of numbers, and its elements found among those of another."""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.group.action import NEAR
from geodl.group.listing import Numbering


class Tables(NamedTuple):
    """The arithmetic of a group of n elements.

    Attributes:
        product: `[n, n]`, `product[a, b]` is the element "first b, then a".
        inverse: `[n]`.
    """

    product: Tensor
    inverse: Tensor


class Elements(NamedTuple):
    """The elements of a group in both of its forms: permutations `[n, degree]`, and matrices
    `[n, d, d]` in float64.
    """

    permutations: Tensor
    matrices: Tensor


def make_tables(elements: Tensor, numbering: Numbering) -> Tables:
    """The tables of a group.

    Args:
        elements: all of them, `[n, degree]`.
        numbering: finds their numbers.
    """
    # (a b)(p) = a(b(p)): row a at the entries of row b, of the few points p that tell elements
    # apart.
    product = numbering.number(elements[:, elements[:, numbering.points]])
    return Tables(product, (product == 0).int().argmax(1))


def find_elements(ours: Elements, theirs: Elements) -> Tensor:
    """For each of their elements the number of ours with the same matrix, and where several have
    it, with the same permutation too: `[m]`; -1 where there is not exactly one.
    """
    same_points = ours.permutations.shape[1] == theirs.permutations.shape[1]
    numbers = []
    for permutation, matrix in zip(*theirs, strict=True):
        same = ((ours.matrices - matrix).abs() < NEAR).flatten(1).all(1)
        if int(same.sum()) > 1 and same_points:
            same &= (ours.permutations == permutation).all(1)
        candidates = same.nonzero()[:, 0].tolist()
        if len(candidates) != 1:
            candidates = [-1]
        numbers += candidates
    return torch.tensor(numbers)
