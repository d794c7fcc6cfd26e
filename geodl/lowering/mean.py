"""`mean`: on a complete graph everyone hears the same sum, so it is computed once: O(N) in place of
O(N^2).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Call, Lowering


class MeanPlan(NamedTuple):
    """Receivers, and whether a node's own edge has a weight of its own."""

    num_receivers: int
    own: bool


def _refuses(call: Call) -> str:
    rule = call.rule
    if not rule.complete or rule.causal:
        return "not everyone hears everyone"
    if call.source.members is not None:
        return "members of different kinds or sizes"
    if rule.num_edge_types not in (1, 2):
        return "pairs of more types than self and others"
    if rule.num_edge_types == 2 and call.target != call.source:
        return "self and others on two domains"
    return "a complete graph's values are dense" if call.spec.layout != torch.strided else ""


def _plan(call: Call) -> MeanPlan:
    return MeanPlan(call.target.num_nodes, call.rule.num_edge_types == 2)


def _run(plan: MeanPlan, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    everyone = x.sum(dim=1, keepdim=True) @ weight[-1]
    everyone = everyone if bias is None else everyone + bias
    if plan.own:
        return x @ (weight[0] - weight[1]) + everyone
    return everyone.repeat(1, plan.num_receivers, 1)


convolve = Lowering("mean", _refuses, _plan, _run)
