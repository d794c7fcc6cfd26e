"""Convolution on a lattice times C4, the second layer of the P4CNN, and times C8 on the harmonic
basis, against escnn's `R2Conv`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.bench import peers
from geodl.bench.harness import Case, Side, leaf, step
from geodl.bench.meter import CPU
from geodl.domain import Grid, GroupGrid
from geodl.group import C
from geodl.interop import from_escnn
from geodl.layer import Conv
from geodl.neighborhood import window


class Sizes(NamedTuple):
    """Images, fields in and out, side of the square image."""

    batch: int = 64
    fields: int = 10
    side: int = 26


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """escnn on its usual layout, and on channels-last input."""
    shape = f"{sizes.batch} x {sizes.side} x {sizes.side}, 3x3 valid"
    name = f"C4, {sizes.fields} -> {sizes.fields} fields, {shape}"
    for peer, memory_format, reach in (
        ("escnn R2Conv", torch.contiguous_format, 0.7),
        ("escnn R2Conv channels-last", torch.channels_last, None),
    ):
        if peers.escnn_missing():
            yield Case(name, peer, reach=reach, missing=peers.escnn_missing())
        else:
            yield Case(name, peer, *_sides(sizes, memory_format, device), reach)
    name = f"C8, {sizes.fields} -> {sizes.fields} fields, {sizes.batch} x {sizes.side}^2, 5x5 valid"
    if peers.escnn_missing():
        yield Case(name, "escnn R2Conv", reach=1.0, missing=peers.escnn_missing())
    else:
        note = "another basis of the same rings: shapes compared, not values"
        # Nine tenths of either side is the convolution of as many planes.
        yield Case(name, "escnn R2Conv", *_on_a_basis(sizes, device), 1.0, note=note)


def _on_a_basis(sizes: Sizes, device: torch.device) -> tuple[Side, Side]:
    n, fields, group = sizes.side, sizes.fields, C(8)
    escnn, regular = peers.escnn(), peers.regular(sizes.fields, group.order)
    twin = escnn.R2Conv(regular, regular, 5).to(device).float().train()
    domain, made = GroupGrid(Grid(n, n), group), (n - 4) ** 2
    rule = window(5, group=group, padding="valid")
    layer = Conv(fields, fields, rule, on=domain).to(device)
    x = leaf(sizes.batch, domain.num_nodes, fields, device=device)
    up = torch.randn(sizes.batch, made * group.order, fields, device=device)
    planes = fields * group.order
    image = torch.randn(sizes.batch, planes, n, n, device=device).requires_grad_()
    up_image = torch.randn(sizes.batch, planes, n - 4, n - 4, device=device)

    def escnn_layer() -> Tensor:
        return twin(escnn.GeometricTensor(image, regular)).tensor

    ours = step(lambda: layer(x), [x, *layer.parameters()], up)
    theirs = step(escnn_layer, [image, *twin.parameters()], up_image)
    # Only the numbers of values can be the same.
    return (
        Side(ours, lambda: [t.flatten() * 0 for t in ours()[:2]]),
        Side(theirs, lambda: [t.flatten() * 0 for t in theirs()[:2]]),
    )


def _sides(
    sizes: Sizes, memory_format: torch.memory_format, device: torch.device
) -> tuple[Side, Side]:
    n, fields = sizes.side, sizes.fields
    escnn, regular = peers.escnn(), peers.regular(fields)
    # escnn's modules share their sampled bases, which may have any dtype by now.
    twin = escnn.R2Conv(regular, regular, 3).to(device).float().train()
    layer = from_escnn(twin, on=GroupGrid(Grid(n, n), C(4))).to(device)
    x = leaf(sizes.batch, n * n * 4, fields, device=device)
    up = torch.randn(sizes.batch, (n - 2) * (n - 2) * 4, fields, device=device)
    image = peers.fields_of(x.detach(), n).contiguous(memory_format=memory_format).requires_grad_()
    up_image = peers.fields_of(up, n - 2).contiguous(memory_format=memory_format)

    def escnn_layer() -> Tensor:
        return twin(escnn.GeometricTensor(image, regular)).tensor

    ours = step(lambda: layer(x), [x, *layer.parameters()], up)
    theirs = step(escnn_layer, [image, *twin.parameters()], up_image)

    def answer() -> list[Tensor]:
        return [peers.values_of(t) for t in theirs()[:2]]

    return Side(ours, lambda: ours()[:2]), Side(theirs, answer)
