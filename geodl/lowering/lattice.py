"""`lattice`: windows on grids, chains and lattices with a group as one convNd on the channels-last
view.

A signal `[B, N, C]` on a lattice with |G| sheets over each point is an image `[B, |G| C, *axes]`
whose planes are sheets by channels; it is reached by a view, because nodes are numbered point by
point. The filter bank is gathered from the edge types, `bank = weight[table]`, or summed over a
basis, `bank = einsum(basis, weight)`, so that plain, lifting and group convolutions in one to three
dimensions, strided, even, transposed and periodic, are the same few lines.

Two windows need no convolution: that of one point, and that of one receiver which hears the whole
lattice, as the first layer of a classifier's head does. Both are products of matrices.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering import fft
from geodl.lowering.bank import BankPlan, bank_entries, plan_bank
from geodl.lowering.base import Call, Lowering
from geodl.lowering.product import multiply_rows
from geodl.neighborhood.structure import Stencil

CONV = {2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {2: F.conv_transpose2d, 3: F.conv_transpose3d}
Axes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


class ConvPlan(NamedTuple):
    """The views, what makes the bank, and the kernel's numbers.

    Attributes:
        transposed: whether the kernel is a transposed convolution.
        space: lengths of the senders' lattice.
        num_receivers: M.
        kernel: size of the window.
        bank: how its entries come from the weights.
        out_sheets: elements of the receivers' fiber.
        in_sheets: elements of the senders' fiber.
        wrap: (before, after) for each axis, taken from the axis' other end; empty without any.
        pad: zeros that the kernel cannot add itself, as `F.pad` takes them, or what a transposed
            convolution is cut by, where the kernel cannot leave it out.
        stride: of the window.
        padding: zeros that the kernel adds on both sides of each axis; what a transposed one leaves
            out there.
        output_padding: what a transposed convolution makes beyond that at the end of each axis.
        dilation: of the window.
        groups: blocks of channels that the weights mix.
        linear: whether each node receives from itself alone.
        whole: whether one receiver hears all nodes, each over the type of its number; transposed,
            all hear one sender.
    """

    transposed: bool
    space: Axes
    num_receivers: int
    kernel: Axes
    bank: BankPlan
    out_sheets: int
    in_sheets: int
    wrap: Pairs
    pad: Axes
    stride: Axes
    padding: Axes
    output_padding: Axes
    dilation: Axes
    groups: int
    linear: bool
    whole: bool


def refuses_window(call: Call) -> str:
    """Why a call is not a window that torch's kernels know; "" where it is."""
    stencil = call.structure(Stencil)
    if stencil is None:
        return "the rule is no window on a lattice"
    if call.spec.layout != torch.strided:
        return "a convolution needs dense values"
    axes = list(zip(stencil.circular, stencil.padding, stencil.in_shape, strict=True))
    if stencil.transposed and any(wraps and any(pair) for wraps, pair, _ in axes):
        return "a transposed window that wraps around its axis"
    if any(wraps and max(pair) > n for wraps, pair, n in axes):
        return "a window that wraps around its axis more than once"
    return ""


def _refuses(call: Call) -> str:
    if reason := refuses_window(call):
        return reason
    if not fft.convolve.refuses(call):
        return "a window this wide, around a lattice that wraps, takes less time by transforms"
    return ""


def _plan(call: Call) -> ConvPlan:
    stencil = call.structure(Stencil)
    assert stencil is not None
    s = on_two_axes(stencil)
    bank = plan_bank(s, call.spec)
    sheets_made, sheets_read = bank.sheets
    by_axis = list(zip(s.circular, s.padding, strict=True))
    # Padding is copied from the other end of axes that wrap, and zeros on the others.
    wrap = tuple((before * wraps, after * wraps) for wraps, (before, after) in by_axis)
    bounded = [not wraps for wraps in s.circular]
    zeros = tuple((p * b, q * b) for b, (p, q) in zip(bounded, s.padding, strict=True))
    if not any(map(any, wrap)):
        wrap = ()
    # Kernels add as many zeros before an axis as after it; where that does not do, they are added
    # to the image.
    beyond = (0,) * len(zeros)
    if s.transposed:
        space, (pad, padding, beyond) = s.out_shape, _cut(s)
        out_sheets, in_sheets = sheets_read, sheets_made
    elif all(before == after for before, after in zeros):
        space, pad, padding = s.in_shape, (), tuple(before for before, _ in zeros)
        out_sheets, in_sheets = sheets_made, sheets_read
    else:
        space, pad, padding = s.in_shape, _last_axis_first(zeros), (0,) * len(zeros)
        out_sheets, in_sheets = sheets_made, sheets_read
    return ConvPlan(
        transposed=s.transposed,
        space=space,
        num_receivers=call.target.num_nodes,
        kernel=s.kernel,
        bank=bank,
        out_sheets=out_sheets,
        in_sheets=in_sheets,
        wrap=wrap,
        pad=pad,
        stride=s.stride,
        padding=padding,
        output_padding=beyond,
        dilation=s.dilation,
        groups=call.options.groups,
        linear=_is_linear(s) and call.options.groups == 1,
        whole=_is_whole(s, bank, call) and call.options.groups == 1,
    )


