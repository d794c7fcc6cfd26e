"""Examples that are links of one graph, whole graphs, or clouds of points."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Generator, Tensor

from geodl.data import GraphLoader, NodePairs, unlinked
from geodl.domain import Batch, Complete
from geodl.signal import Signal
from geodl.train.examples import EVALUATED, Examples, shuffled


@final
@dataclass(frozen=True, eq=False)
class Links(Examples):
    """Pairs of nodes of one graph, and whether a link joins them; one batch.

    Args:
        signal: on the graph of the links that are known.
        given: the pairs, with their labels.
        apart: how many pairs that no link joins are drawn anew each epoch and put behind the given
            ones: negative sampling.
    """

    signal: Signal
    given: NodePairs
    apart: int = 0

    def to(self, device: torch.device) -> "Links":
        """These pairs on a device; themselves where they are there, as `Nodes` are."""
        if self.given.labels.device == device:
            return self
        return Links(self.signal.to(device), self.given.to(device), self.apart)

    def count(self, size: int | None) -> int:
        """One."""
        return 1

    def draw(self, size: int | None, generator: Generator | None) -> Iterator["Links"]:
        """These pairs, with others beside them."""
        if not self.apart:
            yield self
            return
        chance = generator or torch.Generator().manual_seed(0)
        drawn = unlinked(self.signal.domain, self.apart, generator=chance)
        both = NodePairs.of(self.given.pairs, drawn)
        yield replace(self, given=both, apart=0)


@final
class Graphs(Examples):
    """Some of the graphs of a store, and their classes; a batch is a signal on a flat Batch and
    classes `[D]`.

    Args:
        store: all graphs, with a target for each.
        chosen: `[M]` the numbers of those that are meant.
    """

    def __init__(self, store: GraphLoader, chosen: Tensor):
        self.store, self.chosen = store, chosen

    def to(self, device: torch.device) -> "Graphs":
        """These graphs on a device; their numbers stay on the CPU."""
        if self.store.store.device == device:
            return self
        return Graphs(self.store.to(device), self.chosen)

    def count(self, size: int | None) -> int:
        """The last batch may have fewer graphs."""
        return -(-len(self.chosen) // (size or EVALUATED))

    def draw(
        self, size: int | None, generator: Generator | None
    ) -> Iterator[tuple[Signal, Tensor | None]]:
        """Each graph once."""
        places = shuffled(len(self.chosen), generator)
        for numbers in self.chosen[places].split(size or EVALUATED):
            yield self.store.batch(numbers)


@final
class CloudRows(Examples):
    """Clouds of points and their classes; a batch is a signal of points `[1, D P, 3]`, on D
    complete graphs side by side, and classes `[D]`.

    Args:
        points: `[M, P, 3]`.
        labels: `[M]`.
    """

    def __init__(self, points: Tensor, labels: Tensor):
        self.points, self.labels = points, labels

    def to(self, device: torch.device) -> "CloudRows":
        """These clouds on a device."""
        return CloudRows(self.points.to(device), self.labels.to(device))

    def count(self, size: int | None) -> int:
        """The last batch may have fewer clouds."""
        return -(-len(self.points) // (size or EVALUATED))

    def draw(
        self, size: int | None, generator: Generator | None
    ) -> Iterator[tuple[Signal, Tensor]]:
        """Each cloud once."""
        places = shuffled(len(self.points), generator)
        for numbers in places.split(size or EVALUATED):
            yield clouds_signal(self.points[numbers]), self.labels[numbers]


def clouds_signal(points: Tensor) -> Signal:
    """Clouds `[D, P, C]` as one signal: a member for each cloud, each of whose nodes may receive
    from all others of it.

    >>> clouds_signal(torch.zeros(2, 5, 3)).shape
    torch.Size([1, 10, 3])
    """
    count, size, _ = points.shape
    return Signal(points.reshape(1, count * size, -1), Batch([Complete(size)] * count))
