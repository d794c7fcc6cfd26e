"""Wide windows around lattices that wrap, against `nn.Conv2d` and `nn.Conv1d`, padded circularly:
forward, and the gradients of input and weight.
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

CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}


class Sizes(NamedTuple):
    """Images, channels in and out, the side of the torus and of its window, the length of the ring
    and of its window.
    """

    batch: int = 2
    channels: int = 8
    side: int = 64
    wide: int = 31
    length: int = 4096
    long: int = 255


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """A torus and a ring."""
    for lengths, size in (((sizes.side, sizes.side), sizes.wide), ((sizes.length,), sizes.long)):
        shape = " x ".join(map(str, lengths))
        axes = len(lengths)
        name = f"{sizes.channels} channels, {sizes.batch} x {shape}, window of {size}"
        peer = f"nn.Conv{axes}d, circular"
        yield Case(name, peer, *_sides(sizes, lengths, size, device), 0.25)


def _sides(
    sizes: Sizes, lengths: tuple[int, ...], size: int, device: torch.device
) -> tuple[Side, Side]:
    c, axes = sizes.channels, len(lengths)
    domain, rule = Grid(*lengths, periodic=True), window(size, axes)
    layer = Conv(c, c, rule, bias=False, on=domain).to(device)
    kind = CONV[axes]
    twin: Any = kind(c, c, size, padding=size // 2, padding_mode="circular", bias=False)
    twin.to(device)
    with torch.no_grad():
        twin.weight.copy_(layer.weight.permute(2, 1, 0).unflatten(2, (size,) * axes))
    x = leaf(sizes.batch, domain.num_nodes, c, device=device)
    up = torch.randn_like(x)
    image = _planes(x, lengths).contiguous().requires_grad_()
    up_image = _planes(up, lengths).contiguous()
    ours = step(lambda: layer(x), [x, *layer.parameters()], up)
    theirs = step(lambda: twin(image), [image, *twin.parameters()], up_image)

    def answer() -> list[Tensor]:
        return [t.flatten(2).transpose(1, 2) for t in theirs()[:2]]

    return Side(ours, lambda: ours()[:2]), Side(theirs, answer)


def _planes(x: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """`[B, N, C]` as torch's `[B, C, *lengths]`."""
    return x.detach().transpose(1, 2).unflatten(2, lengths)
