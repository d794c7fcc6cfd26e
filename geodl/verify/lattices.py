"""Row 05: a convolution is messages on a lattice, one weight for each relative offset."""

from collections.abc import Iterator

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
    sizes, strides, steps = per_axis(size, d), per_axis(stride, d), per_axis(dilation, d)
    reach = [step * (k - 1) for step, k in zip(steps, sizes, strict=True)]
    pads = tuple((r // 2, r - r // 2) for r in reach) if padding is None else padding
    pads = ((pads, pads),) * d if isinstance(pads, int) else pads
    layer = Conv(3, 2, window(sizes, stride=strides, dilation=steps, padding=pads), bias=bias)

    def peer(x: Tensor) -> Tensor:
        flat = [n for pair in reversed(pads) for n in pair]
        image = F.pad(planes(x, lengths), flat, mode="circular" if circular else "constant")
        filters = layer.weight.permute(2, 1, 0).unflatten(2, sizes)
        return nodes(CONV[d - 1](image, filters, layer.bias, strides, 0, steps))

    options = [
        f"stride {short(strides)}" * (set(strides) != {1}),
        f"dilation {short(steps)}" * (set(steps) != {1}),
    ]
    options += [f"padding {short(pads)}" * (padding is not None), "no bias" * (not bias)]
    kind = f"{'circular' if circular else 'zero'} padding"
    claim = ", ".join([f"05 conv{d}d {'x'.join(map(str, sizes))}", kind, *filter(None, options)])
    return equal(
        claim,
        randomised(layer, normal(30)),
        [signal(Grid(*lengths, periodic=circular), 3)],
        peer,
        BOUND,
    )


def transposed() -> Iterator[Row]:
    """Windows with their edges reversed."""
    for d, lengths in enumerate(((7,), (4, 5), (2, 3, 3)), start=1):
        for size, stride, dilation, padding, extra in (
            (2, 2, 1, 0, 0),
            (3, 2, 1, 1, 1),
            (3, 1, 2, 1, 0),
            (4, 3, 1, 2, 2),
        ):
            yield _transposed(d, lengths, size, stride, dilation, padding, extra)


def _transposed(
    d: int,
    lengths: tuple[int, ...],
    size: int,
    stride: int,
    dilation: int,
    padding: int,
    extra: int,
) -> Row:
    onto = tuple(
        (n - 1) * stride - 2 * padding + dilation * (size - 1) + 1 + extra for n in lengths
    )
    forward = window(size, axes=d, stride=stride, dilation=dilation, padding=padding)
    layer = randomised(Conv(3, 2, forward.reverse(onto=Grid(*onto))), normal(31))

    def peer(x: Tensor) -> Tensor:
        filters = layer.weight.permute(1, 2, 0).unflatten(2, (size,) * d)
        image = planes(x, lengths)
        return nodes(
            TRANSPOSED[d - 1](image, filters, layer.bias, stride, padding, extra, 1, dilation)
        )

    claim = (
        f"05 conv_transpose{d}d {'x'.join([str(size)] * d)}, stride "
        f"{stride}, padding {padding}, dilation {dilation}"
    )
    return equal(
        f"{claim}, output_padding {extra}", layer, [signal(Grid(*lengths), 3)], peer, BOUND
    )


def linear() -> Iterator[Row]:
    """The two ends: a window as large as the image, and a window of one node."""
    for lengths in LENGTHS:
        s = signal(Grid(*lengths), 3)
        full = randomised(Conv(3, 4, window(lengths, padding="valid")), normal(32))

        def fully_connected(x: Tensor, full: Conv = full) -> Tensor:
            return F.linear(x.flatten(1), full.weight.flatten(0, 1).T, full.bias)[:, None]

        yield equal(
            "05 window as large as the image = fully connected", full, [s], fully_connected, BOUND
        )
        own = randomised(Conv(3, 4, itself()), normal(33))

        def pointwise(x: Tensor, own: Conv = own, lengths: tuple[int, ...] = lengths) -> Tensor:
            filters = own.weight[0].T.reshape(4, 3, *(1 for _ in lengths))
            return nodes(CONV[len(lengths) - 1](planes(x, lengths), filters, own.bias))

        size = "x".join("1" for _ in lengths)
        yield equal(f"05 self-edge = conv{len(lengths)}d {size}", own, [s], pointwise, BOUND)


def per_axis(value: Axes, d: int) -> tuple[int, ...]:
    """One number for each axis."""
    return (value,) * d if isinstance(value, int) else value


def short(values: tuple) -> str:
    """Equal values as one."""
    return str(values[0] if len(set(values)) == 1 else values)


CLAIMS = (zero_padding, circular_padding, transposed, linear)
