"""`segment`: pooling over edges that stand sorted by their receivers, for maxima and minima.

With numba, `lowering/kernels/segment.py` reads each sender's row once for each of its edges and
keeps, for each receiver and channel, the first sender that attains the maximum and along how many
edges it arrives. Without it, and where all senders are summed, the rows are gathered along the
edges and reduced as messages are (`lowering/reductions.py`).
"""

from typing import NamedTuple

from torch import Tensor

from geodl.compiler import numba_missing
from geodl.lowering.base import Call, Lowering
from geodl.lowering.edges import never, unweighted
from geodl.lowering.incidence import Gather, Incidence, incidence
from geodl.lowering.largest import SIGN, compile_largest, largest
from geodl.lowering.reductions import REDUCTIONS
from geodl.lowering.sparse import sort_by_row


class Ends(NamedTuple):
    """The edges by their receivers and by their senders, for torch's operations.

    Attributes:
        receivers: the receiver of each edge.
        senders: the sender of each edge.
    """

    receivers: Incidence
    senders: Incidence


class Rows(NamedTuple):
    """The edges sorted by their receivers, for the compiled kernel.

    Attributes:
        starts: `[M + 1]` where each receiver's edges begin.
        cols: `[E]` the sender of each.
    """

    starts: Tensor
    cols: Tensor


class SegmentPlan(NamedTuple):
    """The edges, and what runs over them.

    Attributes:
        reduction: "max", "min", "mean" or "sum".
        rows: for the compiled kernel; None where torch's operations run.
        ends: for torch's operations; None where the compiled kernel runs.
        torch_because: why torch's operations run; "" where the compiled kernel does.
    """

    reduction: str
    rows: Rows | None
    ends: Ends | None
    torch_because: str


def _plan(call: Call) -> SegmentPlan:
    edges, reduction = unweighted(call), call.options.reduction
    reason = _no_kernel(call)
    if reason:
        receivers = incidence(edges.dst, call.target.num_nodes)
        senders = incidence(edges.src, call.source.num_nodes)
        return SegmentPlan(reduction, None, Ends(receivers, senders), reason)
    starts, cols, _ = sort_by_row(edges.dst, edges.src, call.target.num_nodes)
    compile_largest(starts, cols, call.spec.dtype)
    return SegmentPlan(reduction, Rows(starts, cols), None, "")


def _no_kernel(call: Call) -> str:
    """Why torch's operations run; "" where the compiled kernel does."""
    if call.options.reduction not in SIGN:
        return "a sum has no kernel of its own"
    if call.spec.device.type != "cpu":
        return "the kernels are for CPUs"
    return numba_missing()


def _run(plan: SegmentPlan, x: Tensor) -> Tensor:
    if plan.rows is not None:
        y, _ = largest(plan.rows.starts, plan.rows.cols, x, plan.reduction)
        return y
    assert plan.ends is not None
    receivers, senders = plan.ends
    reduction = REDUCTIONS[plan.reduction]
    summary = reduction.collect(receivers, Gather.apply(senders, x))
    y = reduction.finish(receivers.degree, summary)
    if plan.reduction in SIGN:
        # The backward reads the extremes once more: what the caller gets may be changed in place.
        return y.clone()
    return y


def _note(plan: SegmentPlan) -> str:
    if plan.torch_because:
        return f"by torch: {plan.torch_because}"
    return "by numba"


pool = Lowering("segment", never, _plan, _run, note=_note)
