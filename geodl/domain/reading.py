"""Many small graphs that stand side by side, as PyG holds a batch, read in one pass.

New graphs come at every step of a training on molecules, and what is asked about them by one
operation after another takes longer than a layer. So one kernel copies the links, finds where each
graph begins, checks all of it, and puts the links in the order in which sparse products read them.
Where anything is wrong it says no more than that: the checks of `Graph` and `Batch` then say what.
"""

import sys
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodl.compiler import compiled, numba_missing
from geodl.constants import outside_modes
from geodl.pattern import Pattern, count_and_place

MOST = 2**16  # links, and nodes, of which the time that is saved is worth two more copies in memory


class SortedGraphs:
    """Graphs side by side, known to fit, with their links in the order of sparse products.

    Args:
        edge_index: `[2, E]` the links of all, a copy.
        counts: `[D]` the nodes of each.
        starts: `[D + 1]` the first node of each, and the number of all nodes.
        links: `[N, N]`, 1 where a node (its row) receives from another.
        members: `[D, N]`, 1 where a node belongs to a graph (its row).
    """

    def __init__(
        self,
        edge_index: Tensor,
        counts: tuple[int, ...],
        starts: Tensor,
        links: Pattern,
        members: Pattern,
    ):
        self.edge_index = edge_index
        self.counts = counts
        self.starts = starts
        self.links = links
        self.members = members

    @cached_property
    def loops(self) -> Pattern | None:
        """The links, and one more from each node to itself; None where there is one already."""
        parts = self.links[:4]
        rows, cols, _, _ = parts
        lengths = [rows.shape[0], cols.shape[0] + rows.shape[0] - 1] * 2
        made = np.empty(sum(lengths), np.int32)
        add: Any = compiled(add_loops_both_ways, add_loops)
        if not add(*[part.numpy() for part in parts], made):
            return None
        return Pattern(*torch.from_numpy(made).split_with_sizes(lengths))


def read_by_member(edge_index: Any, member: Any) -> SortedGraphs | None:
    """Graphs of which each node says its member, as PyG's `batch` does.

    Args:
        edge_index: `[2, E]`, senders first.
        member: `[N]` the member of each node: from 0, in order, none left out.

    Returns:
        The graphs; None where the kernel does not run, or anything is wrong.
    """
    if not _can_be_read(edge_index, member):
        return None
    numbers = member.numpy()
    starts = np.empty(len(numbers) + 1, np.int64)
    find: Any = compiled(find_starts)
    count = find(numbers, starts)
    return _read(edge_index, starts[: count + 1])


def read_by_start(edge_index: Any, starts: Any) -> SortedGraphs | None:
    """Graphs of which it is known where each begins, as PyG's `ptr` says.

    Args:
        edge_index: `[2, E]`, senders first.
        starts: `[D + 1]`, growing from 0 to the number of nodes.

    Returns:
        As of :func:`read_by_member`.
    """
    if not _can_be_read(edge_index, starts):
        return None
    return _read(edge_index, starts.numpy().copy())


def _can_be_read(edge_index: Any, numbers: Any) -> bool:
    """Whether the kernel takes these tensors: integers in one block on the CPU, in plain calls."""
    # A batch comes to a model, whose first plan loads the compiler; it takes longer to load than
    # to read a few graphs without it.
    if "numba" not in sys.modules or torch.compiler.is_compiling():
        return False
    for given in (edge_index, numbers):
        if type(given) is not Tensor or given.dtype != torch.long or not given.is_cpu:
            return False
        if not given.is_contiguous():
            return False
    if edge_index.dim() != 2 or edge_index.shape[0] != 2 or numbers.dim() != 1:
        return False
    return edge_index.shape[1] <= MOST and outside_modes() and not numba_missing()


