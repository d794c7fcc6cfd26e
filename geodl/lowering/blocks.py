"""`blocks`: each receiver pools a run of consecutive senders (a fiber, a whole domain), so pooling
reads a view.
"""

from typing import NamedTuple

from torch import Tensor

from geodl.lowering.base import Call, Lowering


class BlockPlan(NamedTuple):
    """Receivers, senders of each, and the reduction."""

    num_receivers: int
    size: int
    reduction: str


def _refuses(call: Call) -> str:
    return (
        "receivers hear no equal runs of senders"
        if call.rule.block(call.source, call.target) is None
        else ""
    )


def _plan(call: Call) -> BlockPlan:
    size = call.rule.block(call.source, call.target)
    assert size is not None
    return BlockPlan(call.target.num_nodes, size, call.options.reduction)


def _run(plan: BlockPlan, x: Tensor) -> Tensor:
    parts = x.reshape(x.shape[0], plan.num_receivers, plan.size, x.shape[2])
    return {"sum": parts.sum, "mean": parts.mean, "max": parts.amax, "min": parts.amin}[
        plan.reduction
    ](dim=2)


pool = Lowering("blocks", _refuses, _plan, _run)
