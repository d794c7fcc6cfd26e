"""`lattice`: windows on grids, chains and lattices with a group as one convNd on the channels-last
view.

The filter bank is gathered from the edge types, `bank = weight[table]`, so plain, lifting and group
convolutions in one to three dimensions, strided, even, transposed and periodic, are the same few
lines.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.neighborhood.base import Stencil

CONV = {2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
AVG_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}
Axes = tuple[int, ...]


class ConvPlan(NamedTuple):
    """Sizes of the views, the gather that makes the bank (None: it is the identity), and the
    kernel's numbers.
    """

    space: Axes
    num_receivers: int
    kernel: Axes
    table: Tensor | None
    out_sheets: int
    in_sheets: int
    wrap: tuple[tuple[int, int], ...]
    pad: Axes
    stride: Axes
    padding: Axes
    dilation: Axes
    crop: Axes


class PoolPlan(NamedTuple):
    """Sizes of the views and the kernel's numbers."""

    space: Axes
    num_receivers: int
    planes: int
    kernel: Axes
    stride: Axes
    padding: Axes
    dilation: Axes
    reduction: str


def _refuses(call: Call) -> str:
    stencil = call.rule.stencil(call.source, call.target)
    if stencil is None:
        return "the rule is no window on a lattice"
    if call.spec.layout != torch.strided:
        return "a convolution needs dense values"
    if stencil.transposed and any(stencil.circular):
        return "a transposed window on a periodic axis"
    if any(
        w and max(p) > n
        for w, p, n in zip(stencil.circular, stencil.padding, stencil.in_shape, strict=True)
    ):
        return "a window that wraps around its axis more than once"
    return ""


def _plan(call: Call) -> ConvPlan:
    stencil = call.rule.stencil(call.source, call.target)
    assert stencil is not None
    s = _two_axes(stencil)
    made, heard, *kernel = s.edge_type.shape
    wrap = tuple(p if w else (0, 0) for p, w in zip(s.padding, s.circular, strict=True))
    zero = tuple((0, 0) if w else p for p, w in zip(s.padding, s.circular, strict=True))
    even = all(low == high for low, high in zero)
    table = None
    if not (made == heard == 1 and _plain(s.edge_type)):
        table = s.edge_type.reshape(-1).to(call.spec.device)
    pad, padding, crop = _flat(zero), (0,) * len(kernel), ()
    if s.transposed:
        made, heard = heard, made
        full = [
            (n - 1) * st + d * (k - 1) + 1
            for n, st, d, k in zip(s.out_shape, s.stride, s.dilation, kernel, strict=True)
        ]
        crop = _flat(
            tuple(
                (-low, low + n - f) for (low, _), n, f in zip(zero, s.in_shape, full, strict=True)
            )
        )
        pad = ()
    elif even:
        pad, padding = (), tuple(low for low, _ in zero)
    space = s.out_shape if s.transposed else s.in_shape
    wrap = wrap if any(map(any, wrap)) else ()
    m = call.target.num_nodes
    return ConvPlan(
        space, m, tuple(kernel), table, made, heard, wrap, pad, s.stride, padding, s.dilation, crop
    )


