"""Batches of small graphs, new ones at every step: a GIN on MUTAG against PyG's, on one thread,
collation included.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl import data
from geodl.bench.harness import Case, Side
from geodl.bench.meter import CPU
from geodl.bench.peers import gin_parts
from geodl.data import GraphData, GraphLoader
from geodl.errors import GeodlError
from geodl.layer import Readout, Sequential
from geodl.models import gin_layer
from geodl.signal import Signal

PEER = "PyG GINConv, DataLoader"


class Sizes(NamedTuple):
    """Graphs in a batch, channels of the hidden layers, how often the data set is repeated (so that
    epochs are long beside a batch), and its loader.
    """

    batches: tuple[int, ...] = (32, 128)
    hidden: int = 32
    copies: int = 8
    load: Callable[[], GraphData] = data.mutag


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """Through PyG's own DataLoader, and through `GraphLoader`. What is timed is a step: the next
    batch, forward, and the gradient of every parameter. The features are data, without a gradient.
    """
    ways = (("PyG's DataLoader", 1.0), ("GraphLoader", 0.75))
    try:
        graphs = sizes.load()
    except GeodlError as error:
        for way, reach in ways:
            missing = f"{error.args[0]}: {error.args[2]}"
            yield Case(f"GIN on MUTAG, {way}", PEER, reach=reach, missing=missing)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for size in sizes.batches:
            for way, reach in ways:
                name = f"GIN of 3 layers on {graphs.name}, {size} new graphs a step, {way}"
                yield Case(name, PEER, *_sides(sizes, graphs, size, way, device), reach)
    finally:
        torch.set_num_threads(threads)


def _sides(
    sizes: Sizes, graphs: GraphData, size: int, way: str, device: torch.device
) -> tuple[Side, Side]:
    channels = graphs.signal.shape[2]
    ours = _gin(channels, sizes.hidden, graphs.num_classes).to(device)
    theirs = _PygGin(channels, sizes.hidden, graphs.num_classes).to(device)
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.copy_(mine)
    parts = _pyg_data(graphs) * sizes.copies
    own = GraphLoader(parts, batch_size=size, shuffle=True, drop_last=True)
    first = next(iter(_pyg_loader(parts, size)))

    def our_loss(batch: Any) -> Tensor:
        signal, target = batch
        return F.cross_entropy(ours(signal.to(device)).x[0], target.to(device))

    def our_loss_of_pyg(batch: Any) -> Tensor:
        return our_loss((Signal.from_pyg(batch), batch.y))

    def their_loss(batch: Any) -> Tensor:
        batch = batch.to(device)
        return F.cross_entropy(theirs(batch), batch.y)

    weights = list(ours.parameters())
    mine = _side(our_loss_of_pyg, weights, _pyg_loader(parts, size), first)
    if way == "GraphLoader":
        mine = _side(our_loss, weights, own, (Signal.from_pyg(first), first.y))
    peer = _side(their_loss, list(theirs.parameters()), _pyg_loader(parts, size), first)
    return mine, peer


def _side(
    loss: Callable[[Any], Tensor], parameters: list[nn.Parameter], batches: Iterable[Any], one: Any
) -> Side:
    """A step on the next batch; the answer on one that both sides are given."""
    endless = _endless(batches)

    def step() -> None:
        torch.autograd.grad(loss(next(endless)), parameters)

    def answer() -> list[Tensor]:
        y = loss(one)
        return [y.detach(), *torch.autograd.grad(y, parameters)]

    return Side(step, answer)


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from batches


def _pyg_loader(parts: list[Any], size: int) -> Any:
    from torch_geometric.loader import DataLoader

    return DataLoader(parts, batch_size=size, shuffle=True, drop_last=True)


def _pyg_data(graphs: GraphData) -> list[Any]:
    """The graphs as PyG's data set has them, but for the kinds of bonds, which a GIN reads not."""
    from torch_geometric.data import Data

    domain, x = graphs.signal.domain, graphs.signal.x
    parts = []
    for member, values, label in zip(
        domain.members or (), x[0].split(domain.sizes), graphs.labels, strict=True
    ):
        dst, src, _ = member.links()
        index = torch.stack((src, dst))
        parts.append(Data(values.clone(), index, y=label[None]))
    return parts


def _gin(channels: int, hidden: int, classes: int) -> Sequential:
    """Xu et al., "How Powerful are Graph Neural Networks?", 2019, by `g.models.gin_layer`."""
    layers: list[nn.Module] = []
    for width in (channels, hidden, hidden):
        layers += [gin_layer(width, hidden), nn.ReLU()]
    head = (nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    return Sequential(*layers, Readout("sum"), *head)


class _PygGin(nn.Module):
    """The same network of PyG's layers."""

    def __init__(self, channels: int, hidden: int, classes: int):
        super().__init__()
        self.layers, self.head = gin_parts(channels, hidden, classes)

    def forward(self, batch: Any) -> Tensor:
        from torch_geometric.nn import global_add_pool

        x = batch.x
        for layer in self.layers:
            x = layer(x, batch.edge_index)
        # With the number of graphs given, PyG need not look for it on the device.
        return self.head(global_add_pool(x, batch.batch, size=batch.num_graphs))
