"""Row 01: images, sentences, sets and citations are one data type."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from geodl import (
    Attention,
    BatchNorm,
    Complete,
    Conv,
    Domain,
    Graph,
    Grid,
    Message,
    Readout,
    Recurrent,
    Sequential,
    Signal,
    adjacency,
    all_pairs,
    predecessors,
)
from geodl.verify.base import (
    Place,
    Row,
    count_edges,
    difference,
    equal,
    leaved,
    normal,
    randomised,
    row,
    signal,
)
from geodl.verify.operators import ring


def dirichlet() -> Iterator[Row]:
    """The Laplacian's quadratic form, edge by edge."""
    for domain in (ring(9, ((0, 4), (2, 7))), Grid(4, 5), Complete(6)):
        draw = normal(1)
        layer = randomised(Conv(3, 3, adjacency("laplacian"), bias=False), draw)
        dst, src, weight = domain.links()
        weights = [1.0] * len(dst) if weight is None else weight.tolist()
        once = [
            (i, j, w) for i, j, w in zip(dst.tolist(), src.tolist(), weights, strict=True) if i < j
        ]

        def form(layer: nn.Module, s: Signal) -> Tensor:
            return (s.x * layer(s).x).sum()

        def edgewise(x: Tensor, layer: Conv = layer, once: list = once) -> Tensor:
            steps = [(w, x[:, i] - x[:, j]) for i, j, w in once]
            return torch.stack(
                [w * (step * (step @ layer.weight[0])).sum() for w, step in steps]
            ).sum()

        yield equal(
            "01 x'Lx = sum over edges of w (x_i - x_j)^2",
            layer,
            [signal(domain, 3)],
            edgewise,
            1e-12,
            call=form,
        )


def relabelling() -> Iterator[Row]:
    """Other names for the nodes, the same answer under those names."""
    two_way = ring(9, ((0, 4), (2, 7)))
    plain = Graph(two_way.edge_index, 10)
    dag = Graph([[0, 0, 1, 2, 3, 2], [1, 2, 3, 3, 4, 5]], 6)
    cases = (
        (Conv(4, 3, adjacency("sym", self_loops=True)), two_way),
        (Conv(4, 3, all_pairs("self")), Complete(7)),
        (Attention(4, adjacency(self_loops=True), heads=2), plain),
        (Attention(4, all_pairs(), heads=2), Complete(7)),
        (Message(_product, adjacency(self_loops=True), reduce="mean"), two_way),
        (Recurrent(4, 3, rule=predecessors()), dag),
        (
            Sequential(
                Conv(4, 3, adjacency("sym", self_loops=True)),
                BatchNorm(3),
                nn.Tanh(),
                Readout("max"),
            ),
            two_way,
        ),
    )
    for module, domain in cases:
        name = "BatchNorm and Readout" if isinstance(module, Sequential) else type(module).__name__
        yield _relabelled(f"01 relabelling, 20 permutations: {name}", module, domain)


def _product(x_i: Tensor, x_j: Tensor, weight: Tensor | None) -> Tensor:
    return x_i * x_j if weight is None else weight * x_i * torch.tanh(x_j)


def _relabelled(claim: str, module: nn.Module, domain: Domain) -> Row:
    randomised(module, normal(2))
    s = leaved([signal(domain, 4)])[0]
    rng, gaps = torch.Generator().manual_seed(3), []
    for _ in range(20):
        named = torch.randperm(domain.num_nodes, generator=rng)
        renamed = module(Signal(s.x[:, named.argsort()], domain.relabel(named))).x
        ours = renamed[:, named] if renamed.shape[1] == domain.num_nodes else renamed
        gaps.append(difference(ours, module(s).x, [s.x, *module.parameters()]))
    return row(claim, count_edges(module, s), gaps, 1e-12)


def images() -> Iterator[Row]:
    """There and back without the loss of a bit."""
    for axes in ((9,), (4, 5), (3, 4, 2)):
        x = normal(4)(2, 3, *axes).requires_grad_()
        s = Signal.image(x)
        where = Place(str(s.domain), s.domain.num_nodes, 0, 0)
        yield row(
            "01 image to signal to image, every bit", where, [difference(s.to_image(), x, [x])], 0.0
        )


CLAIMS = (dirichlet, relabelling, images)
