"""Convolution on a lattice times C4, the second layer of the P4CNN, against escnn's `R2Conv`."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.bench import peers
from geodl.bench.harness import Case, Side, device, step
from geodl.domain import Grid, GroupGrid
from geodl.group import C
from geodl.interop import from_escnn


@dataclass(frozen=True)
class Sizes:
    """Images, fields in and out, side of the square image."""

    batch: int = 64
    fields: int = 10
    side: int = 26


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """escnn on its usual layout, and on channels-last input."""
    name = (
        f"C4, {sizes.fields} -> {sizes.fields} fields, {sizes.batch} "
        f"x {sizes.side} x {sizes.side}, 3x3 valid"
    )
    for peer, memory_format, reach in (
        ("escnn R2Conv", torch.contiguous_format, 0.7),
        ("escnn R2Conv channels-last", torch.channels_last, None),
    ):
        if peers.escnn_missing():
            yield Case(name, peer, reach=reach, missing=peers.escnn_missing())
        else:
            yield Case(name, peer, *_sides(sizes, memory_format), reach)


def _sides(sizes: Sizes, memory_format: torch.memory_format) -> tuple[Side, Side]:
    b, n, fields, m = sizes.batch, sizes.side, sizes.fields, sizes.side - 2
    escnn = peers.escnn()
    regular = peers.regular(fields)
    twin = (
        escnn.R2Conv(regular, regular, 3).to(device()).float().train()
    )  # its modules share bases, of any dtype
    layer = from_escnn(twin, on=GroupGrid(Grid(n, n), C(4)))
    x = torch.randn(b, n * n * 4, fields, device=device(), requires_grad=True)
    up = torch.randn(b, m * m * 4, fields, device=device())
    image, up_image = (
        peers.fields_of(t.detach(), side)
        .contiguous(memory_format=memory_format)
        .requires_grad_(t is x)
        for t, side in ((x, n), (up, m))
    )
    ours = step(lambda: layer(x), [x, *layer.parameters()], up)
    theirs = step(
        lambda: twin(escnn.GeometricTensor(image, regular)).tensor,
        [image, *twin.parameters()],
        up_image,
    )

    def answer() -> list[Tensor]:
        return [peers.values_of(t) for t in theirs()[:2]]

    return Side(ours, lambda: ours()[:2]), Side(theirs, answer)
