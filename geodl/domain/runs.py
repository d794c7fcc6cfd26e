"""Runs of consecutive numbers: the nodes, and the links, of each member of a union."""

from typing import NamedTuple

import torch
from torch import Tensor


class Runs(NamedTuple):
    """Runs of consecutive numbers: run k is `first[k]` to `first[k] + length[k] - 1`.

    Attributes:
        first: `[D]` where each begins.
        length: `[D]` how long each is.
    """

    first: Tensor
    length: Tensor

    def select(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers in some of the runs, one run after the other, and how long each is.

        >>> runs = Runs(torch.tensor([0, 2]), torch.tensor([2, 3]))
        >>> runs.select(torch.tensor([1, 0]))[0].tolist()
        [2, 3, 4, 0, 1]
        """
        count = self.length[numbers]
        end = count.cumsum(0)
        # Place p of the answer, in a run that ends before place `end`, holds the number
        # first + (p - (end - count)): its own place, moved by as much as its whole run.
        moved = self.first[numbers] - (end - count)
        total = int(end[-1])
        return torch.arange(total) + moved.repeat_interleave(count, output_size=total), count


def running_sum(counts: Tensor) -> Tensor:
    """`[D + 1]`: 0, then the sums of the first 1, 2, ... counts.

    >>> running_sum(torch.tensor([2, 3])).tolist()
    [0, 2, 5]
    """
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))
