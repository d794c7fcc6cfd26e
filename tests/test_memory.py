"""What stays in memory after many sizes, graphs and tokens, counted in bytes of tensors."""

import pytest
import torch

from geodl.lowering import Store, plans
from tests import memory

CASES = dict(memory.cases())
SIZES = [name for name, case in CASES.items() if case.times == 300]
SLACK = 100_000  # tables of a group, made once


@pytest.fixture
def store(monkeypatch) -> Store:
    """A store that holds a third of a megabyte: the plans of a few sizes fill it."""
    made = Store(most_bytes=300_000)
    monkeypatch.setattr(plans, "VALUES", made)
    return made


@pytest.mark.parametrize("name", SIZES)
def test_many_sizes_fill_the_store_and_no_more(name, store):
    """Everything a process holds is counted, in whatever cache it may stand."""
    case, largest = CASES[name], 0
    with torch.no_grad():
        case.call(0)
        before = memory.live_bytes() - store.held_bytes()
        for k in range(1, 16):
            case.call(k)
            newest = max(store.entries(), key=lambda kept: kept.usage.last)
            largest = sum(t.nbytes for t in plans.tensors_of(newest))
            assert store.held_bytes() <= max(store.most_bytes, largest)
    assert memory.live_bytes() - store.held_bytes() <= before + SLACK


def test_the_cases_would_overflow_without_a_bound(monkeypatch):
    """Else the test above held by being small."""
    monkeypatch.setattr(plans, "VALUES", Store(most_bytes=2**40))
    with torch.no_grad():
        for name in ("dot on banded", "gat on edges", "message on edges", "pool on edges"):
            for k in range(16):
                CASES[name].call(k)
            assert plans.VALUES.held_bytes() > 300_000, name


@pytest.mark.parametrize("name", ["graphs", "ragged batches", "decoding"])
def test_what_comes_anew_leaves_nothing(name, store):
    case = CASES[name]
    with torch.no_grad():
        for k in range(20):  # the model's own plans, and keys and values that are still read
            case.call(k)
        held, kept = store.held_bytes(), len(store)
        before = memory.live_bytes()
        for k in range(20, 120):
            case.call(k)
    assert (store.held_bytes(), len(store)) == (held, kept)
    assert memory.live_bytes() <= before + SLACK


def test_a_leak_is_seen():
    kept = []
    before = memory.live_bytes()
    kept.append(torch.zeros(1000, 1000))
    assert memory.live_bytes() - before == 4_000_000


def test_the_long_run_measures_and_judges(capsys, monkeypatch):
    assert memory.main(["decoding", "--share", "0.01"]) == 0
    assert "MB of 50" in capsys.readouterr().out
    leak = []
    hoard = memory.Case(lambda k: leak.append(torch.ones(500_000)), 10, 1)
    monkeypatch.setattr(memory, "cases", lambda: iter([("hoard", hoard)]))
    assert memory.main([]) == 1
    assert "TOO MUCH" in capsys.readouterr().out
