"""Graph attention without a number for each edge: a softmax of `s_ij = leaky(p_i + q_j)`.

Forward, a receiver keeps the largest of its scores m_i and `r_i = 1 / sum_j exp(s_ij - m_i)`, one
number each for a head. Backward goes along the transpose, from each sender to its receivers, and
computes the weights `a_ij = exp(s_ij - m_i) r_i` anew: what belongs to the sender is then summed in
place, and only the one number for each receiver and head is added up by each thread for itself. For
an upstream gradient g and `d_i = g_i . y_i`

    dv_j = sum_i a_ij g_i,   ds_ij = a_ij (g_i . v_j - d_i),
    dp_i = sum_j leaky'(p_i + q_j) ds_ij,   dq_j = sum_i leaky'(p_i + q_j) ds_ij.

Where weights are dropped out, each is read with a factor f_ij, 0 or `1 / (1 - dropout)`:

    y_i = sum_j a_ij f_ij v_j,
    dv_j = sum_i a_ij f_ij g_i,   ds_ij = a_ij (f_ij (g_i . v_j) - d_i),

and d_i is `g_i . y_i` as before. Of a factor one boolean is kept, which the backward reads again.

A head is often 16 channels wide, too short for the vectors that a compiler makes of a loop, unless
there is much to do in it: so four edges at a time are summed, and the rest of a node's one by one.
That halves the time (measured).
"""

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from geodl.lowering.kernels.compiler import compiled
from geodl.lowering.kernels.threads import equal_ranges, run_together

SLOPE = 0.2  # of leaky ReLU below 0 (Velickovic et al., "Graph Attention Networks", 2018)


