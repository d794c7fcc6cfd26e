"""Kernels side by side: on the threads of torch's OpenMP and on a pool's, each share once."""

import itertools
import signal
import sys
import threading
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geodl.lowering.kernels import threads

WHOSE = ["torch's threads", "a pool"]


def choose_threads(patch: pytest.MonkeyPatch, whose: str) -> None:
    """Let kernels run on the threads of torch's OpenMP, or on those of a pool."""
    if whose == "a pool":
        patch.setattr(threads, "find_openmp", lambda: None)
    elif threads.find_openmp() is None:
        pytest.skip("torch computes here with threads that cannot be called")


@pytest.fixture(params=WHOSE)
def whose_threads(request, monkeypatch) -> None:
    choose_threads(monkeypatch, request.param)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.integers(1, 8),
    st.sampled_from([1, threads.SMALL]),
)
def test_ranges_hold_every_node_once_and_equal_work(degrees, count, width):
    starts = np.cumsum([0, *degrees])
    kept = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        ranges = threads.equal_ranges(starts, width)
        shares = threads.equal_shares(len(degrees), 2, len(degrees) * width)
    finally:
        torch.set_num_threads(kept)
    for parts in (ranges, shares):
        assert parts[0][0] == 0 and parts[-1][1] == len(degrees)
        assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
        assert all(first <= last for first, last in parts)
        assert len(parts) <= count
    work = [int(starts[b] - starts[a]) + threads.EDGES_A_NODE * (b - a) for a, b in ranges]
    assert max(work) <= sum(work) / len(ranges) + max(degrees) + threads.EDGES_A_NODE
    if width == 1:
        assert len(ranges) == len(shares) == 1


@pytest.mark.usefixtures("whose_threads")
def test_an_error_in_any_thread_is_raised():
    def wrong() -> None:
        raise ValueError("out of order")

    with pytest.raises(ValueError, match="out of order"):
        threads.run_together([lambda: None, wrong])
    with pytest.raises(ValueError, match="out of order"):
        threads.run_together([wrong, lambda: None])
    with pytest.raises(ValueError, match="out of order"):
        threads.run_together([wrong])


@pytest.mark.usefixtures("whose_threads")
@pytest.mark.parametrize("count", [1, 2, 3, 17])
def test_every_call_runs_once(count):
    seen = []
    threads.run_together([partial(seen.append, k) for k in range(count)])
    assert sorted(seen) == list(range(count))


def test_openmp_may_give_fewer_threads_than_calls(monkeypatch):
    """Here one, which has to make all calls."""
    seen = []
    alone = threads.OpenMP(lambda *_: None, lambda: None, lambda: 0, lambda: 1)
    monkeypatch.setattr(threads, "find_openmp", lambda: alone)
    threads.run_together([partial(seen.append, k) for k in range(5)])
    assert seen == list(range(5))


def test_torch_s_threads_are_found_where_it_says_so():
    says = "backend: OpenMP" in torch.__config__.parallel_info()
    expected = sys.platform == "linux" and says
    assert (threads.find_openmp() is not None) is expected


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="a system without timers")
@pytest.mark.usefixtures("whose_threads")
def test_what_a_signal_raises_is_not_lost(monkeypatch):
    """Wherever it arrives: it is raised, or all calls were made."""

    class Arrived(Exception):
        pass

    def refuse(*_) -> None:
        raise Arrived

    def spend(k: int) -> None:
        done[k] = sum(range(200)) > 0

    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals arrive in the main thread")
    lost: list = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    kept = signal.signal(signal.SIGVTALRM, refuse)
    try:
        for microseconds in range(5, 305):
            done = [False] * 4
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, microseconds * 1e-6)
                threads.run_together([partial(spend, k) for k in range(4)])
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            except Arrived:
                continue
            else:
                assert done == [True] * 4
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, kept)
    assert not lost


def test_shares_get_the_same_arguments():
    seen = []
    threads.share_out(lambda *read: seen.append(read), [(0, 2), (2, 5)], "a", "b")
    # The empty one lets a kernel be compiled by the caller.
    assert sorted(seen) == [(0, 0, "a", "b"), (0, 2, "a", "b"), (2, 5, "a", "b")]
