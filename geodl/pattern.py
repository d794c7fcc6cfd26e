"""Where a sparse matrix has entries, and how they are put in the order of their rows: by counting,
not by comparing.

The entries of each row are counted, and the counts summed up say where each row begins. Each entry
then goes to the next free place of its row, so that entries of one row keep their order. That reads
each entry twice and writes it once, and takes half of the time of a sort by digits for a batch of
small graphs (measured).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.compiler import compiled
from geodl.errors import GeodlError


class Pattern(NamedTuple):
    """Where a sparse matrix S `[M, N]` has entries, and where its transpose has them.

    Attributes:
        rows: `[M + 1]`, where each receiver's edges begin.
        cols: `[E]`, the sender of each.
        rows_t: `[N + 1]`, where each sender's edges begin.
        cols_t: `[E]`, the receiver of each.
        order: `[E]`, the place of the transpose's entries among the matrix's; None where no entries
            come with the call.
        back: `[E]`, the place of the matrix's entries among the transpose's; None alike.
        values: `[1, E]`, the entries where none come with the call; None for all ones.
        values_t: the same in the order of the transpose.
    """

    rows: Tensor
    cols: Tensor
    rows_t: Tensor
    cols_t: Tensor
    order: Tensor | None = None
    back: Tensor | None = None
    values: Tensor | None = None
    values_t: Tensor | None = None


def transpose(pattern: Pattern) -> Pattern:
    """The pattern of the transposed matrix."""
    rows, cols, rows_t, cols_t, order, back, values, values_t = pattern
    return Pattern(rows_t, cols_t, rows, cols, back, order, values_t, values)


def sort_by_counting(rows: Tensor, cols: Tensor, num_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Entries in the order of their rows, on a CPU.

    Args:
        rows: `[E]`, the row of each.
        cols: `[E]`, its column; 31 bits hold all of them, and the number of entries.
        num_rows: R.

    Raises:
        GeodlError: if a row is not one of 0 to R - 1.

    Returns:
        Where each row begins `[R + 1]` and the column of each entry `[E]`, both with 32 bits, and
        the place of each among those given `[E]`.
    """
    start = np.empty(num_rows + 1, dtype=np.int32)
    sorted_cols = np.empty(len(cols), dtype=np.int32)
    order = np.empty(len(cols), dtype=np.int64)
    if not compiled(count_and_place)(rows.numpy(), cols.numpy(), start, sorted_cols, order):
        raise _out_of_range(num_rows)
    return torch.from_numpy(start), torch.from_numpy(sorted_cols), torch.from_numpy(order)


def sort_both_ways(dst: Tensor, src: Tensor, shape: tuple[int, int]) -> Pattern:
    """Entries in the order of their rows, and those of the transpose in the order of theirs.

    All in one call, for a batch of small graphs is planned at every step.

    Args:
        dst: `[E]`, the row of each entry.
        src: `[E]`, its column.
        shape: M and N.

    Raises:
        GeodlError: if a row or a column is out of range.

    Returns:
        The pattern of a matrix of ones, with 32 bits.
    """
    count, (num_rows, num_cols) = len(dst), shape
    start, start_t = np.empty(num_rows + 1, np.int32), np.empty(num_cols + 1, np.int32)
    cols, cols_t = np.empty(count, np.int32), np.empty(count, np.int32)
    parts = start, cols, start_t, cols_t
    place = compiled(place_both_ways, count_and_place)
    if not place(dst.numpy(), src.numpy(), *parts):
        raise _out_of_range(*shape)
    return Pattern(*map(torch.from_numpy, parts))


def _out_of_range(*sizes: int) -> GeodlError:
    asked = f"edges between {' and '.join(map(str, sizes))} nodes"
    return GeodlError(asked, "the number of a node out of range", "correct the rule's edges")


def place_both_ways(dst, src, start, cols, start_t, cols_t):
    """The kernel of :func:`sort_both_ways`, on its arrays; whether all entries are in range."""
    nowhere = np.empty(0, np.int64)
    one = count_and_place(dst, src, start, cols, nowhere)
    return one and count_and_place(src, dst, start_t, cols_t, nowhere)


def count_and_place(rows, cols, start, sorted_cols, order):
    """The kernel of :func:`sort_by_counting`, on its arrays; an empty order is left so.

    Answers whether all rows are in range. Nothing is placed otherwise: machine code writes
    wherever it is told to.
    """
    num_rows = len(start) - 1
    start[:] = 0
    for e in range(len(rows)):
        if rows[e] < 0 or rows[e] >= num_rows:
            return False
        start[rows[e]] += 1
    total = 0
    for i in range(num_rows):
        count = start[i]
        start[i] = total
        total += count
    # Now `start[i]` is the next free place of row i; once all are taken, where row i + 1 begins.
    for e in range(len(rows)):
        place = start[rows[e]]
        sorted_cols[place] = cols[e]
        if len(order) > 0:
            order[place] = e
        start[rows[e]] = place + 1
    for i in range(num_rows, 0, -1):
        start[i] = start[i - 1]
    start[0] = 0
    return True
