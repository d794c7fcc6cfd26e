"""The product of a sparse matrix, given by its rows (CSR), with a dense one, on the kernel that
takes the least time.
"""

import torch
from torch import Tensor

from geodl.compiler import numba_missing
from geodl.lowering.kernels import csr
from geodl.lowering.processor import runs_on_wide_amd
from geodl.pattern import Pattern

# Where our kernel takes less time, measured on AMD's fifth generation; it runs on the fourth, too,
# which was not measured. There it takes 0.4 to 1.0 of the time of `embedding_bag`.
WIDTHS = {4, 8, 16}
MEAN_ENTRIES = 4  # of a row: with fewer, what takes the time is to write the answer
# Numbers that move along entries: of fewer, what is done before the kernel takes longer.
LEAST_NUMBERS = 2**20
LEAST_NUMBERS_SHARED = 2**24  # by several threads, which have to be called together


def csr_matmul(rows: Tensor, cols: Tensor, values: Tensor | None, x: Tensor) -> Tensor:
    """`S x` by `embedding_bag`, which reads rows ahead, as `torch.sparse` does not, and checks that
    x has a row for each entry's column.

    Args:
        rows: `[M + 1]` where the entries of each row begin.
        cols: `[E]` the column of each entry, in the order of the rows.
        values: `[E]` the entries; None for all ones.
        x: `[N, C]`.

    Returns:
        `[M, C]`.
    """
    if x.shape[1] == 0:  # an empty batch, which embedding_bag refuses
        return x.new_zeros(len(rows) - 1, 0)
    dtype = x.dtype
    wide = torch.promote_types(dtype, torch.float32)  # the kernel knows no narrower type
    if values is not None:
        wide = values.dtype
    # To ask for the type that a tensor has takes a fourth of a small product.
    if wide != dtype:
        x = x.to(wide)
    # What `F.embedding_bag` calls once it has checked its arguments, which takes as long as a small
    # product: mode 0 is the sum, and the last offset is where the last row ends.
    y = torch.embedding_bag(x, cols, rows, False, 0, False, values, True)[0]
    return y if wide == dtype else y.to(dtype)


def pattern_matmul(
    pattern: Pattern, values: Tensor | None, x: Tensor, bias: Tensor | None = None
) -> Tensor:
    """`S x + b` of a pattern, for tensors that are called plainly
    (:func:`geodl.lowering.differentiable.called_plainly`).

    Args:
        pattern: of S `[M, N]`.
        values: `[E]` its entries; None for all ones.
        x: `[N, C]`.
        bias: `[C]`.

    Returns:
        `[M, C]`.
    """
    if is_large(pattern, x) and fits(pattern, values, x, bias):
        return csr.multiply(pattern.rows, pattern.cols, values, x, bias)
    y = csr_matmul(pattern.rows, pattern.cols, values, x)
    if bias is not None:
        y.add_(bias)
    return y


def is_large(pattern: Pattern, x: Tensor) -> bool:
    """Whether so many numbers move that our kernel takes less time, on a processor on which it
    does.
    """
    if not runs_on_wide_amd():
        return False
    entries, least = pattern.cols.shape[0], LEAST_NUMBERS
    if torch.get_num_threads() > 1:
        least = LEAST_NUMBERS_SHARED
    if entries * x.shape[1] < least:
        return False
    return entries >= MEAN_ENTRIES * pattern.rows.shape[0]


def fits(pattern: Pattern, values: Tensor | None, x: Tensor, bias: Tensor | None) -> bool:
    """Whether a product is one for our kernel, whatever its size and the processor."""
    if x.shape[1] not in WIDTHS or numba_missing():
        return False
    # The kernel checks no column: those of a pattern lie within it, and x has to be as long.
    if x.shape[0] != pattern.rows_t.shape[0] - 1:
        return False
    read = [tensor for tensor in (values, x, bias) if tensor is not None]
    return all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in read)
