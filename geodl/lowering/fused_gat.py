"""Graph attention by one compiled kernel, which stores no number for each edge; its formulas are
derived in `lowering/kernels/gat.py`.

Second derivatives and forward mode, which few calls need, are computed by torch's operations, which
write out the weights `a [B H, E]`:

    z_ij = p_i + q_j,   s_ij = leaky(z_ij),   a_ij = exp(s_ij - l_i) / sum_k exp(s_ik - l_i),

with l_i as the kernel gives it, and the factors f_ij of a dropout, 0 or `1 / (1 - dropout)`.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.differentiable import Operator, graph_wanted
from geodl.lowering.draws import draw_ones
from geodl.lowering.kernels.gat import SLOPE, gat_backward, gat_forward
from geodl.lowering.sparse import SDDMM, SpMM
from geodl.pattern import Pattern, transpose


class Ends(NamedTuple):
    """Where the edges are, sorted by their receivers.

    Attributes:
        pattern: where the matrix of the edges has entries, and where its transpose has them.
        dst: `[E]` the receiver of each edge.
        src: `[E]` the sender of each edge.
    """

    pattern: Pattern
    dst: Tensor
    src: Tensor


class Kept(NamedTuple):
    """Which weights a dropout leaves, and what these are multiplied by.

    Attributes:
        flags: `[B, E, H]` booleans, in the order of the edges' pattern; None where none is dropped.
        scale: `1 / (1 - dropout)`.
    """

    flags: Tensor | None
    scale: float


def draw_kept(shape: tuple[int, int, int], dropout: float, device: torch.device) -> Kept:
    """A dropout of the weights, one draw of torch's generator for each.

    Args:
        shape: `[B, E, H]`.
        dropout: the probability that a weight is dropped; 0 draws nothing.
        device: of the weights.
    """
    if not dropout:
        return Kept(None, 1.0)
    return Kept(draw_ones(shape, dropout, device, torch.bool), 1 / (1 - dropout))


class GraphAttention(Operator):
    """`y_i = sum_j a_ij f_ij v_j`: the edges, p `[B, M, H]`, q `[B, N, H]`, v `[B, N, H, D]` and
    what a dropout leaves, the two parts of :class:`Kept`, to y `[B, M, H, D]` and what its backward
    reads, `l_i = log sum_j exp s_ij` `[B, M, H]`.
    """

    @staticmethod
    def forward(
        ends: Ends, at: Tensor, by: Tensor, value: Tensor, flags: Tensor | None, scale: float
    ) -> tuple[Tensor, ...]:
        rows, cols = ends.pattern.rows, ends.pattern.cols
        return torch.ops.geodl.gat_forward(rows, cols, at, by, value, flags, scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.ends, at, by, value, flags, ctx.scale = inputs
        y, level = output
        ctx.mark_non_differentiable(level)
        ctx.save_for_backward(at, by, value, flags, y, level)
        ctx.save_for_forward(at, by, value, flags, y, level)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        g, (at, by, value, flags, y, level) = grad_outputs[0], ctx.saved_tensors
        pattern, kept = ctx.ends.pattern, Kept(flags, ctx.scale)
        if graph_wanted():
            gradients = _gradients(ctx.ends, at, by, value, kept, level, g)
            return None, *gradients, None, None
        edges = pattern.rows_t, pattern.cols_t, pattern.order
        gradients = torch.ops.geodl.gat_backward(*edges, at, level, by, value, y, g, *kept)
        return None, *gradients, None, None

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        at, by, value, flags, _, level = ctx.saved_tensors
        kept = Kept(flags, ctx.scale)
        y = _tangent(ctx.ends, (at, by, value), tangents[1:4], kept, level)
        return y, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        ends, *values, scale = args
        flat = []
        for t, axis in zip(values, in_dims[1:-1], strict=True):
            if t is None:
                flat.append(None)
                continue
            first = t.expand(info.batch_size, *t.shape) if axis is None else t.movedim(axis, 0)
            flat.append(first.flatten(0, 1))
        outputs = GraphAttention.apply(ends, *flat, scale)
        return tuple(t.unflatten(0, (info.batch_size, -1)) for t in outputs), (0, 0)


def _weights(ends: Ends, at: Tensor, by: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """a and `leaky'(z)` along the edges, `[B H, E]` both."""
    z = _rows(at).index_select(1, ends.dst) + _rows(by).index_select(1, ends.src)
    # For the softmax l is a constant: what is taken off every score of a receiver cancels.
    e = (F.leaky_relu(z, SLOPE) - _rows(level.detach()).index_select(1, ends.dst)).exp()
    # Not a choice between two numbers of Python's, which torch would round to single precision.
    slope = 1 - (1 - SLOPE) * (z <= 0).to(z.dtype)
    return e / _total(ends, e, level.shape[1]).index_select(1, ends.dst), slope


def _gradients(
    ends: Ends, at: Tensor, by: Tensor, value: Tensor, kept: Kept, level: Tensor, g: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of p, q and v for an upstream gradient g `[B, M, H, D]`, as operations that can
    be differentiated.

    With `u_ij = f_ij (g_i . v_j)` and `d_i = sum_j a_ij u_ij`: `ds_ij = a_ij (u_ij - d_i)`,
    `dz_ij = leaky'(z_ij) ds_ij`, `dp_i = sum_j dz_ij`, `dq_j = sum_i dz_ij` and
    `dv_j = sum_i a_ij f_ij g_i`.
    """
    a, slope = _weights(ends, at, by, level)
    upstream = _rows(g)
    along = drop(SDDMM.apply(ends.pattern, upstream, _rows(value)), kept)
    dots = _total(ends, a * along, at.shape[1])
    dz = a * (along - dots.index_select(1, ends.dst)) * slope
    dat = _total(ends, dz, at.shape[1])
    dby = dz.new_zeros(len(dz), by.shape[1]).index_add(1, ends.src, dz)
    order = ends.pattern.order
    assert order is not None
    dvalue = SpMM.apply(transpose(ends.pattern), drop(a, kept).index_select(1, order), upstream)
    heads = at.shape[2]
    return _nodes(dat, heads), _nodes(dby, heads), _nodes(dvalue, heads)


