"""The largest value among each node's senders, channel by channel, and its gradient.

`y_ic = max over edges (j -> i) of x_jc`. The derivative is 1 at the sender that attains the
maximum; where t senders do, each has the share 1/t, the only choice that commutes with a
relabelling of the nodes. So a number for each receiver and channel says all that the backward has
to know, the first sender that attains the maximum, and t; only where t > 1 are the values read
again. A minimum is the maximum of the values times -1. A maximum that is NaN, which nothing is
equal to, has t = 0, and its derivative by every value that arrives is NaN.

The maximum is found first, and who attains it then, while the senders' rows are still near; both
for four edges at a time, so that what a receiver keeps is read and written a quarter as often.
"""

import numpy as np
import torch
from torch import Tensor

from geodl.compiler import compiled, prefetch
from geodl.lowering.kernels.arrays import arrays_of, refuse_places_beyond
from geodl.lowering.kernels.threads import equal_ranges, equal_shares, share_out

LINE = 16  # channels that threads may not share: a cache line of single precision
AHEAD = 64  # edges of which the senders are fetched ahead: more would push each other out


def largest_values(
    rows: Tensor, cols: Tensor, x: Tensor, sign: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The largest of `sign * x` over the senders of each receiver, times sign.

    Args:
        rows: `[M + 1]` where each receiver's edges begin.
        cols: `[E]` the sender of each.
        x: `[B, N, C]`, in single or double precision.
        sign: 1 for a maximum, -1 for a minimum.

    Returns:
        Values `[B, M, C]`, 0 where no edge arrives; the first sender that attains each `[B, M, C]`;
        along how many edges it arrives `[B, M, C]`.

    Raises:
        GeodlError: if an edge's sender has no values.
    """
    shape = (x.shape[0], len(rows) - 1, x.shape[2])
    y = x.new_zeros(shape)
    winner = torch.zeros(shape, dtype=torch.int32)
    ties = torch.zeros(shape, dtype=torch.int32)
    arrays = arrays_of(rows, cols, x, y, winner, ties)
    if shape[0] > 0:  # an empty batch stands for no nodes: it only has the kernel compiled
        refuse_places_beyond(arrays[1].max(initial=-1), x.shape[1])
    kernel, factor = compiled(find_largest, fetch_ahead, prefetch), arrays[2].dtype.type(sign)
    parts = equal_ranges(arrays[0], shape[0] * shape[2])
    share_out(kernel, parts, factor, *arrays)
    return y, winner, ties


def shared_gradient(
    rows: Tensor, cols: Tensor, x: Tensor, winner: Tensor, ties: Tensor, g: Tensor
) -> Tensor:
    """The gradient `[B, N, C]` of x for a gradient g `[B, M, C]` of the largest values.

    Arguments as :func:`largest_values` takes and returns them.
    """
    dx = torch.zeros_like(x, memory_format=torch.contiguous_format)
    arrays = arrays_of(rows, cols, x, winner, ties, g, dx)
    kernel = compiled(share_gradient)
    # Several receivers may write to one sender: threads share out the channels, not the nodes.
    parts = equal_shares(x.shape[2], LINE, g.numel())
    share_out(kernel, parts, *arrays)
    return dx


def find_largest(first, last, sign, rows, cols, x, y, winner, ties):
    """The kernel of :func:`largest_values`, for receivers `first` to `last`, on its arrays."""
    channels = x.shape[2]
    for b in range(x.shape[0]):
        for i in range(first, last):
            # The next receiver's senders are on their way while this one's are compared.
            fetch_ahead(min(i + 1, last - 1), rows, cols, x[b])
            begin, end = rows[i], rows[i + 1]
            if begin == end:
                continue
            j0 = cols[begin]
            for c in range(channels):
                y[b, i, c] = sign * x[b, j0, c]
            fours = end - (end - begin) % 4
            for e in range(begin, fours, 4):
                j0, j1, j2, j3 = cols[e], cols[e + 1], cols[e + 2], cols[e + 3]
                for c in range(channels):
                    v0, v1 = sign * x[b, j0, c], sign * x[b, j1, c]
                    v2, v3 = sign * x[b, j2, c], sign * x[b, j3, c]
                    # What is no number is larger than all numbers, as torch has it.
                    best = y[b, i, c]
                    best = v0 if v0 > best or v0 != v0 else best
                    best = v1 if v1 > best or v1 != v1 else best
                    best = v2 if v2 > best or v2 != v2 else best
                    y[b, i, c] = v3 if v3 > best or v3 != v3 else best
            for e in range(fours, end):
                j0 = cols[e]
                for c in range(channels):
                    v0, best = sign * x[b, j0, c], y[b, i, c]
                    y[b, i, c] = v0 if v0 > best or v0 != v0 else best
            for c in range(channels):
                y[b, i, c] *= sign
            # Back from the last edge, so that the first sender is the one that is written last.
            for e in range(end - 1, fours - 1, -1):
                j0 = cols[e]
                for c in range(channels):
                    hit0 = x[b, j0, c] == y[b, i, c]
                    winner[b, i, c] = j0 if hit0 else winner[b, i, c]
                    ties[b, i, c] += hit0
            for e in range(fours - 4, begin - 1, -4):
                j0, j1, j2, j3 = cols[e], cols[e + 1], cols[e + 2], cols[e + 3]
                for c in range(channels):
                    best, first_one = y[b, i, c], winner[b, i, c]
                    hit0, hit1 = x[b, j0, c] == best, x[b, j1, c] == best
                    hit2, hit3 = x[b, j2, c] == best, x[b, j3, c] == best
                    # Each is written whether it changes or not: vectors know no branches.
                    first_one = j3 if hit3 else first_one
                    first_one = j2 if hit2 else first_one
                    first_one = j1 if hit1 else first_one
                    winner[b, i, c] = j0 if hit0 else first_one
                    ties[b, i, c] = ties[b, i, c] + hit0 + hit1 + hit2 + hit3


def fetch_ahead(i, rows, cols, values):
    """Ask for the rows of the senders of receiver i, before they are read."""
    numbers, channels = values.reshape(-1), values.shape[1]
    for e in range(rows[i], min(rows[i + 1], rows[i] + AHEAD)):
        for c in range(0, channels, LINE):
            prefetch(numbers, cols[e] * channels + c)


def share_gradient(first, last, rows, cols, x, winner, ties, g, dx):
    """The kernel of :func:`shared_gradient`, for channels `first` to `last`, on its arrays."""
    # A place in memory that cannot be negative is found faster: numpy counts those from the end.
    channels = np.uint64(x.shape[2])
    for b in range(x.shape[0]):
        numbers = dx[b].reshape(-1)
        for i in range(len(rows) - 1):
            for c in range(first, last):
                if ties[b, i, c] == 1:
                    place = np.uint64(winner[b, i, c]) * channels + np.uint64(c)
                    numbers[place] += g[b, i, c]
                elif ties[b, i, c] > 1:
                    best = x[b, winner[b, i, c], c]
                    share = g[b, i, c] / ties[b, i, c]
                    for e in range(rows[i], rows[i + 1]):
                        if x[b, cols[e], c] == best:
                            dx[b, cols[e], c] += share
                else:
                    # No sender is equal to a maximum that is NaN, and no edge needs a share of 0.
                    for e in range(rows[i], rows[i + 1]):
                        dx[b, cols[e], c] = np.nan
