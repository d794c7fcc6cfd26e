"""Chebyshev filters on a large sparse graph against PyG's `ChebConv`: forward and all gradients."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.bench.harness import Case, Side, leaf, step
from geodl.bench.meter import CPU
from geodl.domain import Graph
from geodl.layer import Conv
from geodl.neighborhood import laplacian, polynomial


class Sizes(NamedTuple):
    """Nodes, directed edges, channels in and out, the largest power."""

    nodes: int = 100_000
    edges: int = 1_500_000
    channels: int = 64
    order: int = 3


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """PyG in both ways that its users have: edges as they are given, and sorted by receiver.

    Its layer finds the Laplacian anew at each call, and has no switch to keep it.
    """
    c = sizes.channels
    half = torch.randint(sizes.nodes, (2, sizes.edges // 2), device=device)
    half = half[:, half[0] != half[1]]
    # Each edge in both directions, in any order: PyG's Laplacian takes a directed one as it is.
    index = torch.cat((half, half.flip(0)), dim=1)
    index = index[:, torch.randperm(index.shape[1], device=device)]
    x = leaf(1, sizes.nodes, c, device=device)
    up = torch.randn(1, sizes.nodes, c, device=device)
    rule = polynomial(laplacian("sym"), sizes.order)
    layer: Any = Conv(c, c, rule, on=Graph(index, sizes.nodes)).to(device)
    call = step(lambda: layer(x), [x, *layer.parameters()], up)
    ours = Side(call, lambda: call()[:2])
    shape = f"{sizes.nodes} nodes, {sizes.edges} edges, {c} channels"
    name = f"Chebyshev filter of order {sizes.order}, {shape}"
    by_receiver = index[:, torch.argsort(index[1])]
    for peer, edges in (("edges as given", index), ("edges by receiver", by_receiver)):
        yield Case(name, f"PyG ChebConv, {peer}", ours, _pyg(layer, edges, x, up), 0.4)


def _pyg(layer: Any, index: Tensor, x: Tensor, up: Tensor) -> Side:
    """PyG's layer with the parameters of ours, which has one term more than its order."""
    from torch_geometric.nn import ChebConv

    twin: Any = ChebConv(layer.channels_in, layer.channels_out, len(layer.weight)).to(x.device)
    with torch.no_grad():
        for linear, weight in zip(twin.lins, layer.weight, strict=True):
            linear.weight.copy_(weight.T)
        twin.bias.copy_(layer.bias)
    flat = x.detach()[0].requires_grad_()
    call = step(lambda: twin(flat, index), [flat, *twin.parameters()], up[0])
    return Side(call, lambda: [t[None] for t in call()[:2]])
