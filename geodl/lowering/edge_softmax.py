"""`edge_softmax`: attention along the edges of any graph, with one number for each head and edge.

    y_i = sum_j e_ij v_j / t_i,   e_ij = exp(s_ij - max_j s_ij),   t_i = sum_j e_ij.

A score is a product of two nodes' features, computed at the edges alone (SDDMM); y is a product
with a sparse matrix whose entries are e (SpMM), divided at the nodes. So no tensor `[E, H, D]` is
made, in the backward neither. Only scores with a function of q_i + k_j inside (`additive`, `gatv2`)
need two, for queries and keys; values are not gathered. For an upstream gradient g

    dv_j = sum_i e_ij g_i / t_i,   de_ij = (g_i . v_j - g_i . y_i) / t_i,   ds_ij = e_ij de_ij,

again one product of each kind and one number for each node: since y is divided after the sum, and
not each e before it, no second set of weights along the edges is kept. The largest score of
each receiver is taken off before the exponential; a bound from norms would cost less and could
underflow whole rows.

Dropout of the weights draws a factor f_ij, 0 or `1 / (1 - dropout)`, for each head and edge, and
sums `e_ij f_ij v_j`; t_i is the sum of all e_ij as before.

A `gat` score is a sum of one number of the receiver and one of the sender, so that no number has to
be stored for each edge: where numba is installed, one compiled kernel computes it
(`lowering/fused_gat.py`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.compiler import numba_missing
from geodl.lowering.base import Call, Lowering, TensorOrNone
from geodl.lowering.differentiable import Operator
from geodl.lowering.edge_features import Edge, EdgeFeatures, EdgeReader, edge_reader
from geodl.lowering.edges import unweighted
from geodl.lowering.fused_gat import Ends, GraphAttention, Kept, draw_kept, drop
from geodl.lowering.kernels.gat import SLOPE, gat_backward, gat_forward
from geodl.lowering.precision import without_autocast
from geodl.lowering.product import linear
from geodl.lowering.scores import SCORES as NAMED
from geodl.lowering.scores import feature
from geodl.lowering.sparse import SDDMM, SpMM, open_pattern
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.structure import Everyone
from geodl.pattern import Pattern

BY_FORMULA = ("additive", "gatv2")  # scores of which no part is one of a node's own


class EdgePlan(NamedTuple):
    """The edges, sorted by their receivers.

    Attributes:
        pattern: where the matrix of the edges has entries, and where its transpose has them.
        dst: `[E]` the receiver of each, 64-bit as all three: torch adds up by others slowly.
        src: `[E]` its sender.
        type: `[E]` its type.
        degree: `[M]` how many edges arrive at each receiver.
        score: what computes the scores `[B H, E]`.
        reader: where the edges find their features; None where they have none.
        senders: the pattern of edges as senders, where keys and values carry features.
        torch_because: of the gat score, why torch's operations run; "" where the compiled kernel
            does. None of the others, which have no kernel.
    """

    pattern: Pattern
    dst: Tensor
    src: Tensor
    type: Tensor
    degree: Tensor
    score: Callable[["EdgePlan", Tensor, Tensor, Tensor | None, Edge], Tensor]
    torch_because: str | None
    reader: EdgeReader | None = None
    senders: Pattern | None = None


def _refuses(call: Call) -> str:
    score = call.options.score
    if score in BY_FORMULA and call.structure(Everyone) is not None:
        # Of one receiver, as decoding asks for, three times the time of a gather (measured).
        return f"all pairs of a {score} score: a sparse product gains nothing there"
    if call.options.edge_channels is not None and score == "linear":
        return "features of edges inside the feature map, which needs each edge's `[H, D]`"
    return ""


def _plan(call: Call) -> EdgePlan:
    edges = unweighted(call)
    shape = call.target.num_nodes, call.source.num_nodes
    pattern, sorting = open_pattern(edges.dst, edges.src, shape)
    dst, src, kind = (end[sorting] for end in edges[:3])
    reader, senders = edge_reader(call, edges), None
    if reader is not None:
        link = reader.edges.link
        assert link is not None
        reader = reader._replace(edges=Edges(dst, src, kind, link=link[sorting]))
        if NAMED[call.options.score].carries_edges:
            # Each edge sends once, to its own receiver.
            own = torch.arange(len(dst), device=dst.device)
            senders, _ = open_pattern(dst, own, (call.target.num_nodes, len(dst)))
    reason = None
    if call.options.score == "gat":
        reason = _no_kernel(call, reader)
    if reason == "":
        _compile(pattern, call.spec.dtype)
    score = SCORES[call.options.score]
    degree = pattern.rows.diff()
    return EdgePlan(pattern, dst, src, kind, degree, score, reason, reader, senders)


def _no_kernel(call: Call, reader: EdgeReader | None) -> str:
    """Why a gat score runs on torch's operations; "" where the compiled kernel takes it."""
    if call.options.edge_types is not None:
        return "a bias by edge type is added along the edges"
    if reader is not None:
        return "features of the edges are added along them"
    if call.spec.device.type != "cpu":
        return "the kernel is for CPUs"
    return numba_missing()


