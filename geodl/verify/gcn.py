"""Row 04: a polynomial filter in frequency is a layer of hops, and the graph convolutional network
is another operator.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from geodl import Conv, Filter, Graph, Neighborhood, Signal, adjacency, laplacian, polynomial
from geodl.verify.base import (
    Row,
    above,
    as_leaves,
    count_edges,
    difference,
    equal,
    normal,
    randomised,
    row,
    signal,
)
from geodl.verify.operators import dense, dense_laplacian, dense_layer, multigraph, ring


def formula() -> Iterator[Row]:
    """`D~^-1/2 (A+I) D~^-1/2 X W` of Kipf and Welling, entry by entry."""
    weighted = ring(9, ((0, 4), (2, 7), (3, 8)))
    for graph in (Graph(weighted.edge_index, weighted.num_nodes), weighted):
        a = dense(graph, None, False, None)[0]
        with_loops = a + torch.eye(graph.num_nodes, dtype=torch.float64)
        root = torch.diag(with_loops.sum(1) ** -0.5)
        layer = randomised(Conv(5, 3, adjacency("sym", self_loops=True)), normal(20))
        peer = dense_layer(layer, (root @ with_loops @ root)[None])
        yield equal("04 GCN = D~^-1/2 (A+I) D~^-1/2 X W", layer, [signal(graph, 5)], peer, 1e-12)


def pyg() -> Iterator[Row]:
    """The same weights in PyG's layer: with and without edge weights, self-loops, parallel and
    directed edges.
    """
    from torch_geometric.nn import GCNConv

    for graph in (ring(9, ((0, 4), (2, 7))), multigraph(False, False), multigraph(True, False)):
        layer = randomised(Conv(5, 3, adjacency("sym", self_loops=True)), normal(21))
        twin = GCNConv(5, 3).double()
        weights = {"lin.weight": layer.weight[0].T, "bias": layer.bias}
        links = graph.edge_index, graph.edge_weight

        def peer(x: Tensor, twin: Any = twin, weights: Any = weights, links: Any = links) -> Tensor:
            return functional_call(twin, weights, (x, *links))

        yield equal("04 GCN = PyG's GCNConv", layer, [signal(graph, 5)], peer, 1e-12)


def cheb_conv() -> Iterator[Row]:
    """PyG's ChebConv of K terms is the polynomial of order K - 1 of the normalised Laplacian."""
    from torch_geometric.nn import ChebConv

    graph = ring(9, ((0, 4), (2, 7)))
    for terms in (1, 2, 3, 6):
        rule = polynomial(laplacian("sym"), terms - 1)
        layer = randomised(Conv(5, 3, rule), normal(24))
        twin = ChebConv(5, 3, terms).double()
        weights = {f"lins.{k}.weight": block.T for k, block in enumerate(layer.weight)}
        assert layer.bias is not None
        weights["bias"] = layer.bias
        links = graph.edge_index, graph.edge_weight

        def peer(x: Tensor, twin: Any = twin, weights: Any = weights, links: Any = links) -> Tensor:
            largest = {"lambda_max": torch.tensor(2.0, dtype=torch.float64)}
            return functional_call(twin, weights, (x, *links), largest)

        claim = f'04 Conv(polynomial(laplacian("sym"), {terms - 1})) = PyG\'s ChebConv({terms})'
        yield equal(claim, layer, [signal(graph, 5)], peer, 1e-10)


def filters() -> Iterator[Row]:
    """The same polynomial as a function of frequency, and as a recursion."""
    graph = ring(12, ((0, 5), (3, 9)))
    taps = normal(25)(11).requires_grad_()

    def response(frequency: Tensor) -> Tensor:
        return torch.stack([frequency**k for k in range(11)], dim=1) @ taps

    s = as_leaves([signal(graph, 2)])[0]
    exact, recursion = Filter(response, "sym"), Filter(response, "sym", 10)
    differences = [difference(recursion(s).x, exact(s).x, [s.x, taps])]
    where = count_edges(recursion, s)._replace(parameters=11)
    yield row("04 Filter(f, order=10) = Filter(f) for f of degree 10", where, differences, 1e-10)


def chebyshev() -> Iterator[Row]:
    """`U p(Lambda) U'x` by the recursion `T_k = 2 L^ T_{k-1} - T_{k-2}`, one hop at a time, with
    `L^ = 2 L / lambda_max - I`.
    """
    graph, order = ring(12, ((0, 5), (3, 9))), 10
    operator = dense_laplacian(graph)
    frequencies, modes = torch.linalg.eigh(operator)
    highest = frequencies[-1]
    layer = randomised(chebyshev_filter(order, float(highest)), normal(22))
    # T_k(cos a) = cos(k a), so the polynomial is a sum of cosines of the angles of the frequencies.
    angles = torch.acos((2 / highest * frequencies - 1).clamp(-1, 1))

    def spectral(x: Tensor) -> Tensor:
        response = torch.cos(angles[:, None] * torch.arange(order + 1)) @ layer.weight[:, 0]
        return modes @ (response * (modes.T @ x))

    claim = "04 U p(Lambda) U'x = Chebyshev recursion, K=10"
    yield equal(claim, layer, [signal(graph, 1)], spectral, 1e-10)
    n = graph.num_nodes
    # the impulse at node j in row j
    impulses = Signal(torch.eye(n, dtype=torch.float64)[:, :, None], graph)
    for hops in (1, 2, 3):
        far = torch.linalg.matrix_power(torch.eye(n) + (operator != 0), hops) == 0
        layer = randomised(chebyshev_filter(hops, float(highest)), normal(23))
        beyond = layer(impulses).x[:, :, 0].T[far].detach().abs()
        claim = f"04 the recursion's entries beyond K={hops} hops are exactly 0"
        claim = f"{claim} ({int(far.sum())} entries)"
        where = count_edges(layer, impulses)
        yield row(claim, where, [(float(beyond.max()), 0.0)], 0.0)


def chebyshev_filter(order: int, highest: float) -> Conv:
    """A filter of one channel in the frequencies of the Laplacian."""
    return Conv(1, 1, polynomial(laplacian(), order, lambda_max=highest), bias=False)


def spectra() -> Iterator[Row]:
    """A negative: the renormalised operator of the GCN is not the first-order Chebyshev one, which
    is `I + D^-1/2 A D^-1/2`.
    """
    weighted = ring(12, ((0, 5), (3, 9)))
    graph = Graph(weighted.edge_index, weighted.num_nodes)
    s = Signal(torch.eye(graph.num_nodes, dtype=torch.float64)[:, :, None], graph)
    gcn = shift_operator(adjacency("sym", self_loops=True))
    first_order = s.x + shift_operator(adjacency("sym"))(s).x
    renormalised = torch.linalg.eigvalsh(gcn(s).x[:, :, 0].detach())
    chebyshevs = torch.linalg.eigvalsh(first_order[:, :, 0].detach())
    spans = [f"[{e[0]:.3f}, {e[-1]:.3f}]" for e in (renormalised, chebyshevs)]
    claim = f"04 the GCN's spectrum is not first-order Chebyshev's, {' against '.join(spans)}"
    apart = float((renormalised - chebyshevs).abs().max())
    yield above(f"{claim}: difference", count_edges(gcn, s), apart, 1e-2)


def shift_operator(rule: Neighborhood) -> Conv:
    """A layer that applies the shift operator S of a rule to one channel."""
    layer = Conv(1, 1, rule, bias=False).double()
    nn.init.ones_(layer.weight)
    return layer


CLAIMS = (formula, pyg, cheb_conv, chebyshev, filters, spectra)
