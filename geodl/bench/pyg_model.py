"""Models of PyG, imported whole and called as PyG calls them: a GCN and a GAT on Cora, a GIN on new
batches of MUTAG.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl import data
from geodl.bench.harness import Case, Side
from geodl.bench.meter import CPU
from geodl.bench.peers import gin_parts
from geodl.data import GraphData, NodeData
from geodl.errors import GeodlError
from geodl.interop import from_pyg

PEER = "the PyG model itself"


class Sizes(NamedTuple):
    """Channels of the hidden layers; graphs in a batch, and how many batches are made before; the
    loaders of the data.
    """

    hidden: int = 16
    heads: int = 8
    batches: tuple[int, ...] = (32, 128)
    steps: int = 40
    cora: Callable[..., NodeData] = data.cora
    mutag: Callable[[], GraphData] = data.mutag


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """Training steps: forward in training mode, and the gradient of every parameter for a random
    upstream gradient.

    On Cora the features are one tensor that comes at every step, as in training; once more with
    their own gradient, which needs dense products on both sides. Batches are made before, and none
    comes twice in a row: what is timed is the model.
    """
    yield from _on_cora(sizes, device)
    yield from _on_mutag(sizes, device)


def _on_cora(sizes: Sizes, device: torch.device) -> Iterator[Case]:
    names = ("GCN", "GAT")
    try:
        cora = sizes.cora(sparse=False)
    except GeodlError as error:
        missing = f"{error.args[0]}: {error.args[2]}"
        for name in names:
            yield Case(f"{name} on Cora", PEER, reach=0.3, missing=missing)
        return
    signal = cora.signal.to(device)
    x, (dst, src, _) = signal.x[0].clone(), signal.domain.links()
    links = torch.stack((src, dst))
    for name, wants_gradient in itertools.product(names, (False, True)):
        model = _cora_model(name, sizes, x.shape[1], cora.num_classes).to(device)
        given = x.clone().requires_grad_(wants_gradient)
        said, reach = f"{name} on {cora.name}, dense x", 0.3
        if wants_gradient:
            said, reach = f"{said} and its gradient", None
        upstream = torch.randn(len(x), cora.num_classes, device=device)
        ours, theirs = (_side(net, [(given, links)], upstream) for net in (from_pyg(model), model))
        yield Case(said, PEER, ours, theirs, reach)


def _cora_model(name: str, sizes: Sizes, channels: int, classes: int) -> nn.Module:
    """As in the papers: two layers; the GAT has 8 heads of 8 channels."""
    from torch_geometric.nn import GAT, GCN

    if name == "GCN":
        return GCN(channels, sizes.hidden, 2, classes, dropout=0.5)
    width = sizes.heads * max(1, sizes.hidden // 2)
    return GAT(channels, width, 2, classes, heads=sizes.heads, dropout=0.6)


def _on_mutag(sizes: Sizes, device: torch.device) -> Iterator[Case]:
    try:
        graphs = sizes.mutag()
    except GeodlError as error:
        missing = f"{error.args[0]}: {error.args[2]}"
        yield Case("GIN on MUTAG", PEER, reach=1.0, missing=missing)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for size in sizes.batches:
            model = GinOfGraphs(graphs.signal.shape[2], 2 * sizes.hidden, graphs.num_classes)
            model = model.to(device)
            batches = _batches(graphs, size, sizes.steps, device)
            upstream = torch.randn(size, graphs.num_classes, device=device)
            ours, theirs = (_side(net, batches, upstream) for net in (from_pyg(model), model))
            name = f"GIN of 3 layers on {graphs.name}, {size} new graphs a step"
            yield Case(name, PEER, ours, theirs, 1.0)
    finally:
        torch.set_num_threads(threads)


def _batches(
    graphs: GraphData, size: int, steps: int, device: torch.device
) -> list[tuple[Tensor, ...]]:
    """Batches as PyG's loader makes them: features, links, and the graph of each node."""
    found = []
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(graphs.labels), (size,), generator=generator)
        part = graphs.signal.domain.select(chosen)
        dst, src, _ = part.domain.links()
        x = graphs.signal.x[0, part.nodes]
        values = (x, torch.stack((src, dst)), part.domain.member_of())
        found.append(tuple(value.to(device) for value in values))
    return found


def _side(net: nn.Module, calls: Sequence[tuple[Any, ...]], upstream: Tensor) -> Side:
    """A step on the next of some calls, which come again and again; the answer on the first one."""
    wanted = list(net.parameters())
    wanted += [value for value in calls[0] if value.requires_grad]
    following = itertools.cycle(calls)

    def step() -> None:
        net.train()
        torch.autograd.grad(net(*next(following)), wanted, upstream)

    def answer() -> list[Tensor]:
        net.eval()
        y = net(*calls[0])
        # Layers stack and turn what PyG keeps apart: the same numbers, and so the same length.
        gradients = torch.autograd.grad(y, wanted, upstream)
        length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        return [y.detach(), length]

    return Side(step, answer)


class GinOfGraphs(nn.Module):
    """Xu et al., "How Powerful are Graph Neural Networks?", 2019, as a user of PyG writes it."""

    def __init__(self, channels: int, hidden: int, classes: int):
        super().__init__()
        self.convs, self.head = gin_parts(channels, hidden, classes)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Logits of each graph `[D, classes]`."""
        from torch_geometric.nn import global_add_pool

        for conv in self.convs:
            x = conv(x, edge_index)
        return self.head(global_add_pool(x, batch))
