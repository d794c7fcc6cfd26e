"""What a process grows by: `python -m tests.memory` measures it, tests/test_memory.py in the small.

Each case calls layers on one new size after another, or on one new graph after another. The bounds
are those of a long run: 300 sizes of images and sequences, 20,000 graphs, 5,000 ragged batches, 500
tokens.
"""

import argparse
import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

import geodl as g
from geodl.layer import MessagePassing
from geodl.lowering import LOWERINGS, Store, plans
from geodl.testing import accepting
from tests.table import product

PAGE = 4096
WIDTH = 32
MEGABYTE = 2**20


class Case(NamedTuple):
    """What is called again and again.

    Attributes:
        call: calls on the k-th size or graph.
        times: how often in a long run.
        bound: megabytes that a process may grow by in a long run.
    """

    call: Callable[[int], object]
    times: int
    bound: int


def image(k: int) -> g.Grid:
    """Images of one width and many heights."""
    return g.Grid(8 + k, WIDTH)


def chain(k: int) -> g.Chain:
    """Sequences of many lengths."""
    return g.Chain(8 + k)


LAYERS: dict[str, tuple[Callable[[int], g.Domain], Callable[[], MessagePassing]]] = {
    "conv": (image, lambda: g.Conv(2, 2, g.window(3))),
    "lift": (image, lambda: g.Conv(2, 2, g.lift(3, group=g.D(1)))),
    "transposed": (image, lambda: g.Conv(2, 2, g.window(3, padding=0).reverse())),
    "dot": (image, lambda: g.Attention(2, g.window(7), 1, relative=True)),
    "gat": (image, lambda: g.Attention(2, g.window(7), 1, score="gat")),
    "additive": (chain, lambda: g.Attention(2, g.past(), 1, score="additive")),
    "pairs": (chain, lambda: g.Attention(2, g.all_pairs("self"), 1, relative=True)),
    "linear": (chain, lambda: g.Attention(2, g.past(), 1, score="linear")),
    "sets": (chain, lambda: g.Conv(2, 2, g.all_pairs("self"))),
    "previous": (chain, lambda: g.Conv(2, 2, g.previous())),
    "message": (image, lambda: g.Message(product, g.window(3))),
    "lstm": (chain, lambda: g.Recurrent(2, 2)),
    "pool": (image, lambda: g.Pool(g.window(3), "mean")),
    "readout": (image, lambda: g.Readout("max")),
    "links": (image, lambda: g.Conv(2, 2, g.adjacency("sym", self_loops=True))),
}


def values(domain: g.Domain) -> g.Signal:
    """Zeros: what matters is what is kept of the domain."""
    return g.Signal(torch.zeros(1, domain.num_nodes, 2), domain)


def on_sizes(make: Callable[[], MessagePassing], domain: Callable[[int], g.Domain], lowering: str):
    """A layer by one lowering, on the k-th size."""
    layer = make()
    layer.lowering = lowering
    return lambda k: layer(values(domain(k)))


def positions(k: int) -> g.Signal:
    """Embeddings of where nodes stand, the eigenvectors of a path among them."""
    return g.Sequential(g.SinusoidalPositions(2), g.LaplacianPositions(2, 2))(values(chain(k)))


GNN = g.Sequential(g.Conv(2, 4, g.adjacency("sym", self_loops=True)), g.Readout("mean"))
ATTENTION = g.Attention(2, g.adjacency(self_loops=True), 1)
GRU = g.Recurrent(2, 4, "gru")
TRANSFORMER = g.Attention(2, g.past(), 1)


def graph(k: int) -> g.Graph:
    """A graph that was never seen before."""
    n = 5 + k % 20
    return g.Graph(torch.randint(n, (2, 3 * n)), n)


def new_graph(k: int) -> None:
    """A convolution, a summary and attention on a new graph."""
    signal = values(graph(k))
    GNN(signal)
    ATTENTION(signal)


def ragged_batch(k: int) -> None:
    """Recurrence and causal attention on rows of other lengths."""
    lengths = [3 + k % 7, 9, 1 + k % 5, 4]
    signal = values(g.Batch([g.Chain(n) for n in lengths]))
    GRU(signal)
    TRANSFORMER(signal)
    GNN(values(g.Batch([graph(k), graph(k + 1)])))


def decoding() -> Callable[[int], object]:
    """A GPT that continues by one token."""
    model = g.models.gpt(7, context=512, channels=8, heads=2, depth=2).eval()
    state = None

    def step(k: int) -> None:
        nonlocal state
        token = g.Signal.tokens(torch.full((1, 1), k % 7))
        state = model.step(token, state)[1] if k else None

    return step


def cases() -> Iterator[tuple[str, Case]]:
    """Every layer on every lowering that takes it, and what else comes anew in a long run."""
    for name, (domain, make) in LAYERS.items():
        layer = make()
        for lowering in (*accepting(layer, values(domain(0))), LOWERINGS[layer.verb][-1].name):
            yield f"{name} on {lowering}", Case(on_sizes(make, domain, lowering), 300, 200)
    yield "positions", Case(positions, 300, 200)
    yield "graphs", Case(new_graph, 20_000, 50)
    yield "ragged batches", Case(ragged_batch, 5_000, 50)
    yield "decoding", Case(decoding(), 500, 50)


def live_bytes() -> int:
    """The bytes of all tensors that anything in this process still holds."""
    gc.collect()
    storages = {}
    for held in gc.get_objects():
        # Exact types: `isinstance` would ask lazy modules for their class, and some of them warn;
        # what a tracer left (a FakeTensor) has no memory to be asked for.
        if type(held) not in (torch.Tensor, torch.nn.Parameter):
            continue
        if held.layout == torch.strided and not held.is_meta:
            storage = held.untyped_storage()
            try:
                storages[storage.data_ptr()] = storage.nbytes()
            except RuntimeError:
                continue  # what a compiler left functional looks like a tensor, and has no memory
    return sum(storages.values())


def resident_bytes() -> int:
    """What the process takes of the machine's memory, freed blocks given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def growth(case: Case, count: int) -> int:
    """The bytes by which the process grew over `count` calls, after a few to begin with, when no
    plans were there before.
    """
    plans.VALUES = Store()
    with torch.no_grad():
        for k in range(3):
            case.call(k)
        before = resident_bytes()
        for k in range(count):
            case.call(k)
    return resident_bytes() - before


def main(words: list[str] | None = None) -> int:
    """Print the growth of each case beside its bound; 1 where one is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="cases, by the beginning of their names")
    parser.add_argument("--share", type=float, default=1.0, help="of a long run, from 0 to 1")
    asked = parser.parse_args(words)
    broken = 0
    for name, case in cases():
        if asked.names and not name.startswith(tuple(asked.names)):
            continue
        grown = growth(case, max(1, int(case.times * asked.share))) / MEGABYTE
        held = plans.VALUES.held_bytes() / MEGABYTE
        verdict = "" if grown < case.bound else "  TOO MUCH"
        broken += grown >= case.bound
        print(f"{name:24} {grown:7.1f} MB of {case.bound}, plans {held:6.1f} MB{verdict}")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
