"""`spmm`: graph convolution as products with one sparse matrix, whatever the number of edge types.

Transforming first, `Y = [S_1 ... S_T] [X W_1; ...; X W_T]`, moves nnz * C_out numbers; aggregating
first, `Y = [S_1 X, ..., S_T X] [W_1; ...; W_T]`, moves nnz * C_in. The plan takes the cheaper one.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.edges import written_out
from geodl.neighborhood.structure import Everyone


class Csr(NamedTuple):
    """A sparse matrix by rows."""

    rows: Tensor
    cols: Tensor
    values: Tensor


class SpmmPlan(NamedTuple):
    """The stacked shift operator and its transpose for the gradient, and the order of the two
    products.
    """

    both: tuple[Csr, Csr]
    num_receivers: int
    transform_first: bool


def _refuses(call: Call) -> str:
    if call.structure(Everyone) is not None:
        return "everyone hears everyone: the operator is dense"
    return ""


def _plan(call: Call) -> SpmmPlan:
    edges, o = written_out(call), call.options
    m, n, types = call.target.num_nodes, call.source.num_nodes, o.edge_types
    transform_first = o.channels_out <= o.channels_in or call.spec.layout == torch.sparse_csr
    dst = edges.dst if transform_first else edges.dst * types + edges.type
    src = edges.src * types + edges.type if transform_first else edges.src
    dtype = call.spec.dtype if call.spec.dtype in (torch.float32, torch.float64) else torch.float32
    values = (
        torch.ones(len(dst), dtype=dtype, device=dst.device)
        if edges.weight is None
        else edges.weight.to(dtype)
    )
    rows, cols = (m, n * types) if transform_first else (m * types, n)
    return SpmmPlan((csr(dst, src, values, rows), csr(src, dst, values, cols)), m, transform_first)


def _run(plan: SpmmPlan, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    types, channels_in, channels_out = weight.shape
    if plan.transform_first:
        side_by_side = (
            weight[0]
            if types == 1
            else weight.movedim(0, 1).reshape(channels_in, types * channels_out)
        )
        sent = _features(x, side_by_side) if x.layout == torch.sparse_csr else x @ side_by_side
        sent = sent.reshape(sent.shape[0], sent.shape[1] * types, channels_out)
        y = _Product.apply(plan.both, sent)
        return y if bias is None else y + bias
    heard = _Product.apply(plan.both, x)
    heard = heard.reshape(x.shape[0], plan.num_receivers, types * channels_in)
    return F.linear(heard, weight.reshape(types * channels_in, channels_out).T, bias)


def csr(rows: Tensor, cols: Tensor, values: Tensor, num_rows: int) -> Csr:
    """Entries sorted by row, with 32-bit indices where they fit."""
    small = max(num_rows, len(rows), int(cols.max()) + 1 if len(cols) else 0) < 2**31
    index = torch.int32 if small else torch.int64
    order = torch.argsort(rows.to(index), stable=True)
    count = torch.bincount(rows, minlength=num_rows)
    start = torch.cat((count.new_zeros(1), count.cumsum(0)))
    return Csr(start.to(index), cols[order].to(index), values[order])


class _Product(torch.autograd.Function):
    """`S x` for each member of the batch: S with its transpose for the gradient, x `[B, N, C]`."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Outside of `torch.func` without torch's search for argument names, which takes longer
        than a small product.
        """
        if torch._C._are_functorch_transforms_active():
            return super().apply(*args)
        beneath: Any = super(torch.autograd.Function, cls)
        return beneath.apply(*args)

    @staticmethod
    def forward(both: tuple[Csr, Csr], x: Tensor) -> Tensor:
        b, n, c = x.shape
        side_by_side = x.detach().transpose(0, 1).reshape(n, b * c)
        return (
            csr_matmul(*both[0], side_by_side)
            .reshape(len(both[0].rows) - 1, b, c)
            .transpose(0, 1)
            .contiguous()
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.both, _ = inputs

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return None, _Product.apply(ctx.both[::-1], *grad_outputs)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        both, x = args[0], args[1].movedim(in_dims[1], 0)
        return _Product.apply(both, x.flatten(0, 1)).unflatten(0, x.shape[:2]), 0


def csr_matmul(rows: Tensor, cols: Tensor, values: Tensor, x: Tensor) -> Tensor:
    """`S x`, S in CSR, x `[N, C]`.

    Bags of embeddings are such products, and their kernel is the one that fetches ahead.
    """
    y = F.embedding_bag(
        cols,
        x.to(values.dtype),
        rows,
        mode="sum",
        per_sample_weights=values,
        include_last_offset=True,
    )
    return y.to(x.dtype)


def _features(x: Tensor, weight: Tensor) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)  # the product knows no narrower type
    with torch.autocast(x.device.type, enabled=False):
        y = _Features.apply(x.crow_indices(), x.col_indices(), x.values().to(wide), weight.to(wide))
    return y.to(x.dtype)[None]


class _Features(torch.autograd.Function):
    """`X W` for sparse features X `[N, C]`, given by its CSR parts; torch's own gradient is slow to
    transpose X.
    """

    @staticmethod
    def forward(ctx: Any, rows, cols, values, weight) -> Tensor:
        ctx.save_for_backward(rows, cols, values, weight)
        return csr_matmul(rows, cols, values.detach(), weight.detach())

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (grad,), (rows, cols, values, weight) = grad_outputs, ctx.saved_tensors
        node = torch.repeat_interleave(rows.diff())
        dvalues = (grad[node] * weight[cols]).sum(1) if ctx.needs_input_grad[2] else None
        return None, None, dvalues, csr_matmul(*csr(cols, node, values, len(weight)), grad)


convolve = Lowering("spmm", _refuses, _plan, _run)
