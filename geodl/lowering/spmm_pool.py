"""`spmm`: a sum over neighbors is a product with a sparse matrix of ones, a mean one with their
shares.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.edges import unweighted
from geodl.lowering.sparse import Pattern, constant_pattern, multiply


class SpmmPoolPlan(NamedTuple):
    """Where the matrix and its transpose have entries."""

    pattern: Pattern


def _refuses(call: Call) -> str:
    if call.options.reduction not in ("sum", "mean"):
        return f"a {call.options.reduction} is no sum over the senders"
    return ""


def _plan(call: Call) -> SpmmPoolPlan:
    edges, shape = unweighted(call), (call.target.num_nodes, call.source.num_nodes)
    shares = None
    if call.options.reduction == "mean":
        count = torch.bincount(edges.dst, minlength=call.target.num_nodes)
        # The kernel knows no type narrower than single precision.
        wide = torch.promote_types(call.spec.dtype, torch.float32)
        shares = 1 / count[edges.dst].to(wide)
    return SpmmPoolPlan(constant_pattern(edges.dst, edges.src, shape, shares))


def _run(plan: SpmmPoolPlan, x: Tensor) -> Tensor:
    return multiply(plan.pattern, x)


pool = Lowering("spmm", _refuses, _plan, _run)
