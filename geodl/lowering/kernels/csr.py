"""The product of a sparse matrix with few columns, `S x + b`, each row of the answer added up in
the processor's registers.

`embedding_bag`, the fastest that torch has, asks for rows some entries ahead (prefetch). A
processor that looks far enough ahead by itself reads them as soon, and each asking costs: without
it, 16 columns of 1.6 million entries take four fifths of the time (measured).
"""

from torch import Tensor

from geodl.compiler import compiled
from geodl.lowering.kernels.arrays import arrays_of
from geodl.lowering.kernels.rows import columns_of
from geodl.lowering.kernels.threads import equal_ranges, share_out
from geodl.vectors import VECTORS, add, add_product, entry, load, store, zeros


def multiply(
    rows: Tensor, cols: Tensor, values: Tensor | None, x: Tensor, bias: Tensor | None
) -> Tensor:
    """`S x + b` in single precision; column numbers are not checked.

    Args:
        rows: `[M + 1]` where the entries of each row begin.
        cols: `[E]` the column of each entry, in the order of the rows.
        values: `[E]` the entries; None for all ones.
        x: `[N, C]`.
        bias: `[C]`.

    Returns:
        `[M, C]`.
    """
    width = x.shape[1]
    y = x.new_empty(len(rows) - 1, width)
    if bias is None:
        bias = x.new_zeros(width)
    entries = None
    if values is not None:
        (entries,) = arrays_of(values)
    starts, places = arrays_of(rows, cols)
    arrays = starts, places, entries, *arrays_of(x, bias, y)
    kernel = compiled(add_up_entries, *VECTORS)

    def run(first: int, last: int) -> None:
        for start, vectors, lanes in columns_of(width):
            for k in range(vectors):
                kernel(first, last, start + k * len(lanes), lanes, *arrays)

    share_out(run, equal_ranges(starts, width))
    return y


def add_up_entries(first, last, d, lanes, rows, cols, values, x, b, y):
    """The kernel of :func:`multiply`, for rows `first` to `last` and the columns of one vector,
    from column d on.

    The entry's number runs on from row to row: where each row begins a loop of its own, LLVM
    unrolls it, and the processor guesses wrongly where it ends not once but twice (measured: 1.3
    times the time).
    """
    width = x.shape[1]
    bias, nothing = load(b, d, lanes), zeros(x, lanes)
    e = int(entry(rows, first))
    for i in range(first, last):
        end = int(entry(rows, i + 1))
        total = nothing
        while e < end:
            sent = load(x, entry(cols, e) * width + d, lanes)
            if values is None:
                total = add(total, sent)
            else:
                total = add_product(total, entry(values, e), sent)
            e += 1
        # Not what the sum begins with: each of its terms would be rounded as the bias is.
        store(y, i * width + d, add(total, bias))
