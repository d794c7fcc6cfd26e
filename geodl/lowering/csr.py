"""The product of a sparse matrix, given by its rows (CSR), with a dense one, on the kernel that
takes the least time.
"""

import torch
from torch import Tensor

from geodl.compiler import numba_missing
from geodl.lowering.differentiable import called_plainly
from geodl.lowering.kernels import csr
from geodl.lowering.processor import runs_on_wide_amd

WIDTHS = {4, 8, 16}  # columns for which our kernel takes less time
MEAN_ENTRIES = 4  # of a row: with fewer, what takes the time is the answer, and it takes more
# Numbers that move along entries: of fewer, what is done before the kernel takes longer.
MANY = 2**20
MANY_SHARED = 2**24  # by several threads, which have to be called together


def csr_matmul(rows: Tensor, cols: Tensor, values: Tensor | None, x: Tensor) -> Tensor:
    """`S x` by `embedding_bag`, which reads rows ahead, as `torch.sparse` does not; each column is
    checked.

    Args:
        rows: `[M + 1]` where the entries of each row begin.
        cols: `[E]` the column of each entry, in the order of the rows.
        values: `[E]` the entries; None for all ones.
        x: `[N, C]`.
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
    bias: Tensor | None = None,
) -> Tensor:
    """`S x + b` of a pattern, whose columns were checked when it was made, and values of all its
    nodes; the arguments are those of :func:`csr_matmul`, and b `[C]`.
    """
    if is_many(rows, cols, x) and fits(values, x, bias):
        return csr.multiply(rows, cols, values, x, bias)
    y = csr_matmul(rows, cols, values, x)
    if bias is not None:
        y.add_(bias)
    return y


def kernel_is_faster() -> bool:
    """Whether our kernel is one for this processor: on AMD's fifth generation it takes 0.4 to 1.0
    of the time of `embedding_bag` from five entries a row on. The fourth was not measured, nor were
    others.
    """
    return runs_on_wide_amd()


def is_many(rows: Tensor, cols: Tensor, x: Tensor) -> bool:
    """Whether so many numbers move that our kernel takes less time, on a processor on which it
    does.
    """
    if not kernel_is_faster() or len(cols) < MEAN_ENTRIES * len(rows):
        return False
    least = MANY
    if torch.get_num_threads() > 1:
        least = MANY_SHARED
    return len(cols) * x.shape[1] >= least


def fits(values: Tensor | None, x: Tensor, bias: Tensor | None) -> bool:
    """Whether a product is one for our kernel, whatever its size and the processor."""
    if x.shape[1] not in WIDTHS or not called_plainly(values, x, bias) or numba_missing():
        return False
    read = [tensor for tensor in (values, x, bias) if tensor is not None]
    return all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in read)
