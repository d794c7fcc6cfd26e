"""`banded`: attention over a window on a lattice, in tiles: the receivers of a box receive from the
senders that the box reaches.

On one axis receiver p reads the senders `p stride - before + k dilation`, k < size. Two receivers
can share a sender only if their distance times the stride is a multiple of the dilation, so the
receivers fall into `apart = dilation / gcd(dilation, stride)` classes, p mod apart: with a dilation
of 2 and a stride of 1 the even ones and the odd ones. Within a class the window has no dilation:
the senders of the class, dilation apart, are its own list, and from one receiver to the next the
window moves on by `step = stride apart / dilation` places of it.

R receivers in a row of a class then reach `S = (R - 1) step + size` senders, a tile `[R, S]` of
scores, of which R size are wanted. Large tiles compute too many, small ones call for too many
gathers: R is chosen so that the window moves about as far as it is wide, but for narrow windows not
below TILE. As wide as a tile, a window costs about two scores on each axis for each that is read.
On several axes a tile is the product of one tile on each.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.block_mask import BlockMask, block_mask, refuses_score, run
from geodl.neighborhood.structure import Stencil

TILE = 64  # receivers of a tile, unless the window is larger: measured


class Axis(NamedTuple):
    """One axis in tiles: receivers `[T, R]`, senders `[T, S]`, kernel positions `[R, S]`, each -1
    where there is none.
    """

    receivers: Tensor
    senders: Tensor
    kernel: Tensor


def _refuses(call: Call) -> str:
    stencil = call.structure(Stencil)
    if stencil is None:
        return "the rule is no window on a lattice"
    if stencil.transposed:
        return "the edges run against their window"
    if stencil.basis is not None:
        return "a basis weighs the edges"
    if reason := refuses_score(call):
        return reason
    return ""


def _plan(call: Call) -> BlockMask:
    s = call.structure(Stencil)
    assert s is not None
    # A fiber is one more axis, the last, on which everyone receives from everyone.
    out_sheets = call.target.num_nodes // math.prod(s.out_shape)
    in_sheets = call.source.num_nodes // math.prod(s.in_shape)
    side = max(1, round((TILE / out_sheets) ** (1 / len(s.kernel))))
    axes = [_axis(s, axis, side) for axis in range(len(s.kernel))]
    axes.append(_fiber(s, out_sheets, in_sheets))
    pairs = s.edge_type.shape[0] * s.edge_type.shape[1]
    kernel = _joint([axis.kernel for axis in axes], [*s.kernel, pairs])
    receivers = _joint([axis.receivers for axis in axes], [*s.out_shape, out_sheets])
    senders = _joint([axis.senders for axis in axes], [*s.in_shape, in_sheets])
    type_of_place = s.edge_type.movedim((0, 1), (-2, -1)).flatten()
    types = type_of_place[kernel].where(kernel >= 0, -1)
    return block_mask(call, receivers, senders, types)


def _axis(s: Stencil, axis: int, side: int) -> Axis:
    """One axis of the lattice, in tiles of about `side` receivers."""
    m, n, size = s.out_shape[axis], s.in_shape[axis], s.kernel[axis]
    stride, dilation = s.stride[axis], s.dilation[axis]
    apart = dilation // math.gcd(dilation, stride)
    step = stride * apart // dilation
    longest = _divide_up(m, apart)
    wanted = max(1, _divide_up(max(size, side), step))
    blocks = _divide_up(longest, wanted)
    block = _divide_up(longest, blocks)
    classes = torch.arange(min(apart, m))[:, None]
    first = (classes + apart * block * torch.arange(blocks)).reshape(-1, 1)
    receivers = first + apart * torch.arange(block)
    reach = torch.arange((block - 1) * step + size)
    senders = first * stride - s.padding[axis][0] + dilation * reach
    if s.circular[axis]:
        senders = senders % n
    senders = senders.where((senders >= 0) & (senders < n), -1)
    # Seen from receiver i of the block, the sender at place u of its reach is at u - i step.
    kernel = reach - step * torch.arange(block)[:, None]
    kernel = kernel.where((kernel >= 0) & (kernel < size), -1)
    used = (senders >= 0).any(0) & (kernel >= 0).any(0)
    used[0] |= not used.any()  # a tile is never empty
    receivers = receivers.where(receivers < m, -1)
    return Axis(receivers, senders[:, used], kernel[:, used])


def _fiber(s: Stencil, out_sheets: int, in_sheets: int) -> Axis:
    """The sheets of both fibers as one tile; `kernel` numbers the pairs of sheets."""
    pairs = torch.arange(out_sheets * in_sheets).view(out_sheets, in_sheets)
    if s.edge_type.shape[:2] != pairs.shape:  # each sheet for itself
        pairs = torch.eye(out_sheets, dtype=torch.long) - 1
    return Axis(torch.arange(out_sheets)[None], torch.arange(in_sheets)[None], pairs)


def _divide_up(a: int, b: int) -> int:
    """`a / b`, rounded up."""
    return -(-a // b)


def _joint(axes: list[Tensor], lengths: list[int]) -> Tensor:
    """Tables `[a, b]` of each axis as one `[product of a, product of b]`, the last axis fastest; -1
    where one is -1.
    """
    joint = axes[0]
    for axis, length in zip(axes[1:], lengths[1:], strict=True):
        before, after = joint[:, None, :, None], axis[None, :, None, :]
        both = torch.where((before < 0) | (after < 0), -1, before * length + after)
        joint = both.flatten(2).flatten(0, 1)
    return joint


attend = Lowering("banded", _refuses, _plan, run)
