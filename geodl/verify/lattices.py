"""Row 05: a convolution is messages on a lattice, one weight for each relative offset."""

from collections.abc import Iterator
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from geodl import Conv, Grid, itself, window
from geodl.verify.base import Row, equal, normal, randomised, signal

CONV = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
LENGTHS = ((12,), (6, 8), (4, 6, 5))
BOUND = 1e-11
Axes = int | tuple[int, ...]


def planes(x: Tensor, lattice: tuple[int, ...]) -> Tensor:
    """`[B, N, C]` as torch's `[B, C, *lattice]`."""
    return x.transpose(1, 2).unflatten(2, lattice)


def nodes(planes: Tensor) -> Tensor:
    """`[B, C, *lattice]` as `[B, N, C]`."""
    return planes.flatten(2).transpose(1, 2)


def zero_padding() -> Iterator[Row]:
    """Bounded grids of one to three axes, windows of 1 to 5."""
    for lengths in LENGTHS:
        for size in range(1, 6):
            yield convolution(lengths, size)
        yield convolution(lengths, 3, stride=2)
        yield convolution(lengths, 4, stride=2, padding=1)
        yield convolution(lengths, 2, stride=2, padding=0, bias=False)
        yield convolution(lengths, 3, dilation=2, bias=False)
    yield convolution((9, 11), (2, 3), stride=(1, 2), dilation=(2, 1), padding=((0, 1), (2, 0)))
    yield convolution((9, 5, 6), (3, 1, 2), stride=(3, 1, 2))


def circular_padding() -> Iterator[Row]:
    """Rings and tori."""
    for lengths in LENGTHS:
        for size in range(1, 6):
            yield convolution(lengths, size, circular=True)
        yield convolution(lengths, 3, stride=2, circular=True)
        yield convolution(lengths, 3, dilation=2, circular=True)
    yield convolution((6, 9), (4, 3), stride=(2, 3), circular=True)


def convolution(
    lengths: tuple[int, ...],
    size: Axes,
    *,
    stride: Axes = 1,
    dilation: Axes = 1,
    padding: int | tuple[tuple[int, int], ...] | None = None,
    circular: bool = False,
    bias: bool = True,
) -> Row:
    """One window against `F.conv1d`, `conv2d` or `conv3d`; by default the padding keeps the lengths
    at stride 1.
    """
    d = len(lengths)
    sizes, strides, dilations = per_axis(size, d), per_axis(stride, d), per_axis(dilation, d)
    pads = _pads(sizes, dilations, padding)
    rule = window(sizes, stride=strides, dilation=dilations, padding=pads)
    layer = randomised(Conv(3, 2, rule, bias=bias), normal(30))
    kind, mode = ("circular", "circular") if circular else ("zero", "constant")
    flat_pads = [n for pair in reversed(pads) for n in pair]  # F.pad begins with the last axis

    def peer(x: Tensor) -> Tensor:
        image = F.pad(planes(x, lengths), flat_pads, mode=mode)
        filters = layer.weight.permute(2, 1, 0).unflatten(2, sizes)
        return nodes(CONV[d - 1](image, filters, layer.bias, strides, 0, dilations))

    claim = f"05 conv{d}d {'x'.join(map(str, sizes))}, {kind} padding"
    if set(strides) != {1}:
        claim += f", stride {short(strides)}"
    if set(dilations) != {1}:
        claim += f", dilation {short(dilations)}"
    if padding is not None:
        claim += f", padding {short(pads)}"
    if not bias:
        claim += ", no bias"
    return equal(claim, layer, [signal(Grid(*lengths, periodic=circular), 3)], peer, BOUND)


def _pads(
    sizes: tuple[int, ...],
    dilations: tuple[int, ...],
    padding: int | tuple[tuple[int, int], ...] | None,
) -> tuple[tuple[int, int], ...]:
    """The padding before and after each axis; None keeps the lengths at stride 1."""
    if isinstance(padding, int):
        return ((padding, padding),) * len(sizes)
    if padding is not None:
        return padding
    reach = [step * (size - 1) for size, step in zip(sizes, dilations, strict=True)]
    return tuple((r // 2, r - r // 2) for r in reach)


class Transposition(NamedTuple):
    """The numbers of a transposed convolution, the same on every axis."""

    size: int
    stride: int
    dilation: int
    padding: int
    output_padding: int

    def length(self, n: int) -> int:
        """Nodes of the output on an axis of n nodes."""
        reach = self.dilation * (self.size - 1)
        return (n - 1) * self.stride - 2 * self.padding + reach + 1 + self.output_padding


def transposed() -> Iterator[Row]:
    """Windows with their edges reversed."""
    for lengths in ((7,), (4, 5), (2, 3, 3)):
        for numbers in ((2, 2, 1, 0, 0), (3, 2, 1, 1, 1), (3, 1, 2, 1, 0), (4, 3, 1, 2, 2)):
            yield _transposed(lengths, Transposition(*numbers))


def _transposed(lengths: tuple[int, ...], t: Transposition) -> Row:
    d = len(lengths)
    onto = Grid(*[t.length(n) for n in lengths])
    forward = window(t.size, axes=d, stride=t.stride, dilation=t.dilation, padding=t.padding)
    layer = randomised(Conv(3, 2, forward.reverse(onto=onto)), normal(31))
    numbers = (t.stride, t.padding, t.output_padding, 1, t.dilation)

    def peer(x: Tensor) -> Tensor:
        filters = layer.weight.permute(1, 2, 0).unflatten(2, (t.size,) * d)
        return nodes(TRANSPOSED[d - 1](planes(x, lengths), filters, layer.bias, *numbers))

    size = "x".join([str(t.size)] * d)
    claim = f"05 conv_transpose{d}d {size}, stride {t.stride}, padding {t.padding}"
    claim += f", dilation {t.dilation}, output_padding {t.output_padding}"
    return equal(claim, layer, [signal(Grid(*lengths), 3)], peer, BOUND)


def linear() -> Iterator[Row]:
    """The two ends: a window as large as the image, and a window of one node."""
    for lengths in LENGTHS:
        d, s = len(lengths), signal(Grid(*lengths), 3)
        full = randomised(Conv(3, 4, window(lengths, padding="valid")), normal(32))

        def fully_connected(x: Tensor, layer: Conv = full) -> Tensor:
            return F.linear(x.flatten(1), layer.weight.flatten(0, 1).T, layer.bias)[:, None]

        claim = "05 window as large as the image = fully connected"
        yield equal(claim, full, [s], fully_connected, BOUND)
        own = randomised(Conv(3, 4, itself()), normal(33))

        def pointwise(x: Tensor, layer: Conv = own, lengths: tuple[int, ...] = lengths) -> Tensor:
            filters = layer.weight[0].T.reshape(4, 3, *[1] * len(lengths))
            return nodes(CONV[len(lengths) - 1](planes(x, lengths), filters, layer.bias))

        claim = f"05 self-edge = conv{d}d {'x'.join('1' * d)}"
        yield equal(claim, own, [s], pointwise, BOUND)


def per_axis(value: Axes, d: int) -> tuple[int, ...]:
    """One number for each axis."""
    return (value,) * d if isinstance(value, int) else value


def short(values: tuple) -> str:
    """Equal values as one."""
    return str(values[0]) if len(set(values)) == 1 else str(values)


CLAIMS = (zero_padding, circular_padding, transposed, linear)
