"""One layer in several threads and processes: right values, whoever makes a plan first."""

import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import geodl as g
from geodl.testing import error

THREADS, SIZES = 8, 300
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


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", LAYERS)
def test_threads_that_make_plans_at_once(name):
    """Each thread begins with another size, so that all of them make plans and push others out."""
    torch.manual_seed(0)
    layer, sizes = LAYERS[name](), range(2, 2 + SIZES)
    with torch.no_grad():
        wanted = {n: layer(chain(n)).x for n in sizes}
    again = LAYERS[name]().double().float()  # parameters anew, the same plans
    again.load_state_dict(layer.state_dict())

    def work(number: int) -> None:
        first = number * SIZES // THREADS
        with torch.no_grad():
            for k in range(SIZES):
                n = sizes[(first + k) % SIZES]
                assert error(again(chain(n)).x, wanted[n]) < 1e-6, n

    assert in_threads(work) == []


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


@pytest.mark.parametrize("name", LAYERS)
def test_workers_of_a_data_loader_make_their_own_plans(name):
    torch.manual_seed(0)
    examples = Encoded(LAYERS[name](), 40)
    wanted = torch.stack([examples[k] for k in range(20)])  # plans that the workers begin with
    for _ in range(2):
        batches = list(DataLoader(examples, batch_size=8, num_workers=2))
        found = torch.cat(batches)
        assert len(found) == 40
        assert error(found[:20], wanted) < 1e-6
    assert error(found, torch.stack([examples[k] for k in range(40)])) < 1e-6
