"""One sparse pattern and its two products: with a dense matrix (SpMM), and of two dense matrices
read off at the entries alone (SDDMM).

`S x` moves numbers along edges; its gradient with respect to x is `S^T g`, which is the same
product along the reversed edges, and its gradient with respect to the entries is
`da_ij = g_i . x_j`, a product of two dense matrices of which only the entries of S are wanted
(SDDMM: sampled dense-dense matrix product). SDDMM's own gradients are products with a sparse matrix
again. So the two close under differentiation, any number of times, and nothing of size
`[edges, channels]` ever stands in memory.

Entries are numbers that a pattern holds (a graph's own weights, or nothing where all are ones), or
they come with the call: attention weights, weights that are learned.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodl.compiler import numba_missing
from geodl.lowering.csr import csr_matmul, pattern_matmul
from geodl.lowering.differentiable import Operator, called_plainly, graph_wanted
from geodl.pattern import Pattern, sort_both_ways, sort_by_counting, transpose

FEW_ROWS = 2**15  # row numbers that 16 bits hold
BEYOND = 2**31  # numbers below are those of 32 bits


def constant_pattern(
    dst: Tensor, src: Tensor, shape: tuple[int, int], values: Tensor | None
) -> Pattern:
    """The pattern of a matrix whose entries never change.

    Args:
        dst: `[E]`, the row of each entry.
        src: `[E]`, its column.
        shape: M and N.
        values: `[E]`, the entries; None for all ones.
    """
    is_narrow = max(*shape, len(dst)) < BEYOND
    if values is None and is_narrow and dst.device.type == "cpu" and not numba_missing():
        return sort_both_ways(dst, src, shape)
    rows, cols, order = sort_by_row(dst, src, shape[0])
    rows_t, cols_t, order_t = sort_by_row(src, dst, shape[1])
    # The transpose's values are kept as well: to gather them at each backward takes a tenth of the
    # product's time.
    if values is None:
        return Pattern(rows, cols, rows_t, cols_t)
    return Pattern(
        rows, cols, rows_t, cols_t, values=values[order][None], values_t=values[order_t][None]
    )


def open_pattern(dst: Tensor, src: Tensor, shape: tuple[int, int]) -> tuple[Pattern, Tensor]:
    """The pattern of a matrix whose entries come with each call, and `[E]` the place of each of its
    entries among those given here.

    Args:
        dst: `[E]`, the row of each entry.
        src: `[E]`, its column.
        shape: M and N.
    """
    rows, cols, sorting = sort_by_row(dst, src, shape[0])
    rows_t, cols_t, order = sort_by_row(src[sorting], dst[sorting], shape[1])
    # Two permutations that undo each other: what reads one matrix by the other's rows.
    pattern = Pattern(rows, cols, rows_t, cols_t, order.to(cols), torch.argsort(order).to(cols))
    return pattern, sorting


def sort_by_row(rows: Tensor, cols: Tensor, num_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Entries in the order of their rows: where each row begins `[R + 1]`, the column of each entry
    `[E]`, both with 32 bits where they fit, and the place of each among those given `[E]`.
    """
    largest = max(num_rows, len(rows))
    if len(cols):
        largest = max(largest, int(cols.max()))
    if rows.device.type == "cpu" and largest < BEYOND and not numba_missing():
        return sort_by_counting(rows, cols, num_rows)
    if rows.device.type == "cpu" and num_rows <= FEW_ROWS:
        return _sort_few_rows(rows, cols, num_rows)
    index = torch.int32 if largest < BEYOND else torch.int64
    order = torch.argsort(rows.to(index), stable=True)
    count = torch.bincount(rows, minlength=num_rows)
    start = torch.cat((count.new_zeros(1), count.cumsum(0)))
    return start.to(index), cols[order].to(index), order


