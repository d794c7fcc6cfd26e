"""One pool of threads, on which serial kernels run side by side."""

import functools
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

# Numbers that a kernel moves: below this, another thread costs more than it takes over.
SMALL = 2**17
Range = tuple[int, int]


def equal_ranges(starts: np.ndarray, width: int) -> list[Range]:
    """Nodes in as many runs as torch has threads, with about as many edges each.

    Args:
        starts: `[M + 1]` where each node's edges begin.
        width: how many numbers move along an edge; small graphs are left whole.
    """
    nodes, edges = len(starts) - 1, int(starts[-1])
    count = torch.get_num_threads()
    if edges * width < SMALL:
        count = 1
    inner = [edges * k // count for k in range(1, count)]
    bounds = [0, *np.searchsorted(starts, inner).tolist(), nodes]
    return list(itertools.pairwise(bounds))


def equal_shares(size: int, least: int, numbers: int) -> list[Range]:
    """`range(size)` in at most as many runs as torch has threads.

    Args:
        size: how many there are to share out, channels for example.
        least: the fewest in a run.
        numbers: how many numbers move in all; few are left to one thread.
    """
    count = max(1, min(torch.get_num_threads(), size // least))
    if numbers < SMALL:
        count = 1
    bounds = [size * k // count for k in range(count + 1)]
    return list(itertools.pairwise(bounds))


def run_together(calls: Sequence[Callable[[], object]]) -> None:
    """Run calls side by side, the first in the caller's own thread, and wait for all of them."""
    own, *others = calls
    waiting = []
    if others:
        workers = _workers(max(1, torch.get_num_threads() - 1))
        waiting = [workers.submit(call) for call in others]
    own()
    for call in waiting:
        call.result()


@functools.lru_cache(maxsize=1)
def _workers(count: int) -> ThreadPoolExecutor:
    """The one pool, made anew where torch's number of threads has changed."""
    return ThreadPoolExecutor(count, thread_name_prefix="geodl")


# A forked process has none of its parent's threads: work given to them would never be done.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.cache_clear)