def _compile(pattern: Pattern, dtype: torch.dtype) -> None:
    """Compile the kernels, or load them from disk: here, and not in a call that is timed."""
    wide = torch.promote_types(dtype, torch.float32)
    ends, value = torch.zeros(0, 1, 1, dtype=wide), torch.zeros(0, 1, 1, 1, dtype=wide)
    y, _ = gat_forward(pattern.rows, pattern.cols, ends, ends, value, None, 1.0)
    order = pattern.order
    assert order is not None
    edges = pattern.rows_t, pattern.cols_t, order
    gat_backward(*edges, ends, ends, ends, value, y, y, None, 1.0)


def _note(plan: EdgePlan) -> str:
    if plan.torch_because is None:
        return ""
    if plan.torch_because:
        return f"by torch: {plan.torch_because}"
    return "by numba"


def _run(
    plan: EdgePlan,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vectors: TensorOrNone,
    bias: TensorOrNone,
    dropout: float,
    edge: Edge,
) -> Tensor:
    batch, receivers, heads, _ = query.shape
    kept = draw_kept((batch, len(plan.dst), heads), dropout, query.device)
    if plan.torch_because == "" and bias is None:
        return _run_fused(plan, query, key, value, vectors, kept)
    if plan.reader is not None and edge is not None:
        edge = edge._replace(state=plan.reader.state_of(edge, batch))
    s = plan.score(plan, query, key, vectors, edge)
    if bias is not None:
        # Wide, as its gradient is a sum over all edges of a type.
        wide = torch.promote_types(bias.dtype, torch.float32)
        typed = bias.to(wide).T.index_select(1, plan.type)
        s = (s.unflatten(0, (batch, heads)) + typed).flatten(0, 1)
    largest = _Largest.apply(plan.degree, s.detach())
    e = (s - largest.index_select(1, plan.dst)).exp()
    # The largest score adds exp(0) = 1: a sum is less only where there is no edge, and 0 / 1 is 0.
    total = e.new_zeros(len(e), receivers).index_add(1, plan.dst, e).clamp(min=1)
    read = drop(e, kept)
    y = SpMM.apply(plan.pattern, read, _headed(value))
    if plan.senders is not None and edge is not None:
        y = y + _carried(plan.senders, read, edge)
    y = y / total[:, :, None]
    return y.unflatten(0, (batch, heads)).transpose(1, 2).to(value.dtype)


def _run_fused(
    plan: EdgePlan, query: Tensor, key: Tensor, value: Tensor, vectors: Tensor | None, kept: Kept
) -> Tensor:
    assert vectors is not None
    at, by = _halves(query, key, vectors)
    ends = Ends(plan.pattern, plan.dst, plan.src)
    y, _ = GraphAttention.apply(ends, at, by, value.to(at.dtype), *kept)
    return y.to(value.dtype)


class _Largest(Operator):
    """The largest score of each receiver: degrees `[M]` and scores `[G, E]` to `[G, M]`, -inf where
    no edge arrives.

    For the softmax it is a constant: what is taken off every score of a receiver cancels. It takes
    degrees, which no pattern holds: `torch.jit.trace` breaks where one operation reads a tensor
    that stands in the pattern of another.
    """

    @staticmethod
    def forward(degree: Tensor, s: Tensor) -> Tensor:
        lengths = degree.expand(len(s), -1)
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
        degree, s = args
        s = s.movedim(in_dims[1], 0)
        return _Largest.apply(degree, s.flatten(0, 1)).unflatten(0, s.shape[:2]), 0


def _carried(senders: Pattern, a: Tensor, edge: EdgeFeatures) -> Tensor:
    """`sum_j a_ij W f_ij`: weights `[B H, E]` to `[B H, M, D]`."""
    f = _for_each_head(edge, a.dtype)
    arrived = SpMM.apply(senders, a, f)
    weight = edge.weight.to(a.dtype)
    with without_autocast(a.device):
        return (arrived.unflatten(0, (-1, len(weight))) @ weight.mT).flatten(0, 1)