def _run(plan: ConvPlan, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    batch, channels_in, channels_out = x.shape[0], weight.shape[1], weight.shape[2]
    image = x.reshape(batch, *plan.space, plan.in_sheets * channels_in).movedim(-1, 1)
    for axis, (low, high) in enumerate(plan.wrap, start=2):
        n = image.shape[axis]
        image = torch.cat(
            (image.narrow(axis, n - low, low), image, image.narrow(axis, 0, high)), dim=axis
        )
    if plan.pad:
        image = F.pad(image, plan.pad)
    bank = filter_bank(plan, weight)
    spread = bias if bias is None or plan.out_sheets == 1 else bias.repeat(plan.out_sheets)
    if plan.crop:
        y = F.pad(
            CONV_TRANSPOSE[len(plan.space)](image, bank, None, plan.stride, 0, 0, 1, plan.dilation),
            plan.crop,
        )
        y = y if spread is None else y + spread.view(-1, *(1 for _ in plan.space))
    else:
        y = CONV[len(plan.space)](image, bank, spread, plan.stride, plan.padding, plan.dilation)
    return y.movedim(1, -1).reshape(batch, plan.num_receivers, channels_out).contiguous()


def filter_bank(plan: ConvPlan, weight: Tensor) -> Tensor:
    """`weight[table]` as convNd takes it, `[S C_out, R C_in, *kernel]` (transposed: in before out),
    channels last.
    """
    channels_in, channels_out = weight.shape[1], weight.shape[2]
    gathered = weight if plan.table is None else weight.index_select(0, plan.table)
    if plan.crop:
        bank = gathered.view(plan.in_sheets, plan.out_sheets, -1, channels_in, channels_out)
        bank = bank.permute(0, 3, 2, 1, 4)
        shape = (plan.in_sheets * channels_in, *plan.kernel, plan.out_sheets * channels_out)
        return bank.reshape(shape).movedim(-1, 1)
    bank = gathered.view(plan.out_sheets, plan.in_sheets, -1, channels_in, channels_out)
    bank = bank.permute(0, 4, 2, 1, 3)
    shape = (plan.out_sheets * channels_out, *plan.kernel, plan.in_sheets * channels_in)
    return bank.reshape(shape).movedim(-1, 1)


def _refuses_pool(call: Call) -> str:
    if reason := _refuses(call):
        return reason
    s = call.rule.stencil(call.source, call.target)
    assert s is not None
    if s.transposed or s.edge_type.shape[:2] != (1, 1):
        return "only a plain window pools each sheet for itself"
    if any(
        low != high or 2 * low > k
        for (low, high), k in zip(s.padding, s.edge_type.shape[2:], strict=True)
    ):
        return "the pooling kernels pad at most half the window, alike on both sides"
    if any(w and any(p) for w, p in zip(s.circular, s.padding, strict=True)):
        return "the pooling kernels do not wrap"
    sizes = zip(s.padding, s.edge_type.shape[2:], s.in_shape, s.dilation, strict=True)
    if any(low and k == 2 and n < d for (low, _), k, n, d in sizes):
        return "a window that steps over the whole axis hears no one"
    if call.options.reduction in ("max", "min"):
        return ""
    if len(s.in_shape) == 3 and any(
        k > n for k, n in zip(s.edge_type.shape[2:], s.in_shape, strict=True)
    ):
        return "torch's averaging on three axes takes no window larger than an axis"
    return "the averaging kernels do not dilate" if set(s.dilation) != {1} else ""


def _plan_pool(call: Call) -> PoolPlan:
    stencil = call.rule.stencil(call.source, call.target)
    assert stencil is not None
    s = _two_axes(stencil)
    planes = call.source.num_nodes // math.prod(s.in_shape)
    padding = tuple(low for low, _ in s.padding)
    return PoolPlan(
        s.in_shape,
        call.target.num_nodes,
        planes,
        tuple(s.edge_type.shape[2:]),
        s.stride,
        padding,
        s.dilation,
        call.options.reduction,
    )


def _run_pool(plan: PoolPlan, x: Tensor) -> Tensor:
    batch, channels, d = x.shape[0], x.shape[2], len(plan.space)
    image = x.reshape(batch, *plan.space, plan.planes * channels).movedim(-1, 1)
    kernel, stride, padding = plan.kernel, plan.stride, plan.padding
    if plan.reduction == "max":
        y = MAX_POOL[d](image, kernel, stride, padding, plan.dilation)
    elif plan.reduction == "min":
        y = -MAX_POOL[d](-image, kernel, stride, padding, plan.dilation)
    elif plan.reduction == "mean":
        y = AVG_POOL[d](image, kernel, stride, padding, count_include_pad=False)
    else:
        y = AVG_POOL[d](image, kernel, stride, padding, divisor_override=1)
    return y.movedim(1, -1).reshape(batch, plan.num_receivers, channels).contiguous()


def _two_axes(s: Stencil) -> Stencil:
    """A stencil of one axis as one of two: the kernels for a row of an image are the fast ones."""
    if len(s.in_shape) > 1:
        return s
    one = (1,)
    return Stencil(
        one + s.in_shape,
        one + s.out_shape,
        (False, *s.circular),
        one + s.stride,
        one + s.dilation,
        ((0, 0), *s.padding),
        s.edge_type.unsqueeze(2),
        s.transposed,
    )


def _plain(table: Tensor) -> bool:
    return torch.equal(table.reshape(-1), torch.arange(table.numel()))


def _flat(pairs: tuple[tuple[int, int], ...]) -> Axes:
    """Pairs as `F.pad` takes them, last axis first."""
    return tuple(n for pair in reversed(pairs) for n in pair)


convolve = Lowering("lattice", _refuses, _plan, _run)
pool = Lowering("lattice", _refuses_pool, _plan_pool, _run_pool)
