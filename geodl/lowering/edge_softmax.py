"""`edge_softmax`: attention along the edges of any graph, with one number for each head and edge.

Scores are products of two nodes' features read off at the edges, what a node hears is a sparse
product, and each is the other's gradient: nothing of size `[E, H, D]` ever stands in memory. The
largest score of each receiver is taken off before the exponential; a bound from norms would cost
less and could underflow whole rows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.differentiable import Operator
from geodl.lowering.edges import unweighted
from geodl.lowering.scores import feature
from geodl.lowering.sparse import SDDMM, Pattern, SpMM, csr


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
    largest = _Largest.apply(plan.pattern.rows, s.detach())
    e = (s - largest.index_select(1, plan.dst)).exp()
    total = e.new_zeros(b * h, m).index_add(1, plan.dst, e)
    total = total.clamp(min=1)  # less only where there is no edge: the largest score gives exp(0)
    y = SpMM.apply(plan.pattern, F.dropout(e, dropout), _headed(value)) / total[:, :, None]
    return y.reshape(b, h, m, d).transpose(1, 2).to(value.dtype)


class _Largest(Operator):
    """The largest score of each receiver: where its edges begin `[M + 1]`, scores `[G, E]` to
    `[G, M]`, -inf where it has none.

    For the softmax it is a constant: what is taken off every score of a receiver cancels.
    """

    @staticmethod
    def forward(rows: Tensor, s: Tensor) -> Tensor:
        lengths = rows.diff().expand(len(s), -1)
        return torch.segment_reduce(s, "max", lengths=lengths, axis=1, unsafe=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return None, None

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        return None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        rows, s = args
        s = s.movedim(in_dims[1], 0)
        return _Largest.apply(rows, s.flatten(0, 1)).unflatten(0, s.shape[:2]), 0


def _dot(plan: EdgePlan, query: Tensor, key: Tensor, vectors: None) -> Tensor:
    return SDDMM.apply(plan.pattern, _headed(query) * query.shape[-1] ** -0.5, _headed(key))


def _linear(plan: EdgePlan, query: Tensor, key: Tensor, vectors: None) -> Tensor:
    return SDDMM.apply(plan.pattern, feature(_headed(query)), feature(_headed(key))).log()


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


SCORES = {"dot": _dot, "linear": _linear, "gat": _gat}

attend = Lowering("edge_softmax", _refuses, _plan, _run)
