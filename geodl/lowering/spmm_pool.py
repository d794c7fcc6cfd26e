"""`spmm`: a sum over neighbors is a product with a sparse matrix of ones, a mean one with their
shares.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.lowering.base import Call, Lowering, PoolOptions
from geodl.lowering.edges import unweighted
from geodl.lowering.self_term import multiply_with_self_term
from geodl.lowering.sparse import constant_pattern, multiply
from geodl.neighborhood.linked import Linked
from geodl.neighborhood.structure import Segments
from geodl.pattern import Pattern


class SpmmPoolPlan(NamedTuple):
    """Where the matrix and its transpose have entries."""

    pattern: Pattern


def _refuses(call: Call) -> str:
    if call.options.reduction not in ("sum", "mean"):
        return f"a {call.options.reduction} is no sum over the senders"
    return ""


def _plan(call: Call) -> SpmmPoolPlan:
    segments = call.structure(Segments)
    if segments is not None:
        return SpmmPoolPlan(_pattern_of_segments(call, segments.sizes))
    (dst, src), shape = _ends(call), (call.target.num_nodes, call.source.num_nodes)
    shares = None
    if call.options.reduction == "mean":
        count = torch.bincount(dst, minlength=call.target.num_nodes)
        # The kernel knows no type narrower than single precision.
        wide = torch.promote_types(call.spec.dtype, torch.float32)
        shares = 1 / count[dst].to(wide)
    return SpmmPoolPlan(constant_pattern(dst, src, shape, shares))


def _ends(call: Call) -> tuple[Tensor, Tensor]:
    """The receiver and the sender of each edge, of edges without weights."""
    linked = call.structure(Linked)
    if linked is not None:
        return linked.dst.to(call.spec.device), linked.src.to(call.spec.device)
    edges = unweighted(call)
    return edges.dst, edges.src


def _pattern_of_segments(call: Call, sizes: tuple[int, ...]) -> Pattern:
    """The pattern of a summary of each member, whose entries stand in order by rows and by columns:
    nothing is sorted, which counts where new graphs come at every step.
    """
    length, nodes = np.asarray(sizes), call.source.num_nodes
    starts = np.zeros(len(sizes) + 1, dtype=np.int32)
    length.cumsum(out=starts[1:])
    receiver = np.arange(len(sizes), dtype=np.int32).repeat(length)
    arrays = (starts, np.arange(nodes + 1, dtype=np.int32), receiver)
    columns = [torch.from_numpy(array) for array in arrays]
    if call.spec.device.type != "cpu":
        columns = [column.to(call.spec.device) for column in columns]
    rows, senders, cols_t = columns
    shares = None
    if call.options.reduction == "mean":
        wide = torch.promote_types(call.spec.dtype, torch.float32)
        shares = torch.from_numpy((1 / length).repeat(length)).to(call.spec.device, wide)[None]
    # Sender j is the only entry of its column: column j begins at entry j.
    return Pattern(rows, senders[:-1], senders, cols_t, values=shares, values_t=shares)


def _of_pattern(options: PoolOptions, pattern: Pattern, dtype: torch.dtype) -> SpmmPoolPlan:
    if options.reduction == "sum":
        return SpmmPoolPlan(pattern)
    count = pattern.rows.diff()
    share = 1 / count.to(torch.promote_types(dtype, torch.float32))
    values, values_t = share.repeat_interleave(count), share.index_select(0, pattern.cols_t)
    return SpmmPoolPlan(pattern._replace(values=values[None], values_t=values_t[None]))


def _run(plan: SpmmPoolPlan, x: Tensor) -> Tensor:
    return multiply(plan.pattern, x)


def _run_with_self_term(plan: SpmmPoolPlan, x: Tensor, c: Tensor) -> Tensor:
    return multiply_with_self_term(plan.pattern, c, x)


pool = Lowering(
    "spmm", _refuses, _plan, _run, with_self_term=_run_with_self_term, of_pattern=_of_pattern
)