def _for_each_head(edge: EdgeFeatures, dtype: torch.dtype) -> Tensor:
    """Features `[B, E, C_e]` as `[B H, E, C_e]`."""
    f = edge.state.to(dtype)
    return f[:, None].expand(-1, len(edge.weight), -1, -1).flatten(0, 1)


def _dot(plan: EdgePlan, query: Tensor, key: Tensor, vectors: None, edge: Edge) -> Tensor:
    return _products(plan, _headed(query) * query.shape[-1] ** -0.5, key, edge)


def _product(plan: EdgePlan, query: Tensor, key: Tensor, vectors: None, edge: Edge) -> Tensor:
    return _products(plan, _headed(query), key, edge)


def _products(plan: EdgePlan, q: Tensor, key: Tensor, edge: Edge) -> Tensor:
    """`q_i . (k_j + W f_ij)`: q `[B H, M, D]` to `[B H, E]`."""
    s = SDDMM.apply(plan.pattern, q, _headed(key))
    if edge is None:
        return s
    assert plan.senders is not None
    weight = edge.weight.to(q.dtype)
    with without_autocast(q.device):
        seen = (q.unflatten(0, (-1, len(weight))) @ weight).flatten(0, 1)
    return s + SDDMM.apply(plan.senders, seen, _for_each_head(edge, q.dtype))


def _linear(plan: EdgePlan, query: Tensor, key: Tensor, vectors: None, edge: Edge) -> Tensor:
    return SDDMM.apply(plan.pattern, feature(_headed(query)), feature(_headed(key))).log()


def _gat(plan: EdgePlan, query: Tensor, key: Tensor, vectors: Tensor, edge: Edge) -> Tensor:
    at, by = _halves(query, key, vectors)
    s = at.transpose(1, 2).flatten(0, 1).index_select(1, plan.dst)
    s = s + by.transpose(1, 2).flatten(0, 1).index_select(1, plan.src)
    if edge is not None:
        with without_autocast(query.device):
            weight = torch.einsum("hd,hdc->hc", vectors[2].to(s.dtype), edge.weight.to(s.dtype))
            s = s + torch.einsum("bec,hc->bhe", edge.state.to(s.dtype), weight).flatten(0, 1)
    return F.leaky_relu(s, SLOPE, inplace=True)


def _halves(query: Tensor, key: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """What a receiver adds to a gat score `[B, M, H]`, and a sender `[B, N, H]`: `sum_d x_hd a_hd`.

    It is a product with a matrix of blocks, `[H, H D]` with a_h in row h and the columns of head h.
    Most of its numbers are zeros, and yet it takes a fourth of the time of a product for each head,
    whose gradients come turned and are slow to add up (measured).
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    heads = vectors.shape[1]
    diagonal = torch.eye(heads, dtype=wide, device=query.device)
    blocks = (diagonal[:, :, None] * vectors[:2, None].to(wide)).flatten(2)
    x = query.to(wide).flatten(2)
    with without_autocast(query.device):
        if query is key:  # one projection, and so one product
            at, by = linear(x, blocks.flatten(0, 1)).split(heads, 2)
        else:
            at = linear(x, blocks[0])
            by = linear(key.to(wide).flatten(2), blocks[1])
    return at, by


def _along_edges(name: str) -> Callable[..., Tensor]:
    """A score of which no part is one of a node's own: computed by its formula at every edge."""
    function = NAMED[name].function

    def scores(plan: EdgePlan, query: Tensor, key: Tensor, vectors: Tensor, edge: Edge) -> Tensor:
        wide = torch.promote_types(query.dtype, torch.float32)
        q = query.to(wide).index_select(1, plan.dst)
        k = key.to(wide).index_select(1, plan.src)
        projected = None
        if edge is not None:
            with without_autocast(query.device):
                state, weight = edge.state.to(wide), edge.weight.to(wide)
                projected = torch.einsum("bec,hdc->behd", state, weight)
        s = function(q, k, projected, vectors.to(wide)).transpose(1, 2)
        # Copied also where torch takes it for contiguous: of a single edge the strides of a view
        # say otherwise, and `segment_reduce` goes by them.
        return s.clone(memory_format=torch.contiguous_format).flatten(0, 1)

    return scores


def _headed(x: Tensor) -> Tensor:
    """`[B, N, H, D]` as `[B H, N, D]`, in the type of the sparse kernels."""
    return x.to(torch.promote_types(x.dtype, torch.float32)).transpose(1, 2).flatten(0, 1)


SCORES = {"dot": _dot, "product": _product, "linear": _linear, "gat": _gat}
SCORES |= {name: _along_edges(name) for name in BY_FORMULA}

attend = Lowering("edge_softmax", _refuses, _plan, _run, note=_note)
