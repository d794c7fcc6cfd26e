"""Convolution on a lattice window against `nn.Conv2d`: forward, and the gradients of input, weight
and bias.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from geodl.bench.harness import Case, Side, device, step
from geodl.domain import Grid
from geodl.layer import Conv
from geodl.neighborhood import window


@dataclass(frozen=True)
class Sizes:
    """Images, channels in, channels out (a case for each), side of the square image."""

    batch: int = 64
    channels_in: int = 64
    channels_out: tuple[int, ...] = (32, 64)
    side: int = 28


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """A case for each number of output channels and each memory format of the peer."""
    for made in sizes.channels_out:
        for peer, memory_format, reach in (
            ("nn.Conv2d NCHW", torch.contiguous_format, 0.8),
            ("nn.Conv2d channels-last", torch.channels_last, None),
        ):
            name = (
                f"{sizes.channels_in} -> {made}, {sizes.batch} x {sizes.side} x {sizes.side}, 3x3"
            )
            yield Case(name, peer, *_sides(sizes, made, memory_format), reach)


def _sides(sizes: Sizes, made: int, memory_format: torch.memory_format) -> tuple[Side, Side]:
    b, n, c = sizes.batch, sizes.side, sizes.channels_in
    layer = Conv(c, made, window(3), on=Grid(n, n)).to(device())
    twin: Any = nn.Conv2d(c, made, 3, padding=1, device=device())
    twin.to(memory_format=memory_format)
    with torch.no_grad():
        twin.weight.copy_(layer.weight.permute(2, 1, 0).unflatten(2, (3, 3)))
        twin.bias.copy_(layer.bias)
    x = torch.randn(b, n * n, c, device=device(), requires_grad=True)
    up = torch.randn(b, n * n, made, device=device())
    image, up_image = (
        t.detach()
        .transpose(1, 2)
        .unflatten(2, (n, n))
        .contiguous(memory_format=memory_format)
        .requires_grad_(t is x)
        for t in (x, up)
    )
    ours = step(lambda: layer(x), [x, *layer.parameters()], up)
    theirs = step(lambda: twin(image), [image, *twin.parameters()], up_image)
    return Side(ours, lambda: ours()[:2]), Side(
        theirs, lambda: [t.flatten(2).transpose(1, 2) for t in theirs()[:2]]
    )
