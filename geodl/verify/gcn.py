"""Row 04: a polynomial filter in frequency is a layer of hops, and the graph convolutional network
is another operator.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call

from geodl import Conv, Graph, Neighborhood, Signal, adjacency
from geodl.verify.base import (
    Row,
    above,
    count_edges,
    difference,
    equal,
    leaved,
    normal,
    randomised,
    row,
    signal,
)
from geodl.verify.operators import dense, dense_layer, multigraph, ring


def formula() -> Iterator[Row]:
    """`D~^-1/2 (A+I) D~^-1/2 X W` of Kipf and Welling, entry by entry."""
    weighted = ring(9, ((0, 4), (2, 7), (3, 8)))
    for graph in (Graph(weighted.edge_index, weighted.num_nodes), weighted):
        looped = (
            torch.eye(graph.num_nodes, dtype=torch.float64) + dense(graph, None, False, None)[0]
        )
        root = torch.diag(looped.sum(1) ** -0.5)
        layer = randomised(Conv(5, 3, adjacency("sym", self_loops=True)), normal(20))
        peer = dense_layer(layer, (root @ looped @ root)[None])
        yield equal("04 GCN = D~^-1/2 (A+I) D~^-1/2 X W", layer, [signal(graph, 5)], peer, 1e-12)


def pyg() -> Iterator[Row]:
    """The same weights in PyG's layer: with and without edge weights, self-loops, parallel and
    directed edges.
    """
    from torch_geometric.nn import GCNConv

    for graph in (ring(9, ((0, 4), (2, 7))), multigraph(False, False), multigraph(True, False)):
        layer, twin = (
            randomised(Conv(5, 3, adjacency("sym", self_loops=True)), normal(21)),
            GCNConv(5, 3).double(),
        )

        def peer(
            x: Tensor, layer: Conv = layer, twin: nn.Module = twin, graph: Graph = graph
        ) -> Tensor:
            weights = {"lin.weight": layer.weight[0].T, "bias": layer.bias}
            return functional_call(twin, weights, (x, graph.edge_index, graph.edge_weight))

        yield equal("04 GCN = PyG's GCNConv", layer, [signal(graph, 5)], peer, 1e-12)


def chebyshev() -> Iterator[Row]:
    """`U p(Lambda) U'x` by the recursion `T_k = 2 L^ T_{k-1} - T_{k-2}`, one hop at a time, L^ = 2
    L / lambda_max - 1.
    """
    graph, order, n = ring(12, ((0, 5), (3, 9))), 10, 13
    laplacian = dense(graph, "laplacian", False, None)[0]
    frequencies, modes = torch.linalg.eigh(laplacian)
    hop = shift_operator(adjacency("laplacian"))

    def terms(x: Tensor, most: int) -> list[Tensor]:
        def scaled(x: Tensor) -> Tensor:
            return 2 / frequencies[-1] * hop(Signal(x, graph)).x - x

        found = [x, scaled(x)]
        while len(found) <= most:
            found.append(2 * scaled(found[-1]) - found[-2])
        return found

    s, coefficients = leaved([signal(graph, 1)])[0], normal(22)(order + 1).requires_grad_()
    recursion = torch.einsum("k,kbnc->bnc", coefficients, torch.stack(terms(s.x, order)))
    angles = torch.acos((2 / frequencies[-1] * frequencies - 1).clamp(-1, 1))
    response = (
        torch.cos(angles[:, None] * torch.arange(order + 1)) @ coefficients
    )  # T_k(cos a) = cos(k a)
    spectral = modes @ (response[:, None] * (modes.T @ s.x))
    where = count_edges(hop, s)._replace(parameters=order + 1)
    gaps = [difference(recursion, spectral, [s.x, coefficients])]
    yield row("04 U p(Lambda) U'x = Chebyshev recursion, K=10", where, gaps, 1e-10)
    for hops in (1, 2, 3):
        far = torch.linalg.matrix_power(torch.eye(n) + (laplacian != 0), hops) == 0
        impulses = torch.eye(n, dtype=torch.float64)[:, :, None]
        beyond = terms(impulses, hops)[hops][:, :, 0].T[far].detach()
        claim = (
            f"04 the recursion's entries beyond K={hops} hops "
            f"are exactly 0 ({int(far.sum())} entries)"
        )
        yield row(
            claim, where._replace(parameters=hops + 1), [(float(beyond.abs().max()), 0.0)], 0.0
        )


def spectra() -> Iterator[Row]:
    """The honest negative: the renormalised operator is not the first-order Chebyshev one."""
    weighted = ring(12, ((0, 5), (3, 9)))
    graph = Graph(weighted.edge_index, weighted.num_nodes)
    s = Signal(torch.eye(graph.num_nodes, dtype=torch.float64)[:, :, None], graph)
    gcn = shift_operator(adjacency("sym", self_loops=True))
    operators = (
        gcn(s).x[:, :, 0],
        s.x[:, :, 0] + shift_operator(adjacency("sym"))(s).x[:, :, 0],
    )
    renormalised, first = (torch.linalg.eigvalsh(operator.detach()) for operator in operators)
    spans = " against ".join(f"[{e[0]:.3f}, {e[-1]:.3f}]" for e in (renormalised, first))
    claim = f"04 the GCN's spectrum is not first-order Chebyshev's, {spans}: difference"
    yield above(claim, count_edges(gcn, s), float((renormalised - first).abs().max()), 1e-2)


def shift_operator(rule: Neighborhood) -> Conv:
    """A layer that applies a rule's shift operator to one channel."""
    layer = Conv(1, 1, rule, bias=False).double()
    nn.init.ones_(layer.weight)
    return layer


CLAIMS = (formula, pyg, chebyshev, spectra)
