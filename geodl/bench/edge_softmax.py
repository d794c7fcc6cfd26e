"""Attention on a large sparse graph against PyG's `GATConv` and `TransformerConv` and DGL's
`GATConv`: forward and every gradient, and the memory.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.bench import peers
from geodl.bench.harness import Case, Side, leaf, step
from geodl.bench.meter import CPU
from geodl.domain import Graph
from geodl.layer import Attention
from geodl.neighborhood import adjacency


class Sizes(NamedTuple):
    """Nodes, directed edges, channels, heads."""

    nodes: int = 100_000
    edges: int = 1_500_000
    channels: int = 64
    heads: int = 4


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """Both scores on one graph, with the projections that PyG's layers have."""
    c, heads = sizes.channels, sizes.heads
    graph = Graph(torch.randint(sizes.nodes, (2, sizes.edges)), sizes.nodes).to(device)
    shape = f"{sizes.nodes} nodes, {sizes.edges} edges, {heads} heads, {c} channels"
    for score, peer in (("gat", "PyG GATConv"), ("dot", "PyG TransformerConv")):
        layer: Any = Attention(c, adjacency(), heads, score, bias=False, on=graph).to(device)
        layer.out_proj = nn.Identity()  # PyG's have none
        name = f"Attention {score}, {shape}"
        yield Case(name, peer, *against_pyg(layer, device), 0.25, memory_reach=1 / 3)
        if score == "gat" and peers.dgl_missing():
            yield Case(name, "DGL GATConv", reach=0.35, missing=peers.dgl_missing())
        elif score == "gat":
            sides = _against_dgl(layer, device)
            yield Case(name, "DGL GATConv", *sides, 0.35, memory_reach=1.0)


def against_pyg(layer: Any, device: torch.device) -> tuple[Side, Side]:
    """A layer on its own domain, and PyG's with the same parameters, followed by the layer's last
    projection.
    """
    edges = layer.rule.edges(layer.on)
    index = torch.stack((edges.src, edges.dst)).to(device)
    twin = _twin(layer).to(device)
    return _sides(layer, twin, lambda x: twin(x, index), device)


def _against_dgl(layer: Any, device: torch.device) -> tuple[Side, Side]:
    """The same beside DGL's `GATConv`, for a gat score without biases."""
    options: Any = {"bias": False, "allow_zero_in_degree": True}
    make: Any = peers.dgl().nn.pytorch.GATConv
    twin: Any = make(layer.channels_in, layer.head_dim, layer.heads, **options)
    receiver, sender = layer.score_vectors[:1], layer.score_vectors[1:]
    weights = (twin.fc.weight, layer.in_proj_weight)
    _copy([weights, (twin.attn_r, receiver), (twin.attn_l, sender)])
    graph = peers.dgl_graph(layer.on.edge_index, layer.on.num_nodes)
    return _sides(layer, twin.to(device), lambda x: twin(graph, x).flatten(1), device)


def _sides(
    layer: Any, twin: nn.Module, run: Callable[[Tensor], Tensor], device: torch.device
) -> tuple[Side, Side]:
    """A layer, and a twin that is run on the same values `[N, C]`."""
    x = leaf(1, layer.on.num_nodes, layer.channels_in, device=device)
    up, flat = torch.randn_like(x), x.detach()[0].requires_grad_()
    ours = step(lambda: layer(x), [x, *layer.parameters()], up)
    parameters = [*twin.parameters(), *layer.out_proj.parameters()]
    theirs = step(lambda: layer.out_proj(run(flat)), [flat, *parameters], up[0])
    return Side(ours, lambda: ours()[:2]), Side(theirs, lambda: [t[None] for t in theirs()[:2]])


def _twin(layer: Any) -> nn.Module:
    """PyG's layer with the parameters of ours."""
    twin, values = _gat(layer) if layer.options.score == "gat" else _dot(layer)
    _copy(values)
    return twin


def _copy(values: list[tuple[Any, Tensor]]) -> None:
    """Give each parameter the value beside it."""
    with torch.no_grad():
        for parameter, value in values:
            parameter.copy_(value)


def _gat(layer: Any) -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    """PyG's `GATConv`, and the value that each of its parameters shall have."""
    from torch_geometric.nn import GATConv

    options: Any = {"add_self_loops": False, "bias": False}
    twin: Any = GATConv(layer.channels_in, layer.head_dim, layer.heads, **options)
    receiver, sender = layer.score_vectors[:1], layer.score_vectors[1:]
    weights = (twin.lin.weight, layer.in_proj_weight)
    return twin, [weights, (twin.att_dst, receiver), (twin.att_src, sender)]


def _dot(layer: Any) -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    """PyG's `TransformerConv`, and the value that each of its parameters shall have."""
    from torch_geometric.nn import TransformerConv

    bias = layer.in_proj_bias
    options: Any = {"root_weight": False, "bias": bias is not None}
    twin: Any = TransformerConv(layer.channels_in, layer.head_dim, layer.heads, **options)
    twin.lin_skip.requires_grad_(False)  # built even when it is not used
    linears = (twin.lin_query, twin.lin_key, twin.lin_value)
    weights = layer.in_proj_weight.chunk(3)
    values = [(linear.weight, w) for linear, w in zip(linears, weights, strict=True)]
    if bias is not None:
        values += [(linear.bias, b) for linear, b in zip(linears, bias.chunk(3), strict=True)]
    return twin, values
