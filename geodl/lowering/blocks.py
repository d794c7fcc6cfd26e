"""`blocks`: each receiver pools a run of consecutive senders (a fiber, a whole domain), so pooling
reads a view.
"""

from typing import NamedTuple

from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.neighborhood.structure import Blocks


class BlockPlan(NamedTuple):
    """Receivers, senders of each, and the reduction."""

    num_receivers: int
    size: int
    reduction: str


def _refuses(call: Call) -> str:
    if call.structure(Blocks) is None:
        return "receivers take no equal runs of senders"
    return ""


def _plan(call: Call) -> BlockPlan:
    blocks = call.structure(Blocks)
    assert blocks is not None
    return BlockPlan(call.target.num_nodes, blocks.size, call.options.reduction)


def _run(plan: BlockPlan, x: Tensor) -> Tensor:
    parts = x.reshape(x.shape[0], plan.num_receivers, plan.size, x.shape[2])
    return {"sum": parts.sum, "mean": parts.mean, "max": parts.amax, "min": parts.amin}[
        plan.reduction
    ](dim=2)


pool = Lowering("blocks", _refuses, _plan, _run)
