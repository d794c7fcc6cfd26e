"""Runs of consecutive numbers: the nodes, and the links, of each member of a union."""

from typing import Any, NamedTuple

import numpy as np


class Runs(NamedTuple):
    """Runs of consecutive numbers: run k is `first[k]` to `first[k] + length[k] - 1`.

    They stand in numpy's arrays: a batch is chosen at every step, from few runs, and numpy's calls
    take a third of torch's time there (measured).

    Attributes:
        first: `[D]` where each begins.
        length: `[D]` how long each is.
    """

    first: Any
    length: Any

    def select(self, numbers: Any) -> tuple[Any, Any]:
        """The numbers in some of the runs, one run after the other, and how long each is.

        >>> runs = runs_of([2, 3])
        >>> runs.select([1, 0])[0].tolist()
        [2, 3, 4, 0, 1]
        """
        length = self.length[numbers]
        end = length.cumsum()
        # Place p of the answer, in a run that ends before place `end`, holds the number
        # first + (p - (end - length)): its own place, moved by as much as its whole run.
        places = (self.first[numbers] - (end - length)).repeat(length)
        places += np.arange(len(places))
        return places, length


def runs_of(lengths: Any) -> Runs:
    """Runs one behind the other, from 0.

    >>> runs_of([2, 3]).first.tolist()
    [0, 2]
    """
    length = np.asarray(lengths, dtype=np.int64)
    return Runs(length.cumsum() - length, length)


def running_sum(counts: Any) -> Any:
    """`[D + 1]`: 0, then the sums of the first 1, 2, ... counts.

    >>> running_sum(np.array([2, 3])).tolist()
    [0, 2, 5]
    """
    total = np.zeros(len(counts) + 1, dtype=np.int64)
    counts.cumsum(out=total[1:])
    return total
