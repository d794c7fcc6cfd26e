"""Attention over a window on a lattice against the bare kernel with a dense mask, which is what a
window costs without tiles.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from geodl.bench.harness import Case, Side, device, step
from geodl.domain import Chain, Grid
from geodl.layer import Attention
from geodl.lowering import plan_for
from geodl.neighborhood import window


@dataclass(frozen=True)
class Sizes:
    """Nodes of the chain and how far its windows reach, sides of the grid and of its window, heads
    and their channels.
    """

    length: int = 4096
    reach: int = 64
    side: int = 64
    patch: int = 7
    heads: int = 4
    head_dim: int = 64


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """Half of the window on each side, all of it before, and on a grid."""
    chain, grid = Chain(sizes.length), Grid(sizes.side, sizes.side)
    around, before = (
        window(sizes.reach + 1, axes=1, padding=padding) for padding in ("same", "causal")
    )
    for rule, domain in ((around, chain), (before, chain), (window(sizes.patch), grid)):
        layer = Attention(sizes.heads * sizes.head_dim, rule, sizes.heads, on=domain)
        case = f"attend {rule} on {domain}, {sizes.heads} heads of {sizes.head_dim}"
        yield Case(case, "F.scaled_dot_product_attention, dense mask", *_sides(layer), 0.25)


def _sides(layer: Any) -> tuple[Side, Side]:
    n, edges = layer.on.num_nodes, layer.rule.edges(layer.on)
    q, k, v = (
        torch.randn(1, n, layer.heads, layer.head_dim, device=device(), requires_grad=True)
        for _ in range(3)
    )
    up = torch.randn_like(q)
    plan = plan_for("attend", "auto", layer.rule, layer.on, None, q, layer.options)
    ours = step(lambda: plan.lowering.run(plan.data, q, k, v, None, None, 0.0), [q, k, v], up)
    a, b, c = (t.detach().transpose(1, 2).contiguous().requires_grad_() for t in (q, k, v))
    mask = (
        torch.zeros(n, n, dtype=torch.bool)
        .index_put((edges.dst, edges.src), torch.tensor(True))
        .to(device())
    )
    theirs = step(
        lambda: F.scaled_dot_product_attention(a, b, c, mask),
        [a, b, c],
        up.transpose(1, 2).contiguous(),
    )
    return Side(ours, ours), Side(theirs, lambda: [t.transpose(1, 2) for t in theirs()])
