"""Graph convolution on a large sparse graph against PyG's `GCNConv` and `torch.sparse`: forward and
every gradient.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geodl.bench.harness import Case, Side, device, step
from geodl.domain import Graph
from geodl.interop import to_pyg
from geodl.layer import Conv
from geodl.neighborhood import adjacency


@dataclass(frozen=True)
class Sizes:
    """Nodes, directed edges, channels in and out."""

    nodes: int = 100_000
    edges: int = 1_500_000
    channels: int = 64


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """PyG by edge_index, with its normalisation cached as ours is; CSR by hand, the faster of the
    two.
    """
    name = f"GCN, {sizes.nodes} nodes, {sizes.edges} edges, {sizes.channels} channels"
    index = torch.randint(sizes.nodes, (2, sizes.edges), device=device())
    index = index[:, index[0] != index[1]]  # PyG counts several self-loops of a node as one
    x = torch.randn(1, sizes.nodes, sizes.channels, device=device(), requires_grad=True)
    up = torch.randn(1, sizes.nodes, sizes.channels, device=device())
    layer: Any = Conv(
        sizes.channels,
        sizes.channels,
        adjacency("sym", self_loops=True),
        on=Graph(index, sizes.nodes).to(device()),
    ).to(device())
    call = step(lambda: layer(x), [x, *layer.parameters()], up)
    ours = Side(call, lambda: call()[:2])
    yield Case(name, "PyG GCNConv, edge_index", ours, _pyg(layer, index, x, up), 0.10)
    yield Case(name, "torch.sparse CSR by hand", ours, _csr(layer, index, x, up), 0.4)


def _pyg(layer: Any, index: Tensor, x: Tensor, up: Tensor) -> Side:
    twin: Any = to_pyg(layer)
    twin.cached = True
    flat = x.detach()[0].requires_grad_()
    call = step(lambda: twin(flat, index), [flat, *twin.parameters()], up[0])
    return Side(call, lambda: [t[None] for t in call()[:2]])


def _csr(layer: Any, index: Tensor, x: Tensor, up: Tensor) -> Side:
    n = x.shape[1]
    edges = layer.rule.edges(layer.on)
    place = torch.stack((edges.dst, edges.src))
    shift = torch.sparse_coo_tensor(
        place, edges.weight.float(), (n, n), check_invariants=False
    ).to_sparse_csr()
    flat, weight = x.detach()[0].requires_grad_(), layer.weight.detach()[0].requires_grad_()
    bias = layer.bias.detach().requires_grad_()
    call = step(lambda: shift @ (flat @ weight) + bias, [flat, weight, bias], up[0])
    return Side(call, lambda: [t[None] for t in call()[:2]])
