"""Graph convolution on a large sparse graph against PyG's `GCNConv`, `torch.sparse` and DGL's
`GraphConv`: forward and every gradient.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.bench import peers
from geodl.bench.harness import Case, Side, leaf, step
from geodl.bench.meter import CPU
from geodl.domain import Domain, Graph
from geodl.interop import to_pyg
from geodl.layer import Conv
from geodl.neighborhood import Neighborhood, adjacency


class Sizes(NamedTuple):
    """Nodes, directed edges, channels in and out; beside DGL several, with the reach of each."""

    nodes: int = 100_000
    edges: int = 1_500_000
    channels: int = 64
    widths: tuple[tuple[int, float], ...] = ((16, 0.6), (64, 0.8), (256, 0.9))


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """PyG by edge_index, with its normalisation cached as ours is; CSR by hand, the faster of the
    two.
    """
    c = sizes.channels
    name = f"GCN, {sizes.nodes} nodes, {sizes.edges} edges, {c} channels"
    index = torch.randint(sizes.nodes, (2, sizes.edges), device=device)
    index = index[:, index[0] != index[1]]  # PyG counts several self-loops of a node as one
    x = leaf(1, sizes.nodes, c, device=device)
    up = torch.randn(1, sizes.nodes, c, device=device)
    graph = Graph(index, sizes.nodes).to(device)
    layer: Any = Conv(c, c, adjacency("sym", self_loops=True), on=graph).to(device)
    call = step(lambda: layer(x), [x, *layer.parameters()], up)
    ours = Side(call, lambda: call()[:2])
    yield Case(name, "PyG GCNConv, edge_index", ours, _pyg(layer, index, x, up), 0.10)
    yield Case(name, "torch.sparse CSR by hand", ours, _csr(layer, x, up), 0.4)
    for width, reach in sizes.widths:
        yield _beside_dgl(sizes, width, reach, device)


def _beside_dgl(sizes: Sizes, channels: int, reach: float, device: torch.device) -> Case:
    """DGL scales nodes before and after its sum, by degrees out and in: they are equal where each
    edge runs in both directions.
    """
    name = f"GCN both ways, {sizes.nodes} nodes, {sizes.edges} edges, {channels} channels"
    if peers.dgl_missing():
        return Case(name, "DGL GraphConv", reach=reach, missing=peers.dgl_missing())
    half = torch.randint(sizes.nodes, (2, sizes.edges // 2), device=device)
    half = half[:, half[0] != half[1]]
    index = torch.cat((half, half.flip(0)), dim=1)
    node = torch.arange(sizes.nodes, device=device)
    theirs = peers.dgl_graph(torch.cat((index, node.expand(2, -1)), dim=1), sizes.nodes)
    graph = Graph(index, sizes.nodes).to(device)
    layer: Any = Conv(channels, channels, adjacency("sym", self_loops=True), on=graph).to(device)
    twin: Any = peers.dgl().nn.pytorch.GraphConv(channels, channels).to(device)
    with torch.no_grad():
        twin.weight.copy_(layer.weight[0])
        twin.bias.copy_(layer.bias)
    x = leaf(1, sizes.nodes, channels, device=device)
    up, flat = torch.randn_like(x), x.detach()[0].requires_grad_()
    ours = step(lambda: layer(x), [x, *layer.parameters()], up)
    call = step(lambda: twin(theirs, flat), [flat, *twin.parameters()], up[0])
    answer = Side(call, lambda: [t[None] for t in call()[:2]])
    return Case(name, "DGL GraphConv", Side(ours, lambda: ours()[:2]), answer, reach)


def _pyg(layer: Any, index: Tensor, x: Tensor, up: Tensor) -> Side:
    twin: Any = to_pyg(layer)
    twin.cached = True
    flat = x.detach()[0].requires_grad_()
    call = step(lambda: twin(flat, index), [flat, *twin.parameters()], up[0])
    return Side(call, lambda: [t[None] for t in call()[:2]])


def _csr(layer: Any, x: Tensor, up: Tensor) -> Side:
    shift = shift_operator(layer.rule, layer.on)
    flat, weight = x.detach()[0].requires_grad_(), layer.weight.detach()[0].requires_grad_()
    bias = layer.bias.detach().requires_grad_()
    call = step(lambda: shift @ (flat @ weight) + bias, [flat, weight, bias], up[0])
    return Side(call, lambda: [t[None] for t in call()[:2]])


def shift_operator(rule: Neighborhood, domain: Domain) -> Tensor:
    """S of a rule on a domain, one weight an edge, as CSR `[N, N]`."""
    edges = rule.edges(domain)
    assert edges.weight is not None
    cells, weight = torch.stack((edges.dst, edges.src)), edges.weight.float()
    shape = (domain.num_nodes, domain.num_nodes)
    coo = torch.sparse_coo_tensor(cells, weight, shape, check_invariants=False)
    return coo.to_sparse_csr()
