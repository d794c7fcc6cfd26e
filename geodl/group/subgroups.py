"""Subgroups and cosets, computed on the product table of a group."""

import torch
from torch import Tensor


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
