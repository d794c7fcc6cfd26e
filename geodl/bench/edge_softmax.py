"""Attention on a large sparse graph against PyG's `GATConv` and `TransformerConv`: forward and
every gradient, and the memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from geodl.bench.harness import Case, Side, device, step
from geodl.domain import Graph
from geodl.layer import Attention
from geodl.neighborhood import adjacency


@dataclass(frozen=True)
class Sizes:
    """Nodes, directed edges, channels, heads."""

    nodes: int = 100_000
    edges: int = 1_500_000
    channels: int = 64
    heads: int = 4


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """Both scores on one graph, with the projections that PyG's layers have."""
    graph = Graph(torch.randint(sizes.nodes, (2, sizes.edges)), sizes.nodes).to(device())
    for score, peer in (("gat", "PyG GATConv"), ("dot", "PyG TransformerConv")):
        layer: Any = Attention(
            sizes.channels, adjacency(), sizes.heads, score, bias=False, on=graph
        ).to(device())
        layer.out_proj = nn.Identity()  # PyG's have none
        name = (
            f"Attention {score}, {sizes.nodes} nodes, {sizes.edges} edges, "
            f"{sizes.heads} heads, {sizes.channels} channels"
        )
        yield Case(name, peer, *against_pyg(layer), 0.25, memory_reach=1 / 3)


def against_pyg(layer: Any) -> tuple[Side, Side]:
    """A layer on its own domain, and PyG's with the same parameters, followed by the layer's last
    projection.
    """
    edges = layer.rule.edges(layer.on)
    index, twin = torch.stack((edges.src, edges.dst)).to(device()), _twin(layer)
    x = torch.randn(1, layer.on.num_nodes, layer.channels_in, device=device(), requires_grad=True)
    up, flat = torch.randn_like(x), x.detach()[0].requires_grad_()
    call = step(lambda: layer(x), [x, *layer.parameters()], up)
    theirs = step(
        lambda: layer.out_proj(twin(flat, index)),
        [flat, *twin.parameters(), *layer.out_proj.parameters()],
        up[0],
    )
    return Side(call, lambda: call()[:2]), Side(theirs, lambda: [t[None] for t in theirs()[:2]])


def _twin(layer: Any) -> nn.Module:
    from torch_geometric.nn import GATConv, TransformerConv

    c, d, bias = layer.channels_in, layer.head_dim, layer.in_proj_bias
    twin: Any
    if layer.options.score == "gat":
        twin = GATConv(c, d, layer.heads, add_self_loops=False, bias=False)
        parts = {
            twin.lin.weight: layer.in_proj_weight,
            twin.att_dst: layer.score_vectors[:1],
            twin.att_src: layer.score_vectors[1:],
        }
    else:
        twin = TransformerConv(c, d, layer.heads, root_weight=False, bias=bias is not None)
        linears = twin.lin_query, twin.lin_key, twin.lin_value
        parts = {
            linear.weight: w
            for linear, w in zip(linears, layer.in_proj_weight.chunk(3), strict=True)
        }
        if bias is not None:
            parts |= {linear.bias: b for linear, b in zip(linears, bias.chunk(3), strict=True)}
        twin.lin_skip.requires_grad_(False)  # built even when it is not used
    with torch.no_grad():
        for parameter, value in parts.items():
            parameter.copy_(value)
    return twin.to(device())