def _read(edge_index: Tensor, starts: Any) -> SortedGraphs | None:
    """Graphs that begin somewhere, once their links are known to fit."""
    links, nodes = edge_index.shape[1], 0
    if len(starts) > 1:
        nodes = int(starts[-1])
    if not 0 < nodes <= MOST:
        return None
    wide = np.empty((2, links), np.int64)
    lengths = (nodes + 1, links, nodes + 1, links, len(starts), nodes, nodes + 1, nodes)
    narrow = np.empty(sum(lengths), np.int32)
    read: Any = compiled(read_links, copy_links, count_and_place)
    if not read(edge_index.numpy(), starts, wide, narrow):
        return None
    parts = torch.from_numpy(narrow).split_with_sizes(lengths)
    rows, cols, rows_t, cols_t = parts[:4]
    return SortedGraphs(
        torch.from_numpy(wide),
        tuple((starts[1:] - starts[:-1]).tolist()),
        torch.from_numpy(starts),
        Pattern(rows, cols, rows_t, cols_t),
        Pattern(*parts[4:]),
    )


def find_starts(member, starts):
    """The first node of each member, and the number of nodes after that of the last: how many
    members there are; 0 where they are not numbered in order.
    """
    last = -1
    for node in range(len(member)):
        if member[node] != last:
            if member[node] != last + 1:
                return 0
            last += 1
            starts[last] = node
    starts[last + 1] = len(member)
    return last + 1


def read_links(edge_index, starts, wide, narrow):
    """The kernel of :func:`_read`, on its arrays; whether all fits. `narrow` is filled as it is
    split there.
    """
    members, nodes, links = len(starts) - 1, starts[-1], edge_index.shape[1]
    if starts[0] != 0:
        return False
    for k in range(members):
        if starts[k + 1] <= starts[k]:
            return False
    if not copy_links(edge_index, starts, wide):
        return False
    row, nowhere = nodes + 1, np.empty(0, np.int64)
    one, other = narrow[: row + links], narrow[row + links : 2 * (row + links)]
    count_and_place(wide[1], wide[0], one[:row], one[row:], nowhere)
    count_and_place(wide[0], wide[1], other[:row], other[row:], nowhere)
    # A node is the only entry of its column: column j begins at entry j.
    rest = narrow[2 * (row + links) :]
    begins, entry = rest[: members + 1], rest[members + 1 : members + row]
    column, member = rest[members + row : members + row + row], rest[members + row + row :]
    begins[:] = starts
    for k in range(members):
        member[starts[k] : starts[k + 1]] = k
    for node in range(nodes):
        entry[node] = node
        column[node] = node
    column[nodes] = nodes
    return True


def copy_links(edge_index, starts, copy):
    """Copy links of which both ends lie in one member; whether all do."""
    k = 0
    for e in range(edge_index.shape[1]):
        sender, receiver = edge_index[0, e], edge_index[1, e]
        if sender < 0 or sender >= starts[-1]:
            return False
        # Links mostly stand member after member: then this is the member of the link before.
        if sender < starts[k] or sender >= starts[k + 1]:
            k = np.searchsorted(starts, sender, "right") - 1
        if receiver < starts[k] or receiver >= starts[k + 1]:
            return False
        copy[0, e], copy[1, e] = sender, receiver
    return True


def add_loops_both_ways(rows, cols, rows_t, cols_t, made):
    """The kernel of :attr:`SortedGraphs.loops`, on its arrays; whether there was no loop."""
    half = len(made) // 2
    return add_loops(rows, cols, made[:half]) and add_loops(rows_t, cols_t, made[half:])


def add_loops(rows, cols, made):
    """A matrix by its rows, with one more entry on the diagonal at the end of each row: where they
    begin, then their columns. Answers whether there was none.
    """
    nodes = len(rows) - 1
    for i in range(nodes):
        made[i] = rows[i] + i
        for e in range(rows[i], rows[i + 1]):
            if cols[e] == i:
                return False
            made[nodes + 1 + e + i] = cols[e]
        made[nodes + 1 + rows[i + 1] + i] = i
    made[nodes] = len(cols) + nodes
    return True
