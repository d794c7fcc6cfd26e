"""`lattice`: pooling over plain windows by torch's pooling kernels, each sheet of a fiber for
itself.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.lattice import Axes, on_two_axes, refuses_window
from geodl.neighborhood.structure import Stencil

MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
AVG_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}


class PoolPlan(NamedTuple):
    """Sizes of the views and the kernel's numbers.

    Attributes:
        space: lengths of the senders' lattice.
        num_receivers: M.
        sheets: elements of the fiber.
        kernel: size of the window.
        stride: of the window.
        padding: on both sides of each axis; what is behind may differ, see `reaches`.
        reaches: whether a last window that begins inside may reach beyond the padding (torch's
            `ceil_mode`).
        counts: `[1, 1, *out]` how many senders each receiver has, where a mean over a padded window
            needs them.
        dilation: of the window.
        reduction: "max", "min", "mean" or "sum".
    """

    space: Axes
    num_receivers: int
    sheets: int
    kernel: Axes
    stride: Axes
    padding: Axes
    reaches: bool
    dilation: Axes
    counts: Tensor | None
    reduction: str


def _refuses(call: Call) -> str:
    if reason := refuses_window(call):
        return reason
    s = call.structure(Stencil)
    assert s is not None
    if s.basis is not None:
        return "a basis weighs the edges"
    if s.transposed or s.edge_type.shape[:2] != (1, 1):
        return "only a plain window pools each sheet for itself"
    for axis, (before, after) in enumerate(s.padding):
        if 2 * before > s.kernel[axis]:
            return "the pooling kernels pad at most half the window"
        if (before or after) and s.circular[axis]:
            return "the pooling kernels do not wrap"
        if before and s.kernel[axis] == 2 and s.in_shape[axis] < s.dilation[axis]:
            return "a window that steps over the whole axis receives from no one"
    if _lengths(s, reaches=False) != s.out_shape:
        if call.options.reduction not in ("max", "min"):
            return "the averaging kernels pad equally on both sides"
        if _lengths(s, reaches=True) != s.out_shape:
            return "the pooling kernels reach over the end with one window at most"
    if call.options.reduction in ("max", "min") or set(s.dilation) == {1}:
        return ""
    return "the averaging kernels do not dilate"


def _plan(call: Call) -> PoolPlan:
    stencil = call.structure(Stencil)
    assert stencil is not None
    s = on_two_axes(stencil)
    padding = tuple(before for before, _ in s.padding)
    counts = None
    if call.options.reduction == "mean" and any(padding):
        counts = _num_senders(s, padding).to(call.spec.device)
    return PoolPlan(
        space=s.in_shape,
        num_receivers=call.target.num_nodes,
        sheets=call.source.num_nodes // math.prod(s.in_shape),
        kernel=s.kernel,
        stride=s.stride,
        padding=padding,
        reaches=_lengths(s, reaches=False) != s.out_shape,
        dilation=s.dilation,
        counts=counts,
        reduction=call.options.reduction,
    )


def _lengths(s: Stencil, *, reaches: bool) -> Axes:
    """The receivers' lattice that torch's pooling makes with the padding before each axis on both
    of its sides: `(n + 2 p - d (k - 1) - 1) / stride + 1`, rounded down. Where windows may reach
    beyond, it is rounded up, and a window that begins behind the last node is left out.
    """
    lengths = []
    for axis, n in enumerate(s.in_shape):
        before, stride = s.padding[axis][0], s.stride[axis]
        room = n + 2 * before - s.dilation[axis] * (s.kernel[axis] - 1) - 1
        length = room // stride + 1
        if reaches:
            length = -(-room // stride) + 1
            if (length - 1) * stride >= n + before:
                length -= 1
        lengths.append(length)
    return tuple(lengths)


def _num_senders(s: Stencil, padding: Axes) -> Tensor:
    """How many senders each receiver has: `[1, 1, *out]`."""
    ones = F.pad(torch.ones(1, 1, *s.in_shape, dtype=torch.float64), _both_sides(padding))
    return (AVG_POOL[len(s.in_shape)](ones, s.kernel, s.stride) * math.prod(s.kernel)).round()


def _both_sides(padding: Axes) -> Axes:
    """The same padding before and after each axis, as `F.pad` takes it, last axis first."""
    return tuple(number for number in reversed(padding) for _ in (0, 1))


def _run(plan: PoolPlan, x: Tensor) -> Tensor:
    batch, channels, axes = x.shape[0], x.shape[2], len(plan.space)
    image = x.reshape(batch, *plan.space, plan.sheets * channels).movedim(-1, 1)
    kernel, stride, padding = plan.kernel, plan.stride, plan.padding
    if plan.reduction == "max":
        y = MAX_POOL[axes](image, kernel, stride, padding, plan.dilation, plan.reaches)
    elif plan.reduction == "min":
        y = -MAX_POOL[axes](-image, kernel, stride, padding, plan.dilation, plan.reaches)
    else:
        # The averaging kernels never pad themselves: on CUDA their gradient is wrong for
        # channels-last
        # images that are padded on one axis only (seen with torch 2.11).
        if any(padding):
            image = F.pad(image, _both_sides(padding))
        y = AVG_POOL[axes](image, kernel, stride)
        if plan.reduction == "sum" or plan.counts is not None:
            y = y * math.prod(kernel)
        if plan.counts is not None:
            y = y / plan.counts.to(y.dtype)
    return y.movedim(1, -1).reshape(batch, plan.num_receivers, channels).contiguous()


pool = Lowering("lattice", _refuses, _plan, _run)
