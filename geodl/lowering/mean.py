"""`mean`: on a complete graph all nodes receive the same sum, so it is computed once: O(N) in place
of O(N^2).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.channels import mix_channels
from geodl.neighborhood.structure import Everyone


class MeanPlan(NamedTuple):
    """Receivers, and whether a node's own edge has a weight of its own."""

    num_receivers: int
    own: bool


def _refuses(call: Call) -> str:
    everyone = call.structure(Everyone)
    if everyone is None or everyone.causal:
        return "not all receive from all"
    if call.source.is_union or call.target.is_union:
        return "members of different kinds or sizes"
    if not everyone.typed and call.options.edge_types is not None:
        return "pairs of more types than self and others"
    if call.spec.layout != torch.strided:
        return "a complete graph's values are dense"
    return ""


def _plan(call: Call) -> MeanPlan:
    everyone = call.structure(Everyone)
    assert everyone is not None
    return MeanPlan(call.target.num_nodes, everyone.types == "self")


def _run(plan: MeanPlan, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    total = x.sum(dim=1, keepdim=True)
    if weight is None:
        return total.repeat(1, plan.num_receivers, 1)
    # With W_0 for a node itself and W_1 for others, W_0 x_i + W_1 sum over j != i of x_j is
    # (W_0 - W_1) x_i + W_1 sum over all j of x_j.
    everyone = mix_channels(total, weight[-1])
    if bias is not None:
        everyone = everyone + bias
    if plan.own:
        return mix_channels(x, weight[0] - weight[1]) + everyone
    return everyone.repeat(1, plan.num_receivers, 1)


convolve = Lowering("mean", _refuses, _plan, _run)
