"""Convolution on a lattice window against `nn.Conv2d`: forward, and the gradients of input, weight
and bias.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.bench.harness import Case, Side, leaf, step
from geodl.bench.meter import CPU
from geodl.domain import Grid
from geodl.layer import Conv
from geodl.neighborhood import window


class Sizes(NamedTuple):
    """Images, channels in, channels out (a case for each), side of the square image."""

    batch: int = 64
    channels_in: int = 64
    channels_out: tuple[int, ...] = (32, 64)
    side: int = 28


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """A case for each number of output channels and each memory format of the peer."""
    shape = f"{sizes.batch} x {sizes.side} x {sizes.side}, 3x3"
    for channels_out in sizes.channels_out:
        for peer, memory_format, reach in (
            ("nn.Conv2d NCHW", torch.contiguous_format, 0.8),
            ("nn.Conv2d channels-last", torch.channels_last, None),
        ):
            name = f"{sizes.channels_in} -> {channels_out}, {shape}"
            yield Case(name, peer, *_sides(sizes, channels_out, memory_format, device), reach)


def _sides(
    sizes: Sizes, channels_out: int, memory_format: torch.memory_format, device: torch.device
) -> tuple[Side, Side]:
    n, c = sizes.side, sizes.channels_in
    layer = Conv(c, channels_out, window(3), on=Grid(n, n)).to(device)
    twin: Any = nn.Conv2d(c, channels_out, 3, padding=1, device=device)
    twin.to(memory_format=memory_format)
    with torch.no_grad():
        twin.weight.copy_(layer.weight.permute(2, 1, 0).unflatten(2, (3, 3)))
        twin.bias.copy_(layer.bias)
    x = leaf(sizes.batch, n * n, c, device=device)
    up = torch.randn(sizes.batch, n * n, channels_out, device=device)
    image = _planes(x, n).contiguous(memory_format=memory_format).requires_grad_()
    up_image = _planes(up, n).contiguous(memory_format=memory_format)
    ours = step(lambda: layer(x), [x, *layer.parameters()], up)
    theirs = step(lambda: twin(image), [image, *twin.parameters()], up_image)

    def answer() -> list[Tensor]:
        return [t.flatten(2).transpose(1, 2) for t in theirs()[:2]]

    return Side(ours, lambda: ours()[:2]), Side(theirs, answer)


def _planes(x: Tensor, n: int) -> Tensor:
    """`[B, n * n, C]` as torch's `[B, C, n, n]`."""
    return x.detach().transpose(1, 2).unflatten(2, (n, n))
