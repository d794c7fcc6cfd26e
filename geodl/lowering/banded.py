"""`banded`: attention over a window on a lattice, in tiles: the receivers of a box hear the senders
that the box reaches.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.sdpa import BlockMask, block_mask, run
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
    return (
        ""
        if call.options.score == "dot"
        else f"the kernel knows the dot product, not the {call.options.score} score"
    )


def _plan(call: Call) -> BlockMask:
    s = call.structure(Stencil)
    assert s is not None
    size, pairs = s.edge_type.shape[2:], s.edge_type.shape[0] * s.edge_type.shape[1]
    made = call.target.num_nodes // math.prod(s.out_shape)
    heard = call.source.num_nodes // math.prod(s.in_shape)
    about = max(1, round((TILE / made) ** (1 / len(size))))
    axes = [_axis(s, axis, about) for axis in range(len(size))]
    sheets = torch.arange(made * heard).view(made, heard)
    if s.edge_type.shape[:2] != sheets.shape:  # each sheet for itself
        sheets = torch.eye(made, dtype=torch.long) - 1
    axes.append(Axis(torch.arange(made)[None], torch.arange(heard)[None], sheets))
    kernel = _joint([axis.kernel for axis in axes], [*size, pairs])
    types = s.edge_type.movedim((0, 1), (-2, -1)).flatten()[kernel].where(kernel >= 0, -1)
    receivers = _joint([axis.receivers for axis in axes], [*s.out_shape, made])
    senders = _joint([axis.senders for axis in axes], [*s.in_shape, heard])
    return block_mask(call, receivers, senders, types)


def _axis(s: Stencil, axis: int, about: int) -> Axis:
    """Receivers that hear the same senders stand together: with a dilation of 2 the even ones, then
    the odd ones.

    In such a class the window has no dilation, and moves by `step` from one receiver to the next.
    """
    m, n, size, stride, dilation = (
        x[axis] for x in (s.out_shape, s.in_shape, s.edge_type.shape[2:], s.stride, s.dilation)
    )
    apart = dilation // math.gcd(dilation, stride)
    step, longest = stride * apart // dilation, -(-m // apart)
    blocks = -(-longest // max(1, -(-max(size, about) // step)))
    block = -(-longest // blocks)
    first = (torch.arange(min(apart, m))[:, None] + apart * block * torch.arange(blocks)).reshape(
        -1, 1
    )
    receivers = first + apart * torch.arange(block)
    senders = (
        first * stride - s.padding[axis][0] + dilation * torch.arange((block - 1) * step + size)
    )
    senders = (
        senders % n
        if s.circular[axis]
        else torch.where((senders >= 0) & (senders < n), senders, -1)
    )
    kernel = torch.arange(senders.shape[1]) - step * torch.arange(block)[:, None]
    kernel = torch.where((kernel >= 0) & (kernel < size), kernel, -1)
    used = (senders >= 0).any(0) & (kernel >= 0).any(0)
    used[0] |= not used.any()  # a tile is never empty
    return Axis(torch.where(receivers < m, receivers, -1), senders[:, used], kernel[:, used])


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
