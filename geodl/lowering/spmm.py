"""`spmm`: graph convolution as products with one sparse matrix, whatever the number of edge types.

Transforming first, `Y = [S_1 ... S_T] [X W_1; ...; X W_T]`, moves nnz * C_out numbers; aggregating
first, `Y = [S_1 X, ..., S_T X] [W_1; ...; W_T]`, moves nnz * C_in. The plan takes the cheaper one.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.differentiable import refuse_transforms
from geodl.lowering.edges import written_out
from geodl.lowering.sparse import Csr, csr, csr_matmul, multiply
from geodl.neighborhood.structure import Everyone


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
        y = multiply(plan.both, sent)
        return y if bias is None else y + bias
    heard = multiply(plan.both, x)
    heard = heard.reshape(x.shape[0], plan.num_receivers, types * channels_in)
    return F.linear(heard, weight.reshape(types * channels_in, channels_out).T, bias)


def _features(x: Tensor, weight: Tensor) -> Tensor:
    refuse_transforms(
        "a convolution of sparse values",
        "values that torch.func cannot follow",
        "give dense ones: x.to_dense()[None]",
    )
    wide = torch.promote_types(x.dtype, torch.float32)  # the product knows no narrower type
    with torch.autocast(x.device.type, enabled=False):
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