def _tangent(
    ends: Ends,
    values: tuple[Tensor, ...],
    tangents: tuple[Tensor | None, ...],
    kept: Kept,
    level: Tensor,
) -> Tensor:
    """`y'_i = sum_j f_ij (a'_ij v_j + a_ij v'_j)` with `a'_ij = a_ij (s'_ij - sum_k a_ik s'_ik)`
    and `s'_ij = leaky'(z_ij) (p'_i + q'_j)`.
    """
    at, by, value = values
    dat, dby, dvalue = tangents
    a, slope = _weights(ends, at, by, level)
    ds = torch.zeros_like(a)
    if dat is not None:
        ds = ds + slope * _rows(dat).index_select(1, ends.dst)
    if dby is not None:
        ds = ds + slope * _rows(dby).index_select(1, ends.src)
    mean = _total(ends, a * ds, at.shape[1]).index_select(1, ends.dst)
    y = SpMM.apply(ends.pattern, drop(a * (ds - mean), kept), _rows(value))
    if dvalue is not None:
        y = y + SpMM.apply(ends.pattern, drop(a, kept), _rows(dvalue))
    return _nodes(y, at.shape[2])


def drop(a: Tensor, kept: Kept) -> Tensor:
    """`f_ij a_ij` along the edges, `[B H, E]`."""
    if kept.flags is None:
        return a
    return a * kept.flags.transpose(1, 2).flatten(0, 1) * kept.scale


def _total(ends: Ends, x: Tensor, num_receivers: int) -> Tensor:
    """The sum over each receiver's edges: `[G, E]` to `[G, M]`."""
    return x.new_zeros(len(x), num_receivers).index_add(1, ends.dst, x)


def _rows(x: Tensor) -> Tensor:
    """`[B, N, H, ...]` as `[B H, N, ...]`, one matrix for each head."""
    batch, nodes, heads = x.shape[:3]
    # By shapes alone: torch's older vmap, which `vectorize=True` runs, knows no flatten.
    return x.transpose(1, 2).reshape(batch * heads, nodes, *x.shape[3:])


def _nodes(x: Tensor, heads: int) -> Tensor:
    """The inverse: heads after nodes again."""
    return x.reshape(len(x) // heads, heads, *x.shape[1:]).transpose(1, 2)


def _fake_forward(
    rows: Tensor,
    cols: Tensor,
    at: Tensor,
    by: Tensor,
    value: Tensor,
    kept: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    y = value.new_empty(value.shape[0], rows.shape[0] - 1, *value.shape[2:])
    return y, at.new_empty(at.shape)


def _fake_backward(
    rows: Tensor,
    cols: Tensor,
    order: Tensor,
    at: Tensor,
    level: Tensor,
    by: Tensor,
    value: Tensor,
    y: Tensor,
    g: Tensor,
    kept: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    return at.new_empty(at.shape), by.new_empty(by.shape), value.new_empty(value.shape)


torch.library.define(
    "geodl::gat_forward",
    "(Tensor rows, Tensor cols, Tensor at, Tensor by, Tensor value, Tensor? kept, float scale) "
    "-> (Tensor, Tensor)",
)
torch.library.impl("geodl::gat_forward", "default", gat_forward)
torch.library.impl("geodl::gat_forward", "Meta", _fake_forward)
torch.library.define(
    "geodl::gat_backward",
    "(Tensor rows, Tensor cols, Tensor order, Tensor at, Tensor level, Tensor by, Tensor value, "
    "Tensor y, Tensor g, Tensor? kept, float scale) -> (Tensor, Tensor, Tensor)",
)
torch.library.impl("geodl::gat_backward", "default", gat_backward)
torch.library.impl("geodl::gat_backward", "Meta", _fake_backward)
