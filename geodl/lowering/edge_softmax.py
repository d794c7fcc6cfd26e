"""`edge_softmax`: attention along the edges of any graph, with one number for each head and edge.

Scores are products of two nodes' features read off at the edges, what a node hears is a sparse
product, and each is the other's gradient: nothing of size `[E, H, D]` ever stands in memory. The
largest score of each receiver is taken off before the exponential; a bound from norms would cost
less and could underflow whole rows.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.edges import unweighted
from geodl.lowering.scores import feature
from geodl.lowering.spmm import csr, csr_matmul


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


class EdgePlan(NamedTuple):
    """The pattern, each edge's ends and type in its order (64-bit: torch adds up by others slowly),
    and the score.
    """

    pattern: Pattern
    dst: Tensor
    src: Tensor
    type: Tensor
    score: Callable[["EdgePlan", Tensor, Tensor, Tensor | None], Tensor]


def _refuses(call: Call) -> str:
    score = call.options.score
    return (
        ""
        if score in SCORES
        else f"the {score} score is no product of the nodes' numbers: it needs each edge's `[H, D]`"
    )


def _plan(call: Call) -> EdgePlan:
    edges = unweighted(call)
    place = torch.arange(len(edges.dst), device=edges.dst.device)
    rows, cols, sorting = csr(edges.dst, edges.src, place, call.target.num_nodes)
    dst, src, kind = (end[sorting] for end in edges[:3])
    rows_t, cols_t, order = csr(src, dst, place, call.source.num_nodes)
    pattern = Pattern(rows, cols, rows_t, cols_t, order.to(cols), torch.argsort(order).to(cols))
    return EdgePlan(pattern, dst, src, kind, SCORES[call.options.score])


def _run(
    plan: EdgePlan,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vectors: Tensor | None,
    bias: Tensor | None,
    dropout: float,
) -> Tensor:
    b, m, h, d = *query.shape[:3], value.shape[3]
    s = plan.score(plan, query, key, vectors)
    if bias is not None:
        s = (s.reshape(b, h, len(plan.type)) + bias.T.index_select(1, plan.type)).flatten(0, 1)
    lengths = plan.pattern.rows.diff().expand(b * h, -1)
    largest = torch.segment_reduce(s.detach(), "max", lengths=lengths, axis=1, unsafe=True)
    e = (s - largest.index_select(1, plan.dst)).exp()
    total = (
        e.new_zeros(b * h, m).index_add(1, plan.dst, e).clamp(min=1)
    )  # less only where there is no edge
    y = SpMM.apply(*plan.pattern, F.dropout(e, dropout), _headed(value)) / total[:, :, None]
    return y.reshape(b, h, m, d).transpose(1, 2).to(value.dtype)


def _dot(plan: EdgePlan, query: Tensor, key: Tensor, vectors: None) -> Tensor:
    return SDDMM.apply(*plan.pattern, _headed(query) * query.shape[-1] ** -0.5, _headed(key))


def _linear(plan: EdgePlan, query: Tensor, key: Tensor, vectors: None) -> Tensor:
    return SDDMM.apply(*plan.pattern, feature(_headed(query)), feature(_headed(key))).log()


def _gat(plan: EdgePlan, query: Tensor, key: Tensor, vectors: Tensor) -> Tensor:
    wide = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):
        both = zip((query.to(wide), key.to(wide)), vectors.to(wide), strict=True)
        at, by = (torch.einsum("bnhd,hd->bhn", *pair).flatten(0, 1) for pair in both)
    return F.leaky_relu(
        at.index_select(1, plan.dst) + by.index_select(1, plan.src), 0.2, inplace=True
    )


def _headed(x: Tensor) -> Tensor:
    """`[B, N, H, D]` as `[B H, N, D]`, in the type of the sparse kernels."""
    return x.to(torch.promote_types(x.dtype, torch.float32)).transpose(1, 2).flatten(0, 1)


def _transpose(rows, cols, rows_t, cols_t, order, back) -> Pattern:
    return Pattern(rows_t, cols_t, rows, cols, back, order)


class SpMM(torch.autograd.Function):
    """`y_i = sum_j a_ij x_j`: a pattern, a `[G, E]`, x `[G, N, D]` to `[G, M, D]`."""

    @staticmethod
    def forward(ctx: Any, rows, cols, rows_t, cols_t, order, back, a, x) -> Tensor:
        ctx.save_for_backward(rows, cols, rows_t, cols_t, order, back, a, x)
        return torch.ops.geodl.spmm(rows, cols, a, x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (grad,), (*pattern, a, x) = grad_outputs, ctx.saved_tensors
        da = SDDMM.apply(*pattern, grad, x) if ctx.needs_input_grad[6] else None
        dx = (
            SpMM.apply(*_transpose(*pattern), a.index_select(1, pattern[4]), grad)
            if ctx.needs_input_grad[7]
            else None
        )
        return *(None,) * 6, da, dx


class SDDMM(torch.autograd.Function):
    """`s_ij = x_i . y_j` along the edges: a pattern, x `[G, M, D]`, y `[G, N, D]` to `[G, E]`."""

    @staticmethod
    def forward(ctx: Any, rows, cols, rows_t, cols_t, order, back, x, y) -> Tensor:
        ctx.save_for_backward(rows, cols, rows_t, cols_t, order, back, x, y)
        return torch.ops.geodl.sddmm(rows, cols, x, y)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (grad,), (*pattern, x, y) = grad_outputs, ctx.saved_tensors
        dx = SpMM.apply(*pattern, grad, y) if ctx.needs_input_grad[6] else None
        dy = (
            SpMM.apply(*_transpose(*pattern), grad.index_select(1, pattern[4]), x)
            if ctx.needs_input_grad[7]
            else None
        )
        return *(None,) * 6, dx, dy


def _spmm(rows: Tensor, cols: Tensor, a: Tensor, x: Tensor) -> Tensor:
    y = x.new_empty(x.shape[0], len(rows) - 1, x.shape[2])
    for into, own, one in zip(
        y.unbind(), a.detach().contiguous().unbind(), x.detach().contiguous().unbind(), strict=True
    ):
        into.copy_(csr_matmul(rows, cols, own, one))
    return y


def _sddmm(rows: Tensor, cols: Tensor, x: Tensor, y: Tensor) -> Tensor:
    if (
        len(cols) > x.shape[1] * y.shape[1]
    ):  # so many parallel edges that torch takes them for a mistake
        return (x[:, torch.repeat_interleave(rows.diff())] * y[:, cols]).sum(-1)
    s = x.new_zeros(x.shape[0], len(cols))
    for into, one, other in zip(
        s.unbind(), x.contiguous().unbind(), y.contiguous().unbind(), strict=True
    ):
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

with (
    warnings.catch_warnings()
):  # torch says once in a process that CSR is in beta; let it be here, unheard
    warnings.simplefilter("ignore")
    _matrix(torch.zeros(2, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), torch.zeros(0), 1)

SCORES = {"dot": _dot, "linear": _linear, "gat": _gat}

attend = Lowering("edge_softmax", _refuses, _plan, _run)
