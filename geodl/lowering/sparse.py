"""Products with sparse matrices: a constant matrix, entries that are learned, and products that are
read off at the entries alone.

`S x` moves numbers along edges; its gradient with respect to x is `S^T g`, which is the same
product along the reversed edges, and its gradient with respect to the entries is
`da_ij = g_i . x_j`, a product of two dense matrices of which only the entries of S are wanted
(SDDMM: sampled dense-dense matrix product). SDDMM's own gradients are products with a sparse matrix
again. So the two close under differentiation, any number of times, and nothing of size
`[edges, channels]` ever stands in memory.
"""

import warnings
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.differentiable import Operator


class Csr(NamedTuple):
    """A sparse matrix by rows."""

    rows: Tensor
    cols: Tensor
    values: Tensor


class Pattern(NamedTuple):
    """Where a sparse matrix has entries, and where its transpose has them.

    Attributes:
        rows: `[M + 1]`, where each receiver's edges begin.
        cols: `[E]`, the sender of each.
        rows_t: `[N + 1]`, where each sender's edges begin.
        cols_t: `[E]`, the receiver of each.
        order: `[E]`, the place of the transpose's entries among the matrix's.
        back: `[E]`, the place of the matrix's entries among the transpose's.
    """

    rows: Tensor
    cols: Tensor
    rows_t: Tensor
    cols_t: Tensor
    order: Tensor
    back: Tensor


def transpose(pattern: Pattern) -> Pattern:
    """The pattern of the transposed matrix."""
    rows, cols, rows_t, cols_t, order, back = pattern
    return Pattern(rows_t, cols_t, rows, cols, back, order)


def csr(rows: Tensor, cols: Tensor, values: Tensor, num_rows: int) -> Csr:
    """Entries sorted by row, with 32-bit indices where they fit."""
    largest = max(num_rows, len(rows))
    if len(cols):
        largest = max(largest, int(cols.max()))
    index = torch.int32 if largest < 2**31 else torch.int64
    order = torch.argsort(rows.to(index), stable=True)
    count = torch.bincount(rows, minlength=num_rows)
    start = torch.cat((count.new_zeros(1), count.cumsum(0)))
    return Csr(start.to(index), cols[order].to(index), values[order])


def csr_matmul(rows: Tensor, cols: Tensor, values: Tensor, x: Tensor) -> Tensor:
    """`S x`, S in CSR, x `[N, C]`.

    `embedding_bag` computes the same product and prefetches rows, which `torch.sparse` does not.
    """
    if x.shape[1] == 0:  # an empty batch, which embedding_bag refuses
        return x.new_zeros(len(rows) - 1, 0)
    y = F.embedding_bag(
        cols,
        x.to(values.dtype),
        rows,
        mode="sum",
        per_sample_weights=values,
        include_last_offset=True,
    )
    return y.to(x.dtype)


def multiply(both: tuple[Csr, Csr], x: Tensor) -> Tensor:
    """`S x` for each member of the batch: S with its transpose, x `[B, N, C]` to `[B, M, C]`."""
    # views are taken out here, because torch forbids to change one in place that a function made
    return _members(Product.apply(both, x), x.shape).contiguous()


def _members(y: Tensor, shape: torch.Size) -> Tensor:
    """`[M, B C]` as `[B, M, C]`, B and C as in a shape `[B, N, C]`."""
    b, _, c = shape
    return y.unsqueeze(0) if b == 1 else y.view(len(y), b, c).transpose(0, 1)


class Product(Operator):
    """`S x`: x `[B, N, C]` to `[M, B C]`, the members side by side as columns, so that one product
    serves them all. Its gradient is `S^T g`.
    """

    @staticmethod
    def forward(both: tuple[Csr, Csr], x: Tensor) -> Tensor:
        # A view taken without gradients requires none, so the kernel keeps nothing for one.
        b, n, c = x.shape
        side_by_side = x.reshape(n, c) if b == 1 else x.transpose(0, 1).reshape(n, b * c)
        return csr_matmul(*both[0], side_by_side)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.both, x = inputs
        ctx.shape = x.shape

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (g,) = grad_outputs
        return None, multiply(ctx.both[::-1], _members(g, ctx.shape))

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        return Product.apply(ctx.both, tangents[1])

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        both, x = args
        x = x.movedim(in_dims[1], 0)
        y = Product.apply(both, x.flatten(0, 1))
        return y.view(len(y), x.shape[0], x.shape[1] * x.shape[3]), 1


