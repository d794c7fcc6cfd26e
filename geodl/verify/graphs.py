"""Row 02: message passing is a sparse matrix product, and k layers see k hops."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from geodl import (
    Complete,
    Conv,
    Graph,
    Sequential,
    Signal,
    adjacency,
    all_pairs,
    laplacian,
    set_lowering,
)
from geodl.verify.base import Row, count_edges, equal, normal, randomised, row, signal
from geodl.verify.operators import dense, dense_laplacian, dense_layer, multigraph


def products() -> Iterator[Row]:
    """Gather and scatter, or a sparse product, against dense matrices."""
    plain, weighted = multigraph(False, False), multigraph(True, False)
    typed, both = multigraph(False, True), multigraph(True, True)
    cases = (
        ("A", plain, None, False, None),
        ("weighted A", weighted, None, False, None),
        ("A with self-loops", weighted, None, True, None),
        ("D^-1/2 A D^-1/2", weighted, "sym", True, None),
        ("D^-1 A", plain, "row", True, None),
        ("3 edge types", typed, None, False, 3),
        ("3 edge types, weighted, D^-1 A of each", both, "row", True, 3),
        ("3 edge types, weighted, D^-1/2 A D^-1/2", both, "sym", True, 3),
    )
    for name, graph, norm, loops, types in cases:
        rule = adjacency(norm, self_loops=loops, types=types)
        layer = randomised(Conv(4, 3, rule), normal(5))
        peer = dense_layer(layer, dense(graph, norm, loops, types))
        yield equal(f"02 sum_t S_t X W_t: {name}", layer, [signal(graph, 4)], peer, 1e-12)
    layer = randomised(Conv(4, 3, laplacian()), normal(5))
    peer = dense_layer(layer, dense_laplacian(weighted)[None])
    yield equal("02 sum_t S_t X W_t: D - A", layer, [signal(weighted, 4)], peer, 1e-12)
    layer = randomised(Conv(4, 3, all_pairs("self")), normal(5))
    own = torch.eye(7, dtype=torch.float64)
    peer = dense_layer(layer, torch.stack((own, 1 - own)))
    yield equal("02 sum_t S_t X W_t: self and others", layer, [signal(Complete(7), 4)], peer, 1e-12)


def sight() -> Iterator[Row]:
    """k layers see k hops: where the Jacobian is not zero."""
    n = 14
    src, dst = [*range(n), 3, 8], [*range(1, n), 0, 9, 0]
    graph = Graph([src, dst], n)
    hop = torch.eye(n)
    hop[dst, src] = 1.0
    reach = torch.eye(n)
    for k in range(1, 5):
        reach = reach @ hop
        layers: list[nn.Module] = []
        for _ in range(k):
            layers += [Conv(2, 2, adjacency(self_loops=True)), nn.Tanh()]
        net = randomised(Sequential(*layers), normal(9 + k))
        s, wrong = signal(graph, 2, batch=1), []
        for lowering in ("auto", "edges"):
            set_lowering(net, lowering)
            wrong.append((float((_depends(net, s) != (reach > 0)).sum()), 0.0))
        claim = f"02 where the Jacobian of {k} tanh layers is not 0 = ((A+I)^{k} > 0)"
        yield row(claim, count_edges(net, s), wrong, 0.0)


def _depends(net: nn.Module, s: Signal) -> Tensor:
    """Whether the output of node i depends on the input of node j: `[receivers, senders]`, bool."""
    jacobian = torch.autograd.functional.jacobian(lambda x: net(Signal(x, s.domain)).x, s.x)
    assert isinstance(jacobian, Tensor)  # [1, N, C, 1, N, C]
    return jacobian.abs().sum((0, 2, 3, 5)) > 0


CLAIMS = (products, sight)
