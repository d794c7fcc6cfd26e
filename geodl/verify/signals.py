"""Row 01: images, sentences, sets and citations are one data type."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from geodl import (
    Attention,
    BatchNorm,
    Chain,
    Complete,
    Conv,
    Domain,
    Filter,
    Graph,
    Grid,
    Message,
    Pool,
    Propagate,
    Readout,
    Recurrent,
    Sequential,
    Signal,
    adjacency,
    all_pairs,
    heat,
    laplacian,
    polynomial,
    predecessors,
)
from geodl.verify.base import (
    Row,
    Setting,
    as_leaves,
    count_edges,
    difference,
    equal,
    normal,
    randomised,
    row,
    signal,
)
from geodl.verify.operators import ring


def dirichlet() -> Iterator[Row]:
    """The Laplacian's quadratic form, edge by edge."""
    for domain in (ring(9, ((0, 4), (2, 7))), Grid(4, 5), Complete(6), Chain(7)):
        layer = randomised(Conv(3, 3, laplacian(), bias=False), normal(1))

        def form(layer: nn.Module, s: Signal) -> Tensor:
            return (s.x * layer(s).x).sum()

        claim = "01 x'Lx = sum over edges of w (x_i - x_j)^2"
        peer = _edge_by_edge(layer, domain)
        yield equal(claim, layer, [signal(domain, 3)], peer, 1e-12, call=form)


def _edge_by_edge(layer: Conv, domain: Domain) -> Callable[[Tensor], Tensor]:
    """`sum over undirected edges, each once, of w (x_i - x_j)' W (x_i - x_j)`."""
    once = _undirected(domain)

    def total(x: Tensor) -> Tensor:
        terms = []
        for i, j, w in once:
            step = x[:, i] - x[:, j]
            terms.append(w * (step * (step @ layer.weight[0])).sum())
        return torch.stack(terms).sum()

    return total


def _undirected(domain: Domain) -> list[tuple[int, int, float]]:
    """Each linked pair once, with its weight, whichever directions it is given in."""
    dst, src, weight = domain.links()
    weights = [1.0] * len(dst) if weight is None else weight.tolist()
    ends = zip(dst.tolist(), src.tolist(), weights, strict=True)
    pairs = {(min(i, j), max(i, j)): w for i, j, w in ends if i != j}
    return [(i, j, w) for (i, j), w in pairs.items()]


def relabelling() -> Iterator[Row]:
    """Other numbers for the nodes give the same output at the nodes with those numbers."""
    two_way = ring(9, ((0, 4), (2, 7)))
    plain = Graph(two_way.edge_index, 10)
    acyclic = Graph([[0, 0, 1, 2, 3, 2], [1, 2, 3, 3, 4, 5]], 6)
    gcn = adjacency("sym", self_loops=True)
    loops = adjacency(self_loops=True)
    readout = Sequential(Conv(4, 3, gcn), BatchNorm(3), nn.Tanh(), Readout("max"))
    for name, module, domain in (
        ("Conv", Conv(4, 3, gcn), two_way),
        ("Conv", Conv(4, 3, all_pairs("self")), Complete(7)),
        ("polynomial", Conv(4, 3, polynomial(laplacian("sym"), 3)), two_way),
        ("Filter", Filter(heat(0.5)), two_way),
        ("Propagate", Propagate(adjacency("row")), plain),
        ("Pool", Pool(loops.reverse(), "max"), plain),
        ("Attention", Attention(4, loops, heads=2), plain),
        ("Attention", Attention(4, all_pairs(), heads=2), Complete(7)),
        ("Message", Message(_product, loops, reduce="mean"), two_way),
        ("Recurrent", Recurrent(4, 3, rule=predecessors()), acyclic),
        ("BatchNorm and Readout", readout, two_way),
    ):
        yield _relabelled(f"01 relabelling, 20 permutations: {name}", module, domain)


def _product(x_i: Tensor, x_j: Tensor, weight: Tensor | None) -> Tensor:
    return x_i * x_j if weight is None else weight * x_i * torch.tanh(x_j)


def _relabelled(claim: str, module: nn.Module, domain: Domain) -> Row:
    randomised(module, normal(2))
    s = as_leaves([signal(domain, 4)])[0]
    leaves = [s.x, *module.parameters()]
    rng = torch.Generator().manual_seed(3)
    differences = []
    for _ in range(20):
        new_number = torch.randperm(domain.num_nodes, generator=rng)
        moved = Signal(s.x[:, new_number.argsort()], domain.relabel(new_number))
        ours = module(moved).x
        if ours.shape[1] == domain.num_nodes:  # else it is a readout
            ours = ours[:, new_number]
        differences.append(difference(ours, module(s).x, leaves))
    return row(claim, count_edges(module, s), differences, 1e-12)


def images() -> Iterator[Row]:
    """There and back without the loss of a bit."""
    for axes in ((9,), (4, 5), (3, 4, 2)):
        x = normal(4)(2, 3, *axes).requires_grad_()
        s = Signal.image(x, axes=len(axes))
        where = Setting(str(s.domain), s.domain.num_nodes, 0, 0)
        claim = "01 image to signal to image, every bit"
        yield row(claim, where, [difference(s.to_image(), x, [x])], 0.0)


CLAIMS = (dirichlet, relabelling, images)
