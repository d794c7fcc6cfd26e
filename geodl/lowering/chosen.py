"""The sparse pattern of members that were chosen from a flat union, out of the union's own.

Where each member receives from itself alone, the rows of a member's nodes stand beside each other
in the pattern of the union, and so do their entries: the pattern of some members is gathered run by
run. Nothing is written out and nothing sorted, which counts where new graphs are chosen at every
step of a training.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.domain.chosen import Chosen
from geodl.domain.runs import Runs, running_sum, runs_of
from geodl.pattern import Pattern


class Side(NamedTuple):
    """A sparse matrix by rows, of which those of a member are counted from its own first one.

    Attributes:
        rows: `[R]` where each row begins among the entries of its member.
        cols: `[E]` the column of each entry among those of its member.
        values: `[E]`, None for ones.
        first: `[D]` the first entry of each member.
        length: `[D]` its number of entries.
    """

    rows: Tensor
    cols: Tensor
    values: Tensor | None
    first: Tensor
    length: Tensor


class Store(NamedTuple):
    """What patterns are gathered from.

    Attributes:
        matrix: the matrix of all members.
        transposed: its transpose; None where that is the same matrix.
        wide: how many rows, and how many columns, stand for a node.
    """

    matrix: Side
    transposed: Side | None
    wide: tuple[int, int]


def store_of_members(pattern: Pattern, sizes: tuple[int, ...], wide: tuple[int, int]) -> Store:
    """The pattern of a union as patterns of its members are gathered from it.

    Args:
        pattern: on the CPU, without entries that come with the call.
        sizes: the nodes of each member.
        wide: how many rows, and how many columns, stand for a node.
    """
    forward = _side(pattern.rows, pattern.cols, pattern.values, sizes, wide)
    turned = (wide[1], wide[0])
    back = _side(pattern.rows_t, pattern.cols_t, pattern.values_t, sizes, turned)
    pairs = zip(forward, back, strict=True)
    if all(a is b or (a is not None and b is not None and a.equal(b)) for a, b in pairs):
        return Store(forward, None, wide)  # links in both directions: half of the work
    return Store(forward, back, wide)


def _side(
    rows: Tensor,
    cols: Tensor,
    values: Tensor | None,
    sizes: tuple[int, ...],
    wide: tuple[int, int],
) -> Side:
    """The rows of a union, counted member by member."""
    starts, senders, nodes = rows.numpy(), cols.numpy(), runs_of(sizes)
    # Entries of a row in the order of their columns, so that a symmetric matrix is seen to be one.
    row_of_each = np.arange(len(starts) - 1).repeat(np.diff(starts))
    order = np.lexsort((senders, row_of_each))
    first = starts[running_sum(nodes.length) * wide[0]].astype(np.int64)
    entries = Runs(first[:-1], np.diff(first))
    own_rows = starts[:-1] - entries.first.repeat(nodes.length * wide[0])
    own_cols = senders[order] - (nodes.first * wide[1]).repeat(entries.length)
    if values is not None:
        values = values[0, torch.from_numpy(order)]
    return Side(
        torch.from_numpy(own_rows.astype(np.int32)),
        torch.from_numpy(own_cols.astype(np.int32)),
        values,
        torch.from_numpy(entries.first),
        torch.from_numpy(entries.length),
    )


def pattern_of_chosen(store: Store, chosen: Chosen) -> Pattern:
    """The pattern of some members, in the order of their choice."""
    rows_each, cols_each = store.wide
    rows, cols, values = _gathered(store.matrix, chosen, rows_each, cols_each)
    if store.transposed is None:
        return Pattern(rows, cols, rows, cols, values=values, values_t=values)
    rows_t, cols_t, values_t = _gathered(store.transposed, chosen, cols_each, rows_each)
    return Pattern(rows, cols, rows_t, cols_t, values=values, values_t=values_t)


def _gathered(
    side: Side, chosen: Chosen, rows_each: int, cols_each: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows, columns and entries of the chosen members, of one of the two matrices."""
    entries = Runs(side.first.numpy(), side.length.numpy())
    places, length = entries.select(chosen.numbers)
    # A member's rows begin where its entries do, and its columns at its first node.
    begins = running_sum(length).astype(np.int32)
    first_cols = (chosen.starts[:-1] * cols_each).astype(np.int32)
    cols = side.cols.numpy()[places]
    cols += first_cols.repeat(length)
    row_places, row_length = chosen.nodes, chosen.counts
    if rows_each > 1:
        row_places = (row_places[:, None] * rows_each + np.arange(rows_each)).reshape(-1)
        row_length = row_length * rows_each
    rows = np.empty(len(row_places) + 1, dtype=np.int32)
    np.add(side.rows.numpy()[row_places], begins[:-1].repeat(row_length), out=rows[:-1])
    rows[-1] = begins[-1]
    values: Any = None
    if side.values is not None:
        values = side.values.index_select(0, torch.from_numpy(places))[None]
    return torch.from_numpy(rows), torch.from_numpy(cols), values


def pattern_of_run(pattern: Pattern, chosen: Chosen, wide: tuple[int, int]) -> Pattern:
    """The pattern of members that stand one behind the other in a union, of whose pattern it is a
    piece.

    Args:
        pattern: of the union, without entries that come with the call.
        chosen: the members.
        wide: how many rows, and how many columns, stand for a node.
    """
    first, end = int(chosen.nodes[0]), int(chosen.nodes[-1]) + 1
    rows, cols, values = _piece(pattern.rows, pattern.cols, pattern.values, first, end, wide)
    if pattern.rows_t is pattern.rows and pattern.values_t is pattern.values:
        return Pattern(rows, cols, rows, cols, values=values, values_t=values)
    turned = (wide[1], wide[0])
    back = _piece(pattern.rows_t, pattern.cols_t, pattern.values_t, first, end, turned)
    return Pattern(rows, cols, back[0], back[1], values=values, values_t=back[2])


def _piece(
    rows: Tensor,
    cols: Tensor,
    values: Tensor | None,
    first: int,
    end: int,
    wide: tuple[int, int],
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows, columns and entries of the nodes `first` to `end - 1`, counted from the first."""
    starts = rows.numpy()[first * wide[0] : end * wide[0] + 1]
    begin, stop = int(starts[0]), int(starts[-1])
    own_cols = cols.numpy()[begin:stop] - np.int32(first * wide[1])
    if values is not None:
        values = values[:, begin:stop]
    return torch.from_numpy(starts - starts[0]), torch.from_numpy(own_cols), values