class SpMM(Operator):
    """`y_i = sum_j a_ij x_j`: a pattern, entries a `[G, E]`, x `[G, N, D]` to `[G, M, D]`.

    Derivatives for an upstream gradient g: `da_ij = g_i . x_j` and `dx_j = sum_i a_ij g_i`.
    """

    @staticmethod
    def forward(pattern: Pattern, a: Tensor, x: Tensor) -> Tensor:
        return torch.ops.geodl.spmm(pattern.rows, pattern.cols, a, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _keep_factors(ctx, *inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (g,), (a, x) = grad_outputs, ctx.saved_tensors
        da, dx = None, None
        if ctx.needs_input_grad[1]:
            da = SDDMM.apply(ctx.pattern, g, x)
        if ctx.needs_input_grad[2]:
            dx = _spmm_transposed(ctx.pattern, a, g)
        return None, da, dx

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        (a, x), (_, da, dx) = ctx.saved_tensors, tangents
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


def _keep_factors(ctx: Any, pattern: Pattern, first: Tensor, second: Tensor) -> None:
    ctx.pattern = pattern
    ctx.save_for_backward(first, second)
    ctx.save_for_forward(first, second)


def _spmm_transposed(pattern: Pattern, a: Tensor, x: Tensor) -> Tensor:
    """`y_j = sum_i a_ij x_i`: the same entries, in the order of the transposed matrix."""
    return SpMM.apply(transpose(pattern), a.index_select(1, pattern.order), x)


def _product_rule(
    product: Any,
    pattern: Pattern,
    factors: tuple[Tensor, Tensor],
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
    product: Any, info: Any, in_dims: Any, pattern: Pattern, first: Tensor, second: Tensor
) -> tuple[Tensor, int]:
    """A product under vmap: the mapped axis joins the groups G, which the kernels loop over."""
    first = _mapped_first(first, in_dims[1], info.batch_size)
    second = _mapped_first(second, in_dims[2], info.batch_size)
    y = product.apply(pattern, first.flatten(0, 1), second.flatten(0, 1))
    return y.unflatten(0, first.shape[:2]), 0


def _mapped_first(x: Tensor, axis: int | None, size: int) -> Tensor:
    """The mapped axis in front; repeated where x is the same for all."""
    return x.expand(size, *x.shape) if axis is None else x.movedim(axis, 0)


def _spmm(rows: Tensor, cols: Tensor, a: Tensor, x: Tensor) -> Tensor:
    y = x.new_empty(x.shape[0], len(rows) - 1, x.shape[2])
    entries, values = a.detach().contiguous(), x.detach().contiguous()
    for into, own, one in zip(y.unbind(), entries.unbind(), values.unbind(), strict=True):
        into.copy_(csr_matmul(rows, cols, own, one))
    return y


def _sddmm(rows: Tensor, cols: Tensor, x: Tensor, y: Tensor) -> Tensor:
    if len(cols) > x.shape[1] * y.shape[1]:
        # so many parallel edges that torch takes them for a mistake
        return (x[:, torch.repeat_interleave(rows.diff())] * y[:, cols]).sum(-1)
    s = x.new_zeros(x.shape[0], len(cols))
    receivers, senders = x.contiguous(), y.contiguous()
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
torch.library.define("geodl::spmm", "(Tensor rows, Tensor cols, Tensor a, Tensor x) -> Tensor")
torch.library.impl("geodl::spmm", "default", _spmm)
torch.library.register_fake(
    "geodl::spmm", lambda rows, cols, a, x: x.new_empty(x.shape[0], rows.shape[0] - 1, x.shape[2])
)
torch.library.define("geodl::sddmm", "(Tensor rows, Tensor cols, Tensor x, Tensor y) -> Tensor")
torch.library.impl("geodl::sddmm", "default", _sddmm)
torch.library.register_fake(
    "geodl::sddmm", lambda rows, cols, x, y: x.new_empty(x.shape[0], cols.shape[0])
)

with warnings.catch_warnings():
    # torch says once in a process that CSR is in beta; let it be here, where nobody is warned
    warnings.simplefilter("ignore")
    _matrix(torch.zeros(2, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), torch.zeros(0), 1)
