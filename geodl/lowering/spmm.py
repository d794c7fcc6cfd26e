"""`spmm`: graph convolution as products with one sparse matrix, whatever the number of edge types.

`Y = sum_t S_t X W_t` for T edge types is one product with a wider matrix, in either of two orders.
Transforming first, `Y = [S_1 ... S_T] [X W_1; ...; X W_T]`, moves nnz * C_out numbers; aggregating
first, `Y = [S_1 X, ..., S_T X] [W_1; ...; W_T]`, moves nnz * C_in. The plan takes the cheaper one.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.differentiable import refuse_sparse_values
from geodl.lowering.edges import written_out
from geodl.lowering.precision import without_autocast
from geodl.lowering.sparse import Csr, csr, csr_matmul, multiply
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.structure import Everyone


class SpmmPlan(NamedTuple):
    """The product and its place.

    Attributes:
        both: the wide matrix, and its transpose for the gradient.
        num_receivers: M.
        transform_first: whether the weights come before the sparse product.
    """

    both: tuple[Csr, Csr]
    num_receivers: int
    transform_first: bool


def _refuses(call: Call) -> str:
    if call.structure(Everyone) is not None:
        return "all receive from all: the operator is dense"
    return ""


def _plan(call: Call) -> SpmmPlan:
    edges, options = written_out(call), call.options
    m, n, types = call.target.num_nodes, call.source.num_nodes, options.edge_types
    sparse = call.spec.layout == torch.sparse_csr
    transform_first = sparse or options.channels_out <= options.channels_in
    # The T rows (or columns) that stand for one node lie side by side, so that what comes before
    # or after the product is a plain view of its values.
    dst, src = edges.dst, edges.src
    if transform_first:
        src, n = src * types + edges.type, n * types
    else:
        dst, m = dst * types + edges.type, m * types
    values = _entries(edges, call.spec.dtype)
    both = csr(dst, src, values, m), csr(src, dst, values, n)
    return SpmmPlan(both, call.target.num_nodes, transform_first)


def _entries(edges: Edges, dtype: torch.dtype) -> Tensor:
    """The entries of the matrix, in the type of the kernel, which knows no narrower one."""
    wide = torch.promote_types(dtype, torch.float32)
    if edges.weight is None:
        return torch.ones(len(edges.dst), dtype=wide, device=edges.dst.device)
    return edges.weight.to(wide)


def _run(plan: SpmmPlan, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    types, channels_in, channels_out = weight.shape
    if not plan.transform_first:
        y = multiply(plan.both, x).reshape(x.shape[0], plan.num_receivers, types * channels_in)
        return F.linear(y, weight.reshape(types * channels_in, channels_out).T, bias)
    beside = weight[0]
    if types > 1:
        beside = weight.movedim(0, 1).reshape(channels_in, types * channels_out)
    sent = _features(x, beside) if x.layout == torch.sparse_csr else x @ beside
    batch, nodes = sent.shape[:2]
    y = multiply(plan.both, sent.reshape(batch, nodes * types, channels_out))
    if bias is not None:
        y = y + bias
    return y


def _features(x: Tensor, weight: Tensor) -> Tensor:
    refuse_sparse_values()
    wide = torch.promote_types(x.dtype, torch.float32)  # the product knows no narrower type
    with without_autocast(x.device):
        y = _Features.apply(x.crow_indices(), x.col_indices(), x.values().to(wide), weight.to(wide))
    return y.to(x.dtype)[None]


class _Features(torch.autograd.Function):
    """`X W` for sparse features X `[N, C]`, given by its CSR parts; torch's own gradient is slow to
    transpose X.

    `dW = X^T g`, a product of the same kind, and an entry's gradient is `dX_nc = g_n . W_c`.
    """

    @staticmethod
    def forward(ctx: Any, rows, cols, values, weight) -> Tensor:
        ctx.save_for_backward(rows, cols, values, weight)
        return csr_matmul(rows, cols, values.detach(), weight.detach())

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (g,), (rows, cols, values, weight) = grad_outputs, ctx.saved_tensors
        node = torch.repeat_interleave(rows.diff())
        dvalues, dweight = None, None
        if ctx.needs_input_grad[2]:
            dvalues = (g[node] * weight[cols]).sum(1)
        if ctx.needs_input_grad[3]:
            dweight = _Features.apply(*csr(cols, node, values, len(weight)), g)
        return None, None, dvalues, dweight


convolve = Lowering("spmm", _refuses, _plan, _run)
