"""One layer in several threads and processes: right values, whoever makes a plan first."""

import itertools
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import geodl as g
from geodl.lowering import Store, plans
from geodl.testing import error

THREADS, SIZES = 8, 300
FORKED = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
LAYERS = {
    "convolve": lambda: g.Conv(2, 2, g.window(3, axes=1)),
    "attend": lambda: g.Attention(2, g.all_pairs("self"), 1, relative=True),
    "pool": lambda: g.Pool(g.window(2, axes=1, stride=2, padding=1), "mean"),
}


def chain(n: int) -> g.Signal:
    generator = torch.Generator().manual_seed(n)
    return g.Signal(torch.randn(1, n, 2, generator=generator), g.Chain(n))


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns after every few instructions."""
    kept = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(kept)


def in_threads(work: Callable[[int], None]) -> list[BaseException]:
    """What went wrong when each of the threads did its work, all of them begun at once."""
    wrong: list[BaseException] = []
    start = threading.Barrier(THREADS)

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


@pytest.fixture
def crowded(monkeypatch) -> Store:
    """A store for so few plans that nearly every new one pushes out another."""
    store = Store(most_bytes=2000, most_values=16)
    monkeypatch.setattr(plans, "VALUES", store)
    return store


@pytest.mark.usefixtures("impatient")
def test_threads_with_layers_of_their_own(crowded):
    """Eight threads make more plans than the store holds: no error, and torch's values."""
    layers = [g.Conv(2, 2, g.window(3, axes=1)) for _ in range(THREADS)]

    def work(number: int) -> None:
        layer = layers[number]
        kernel = layer.weight.permute(2, 1, 0)
        for n in range(1, 120):
            s = chain(n)
            wanted = nn.functional.conv1d(s.x.mT, kernel, layer.bias, padding=1)
            assert error(layer(s).x, wanted.mT) < 1e-5

    assert in_threads(work) == []
    assert 1 <= len(crowded) <= 16


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", LAYERS)
def test_threads_with_one_layer(name, crowded):
    """Each thread begins with another size, so that all of them make plans and push others out."""
    torch.manual_seed(0)
    layer, sizes = LAYERS[name](), range(2, 2 + SIZES)
    with torch.no_grad():
        wanted = {n: layer(chain(n)).x for n in sizes}

    def work(number: int) -> None:
        first = number * SIZES // THREADS
        with torch.no_grad():
            for k in range(SIZES):
                n = sizes[(first + k) % SIZES]
                assert error(layer(chain(n)).x, wanted[n]) < 1e-6, n

    assert in_threads(work) == []
    assert len(crowded) <= 16


@pytest.mark.usefixtures("impatient")
def test_threads_that_share_a_new_graph():
    torch.manual_seed(0)
    layer = g.Conv(2, 3, g.adjacency("sym", self_loops=True))
    for n in range(2, 60):
        graph = g.Graph(torch.randint(n, (2, 3 * n)), n)
        x = torch.randn(1, n, 2)
        found: list[torch.Tensor] = []

        def work(number: int, x=x, graph=graph, found=found) -> None:
            with torch.no_grad():
                found.append(layer(g.Signal(x, graph)).x)

        assert in_threads(work) == []
        assert len(found) == THREADS
        assert all(error(y, found[0]) < 1e-6 for y in found)


class Encoded(Dataset):
    """Sums of what a layer makes of chains, computed where they are asked for."""

    def __init__(self, layer: g.Layer, count: int):
        self.layer, self.count = layer, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, k: int) -> torch.Tensor:
        with torch.no_grad():
            return self.layer(chain(2 + k)).x.sum()


@FORKED
@pytest.mark.parametrize("name", LAYERS)
def test_workers_of_a_data_loader_make_their_own_plans(name):
    torch.manual_seed(0)
    examples = Encoded(LAYERS[name](), 40)
    wanted = torch.stack([examples[k] for k in range(20)])  # plans that the workers begin with
    loader = DataLoader(examples, batch_size=8, num_workers=2)
    first = torch.cat(list(loader))
    assert len(first) == 40
    assert error(first[:20], wanted) < 1e-6
    assert error(torch.cat(list(loader)), first) < 1e-6
    assert error(first, torch.stack([examples[k] for k in range(40)])) < 1e-6


def make_a_plan(n: int) -> None:
    LAYERS["convolve"]()(chain(n))


@FORKED
def test_a_process_that_is_forked_while_a_plan_is_kept_can_keep_its_own():
    """A lock that another thread held at the fork would stay locked in the child for ever."""
    done = threading.Event()

    def keep_on() -> None:
        store = Store(most_values=4)
        for n in itertools.count():
            store.keep(0, n, None)
            if done.is_set():
                return

    busy = threading.Thread(target=keep_on)
    busy.start()
    try:
        forks = multiprocessing.get_context("fork")
        children = [forks.Process(target=make_a_plan, args=(1000 + k,)) for k in range(20)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
        ends = [child.exitcode for child in children]
        for child in children:
            child.kill()
    finally:
        done.set()
        busy.join()
    assert ends == [0] * 20
