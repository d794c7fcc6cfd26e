"""Attention over a window on a lattice against the bare kernel with a dense mask, which is what a
window costs without tiles.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.bench.harness import Case, Side, heads_first, leaf, step
from geodl.bench.meter import CPU
from geodl.domain import Chain, Grid
from geodl.layer import Attention
from geodl.lowering import Request, plan_for
from geodl.neighborhood import window


class Sizes(NamedTuple):
    """Nodes of the chain and how far its windows reach, sides of the grid and of its window, heads
    and their channels.
    """

    length: int = 4096
    reach: int = 64
    side: int = 64
    patch: int = 7
    heads: int = 4
    head_dim: int = 64


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """Half of the window on each side, all of it before, and on a grid."""
    chain, grid = Chain(sizes.length), Grid(sizes.side, sizes.side)
    around = window(sizes.reach + 1, axes=1, padding="same")
    before = window(sizes.reach + 1, axes=1, padding="causal")
    for rule, domain in ((around, chain), (before, chain), (window(sizes.patch), grid)):
        layer = Attention(sizes.heads * sizes.head_dim, rule, sizes.heads, on=domain)
        name = f"attend {rule} on {domain}, {sizes.heads} heads of {sizes.head_dim}"
        peer = "F.scaled_dot_product_attention, dense mask"
        yield Case(name, peer, *_sides(layer, device), 0.25)


def _sides(layer: Any, device: torch.device) -> tuple[Side, Side]:
    shape = (1, layer.on.num_nodes, layer.heads, layer.head_dim)
    q, k, v = (leaf(*shape, device=device) for _ in range(3))
    up = torch.randn(shape, device=device)
    plan = plan_for(Request("attend", "auto", layer.rule, layer.on, None, q, layer.options))
    ours = step(lambda: plan.lowering.run(plan.data, q, k, v, None, None, 0.0, None), [q, k, v], up)
    a, b, c = (heads_first(t).requires_grad_() for t in (q, k, v))
    mask = _mask(layer).to(device)

    def kernel() -> Tensor:
        return F.scaled_dot_product_attention(a, b, c, mask)

    theirs = step(kernel, [a, b, c], heads_first(up))
    return Side(ours, ours), Side(theirs, lambda: [t.transpose(1, 2) for t in theirs()])


def _mask(layer: Any) -> Tensor:
    """`[N, N]`, True where there is an edge."""
    n, edges = layer.on.num_nodes, layer.rule.edges(layer.on)
    mask = torch.zeros(n, n, dtype=torch.bool)
    mask[edges.dst, edges.src] = True
    return mask
