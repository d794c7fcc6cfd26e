"""Graph attention without a number for each edge: a softmax of `s_ij = leaky(p_i + q_j)`.

Forward, a receiver keeps one number for a head, `l_i = log sum_j exp s_ij`, computed as
`m_i + log sum_j exp(s_ij - m_i)` with the largest of its scores m_i. Backward goes along the
transpose, from each sender to its receivers, and computes the weights `a_ij = exp(s_ij - l_i)`
anew: what belongs to the sender is then summed in place, and only the one number for each receiver
and head is added up by each thread for itself. For an upstream gradient g and `d_i = g_i . y_i`

    dv_j = sum_i a_ij g_i,   ds_ij = a_ij (g_i . v_j - d_i),
    dp_i = sum_j leaky'(p_i + q_j) ds_ij,   dq_j = sum_i leaky'(p_i + q_j) ds_ij.

Where weights are dropped out, each is read with a factor f_ij, 0 or `1 / (1 - dropout)`:

    y_i = sum_j a_ij f_ij v_j,
    dv_j = sum_i a_ij f_ij g_i,   ds_ij = a_ij (f_ij (g_i . v_j) - d_i),

and d_i is `g_i . y_i` as before. Of a factor one boolean is kept, which the backward reads again.

A node has few edges and few heads, too few for the vectors that a compiler makes of a loop. So
nodes are taken by runs whose weights fit into the processor's first cache, and what is done to each
weight alone, above all the exponential, is one loop over all of a run. That takes two thirds of the
time (measured).
"""

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from geodl.compiler import compiled, prefetch
from geodl.lowering.kernels.arrays import arrays_of, refuse_places_beyond
from geodl.lowering.kernels.threads import equal_ranges, run_together, share_out

SLOPE = 0.2  # of leaky ReLU below 0 (Velickovic et al., "Graph Attention Networks", 2018)
RUN = 2**11  # weights that are computed together
AHEAD = 8  # edges between one that is read and the one whose row is fetched
LINE = 16  # numbers of single precision in a cache line