def _sort_few_rows(rows: Tensor, cols: Tensor, num_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same by numpy, which sorts 16 bits by their digits: a batch of small graphs is planned at
    every step, and at 5,000 edges this takes a fourth of the time of torch's sort (measured).
    """
    numbers, senders = rows.numpy(), cols.numpy()
    if len(senders) == 0 or senders.max() < BEYOND:
        senders = senders.astype(np.int32)
    order = numbers.astype(np.int16).argsort(kind="stable")
    start = np.zeros(num_rows + 1, dtype=np.int32)
    np.bincount(numbers, minlength=num_rows).cumsum(out=start[1:])
    starts, places = torch.from_numpy(start), torch.from_numpy(order)
    return starts, torch.from_numpy(senders[order]), places


def in_pattern_order(entries: Tensor, sorting: Tensor, dtype: torch.dtype) -> Tensor:
    """Entries `[E]` or `[B, E]` as :func:`multiply` takes them, `[1, E]` or `[B, E]`.

    Args:
        entries: one for each edge that an open pattern was made of.
        sorting: what :func:`open_pattern` gave with it.
        dtype: of the values; the products know none narrower than float32.
    """
    wide = torch.promote_types(dtype, torch.float32)
    placed = entries.to(wide).index_select(-1, sorting)
    if placed.dim() == 1:
        return placed[None]
    return placed


def multiply(pattern: Pattern, x: Tensor, entries: Tensor | None = None) -> Tensor:
    """`S x` for each member of the batch: x `[B, N, C]` to `[B, M, C]`; without entries of the call
    also rows `[N, C]` to `[M, C]`.

    Args:
        pattern: of S.
        x: the senders' values.
        entries: `[1, E]` of the one matrix of all members, or `[B, E]` of one each, in the
            pattern's order; None for the pattern's own.
    """
    if x.dim() == 2:
        return SpMM.apply(pattern, entries, x)
    batch, _, channels = x.shape
    if entries is not None and entries.dtype != x.dtype:
        return multiply(pattern, x.to(entries.dtype), entries).to(x.dtype)
    if batch == 1 or (entries is not None and len(entries) != 1):
        return SpMM.apply(pattern, entries, x)
    # Members of one matrix stand side by side as columns, so that one product serves them all.
    columns = x.transpose(0, 1).reshape(1, x.shape[1], batch * channels)
    y = SpMM.apply(pattern, entries, columns)
    y = y.view(y.shape[1], batch, channels).transpose(0, 1)
    # torch forbids to change a view in place that a function made: a layer's answer is none
    return y.contiguous()


class SpMM(Operator):
    """`y_i = sum_j a_ij x_j`: a pattern, entries a `[G, E]` (None: the pattern's own) and x `[G, N,
    D]` to `[G, M, D]`.

    Derivatives for an upstream gradient g: `da_ij = g_i . x_j` and `dx_j = sum_i a_ij g_i`.
    """

    @staticmethod
    def forward(pattern: Pattern, a: Tensor | None, x: Tensor) -> Tensor:
        entries = pattern.values
        if a is not None:
            entries = a
        return run_spmm(pattern, entries, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pattern, a, x = inputs
        ctx.pattern = pattern
        # Of constant entries no gradient is asked, and only theirs needs the values.
        if a is not None:
            _keep_factors(ctx, pattern, a, x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (g,), pattern = grad_outputs, ctx.pattern
        if not ctx.saved_tensors and not graph_wanted():
            # The usual step: a product like the one before, of which no gradient will be asked.
            return None, None, run_spmm(transpose(pattern), pattern.values_t, g)
        a, x = ctx.saved_tensors or (None, None)
        da, dx = None, None
        if ctx.needs_input_grad[1]:
            da = SDDMM.apply(ctx.pattern, g, x)
        if ctx.needs_input_grad[2]:
            dx = _spmm_transposed(ctx.pattern, a, g)
        return None, da, dx

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        a, x = ctx.saved_tensors or (None, None)
        _, da, dx = tangents
        return _product_rule(SpMM, ctx.pattern, (a, x), (da, dx))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _over_groups(SpMM, info, in_dims, *args)


class SDDMM(Operator):
    """`s_ij = x_i . y_j` along the edges: a pattern, x `[G, M, D]`, y `[G, N, D]` to `[G, E]`.

    Derivatives for an upstream gradient g `[G, E]`: `dx_i = sum_j g_ij y_j` and
    `dy_j = sum_i g_ij x_i`.
    """

    @staticmethod
    def forward(pattern: Pattern, x: Tensor, y: Tensor) -> Tensor:
        return torch.ops.geodl.sddmm(pattern.rows, pattern.cols, x, y)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _keep_factors(ctx, *inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (g,), (x, y) = grad_outputs, ctx.saved_tensors
        dx, dy = None, None
        if ctx.needs_input_grad[1]:
            dx = SpMM.apply(ctx.pattern, g, y)
        if ctx.needs_input_grad[2]:
            dy = _spmm_transposed(ctx.pattern, g, x)
        return None, dx, dy

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        (x, y), (_, dx, dy) = ctx.saved_tensors, tangents
        return _product_rule(SDDMM, ctx.pattern, (x, y), (dx, dy))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _over_groups(SDDMM, info, in_dims, *args)


def _keep_factors(ctx: Any, pattern: Pattern, first: Tensor | None, second: Tensor | None) -> None:
    ctx.pattern = pattern
    ctx.save_for_backward(first, second)
    ctx.save_for_forward(first, second)


def _spmm_transposed(pattern: Pattern, a: Tensor | None, x: Tensor) -> Tensor:
    """`y_j = sum_i a_ij x_i`: the same entries, in the order of the transposed matrix."""
    if a is None:
        return SpMM.apply(transpose(pattern), None, x)
    assert pattern.order is not None
    return SpMM.apply(transpose(pattern), a.index_select(1, pattern.order), x)


def _product_rule(
    product: Any,
    pattern: Pattern,
    factors: tuple[Tensor | None, Tensor | None],
    tangents: tuple[Tensor | None, Tensor | None],
) -> Tensor:
    """`d(first * second) = d first * second + first * d second`; at least one tangent is given."""
    (first, second), (d_first, d_second) = factors, tangents
    terms = []
    if d_first is not None:
        terms.append(product.apply(pattern, d_first, second))
    if d_second is not None:
        terms.append(product.apply(pattern, first, d_second))
    return terms[0] if len(terms) == 1 else terms[0] + terms[1]


def _over_groups(
    product: Any, info: Any, in_dims: Any, pattern: Pattern, first: Tensor | None, second: Tensor
) -> tuple[Tensor, int]:
    """A product under vmap: the mapped axis joins the groups G, which the kernels loop over. Of
    rows without groups it takes their place.
    """
    second = mapped_first(second, in_dims[2], info.batch_size)
    if second.dim() == 3:
        return product.apply(pattern, first, second), 0
    groups = second.shape[:2]
    if first is not None:
        first = mapped_first(first, in_dims[1], info.batch_size).flatten(0, 1)
    y = product.apply(pattern, first, second.flatten(0, 1))
    return y.unflatten(0, groups), 0


def mapped_first(x: Tensor, axis: int | None, size: int) -> Tensor:
    """The mapped axis in front; repeated where x is the same for all."""
    return x.expand(size, *x.shape) if axis is None else x.movedim(axis, 0)


def run_spmm(pattern: Pattern, a: Tensor | None, x: Tensor) -> Tensor:
    """The operator, and in plain calls what it calls: through torch's dispatcher and back into
    Python takes as long as a small product.

    Args:
        pattern: of S.
        a: `[G, E]`, its entries; None for all ones.
        x: `[G, N, D]` or `[N, D]`.
    """
    if called_plainly(x, a):
        return _multiply_groups(partial(pattern_matmul, pattern), pattern.rows, a, x)
    return torch.ops.geodl.spmm.default(pattern.rows, pattern.cols, a, x)


def _spmm(rows: Tensor, cols: Tensor, a: Tensor | None, x: Tensor) -> Tensor:
    # A traced or exported program calls this with values whose size no layer has checked.
    return _multiply_groups(partial(csr_matmul, rows, cols), rows, a, x)


def _multiply_groups(
    product: Callable[[Tensor | None, Tensor], Tensor], rows: Tensor, a: Tensor | None, x: Tensor
) -> Tensor:
    """`S x` of each group; the shapes are those of :class:`SpMM`.

    Args:
        product: of S, given its entries, with values `[N, D]`.
        rows: of S, where each of its rows begins.
        a: the entries.
        x: the values.
    """
    values = x.detach().contiguous()  # of what requires no gradient the kernel keeps nothing
    if a is not None:
        a = a.detach().contiguous()
    if values.dim() == 2 or values.shape[0] == 1:
        own = a
        if a is not None:
            own = a.squeeze(0)
        if values.dim() == 2:
            return product(own, values)
        y = product(own, values.squeeze(0))
        # No view, which torch forbids to change in place where a function made it.
        return y.resize_(1, *y.shape)
    # Entries of one group serve all.
    entries: list[Tensor | None] = [None]
    if a is not None:
        entries = list(a.unbind())
    if len(entries) == 1:
        entries = entries * len(values)
    y = x.new_empty(x.shape[0], len(rows) - 1, x.shape[2])
    for into, own, one in zip(y.unbind(), entries, values.unbind(), strict=True):
        into.copy_(product(own, one))
    return y


def _sddmm(rows: Tensor, cols: Tensor, x: Tensor, y: Tensor) -> Tensor:
    if len(cols) > x.shape[1] * y.shape[1]:
        # so many parallel edges that torch takes them for a mistake
        return (x[:, torch.repeat_interleave(rows.diff())] * y[:, cols]).sum(-1)
    s = x.new_zeros(x.shape[0], len(cols))
    if x.shape[2] == 0:  # columns of an empty batch
        return s
    # Exported programs call this while gradients are on, which the kernel's out= does not take.
    receivers, senders = x.detach().contiguous(), y.detach().contiguous()
    for into, one, other in zip(s.unbind(), receivers.unbind(), senders.unbind(), strict=True):
        entries = _matrix(rows, cols, into, y.shape[1])
        torch.sparse.sampled_addmm(entries, one, other.T, beta=0.0, out=entries)
    return s


def _matrix(rows: Tensor, cols: Tensor, values: Tensor, num_cols: int) -> Tensor:
    return torch.sparse_csr_tensor(
        rows, cols, values, (len(rows) - 1, num_cols), check_invariants=False
    )


# Operators of their own, because torch.compile traces no sparse tensor; by dispatch alone, because
# a call has to be cheap.
torch.library.define("geodl::spmm", "(Tensor rows, Tensor cols, Tensor? a, Tensor x) -> Tensor")
torch.library.impl("geodl::spmm", "default", _spmm)
torch.library.impl(
    "geodl::spmm",
    "Meta",
    lambda rows, cols, a, x: x.new_empty(*x.shape[:-2], rows.shape[0] - 1, x.shape[-1]),
)
torch.library.define("geodl::sddmm", "(Tensor rows, Tensor cols, Tensor x, Tensor y) -> Tensor")
torch.library.impl("geodl::sddmm", "default", _sddmm)
torch.library.impl(
    "geodl::sddmm", "Meta", lambda rows, cols, x, y: x.new_empty(x.shape[0], cols.shape[0])
)

with warnings.catch_warnings():
    # torch says once in a process that CSR is in beta; let it be here, where nobody is warned
    warnings.simplefilter("ignore")
    _matrix(torch.zeros(2, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), torch.zeros(0), 1)
