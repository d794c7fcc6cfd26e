"""Batches of many small graphs, out of one flat store."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor

from geodl.data.pyg_graphs import is_pyg_graph, merge_graphs
from geodl.errors import GeodlError, positive
from geodl.signal import Signal, in_groups, select_members, stand_beside

FEW_NODES = 2**13  # of the batches that are gathered at once


@final
class GraphLoader:
    """Batches of small graphs, for a training loop or as the loader of a Lightning trainer.

    All graphs stand in one store: a tensor each for node values, edges, edge state, globals and
    targets. A batch is made by gathering the ranges of its graphs from each of them, at a cost that
    does not grow with the number of Python objects, and is a Signal on a flat Batch.

    Args:
        graphs: a Signal on a Batch, a list of Signals of batch 1, or a list of PyG `Data` (read as
            by `Signal.from_pyg`).
        targets: one row for each graph, `[D, ...]`, or for each node, `[N, ...]`; of PyG data by
            default their `y`. Without targets, None is given in their place.
        batch_size: graphs in a batch; the last batch of an epoch may have fewer.
        shuffle: whether each epoch draws an order of its own.
        drop_last: whether a smaller last batch is left out.
        generator: where orders are drawn from, by default torch's own; loaders with generators of
            one seed give the same epochs.

    Raises:
        GeodlError: no graphs; graphs of which some lack an attribute that others have, or have it
            with other channels, dtype or device, naming the first; a batch size that is no positive
            integer, or larger than the store where the last batch is dropped; targets of another
            number than graphs or nodes.

    >>> from geodl import Graph
    >>> graphs = [Signal(torch.ones(1, n, 2), Graph([[0], [1]], n)) for n in (2, 3, 4)]
    >>> loader = GraphLoader(graphs, torch.tensor([0, 1, 0]), batch_size=2)
    >>> [(signal.domain.sizes, target.tolist()) for signal, target in loader]
    [((2, 3), [0, 1]), ((4,), [0])]
    """

    def __init__(
        self,
        graphs: Any,
        targets: Any = None,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
    ):
        asked = f"GraphLoader(batch_size={batch_size!r})"
        self.batch_size = positive(asked, batch_size)
        self.store, found = _store(graphs, read_targets=targets is None)
        if targets is None:
            targets = found
        self.shuffle, self.drop_last, self.generator = shuffle, drop_last, generator
        self.per_node = False
        self.targets = targets
        if targets is not None:
            self.per_node = _speaks_of_nodes(targets, self.store)
        if not len(self):
            found = f"{self.num_graphs} graphs in all, and drop_last=True"
            raise GeodlError(asked, found, "make the batches smaller")

    @property
    def num_graphs(self) -> int:
        """How many graphs there are in all."""
        return self.store.domain.num_members

    def __len__(self) -> int:
        """The batches of an epoch."""
        if self.drop_last:
            return self.num_graphs // self.batch_size
        return -(-self.num_graphs // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Signal, Tensor | None]]:
        """One epoch: each graph once, with its target."""
        if self.shuffle:
            order = torch.randperm(self.num_graphs, generator=self.generator)
        else:
            order = torch.arange(self.num_graphs)
        batches = order[: len(self) * self.batch_size].split(self.batch_size)
        together = self._gathered_together()
        for first in range(0, len(batches), together):
            yield from self._gather(batches[first : first + together])

    def _gathered_together(self) -> int:
        """How many batches are gathered at once, of which each is then a view: what Python does for
        a batch of small graphs takes longer than to move its numbers.
        """
        nodes = self.store.domain.num_nodes / self.num_graphs * self.batch_size
        return max(1, int(FEW_NODES / nodes))

    def _gather(self, batches: Sequence[Tensor]) -> Iterator[tuple[Signal, Tensor | None]]:
        """Several batches, by the numbers of their graphs."""
        if len(batches) == 1:
            yield self.batch(batches[0])
            return
        signal, targets = self.batch(torch.cat(list(batches)))
        sizes = [len(numbers) for numbers in batches]
        signals = in_groups(signal, sizes)
        if targets is None:
            yield from ((one, None) for one in signals)
            return
        if self.per_node:
            sizes = [one.domain.num_nodes for one in signals]
        yield from zip(signals, torch.unsafe_split_with_sizes(targets, sizes), strict=True)

    def batch(self, numbers: Tensor) -> tuple[Signal, Tensor | None]:
        """Some graphs, by their numbers `[D']`, and their targets.

        Args:
            numbers: of torch.long on the CPU, in any order.
        """
        signal, nodes = select_members(self.store, numbers)
        if self.targets is None:
            return signal, None
        rows = nodes
        if not self.per_node:
            rows = numbers.to(self.targets.device)
        return signal, self.targets.index_select(0, rows)

    def to(self, device: torch.device | str) -> "GraphLoader":
        """A loader whose store, and so every batch, is on a device."""
        targets = self.targets
        if targets is not None:
            targets = targets.to(device)
        return GraphLoader(
            self.store.to(device),
            targets,
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            drop_last=self.drop_last,
            generator=self.generator,
        )


def _store(graphs: Any, read_targets: bool) -> tuple[Signal, Tensor | None]:
    """All graphs as one signal, and their own targets where they bring some that are wanted."""
    asked = "GraphLoader(graphs)"
    parts = [graphs]
    if not isinstance(graphs, Signal) and isinstance(graphs, Iterable):
        parts = list(graphs)
    if parts and all(isinstance(part, Signal) for part in parts):
        signal = stand_beside(asked, parts)
        return _on_one_graph(signal), None
    if not parts or not all(map(is_pyg_graph, parts)):
        found = f"{sorted({type(part).__name__ for part in parts})}"
        do = "give a list of PyG Data, a list of Signals, or a Signal on a Batch"
        raise GeodlError(asked, f"values of the types {found}", do)
    merged = merge_graphs(asked, parts, read_targets)
    signal = Signal.from_pyg(merged)
    if signal.edges is None:
        return signal, merged.get("y")
    # The signal has them: the graph would gather them a second time for every batch.
    del merged.edge_attr
    return Signal.from_pyg(merged).with_edges(signal.edges), merged.get("y")


def _on_one_graph(signal: Signal) -> Signal:
    """The same signal on a flat union, where its members are graphs."""
    return Signal(signal.x, signal.domain.flat(), signal.edges, signal.globals)


def _speaks_of_nodes(targets: Any, store: Signal) -> bool:
    """Whether there is a target for each node, and not for each graph.

    Where all graphs have one node, the two are the same.
    """
    asked = "GraphLoader(graphs, targets)"
    graphs, nodes = store.domain.num_members, store.domain.num_nodes
    do = f"give a tensor of {graphs} rows, one for each graph, or of {nodes}, one for each node"
    if not isinstance(targets, Tensor):
        raise GeodlError(asked, f"targets of type {type(targets).__name__}", do)
    rows = targets.shape[:1]
    if rows not in ((graphs,), (nodes,)):
        raise GeodlError(asked, f"targets of shape {list(targets.shape)}", do)
    if targets.device != store.device:
        found = f"targets on {targets.device} and graphs on {store.device}"
        raise GeodlError(asked, found, "move them to one device")
    return rows != (graphs,)
