"""Products of many rows with a matrix, each of them added up in the processor's registers.

`x W` for values x of many nodes and the weights W of a layer, and the gradient to W, `x^T g`, for
processors on which the library that torch calls is slow (`geodl/lowering/product.py`).

Each row is summed by one thread, so that the answer does not depend on how many there are. `x^T g`
is summed along rows, of which there may be millions: blocks of rows are summed up first, then spans
of blocks, then spans, so that roundings do not add up.

Columns are taken in vectors of the longest power of two that registers hold, and what is left of
them in shorter ones.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.compiler import compiled
from geodl.lowering.kernels.arrays import arrays_of
from geodl.lowering.kernels.threads import equal_shares, share_out
from geodl.vectors import VECTORS, Lanes, add, add_product, entry, lanes_of, load, store, zeros

BLOCK = 2**13  # numbers of x, and of g, that fit into the first cache together
SHORTEST, TALLEST = 16, 128  # rows of a block
MOST_SPANS = 64  # each has a sum of its own, of W's size
# Numbers in a vector: four of them take half of the registers that a processor has.
LONGEST = {"AVX512": 64}
LONGEST_ELSEWHERE = 16


class Columns(NamedTuple):
    """Columns that are taken in vectors of one length.

    Attributes:
        start: the first one.
        vectors: how many stand beside each other.
        lanes: how long each is.
    """

    start: int
    vectors: int
    lanes: Lanes


@cache
def columns_of(width: int) -> tuple[Columns, ...]:
    """All columns of a matrix: whole vectors, and then ever shorter ones.

    Args:
        width: how many columns there are.
    """
    longest = LONGEST.get(torch.backends.cpu.get_cpu_capability(), LONGEST_ELSEWHERE)
    found, start = [], 0
    while start < width:
        left = width - start
        power = 1 << (left.bit_length() - 1)
        lanes = min(longest, power)
        vectors = left // lanes
        found.append(Columns(start, vectors, lanes_of(lanes)))
        start += vectors * lanes
    return tuple(found)


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x W + b` in single precision: x `[N, C]`, W `[C, D]` and b `[D]` to `[N, D]`."""
    width = weight.shape[1]
    if bias is None:
        bias = x.new_zeros(width)
    y = x.new_empty(len(x), width)
    arrays = arrays_of(x, weight, bias, y)
    kernel, columns = compiled(add_up_products, *VECTORS), columns_of(width)

    def run(first: int, last: int) -> None:
        for some in columns:
            kernel(first, last, *some, *arrays)

    share_out(run, equal_shares(len(x), TALLEST, x.numel()))
    return y


def multiply_transposed(x: Tensor, g: Tensor) -> Tensor:
    """`x^T g` in single precision: x `[N, C]` and g `[N, D]` to `[C, D]`."""
    depth, width = x.shape[1], g.shape[1]
    block = max(SHORTEST, min(TALLEST, BLOCK // max(depth, width)))
    span = block * max(1, -(-len(x) // (block * MOST_SPANS)))
    spans = -(-len(x) // span)
    sums = g.new_zeros(spans, depth, width)
    arrays = arrays_of(x, g, sums)
    kernel = compiled(add_up_spans, *VECTORS, add_to, add_up_block)
    columns = columns_of(width)

    def run(first: int, last: int) -> None:
        for some in columns:
            # Sizes are given, for a file that numba keeps does not tell other ones apart.
            kernel(first, last, (block, span), *some, *arrays)

    share_out(run, equal_shares(spans, 1, x.numel()))
    return sums.sum(0)


def add_up_products(first, last, start, vectors, lanes, x, w, b, y):
    """The kernel of :func:`multiply`, for rows `first` to `last` and some of the columns.

    Four rows at a time, so that a row of W is read a quarter as often, and four sums are under way
    at once.
    """
    depth, width = w.shape
    fours = last - (last - first) % 4
    for i in range(first, fours, 4):
        for k in range(vectors):
            d = start + k * len(lanes)
            y0 = load(b, d, lanes)
            y1, y2, y3 = y0, y0, y0
            for c in range(depth):
                vector, place = load(w, c * width + d, lanes), i * depth + c
                y0 = add_product(y0, entry(x, place), vector)
                y1 = add_product(y1, entry(x, place + depth), vector)
                y2 = add_product(y2, entry(x, place + 2 * depth), vector)
                y3 = add_product(y3, entry(x, place + 3 * depth), vector)
            place = i * width + d
            store(y, place, y0)
            store(y, place + width, y1)
            store(y, place + 2 * width, y2)
            store(y, place + 3 * width, y3)
    for i in range(fours, last):
        for k in range(vectors):
            d = start + k * len(lanes)
            y0 = load(b, d, lanes)
            for c in range(depth):
                y0 = add_product(y0, entry(x, i * depth + c), load(w, c * width + d, lanes))
            store(y, i * width + d, y0)


def add_up_spans(first, last, sizes, start, vectors, lanes, x, g, sums):
    """The kernel of :func:`multiply_transposed`, for spans `first` to `last` and some of the
    columns; the sizes are those of a block and a span, in rows.
    """
    block, span = sizes
    for s in range(first, last):
        stop = min(s * span + span, len(x))
        for row in range(s * span, stop, block):
            end = min(row + block, stop)
            for k in range(vectors):
                add_up_block(row, end, start + k * len(lanes), lanes, x, g, sums[s])


def add_up_block(row, end, d, lanes, x, g, total):
    """Add `x^T g` of the rows `row` to `end` to a total, in one vector's columns.

    Four columns of x at a time, for the same reason as above; the rows are in the cache when they
    are read once more for the next four.
    """
    depth, width = total.shape
    fours = depth - depth % 4
    for c in range(0, fours, 4):
        s0, s1, s2, s3 = zeros(g, lanes), zeros(g, lanes), zeros(g, lanes), zeros(g, lanes)
        for i in range(row, end):
            vector, place = load(g, i * width + d, lanes), i * depth + c
            s0 = add_product(s0, entry(x, place), vector)
            s1 = add_product(s1, entry(x, place + 1), vector)
            s2 = add_product(s2, entry(x, place + 2), vector)
            s3 = add_product(s3, entry(x, place + 3), vector)
        place = c * width + d
        add_to(total, place, s0, lanes)
        add_to(total, place + width, s1, lanes)
        add_to(total, place + 2 * width, s2, lanes)
        add_to(total, place + 3 * width, s3, lanes)
    for c in range(fours, depth):
        s0 = zeros(g, lanes)
        for i in range(row, end):
            s0 = add_product(s0, entry(x, i * depth + c), load(g, i * width + d, lanes))
        add_to(total, c * width + d, s0, lanes)


def add_to(array, place, vector, lanes):
    """Add a vector to what an array has at a place."""
    store(array, place, add(load(array, place, lanes), vector))