def gat_forward(
    rows: Tensor,
    cols: Tensor,
    at: Tensor,
    by: Tensor,
    value: Tensor,
    kept: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`y_i = sum_j a_ij f_ij v_j`, with weights from what receivers and senders add to a score.

    Args:
        rows: `[M + 1]` where each receiver's edges begin.
        cols: `[E]` the sender of each.
        at: `[B, M, H]`, p.
        by: `[B, N, H]`, q.
        value: `[B, N, H, D]`, v, all three in single or all in double precision.
        kept: `[B, E, H]` booleans, which weights are not dropped; None where none is.
        scale: what the others are multiplied by.

    Returns:
        y `[B, M, H, D]`, zeros where no edge arrives, m and r `[B, M, H]`.
    """
    batch, _, heads, width = value.shape
    receivers = len(rows) - 1
    y = value.new_zeros(batch, receivers, heads, width)
    largest = value.new_zeros(batch, receivers, heads)
    inverse = value.new_zeros(batch, receivers, heads)
    arrays = _arrays(rows, cols, at, by, value, y, largest, inverse, _flags(kept, rows))
    kernel, real = compiled(attend_receivers, factor_of), arrays[2].dtype.type
    numbers = kept is not None, np.array([0, scale], real), real(SLOPE)
    parts = equal_ranges(arrays[0], batch * heads * width)
    run_together([partial(kernel, first, last, *numbers, *arrays) for first, last in parts])
    return y, largest, inverse


def gat_backward(
    rows: Tensor,
    cols: Tensor,
    order: Tensor,
    at: Tensor,
    by: Tensor,
    value: Tensor,
    g: Tensor,
    kept: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of p, q and v.

    Args:
        rows: `[N + 1]` where the edges of each sender begin, in the transpose.
        cols: `[E]` the receiver of each.
        order: `[E]` the index of each edge among those of the forward.
        at: `[B, M, H, 4]`: p, m, r and d.
        by: `[B, N, H]`, q.
        value: `[B, N, H, D]`, v.
        g: `[B, M, H, D]`, the upstream gradient of y.
        kept: as in :func:`gat_forward`, in the order of its edges.
        scale: as in :func:`gat_forward`.

    Returns:
        Those of p `[B, M, H]`, q `[B, N, H]` and v `[B, N, H, D]`.
    """
    batch, _, heads, width = value.shape
    dby, dvalue = value.new_zeros(by.shape), value.new_zeros(value.shape)
    parts = equal_ranges(rows.numpy(), batch * heads * width)
    # Two senders may belong to one receiver: each thread adds up for itself.
    dat = at.new_zeros(len(parts), *at.shape[:3])
    arrays = _arrays(rows, cols, order, at, by, value, g, dby, dvalue, _flags(kept, rows))
    kernel, real = compiled(attend_backward, add_slope, factor_of), arrays[3].dtype.type
    numbers = kept is not None, np.array([0, scale], real), real(SLOPE)
    run_together(
        [
            partial(kernel, first, last, *numbers, *arrays, sums)
            for (first, last), sums in zip(parts, dat.numpy(), strict=True)
        ]
    )
    return dat.sum(0), dby, dvalue


def _flags(kept: Tensor | None, like: Tensor) -> Tensor:
    """1 for each weight that is kept, 0 for the others; where none is dropped an empty array,
    because kernels take no None. They never read it.
    """
    if kept is None:
        return like.new_empty(0, 0, 0, dtype=torch.uint8)
    return kept.view(torch.uint8)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    """Tensors as numpy arrays, copied where they are not contiguous."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def attend_receivers(
    first, last, drops, factors, slope, rows, cols, at, by, value, y, largest, inverse, kept
):
    """The kernel of :func:`gat_forward`, for receivers `first` to `last`, on its arrays."""
    heads, width = value.shape[2], value.shape[3]
    longest = 0
    for i in range(first, last):
        longest = max(longest, rows[i + 1] - rows[i])
    weights = np.zeros((heads, longest), value.dtype)
    for b in range(value.shape[0]):
        for i in range(first, last):
            begin, count = rows[i], rows[i + 1] - rows[i]
            if count == 0:
                continue
            for k in range(count):
                for h in range(heads):
                    weights[h, k] = by[b, cols[begin + k], h]
            for h in range(heads):
                # The score grows with q: the largest score is that of the largest q.
                best = weights[h, 0]
                for k in range(1, count):
                    best = max(best, weights[h, k])
                best = max(at[b, i, h] + best, slope * (at[b, i, h] + best))
                total = slope - slope  # a zero of the arrays' precision
                for k in range(count):
                    score = at[b, i, h] + weights[h, k]
                    weights[h, k] = math.exp(max(score, slope * score) - best)
                    total += weights[h, k]
                largest[b, i, h] = best
                inverse[b, i, h] = 1 / total
                for k in range(count):
                    weights[h, k] *= inverse[b, i, h]
            if drops:
                for k in range(count):
                    for h in range(heads):
                        weights[h, k] *= factor_of(drops, factors, kept, b, begin + k, h)
            fours = count - count % 4
            for k in range(0, fours, 4):
                e = begin + k
                j0, j1, j2, j3 = cols[e], cols[e + 1], cols[e + 2], cols[e + 3]
                for h in range(heads):
                    w0, w1 = weights[h, k], weights[h, k + 1]
                    w2, w3 = weights[h, k + 2], weights[h, k + 3]
                    for d in range(width):
                        two = w0 * value[b, j0, h, d] + w1 * value[b, j1, h, d]
                        y[b, i, h, d] += two + w2 * value[b, j2, h, d] + w3 * value[b, j3, h, d]
            for k in range(fours, count):
                j0 = cols[begin + k]
                for h in range(heads):
                    for d in range(width):
                        y[b, i, h, d] += weights[h, k] * value[b, j0, h, d]


def attend_backward(
    first, last, drops, factors, slope, rows, cols, order, at, by, value, g, dby, dvalue, kept, dat
):
    """The kernel of :func:`gat_backward`, for senders `first` to `last`, on its arrays."""
    heads, width = value.shape[2], value.shape[3]
    zero = slope - slope  # of the arrays' precision
    for b in range(value.shape[0]):
        for j in range(first, last):
            fours = rows[j + 1] - (rows[j + 1] - rows[j]) % 4
            for e in range(rows[j], fours, 4):
                i0, i1, i2, i3 = cols[e], cols[e + 1], cols[e + 2], cols[e + 3]
                for h in range(heads):
                    s0 = at[b, i0, h, 0] + by[b, j, h]
                    s1 = at[b, i1, h, 0] + by[b, j, h]
                    s2 = at[b, i2, h, 0] + by[b, j, h]
                    s3 = at[b, i3, h, 0] + by[b, j, h]
                    w0 = math.exp(max(s0, slope * s0) - at[b, i0, h, 1]) * at[b, i0, h, 2]
                    w1 = math.exp(max(s1, slope * s1) - at[b, i1, h, 1]) * at[b, i1, h, 2]
                    w2 = math.exp(max(s2, slope * s2) - at[b, i2, h, 1]) * at[b, i2, h, 2]
                    w3 = math.exp(max(s3, slope * s3) - at[b, i3, h, 1]) * at[b, i3, h, 2]
                    f0 = factor_of(drops, factors, kept, b, order[e], h)
                    f1 = factor_of(drops, factors, kept, b, order[e + 1], h)
                    f2 = factor_of(drops, factors, kept, b, order[e + 2], h)
                    f3 = factor_of(drops, factors, kept, b, order[e + 3], h)
                    u0, u1, u2, u3 = w0 * f0, w1 * f1, w2 * f2, w3 * f3
                    p0 = p1 = p2 = p3 = zero
                    for d in range(width):
                        v = value[b, j, h, d]
                        g0, g1 = g[b, i0, h, d], g[b, i1, h, d]
                        g2, g3 = g[b, i2, h, d], g[b, i3, h, d]
                        p0 += g0 * v
                        p1 += g1 * v
                        p2 += g2 * v
                        p3 += g3 * v
                        dvalue[b, j, h, d] += u0 * g0 + u1 * g1 + u2 * g2 + u3 * g3
                    add_slope(b, i0, j, h, s0, slope, w0 * (f0 * p0 - at[b, i0, h, 3]), dat, dby)
                    add_slope(b, i1, j, h, s1, slope, w1 * (f1 * p1 - at[b, i1, h, 3]), dat, dby)
                    add_slope(b, i2, j, h, s2, slope, w2 * (f2 * p2 - at[b, i2, h, 3]), dat, dby)
                    add_slope(b, i3, j, h, s3, slope, w3 * (f3 * p3 - at[b, i3, h, 3]), dat, dby)
            for e in range(fours, rows[j + 1]):
                i0 = cols[e]
                for h in range(heads):
                    s0 = at[b, i0, h, 0] + by[b, j, h]
                    w0 = math.exp(max(s0, slope * s0) - at[b, i0, h, 1]) * at[b, i0, h, 2]
                    f0 = factor_of(drops, factors, kept, b, order[e], h)
                    p0 = zero
                    for d in range(width):
                        p0 += g[b, i0, h, d] * value[b, j, h, d]
                        dvalue[b, j, h, d] += w0 * f0 * g[b, i0, h, d]
                    add_slope(b, i0, j, h, s0, slope, w0 * (f0 * p0 - at[b, i0, h, 3]), dat, dby)


def factor_of(drops, factors, kept, b, e, h):
    """What the weight of an edge is multiplied by: the first factor where it is dropped.

    It is looked up, and not chosen: a processor guesses which way a choice goes, and half of the
    guesses about a draw are wrong, which takes as long as all the rest (measured).
    """
    if drops:
        return factors[kept[b, e, h]]
    return factors[1]


def add_slope(b, i, j, h, score, slope, ds, dat, dby):
    """Add the gradient of a score to those of its receiver's and of its sender's part."""
    if score <= 0:
        ds *= slope
    dat[b, i, h] += ds
    dby[b, j, h] += ds
