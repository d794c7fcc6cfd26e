"""Convolution on a complete graph, one weight for a node itself and one for the others, against
products with dense matrices.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.bench.harness import Case, Side, leaf, step
from geodl.bench.meter import CPU
from geodl.domain import Complete
from geodl.layer import Conv
from geodl.neighborhood import all_pairs


class Sizes(NamedTuple):
    """Nodes (a case for each), sets in a batch, channels in and out."""

    nodes: tuple[int, ...] = (256, 1024, 4096)
    batch: int = 4
    channels: int = 64


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """Sixteen times the nodes should cost us about sixteen times, and the dense products up to 256
    times.
    """
    for n in sizes.nodes:
        name = f"DeepSets, {n} nodes, {sizes.channels} channels"
        sides = _sides(sizes, n, device)
        yield Case(name, "two dense products", *sides, note="O(N) and O(N^2)")


def _sides(sizes: Sizes, n: int, device: torch.device) -> tuple[Side, Side]:
    layer = Conv(sizes.channels, sizes.channels, all_pairs("self"), on=Complete(n)).to(device)
    x = leaf(sizes.batch, n, sizes.channels, device=device)
    up = torch.randn(sizes.batch, n, sizes.channels, device=device)
    own = torch.eye(n, device=device)
    others = 1 - own
    weight, bias = layer.parameters()

    def dense() -> Tensor:
        return own @ (x @ weight[0]) + others @ (x @ weight[1]) + bias

    ours = step(lambda: layer(x), [x, weight, bias], up)
    theirs = step(dense, [x, weight, bias], up)
    return Side(ours, ours), Side(theirs, theirs)
