"""Serial kernels side by side, on the threads that torch computes with.

torch shares the work of its operators out among the threads of OpenMP. When one is done, they spin:
for some milliseconds each holds a core, so that the next operator need not wake it. The threads of
a pool of our own would get half of that core (measured: on two cores, a kernel after an operator
took up to 1.6 times as long). So kernels run on OpenMP's threads themselves. A parallel region is
begun by `GOMP_parallel_start`, which compilers wrote into programs, and which the library that
torch brings along has; unlike its successor it leaves the caller's thread to the caller. What
Python raises there, Ctrl-C above all, it may not raise inside of a function that C calls.

Where torch has other threads, and in a process that was forked, whose copy has none of its parent's
threads, a pool takes their place.
"""

import ctypes
import functools
import itertools
import os
import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

# Numbers that a kernel moves: below this, another thread costs more than it takes over.
SMALL = 2**17
EDGES_A_NODE = 2  # a node, which is written, takes about the time of so many edges (estimated)
Range = tuple[int, int]
Calls = Sequence[Callable[[], object]]
REGION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # what the other threads of a region run
PROCESS = os.getpid()


class OpenMP(NamedTuple):
    """Four functions of the library whose threads torch computes with.

    Attributes:
        begin: lets all threads of a region but the caller's run a function.
        end: waits for them. Both let go of the interpreter's lock (GIL).
        thread: the number of the one that asks, within its region.
        threads: how many the region has.
    """

    begin: Callable[..., None]
    end: Callable[[], None]
    thread: Callable[[], int]
    threads: Callable[[], int]


def equal_ranges(starts: np.ndarray, width: int) -> list[Range]:
    """Nodes in as many runs as torch has threads, with about as much work each: edges are read, and
    nodes written.

    Args:
        starts: `[M + 1]` where each node's edges begin.
        width: how many numbers move along an edge; small graphs are left whole.
    """
    nodes, edges = len(starts) - 1, int(starts[-1])
    count = torch.get_num_threads()
    if edges * width < SMALL:
        count = 1

    def work_before(node: int) -> int:
        return int(starts[node]) + EDGES_A_NODE * node

    work = edges + EDGES_A_NODE * nodes
    inner = [bisect_left(range(nodes), work * k // count, key=work_before) for k in range(1, count)]
    bounds = [0, *inner, nodes]
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


def share_out(kernel: Callable[..., object], shares: Sequence[Range], *arguments: Any) -> None:
    """Run a kernel for all of its shares, side by side.

    Args:
        kernel: of where a share begins and ends, and the arguments.
        shares: of :func:`equal_ranges` or :func:`equal_shares`.
        arguments: the same for all shares.
    """
    if len(shares) > 1:
        # It is compiled here: threads of OpenMP may have small stacks, and would wait in turn.
        kernel(0, 0, *arguments)
    run_together([functools.partial(kernel, first, last, *arguments) for first, last in shares])


def run_together(calls: Calls) -> None:
    """Run calls side by side, and wait for all of them."""
    if len(calls) == 1:
        calls[0]()
        return
    openmp = find_openmp()
    if openmp is None or os.getpid() != PROCESS:
        _run_in_pool(calls)
    else:
        _run_in_region(openmp, calls)


@functools.cache
def find_openmp() -> OpenMP | None:
    """The library whose threads torch computes with; None where it cannot be called from here."""
    if sys.platform != "linux" or "backend: OpenMP" not in torch.__config__.parallel_info():
        return None
    try:
        # The two that only ask take no time in which someone else could have the lock.
        loaded, asked = ctypes.CDLL(None), ctypes.PyDLL(None)
        begin, end = loaded.GOMP_parallel_start, loaded.GOMP_parallel_end
        thread, threads = asked.omp_get_thread_num, asked.omp_get_num_threads
    except (OSError, AttributeError):
        return None
    begin.argtypes = [REGION, ctypes.c_void_p, ctypes.c_uint]
    begin.restype = end.restype = None
    return OpenMP(begin, end, thread, threads)


def _run_in_region(openmp: OpenMP, calls: Calls) -> None:
    errors: list[BaseException] = []

    def run_share() -> None:
        # OpenMP may give fewer threads than are asked for.
        for k in range(openmp.thread(), len(calls), openmp.threads()):
            calls[k]()

    def run_elsewhere(_: Any) -> None:
        # C calls this, and would not hear of an error.
        try:
            run_share()
        except BaseException as error:
            errors.append(error)

    region = REGION(run_elsewhere)
    # As many as torch asks for: of others the library would end some, and torch begin them again.
    count = max(len(calls), torch.get_num_threads())
    try:
        openmp.begin(region, None, count)
        run_share()
    finally:
        openmp.end()
    if errors:
        raise errors[0]


def _run_in_pool(calls: Calls) -> None:
    """The first call runs in the caller's own thread."""
    own, *others = calls
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