def gat_forward(
    rows: Tensor,
    cols: Tensor,
    at: Tensor,
    by: Tensor,
    value: Tensor,
    kept: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
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
        y `[B, M, H, D]` and l `[B, M, H]`, zeros where no edge arrives.

    Raises:
        GeodlError: if the sender or the receiver of an edge has no values.
    """
    batch, _, heads, width = value.shape
    receivers = len(rows) - 1
    y = value.new_empty(batch, receivers, heads * width)
    level = value.new_zeros(batch, receivers, heads)
    ends = (rows, cols, at, by, value.flatten(2))
    arrays = arrays_of(*ends, _flags(kept, rows), y, level)
    if batch > 0:  # an empty one stands for no nodes: it only has the kernel compiled
        refuse_places_beyond(arrays[1].max(initial=-1), value.shape[1])
        refuse_places_beyond(receivers - 1, at.shape[1])
    kernel = compiled(attend_receivers, *PARTS, weigh, add_up)
    real = arrays[2].dtype.type
    numbers = kept is not None, real(scale), real(SLOPE)
    shares = equal_ranges(arrays[0], batch * heads * width)
    share_out(kernel, shares, *numbers, *arrays)
    return y.view(batch, receivers, heads, width), level


def gat_backward(
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
    """The gradients of p, q and v.

    Args:
        rows: `[N + 1]` where the edges of each sender begin, in the transpose.
        cols: `[E]` the receiver of each.
        order: `[E]` the index of each edge among those of the forward.
        at: `[B, M, H]`, p.
        level: `[B, M, H]`, l.
        by: `[B, N, H]`, q.
        value: `[B, N, H, D]`, v.
        y: `[B, M, H, D]`.
        g: `[B, M, H, D]`, the upstream gradient of y.
        kept: as in :func:`gat_forward`, in the order of its edges.
        scale: as in :func:`gat_forward`.

    Returns:
        Those of p `[B, M, H]`, q `[B, N, H]` and v `[B, N, H, D]`.
    """
    batch, senders, heads, width = value.shape
    dby = value.new_zeros(by.shape)
    dvalue = value.new_empty(batch, senders, heads * width)
    shares = equal_ranges(rows.numpy(), batch * heads * width)
    # Two senders may belong to one receiver: each thread adds up for itself.
    dat = at.new_zeros(len(shares), batch, at.shape[1], heads)
    upstream, of_receivers = g.flatten(2), at.new_empty(batch, at.shape[1], 3, heads)
    compiled(stand_together)(*arrays_of(at, level, y.flatten(2), upstream, of_receivers))
    ends = (rows, cols, order, of_receivers, by, value.flatten(2), upstream)
    arrays = arrays_of(*ends, _flags(kept, rows), dby, dvalue)
    kernel = compiled(attend_backward, *PARTS, weigh_back, drop, multiply_back)
    real = arrays[3].dtype.type
    numbers = kept is not None, np.array([0, scale], real), real(SLOPE)
    if len(shares) > 1:
        kernel(0, 0, *numbers, *arrays, dat.numpy()[0])  # compiled here, as `share_out` does
    run_together(
        [
            partial(kernel, first, last, *numbers, *arrays, sums)
            for (first, last), sums in zip(shares, dat.numpy(), strict=True)
        ]
    )
    return dat.sum(0), dby, dvalue.view(value.shape)


def _flags(kept: Tensor | None, like: Tensor) -> Tensor:
    """1 for each weight that is kept, 0 for the others; where none is dropped an empty array,
    because kernels take no None. They never read it.
    """
    if kept is None:
        return like.new_empty(0, 0, 0, dtype=torch.uint8)
    return kept.view(torch.uint8)


def attend_receivers(first, last, drops, scale, slope, rows, cols, at, by, value, kept, y, level):
    """The kernel of :func:`gat_forward`, for receivers `first` to `last`, on its arrays; v and y
    are `[B, N, H D]`.
    """
    heads = at.shape[2]
    weights = np.empty((largest_run(first, last, rows, heads), heads), value.dtype)
    dropped = np.empty_like(weights)
    total = np.empty(heads, value.dtype)
    for b in range(value.shape[0]):
        begin = first
        while begin < last:
            end = end_of_run(begin, last, rows, len(weights))
            count = (rows[end] - rows[begin]) * heads
            weigh(begin, end, slope, rows, cols, at[b], by[b], weights, level[b])
            exponentials(weights.reshape(-1)[:count])
            read = weights
            if drops:
                read, flags = dropped, kept[b].reshape(-1)[rows[begin] * heads :]
                own, into = weights.reshape(-1), dropped.reshape(-1)
                for k in range(count):
                    # written whether it is dropped or not: vectors know no branches
                    into[k] = own[k] * scale if flags[k] else own[k] * 0
            add_up(begin, end, rows, cols, weights, read, total, value[b], y[b], level[b])
            begin = end


def largest_run(first, last, rows, heads):
    """The edges of a run at most: one node's belong to one run, however many they are."""
    room = max(1, RUN // heads)
    for i in range(first, last):
        room = max(room, rows[i + 1] - rows[i])
    return room


def end_of_run(begin, last, rows, room):
    """The node after the last one of a run."""
    end = begin + 1
    while end < last and rows[end + 1] - rows[begin] <= room:
        end += 1
    return end


def weigh(begin, end, slope, rows, cols, at, by, weights, largest):
    """`s_ij - m_i` of some receivers' edges, and m."""
    heads = at.shape[1]
    for i in range(begin, end):
        first, last = rows[i] - rows[begin], rows[i + 1] - rows[begin]
        if first == last:
            continue
        own, best, start = at[i], largest[i], by[cols[rows[i]]]
        for h in range(heads):
            best[h] = start[h]
        for e in range(first, last):
            weight, sender = weights[e], by[cols[rows[begin] + e]]
            for h in range(heads):
                weight[h] = sender[h]
                best[h] = max(best[h], sender[h])
        for h in range(heads):
            # The score grows with q: the largest score is that of the largest q.
            score = own[h] + best[h]
            best[h] = max(score, slope * score)
        for e in range(first, last):
            weight = weights[e]
            for h in range(heads):
                score = own[h] + weight[h]
                weight[h] = max(score, slope * score) - best[h]


def exponentials(x):
    """Each number's exponential in its place."""
    for k in range(len(x)):
        x[k] = exponential(x[k])


def exponential(x):
    """`exp(x)`: of double precision by the system's function, of single by that below."""
    return math.exp(x)


def exponential_of_single(x):
    """`exp(x)` for x up to 0, as operations that vectors have, at a fifth of the time of the
    system's function (measured), with an error of 1e-7 of the value.

    With `x = n ln 2 + r` and `|r| <= ln 2 / 2` it is `2^n exp(r)`. n ln 2 is taken off in two
    parts, so that nothing is rounded away; exp(r) is a polynomial of degree 7 (Moshier, "Cephes
    Mathematical Library", 1989); 2^n is a number whose exponent has the bits of n. Below -87 it
    stays at 1e-38, and what is no number remains none.
    """
    x = np.float32(-87.0) if x < np.float32(-87.0) else x
    n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
    p = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1)
    exponent = np.int32(n) if n > np.float32(-128) else np.int32(0)
    return p * np.int32((exponent + np.int32(127)) << np.int32(23)).view(np.float32)


def add_up(begin, end, rows, cols, weights, read, total, value, y, level):
    """`y_i = sum_j w_ij f_ij v_j / t_i` for some receivers, `t_i = sum_j w_ij`, and l out of m.

    Divided once at the node: a pass over all weights would cost as much as their exponentials.
    """
    heads, channels = weights.shape[1], value.shape[1]
    width, numbers = channels // heads, value.reshape(-1)
    for i in range(begin, end):
        out = y[i]
        for c in range(channels):
            out[c] = 0
        if rows[i] == rows[i + 1]:
            continue
        for h in range(heads):
            total[h] = 0
        for e in range(rows[i], rows[i + 1]):
            fetch_ahead(e + AHEAD, cols, numbers, channels)
            k, sent = e - rows[begin], value[cols[e]]
            for h in range(heads):
                total[h] += weights[k, h]
                weight = read[k, h]
                for d in range(width):
                    out[h * width + d] += weight * sent[h * width + d]
        for h in range(heads):
            level[i, h] += math.log(total[h])
            share = 1 / total[h]
            for d in range(width):
                out[h * width + d] *= share


def fetch_ahead(e, cols, numbers, channels):
    """Ask for the row of the node at the other end of an edge, before it is read."""
    if e < len(cols):
        for c in range(0, channels, LINE):
            prefetch(numbers, cols[e] * channels + c)


def stand_together(at, level, y, g, ends):
    """p, l and `d_i = g_i . y_i` of each receiver, all that a weight needs of it, side by side
    `[B, M, 3, H]`: to be fetched together.
    """
    heads = at.shape[2]
    width = y.shape[2] // heads
    for b in range(at.shape[0]):
        for i in range(at.shape[1]):
            for h in range(heads):
                ends[b, i, 0, h] = at[b, i, h]
                ends[b, i, 1, h] = level[b, i, h]
                ends[b, i, 2, h] = 0
                for c in range(h * width, (h + 1) * width):
                    ends[b, i, 2, h] += g[b, i, c] * y[b, i, c]


def attend_backward(
    first, last, drops, factors, slope, rows, cols, order, at, by, value, g, kept, dby, dvalue, dat
):
    """The kernel of :func:`gat_backward`, for senders `first` to `last`, on its arrays; v, g and dv
    are `[B, N, H D]`.
    """
    heads = by.shape[2]
    shape = largest_run(first, last, rows, heads), heads
    weights = np.empty(shape, value.dtype)
    scores = np.empty(shape, value.dtype)
    dropped = np.empty(shape, value.dtype)
    for b in range(value.shape[0]):
        begin = first
        while begin < last:
            end = end_of_run(begin, last, rows, len(weights))
            weigh_back(begin, end, slope, rows, cols, at[b], by[b], weights, scores)
            exponentials(weights.reshape(-1)[: (rows[end] - rows[begin]) * heads])
            read = weights
            if drops:
                drop(begin, end, factors, rows, order, kept[b], weights, dropped)
                read = dropped
            along = slope, weights, read, scores
            nodes = value[b], g[b], at[b], dby[b], dvalue[b], dat[b]
            multiply_back(begin, end, rows, cols, along, nodes)
            begin = end


def weigh_back(begin, end, slope, rows, cols, at, by, weights, scores):
    """The scores of some senders' edges, before leaky ReLU, and `s_ij - l_i`."""
    heads = by.shape[1]
    for j in range(begin, end):
        own = by[j]
        for e in range(rows[j], rows[j + 1]):
            k, receiver = e - rows[begin], at[cols[e]]
            for h in range(heads):
                score = receiver[0, h] + own[h]
                scores[k, h] = score
                weights[k, h] = max(score, slope * score) - receiver[1, h]


def drop(begin, end, factors, rows, order, kept, weights, dropped):
    """`a_ij f_ij` of some senders' edges.

    A factor is looked up, and not chosen: a processor guesses which way a choice goes, and half of
    the guesses about a draw are wrong.
    """
    for k in range(rows[end] - rows[begin]):
        flags = kept[order[rows[begin] + k]]
        for h in range(weights.shape[1]):
            dropped[k, h] = weights[k, h] * factors[flags[h]]


def multiply_back(begin, end, rows, cols, along, nodes):
    """`dv_j = sum_i w_ij g_i` of some senders, and the gradients of scores along their edges, added
    to those of their receivers' and of their senders' parts.
    """
    slope, weights, read, scores = along
    value, g, at, dby, dvalue, dat = nodes
    heads, channels = weights.shape[1], value.shape[1]
    width, flat, zero = channels // heads, g.reshape(-1), weights[0, 0] - weights[0, 0]
    for j in range(begin, end):
        own, out, of_sender = value[j], dvalue[j], dby[j]
        for c in range(channels):
            out[c] = 0
        for e in range(rows[j], rows[j + 1]):
            fetch_ahead(e + AHEAD, cols, flat, channels)
            k, i = e - rows[begin], cols[e]
            upstream, of_receiver, receiver = g[i], dat[i], at[i]
            for h in range(heads):
                weight, total = read[k, h], zero
                for d in range(width):
                    total += upstream[h * width + d] * own[h * width + d]
                ds = weight * total - weights[k, h] * receiver[2, h]
                ds = ds if scores[k, h] > 0 else ds * slope
                of_receiver[h] += ds
                of_sender[h] += ds
            for h in range(heads):
                weight = read[k, h]
                for d in range(width):
                    out[h * width + d] += weight * upstream[h * width + d]


PARTS = (
    largest_run,
    end_of_run,
    exponentials,
    (exponential, exponential_of_single),
    fetch_ahead,
    prefetch,
)
