"""`edge_softmax`: attention along the edges of any graph, with one number for each head and edge.

    y_i = sum_j e_ij v_j / t_i,   e_ij = exp(s_ij - max_j s_ij),   t_i = sum_j e_ij.

A score is a product of two nodes' features read off at the edge (SDDMM), y is a product with a
sparse matrix whose entries are e (SpMM), divided at the nodes: nothing of size `[E, H, D]` ever
stands in memory, backward neither. For an upstream gradient g

    dv_j = sum_i e_ij g_i / t_i,   de_ij = (g_i . v_j - g_i . y_i) / t_i,   ds_ij = e_ij de_ij,

again one product of each kind and one number for each node: since y is divided after the sum, and
not each e before it, no second set of weights along the edges is kept. The largest score of
each receiver is taken off before the exponential; a bound from norms would cost less and could
underflow whole rows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.differentiable import Operator
from geodl.lowering.edges import unweighted
from geodl.lowering.precision import without_autocast
from geodl.lowering.scores import feature
from geodl.lowering.sparse import SDDMM, Pattern, SpMM, open_pattern


class EdgePlan(NamedTuple):
    """The edges, sorted by their receivers.

    Attributes:
        pattern: where the matrix of the edges has entries, and where its transpose has them.
        dst: `[E]` the receiver of each, 64-bit as all three: torch adds up by others slowly.
        src: `[E]` its sender.
        type: `[E]` its type.
        score: what computes the scores `[B H, E]`.
    """

    pattern: Pattern
    dst: Tensor
    src: Tensor
    type: Tensor
    score: Callable[["EdgePlan", Tensor, Tensor, Tensor | None], Tensor]


def _refuses(call: Call) -> str:
    score = call.options.score
    if score not in SCORES:
        return (
            f"the {score} score is no product of the nodes' numbers: it needs each edge's `[H, D]`"
        )
    return ""


def _plan(call: Call) -> EdgePlan:
    edges = unweighted(call)
    shape = call.target.num_nodes, call.source.num_nodes
    pattern, sorting = open_pattern(edges.dst, edges.src, shape)
    dst, src, kind = (end[sorting] for end in edges[:3])
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
    batch, receivers, heads, _ = query.shape
    s = plan.score(plan, query, key, vectors)
    if bias is not None:
        typed = bias.T.index_select(1, plan.type)
        s = (s.unflatten(0, (batch, heads)) + typed).flatten(0, 1)
    largest = _Largest.apply(plan.pattern.rows, s.detach())
    e = (s - largest.index_select(1, plan.dst)).exp()
    # The largest score adds exp(0) = 1: a sum is less only where there is no edge, and 0 / 1 is 0.
    total = e.new_zeros(len(e), receivers).index_add(1, plan.dst, e).clamp(min=1)
    y = SpMM.apply(plan.pattern, F.dropout(e, dropout), _headed(value)) / total[:, :, None]
    return y.unflatten(0, (batch, heads)).transpose(1, 2).to(value.dtype)


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
    of_receiver, of_sender = vectors.to(wide).unbind()
    with without_autocast(query.device):
        at = torch.einsum("bnhd,hd->bhn", query.to(wide), of_receiver).flatten(0, 1)
        by = torch.einsum("bnhd,hd->bhn", key.to(wide), of_sender).flatten(0, 1)
    s = at.index_select(1, plan.dst) + by.index_select(1, plan.src)
    return F.leaky_relu(s, 0.2, inplace=True)


def _headed(x: Tensor) -> Tensor:
    """`[B, N, H, D]` as `[B H, N, D]`, in the type of the sparse kernels."""
    return x.to(torch.promote_types(x.dtype, torch.float32)).transpose(1, 2).flatten(0, 1)


SCORES = {"dot": _dot, "linear": _linear, "gat": _gat}

attend = Lowering("edge_softmax", _refuses, _plan, _run)
