"""`spmm`: graph convolution as products with one sparse matrix, whatever the number of edge types.

Transforming first, `Y = [S_1 ... S_T] [X W_1; ...; X W_T]`, moves nnz * C_out numbers; aggregating first,
`Y = [S_1 X, ..., S_T X] [W_1; ...; W_T]`, moves nnz * C_in. The plan takes the cheaper one.
"""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Ask, Lowering
from geodl.lowering.edges import written_out


class Csr(NamedTuple):
    """A sparse matrix by rows."""

    rows: Tensor
    cols: Tensor
    values: Tensor


class SpmmPlan(NamedTuple):
    """The stacked shift operator, its transpose for the gradient, and the order of the two products."""

    operator: Csr
    transpose: Csr
    num_receivers: int
    transform_first: bool


def _refuses(ask: Ask) -> str:
    return "everyone hears everyone: the operator is dense" if ask.neighborhood.complete else ""


def _plan(ask: Ask) -> SpmmPlan:
    edges, o = written_out(ask), ask.options
    m, n, types = ask.target.num_nodes, ask.source.num_nodes, o.num_types
    transform_first = o.channels_out <= o.channels_in or ask.like.layout == torch.sparse_csr
    dst = edges.dst if transform_first else edges.dst * types + edges.type
    src = edges.src * types + edges.type if transform_first else edges.src
    dtype = ask.like.dtype if ask.like.dtype in (torch.float32, torch.float64) else torch.float32
    values = torch.ones(len(dst), dtype=dtype, device=dst.device) if edges.weight is None else edges.weight.to(dtype)
    rows, cols = (m, n * types) if transform_first else (m * types, n)
    return SpmmPlan(_csr(dst, src, values, rows), _csr(src, dst, values, cols), m, transform_first)


def _run(plan: SpmmPlan, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    types, channels_in, channels_out = weight.shape
    if plan.transform_first:
        side_by_side = weight[0] if types == 1 else weight.movedim(0, 1).reshape(channels_in, types * channels_out)
        sent = sparse_features(x, side_by_side)[None] if x.layout == torch.sparse_csr else x @ side_by_side
        sent = sent.reshape(sent.shape[0], sent.shape[1] * types, channels_out)
        y = torch.ops.geodl.spmm(*plan.operator, *plan.transpose, sent)
    else:
        heard = torch.ops.geodl.spmm(*plan.operator, *plan.transpose, x)
        y = heard.reshape(x.shape[0], plan.num_receivers, types * channels_in) @ weight.reshape(types * channels_in, channels_out)
    return y if bias is None else y + bias


def _csr(rows: Tensor, cols: Tensor, values: Tensor, num_rows: int) -> Csr:
    order = torch.argsort(rows, stable=True)
    count = torch.bincount(rows, minlength=num_rows)
    start = torch.cat((count.new_zeros(1), count.cumsum(0)))
    small = max(num_rows, len(rows), int(cols.max()) + 1 if len(cols) else 0) < 2**31
    index = torch.int32 if small else torch.int64
    return Csr(start.to(index), cols[order].to(index), values[order])


def _matrix(rows: Tensor, cols: Tensor, values: Tensor, num_cols: int) -> Tensor:
    return torch.sparse_csr_tensor(rows, cols, values, (len(rows) - 1, num_cols), check_invariants=False)


@torch.library.custom_op("geodl::spmm", mutates_args=())
def spmm(
    rows: Tensor, cols: Tensor, values: Tensor, rows_t: Tensor, cols_t: Tensor, values_t: Tensor, x: Tensor
) -> Tensor:  # fmt: skip
    """`S x` for each member of the batch, S in CSR with its transpose, x `[B, N, C]`."""
    operator = _matrix(rows, cols, values, len(rows_t) - 1)
    y = x.new_empty(x.shape[0], len(rows) - 1, x.shape[2], dtype=values.dtype)
    for one, into in zip(x.to(values.dtype).contiguous(), y, strict=True):
        torch.mm(operator, one, out=into)
    return y.to(x.dtype)


@spmm.register_fake
def _(rows, cols, values, rows_t, cols_t, values_t, x):
    return x.new_empty(x.shape[0], rows.shape[0] - 1, x.shape[2])


def _remember(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:6])


def _backward(ctx, grad):
    saved = ctx.saved_tensors
    return (*(None,) * 6, torch.ops.geodl.spmm(*saved[3:], *saved[:3], grad))


spmm.register_autograd(_backward, setup_context=_remember)


def sparse_features(x: Tensor, weight: Tensor) -> Tensor:
    """`X W` for sparse X `[N, C]`; the gradient reaches W."""
    return torch.sparse.mm(x, weight)


with warnings.catch_warnings():  # torch says once in a process that CSR is in beta; let it be here, unheard
    warnings.simplefilter("ignore")
    _matrix(torch.zeros(2, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), torch.zeros(0), 1)

convolve = Lowering("spmm", _refuses, _plan, _run)
