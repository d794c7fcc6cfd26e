"""The product of a sparse matrix, given by its rows (CSR), with a dense one, on the kernel that
takes the least time.
"""

import torch
from torch import Tensor

from geodl.compiler import numba_missing
from geodl.lowering.kernels import csr
from geodl.lowering.processor import runs_on_wide_amd

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
    rows: Tensor,
    cols: Tensor,
    values: Tensor | None,
    x: Tensor,
    columns: int,
    bias: Tensor | None = None,
) -> Tensor:
    """`S x + b` of a pattern, for tensors that are called plainly
    (:func:`geodl.lowering.differentiable.called_plainly`).

    Args:
        rows: as in :func:`csr_matmul`, like the next three.
        cols: below `columns`, which was checked when the pattern was made.
        values: the entries.
        x: `[N, C]`; our kernel, which checks no place, runs only where N is `columns`.
        columns: how many S has.
        bias: `[C]`.
    """
    if x.shape[0] == columns and is_large(rows, cols, x) and fits(values, x, bias):
        return csr.multiply(rows, cols, values, x, bias)
    y = csr_matmul(rows, cols, values, x)
    if bias is not None:
        y.add_(bias)
    return y


def is_large(rows: Tensor, cols: Tensor, x: Tensor) -> bool:
    """Whether so many numbers move that our kernel takes less time, on a processor on which it
    does.
    """
    if not runs_on_wide_amd() or cols.shape[0] < MEAN_ENTRIES * rows.shape[0]:
        return False
    least = LEAST_NUMBERS
    if torch.get_num_threads() > 1:
        least = LEAST_NUMBERS_SHARED
    return cols.shape[0] * x.shape[1] >= least


def fits(values: Tensor | None, x: Tensor, bias: Tensor | None) -> bool:
    """Whether a product is one for our kernel, whatever its size and the processor."""
    if x.shape[1] not in WIDTHS or numba_missing():
        return False
    read = [tensor for tensor in (values, x, bias) if tensor is not None]
    return all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in read)
