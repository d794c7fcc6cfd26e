"""Convolution on a complete graph, one weight for oneself and one for the others, against products
with dense matrices.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from geodl.bench.harness import Case, Side, device, step
from geodl.domain import Complete
from geodl.layer import Conv
from geodl.neighborhood import all_pairs


@dataclass(frozen=True)
class Sizes:
    """Nodes (a case for each), sets in a batch, channels in and out."""

    nodes: tuple[int, ...] = (256, 1024, 4096)
    batch: int = 4
    channels: int = 64


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """Sixteen times the nodes should cost us about sixteen times, and the dense products up to 256
    times.
    """
    for n in sizes.nodes:
        name = f"DeepSets, {n} nodes, {sizes.channels} channels"
        yield Case(name, "two dense products", *_sides(sizes, n), note="O(N) and O(N^2)")


def _sides(sizes: Sizes, n: int) -> tuple[Side, Side]:
    layer = Conv(sizes.channels, sizes.channels, all_pairs("self"), on=Complete(n)).to(device())
    x = torch.randn(sizes.batch, n, sizes.channels, device=device(), requires_grad=True)
    up = torch.randn(sizes.batch, n, sizes.channels, device=device())
    own = torch.eye(n, device=device())
    others, (weight, bias) = 1 - own, layer.parameters()
    call = step(lambda: layer(x), [x, weight, bias], up)
    dense = step(
        lambda: own @ (x @ weight[0]) + others @ (x @ weight[1]) + bias, [x, weight, bias], up
    )
    return Side(call, call), Side(dense, dense)