def _is_whole(s: Stencil, bank: BankPlan, call: Call) -> bool:
    """Whether one end of all edges is a single node, and types number the nodes at the other."""
    sizes = call.source.num_nodes, call.target.num_nodes
    if s.transposed:
        sizes = sizes[::-1]
    if sizes != (math.prod(s.in_shape), 1) or s.kernel != s.in_shape:
        return False
    in_order = bank.table is None and bank.basis is None
    # Of nodes that the window reaches two or more apart it would not reach some.
    spread = any(d != 1 and k != 1 for d, k in zip(s.dilation, s.kernel, strict=True))
    return in_order and not spread and not any(map(any, s.padding))


def _is_linear(s: Stencil) -> bool:
    """Whether each node receives from itself alone."""
    if s.transposed or s.in_shape != s.out_shape or s.edge_type.numel() > 1:
        return False
    if s.basis is not None:
        return False
    return set(s.kernel) | set(s.stride) == {1} and not any(map(any, s.padding))


def _run(plan: ConvPlan, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if plan.linear and weight is not None:
        # A window of one point is a product with each node's channels, which torch computes with
        # less to do before and after it.
        return multiply_rows(x, weight[0], bias)
    if plan.whole and weight is not None:
        return _product_of_all(plan, x, weight, bias)
    batch, nodes, channels_out = x.shape
    axes = len(plan.space)
    # A plain window treats each sheet of a fiber for itself: its sheets are channels.
    planes = nodes * channels_out // math.prod(plan.space)
    if weight is None:
        # A sum over the window is a depthwise convolution with ones.
        channels = planes // plan.in_sheets
        weight, plan = x.new_ones(plan.bank.types, 1, channels), plan._replace(groups=channels)
    else:
        channels_out = weight.shape[2]
    # Values that lie plane by plane, as those of a user's image, would have all that the kernel
    # makes of them lie so, and copied back here and in the backward.
    image = x.contiguous()
    if planes == 1:
        # A single plane lies either way. By the stride of its one channel, which may be any number,
        # kernels tell which one is meant.
        image = image.view(batch, nodes)
    image = image.view(batch, *plan.space, planes)
    image = _sheets_inside(image, plan.in_sheets, plan.groups).movedim(-1, 1)
    for axis, (before, after) in enumerate(plan.wrap, start=2):
        n = image.shape[axis]
        last, first = image.narrow(axis, n - before, before), image.narrow(axis, 0, after)
        image = torch.cat((last, image, first), dim=axis)
    bank = filter_bank(plan, weight)
    # The sheets of a fiber share the bias of their channel: one for all, or it would break
    # symmetry.
    if bias is not None and plan.out_sheets > 1:
        bias = bias.view(plan.groups, 1, -1).expand(-1, plan.out_sheets, -1).flatten()
    numbers = plan.groups, plan.dilation
    if not plan.transposed:
        if plan.pad:
            image = F.pad(image, plan.pad)
        y = CONV[axes](image, bank, bias, plan.stride, plan.padding, plan.dilation, plan.groups)
    elif not plan.pad:
        cut = plan.padding, plan.output_padding
        y = CONV_TRANSPOSE[axes](image, bank, bias, plan.stride, *cut, *numbers)
    else:
        y = CONV_TRANSPOSE[axes](image, bank, None, plan.stride, 0, 0, *numbers)
        y = F.pad(y, plan.pad)
        if bias is not None:
            y = y + bias.view(-1, *[1] * axes)
    y = _sheets_inside(y.movedim(1, -1), plan.groups, plan.out_sheets)
    return y.reshape(batch, plan.num_receivers, channels_out).contiguous()


def _product_of_all(plan: ConvPlan, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """One receiver of all nodes: the channels of all of them times the weights as they stand. Of
    one sender for all nodes: its channels times the weights, the types beside each other.

    A convolution turns the weights around, forward and backward, which takes four times as long as
    the product (measured).
    """
    batch, (types, rows, columns) = len(x), weight.shape
    if not plan.transposed:
        y = multiply_rows(x.reshape(batch, types * rows), weight.reshape(-1, columns), bias)
        return y.view(batch, 1, columns)
    y = multiply_rows(x.reshape(batch, rows), weight.transpose(0, 1).reshape(rows, types * columns))
    y = y.view(batch, types, columns)
    return y if bias is None else y + bias


def _sheets_inside(planes: Tensor, outer: int, inner: int) -> Tensor:
    """The last axis, which runs over `[outer, inner, channels]`, as `[inner, outer, channels]`.

    torch takes the planes of a group of channels side by side, with all sheets of each; a signal
    has all channels of a sheet side by side. Of one sheet, or of one group, both are the same.
    """
    if outer == 1 or inner == 1:
        return planes
    return planes.unflatten(-1, (outer, inner, -1)).transpose(-3, -2).flatten(-3)


def filter_bank(plan: ConvPlan, weight: Tensor) -> Tensor:
    """The bank's entries as convNd takes them, in memory channels last.

    Args:
        plan: whose bank says what stands at each place.
        weight: `[T, C_in / groups, C_out]`.

    Returns:
        `[S C_out, R C_in / groups, *kernel]`; of a transposed convolution `[R C_in, S C_out /
        groups, *kernel]`.
    """
    rows, groups = weight.shape[1], plan.groups
    columns = weight.shape[2] // groups
    # Entries stand by (sheet s, sheet r, place in the window); rows of the weight, then its blocks
    # and their columns, are the last axes.
    gathered = bank_entries(plan.bank, weight)
    if plan.transposed:
        bank = gathered.view(plan.in_sheets, plan.out_sheets, -1, rows, groups, columns)
        bank = bank.permute(4, 0, 3, 2, 1, 5)
        shape = (groups * plan.in_sheets * rows, *plan.kernel, plan.out_sheets * columns)
        return bank.reshape(shape).movedim(-1, 1)
    if plan.out_sheets == plan.in_sheets == groups == 1:
        # The usual bank, [K, rows, columns], in two steps less: each costs a microsecond a call.
        return gathered.permute(2, 0, 1).reshape(columns, *plan.kernel, rows).movedim(-1, 1)
    bank = gathered.view(plan.out_sheets, plan.in_sheets, -1, rows, groups, columns)
    bank = bank.permute(4, 0, 5, 2, 1, 3)
    shape = (groups * plan.out_sheets * columns, *plan.kernel, plan.in_sheets * rows)
    return bank.reshape(shape).movedim(-1, 1)


def on_two_axes(s: Stencil) -> Stencil:
    """A stencil of one axis as one of two: the kernels for a row of an image are the fast ones."""
    if len(s.in_shape) > 1:
        return s
    edge_type, basis = s.edge_type, s.basis
    if basis is None:
        edge_type = edge_type.unsqueeze(2)
    else:
        basis = basis.unsqueeze(2)
    return Stencil(
        in_shape=(1, *s.in_shape),
        out_shape=(1, *s.out_shape),
        circular=(False, *s.circular),
        stride=(1, *s.stride),
        dilation=(1, *s.dilation),
        padding=((0, 0), *s.padding),
        edge_type=edge_type,
        transposed=s.transposed,
        basis=basis,
    )


def _cut(s: Stencil) -> tuple[Axes, Axes, Axes]:
    """What turns the whole of a transposed convolution into the lattice that it restores: zeros
    added or places cut off by `F.pad`, or else (no such pairs) places that the kernel leaves out on
    both sides of an axis, and those of them that it makes at the end all the same.

    Without padding the windows of n receivers span `(n - 1) stride + dilation (k - 1) + 1` places,
    the first of which is `-before`: the `before` places in front are cut off, and the end is cut,
    or filled with zeros, to the lattice's length.
    """
    pairs, beyond, fits = [], [], True
    for axis, n in enumerate(s.out_shape):
        before, _ = s.padding[axis]
        reach = s.dilation[axis] * (s.kernel[axis] - 1)
        span = (n - 1) * s.stride[axis] + reach + 1
        end = before + s.in_shape[axis] - span
        pairs.append((-before, end))
        beyond.append(end + before)
        # Kernels make less at the end than a stride or a dilation, and cut no more than a window.
        most = max(s.stride[axis], s.dilation[axis])
        fits = fits and before <= reach and 0 <= end + before < most
    if fits:
        return (), tuple(before for before, _ in s.padding), tuple(beyond)
    none = (0,) * len(pairs)
    return _last_axis_first(tuple(pairs)), none, none


def _last_axis_first(pairs: Pairs) -> Axes:
    """Pairs for each axis as `F.pad` takes them."""
    return tuple(number for pair in reversed(pairs) for number in pair)


convolve = Lowering("lattice", _refuses, _plan, _run)
