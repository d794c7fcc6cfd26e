"""`regroup`: where sheet s takes one sheet of the senders over each type and what arrives stays
apart, sheets become channels: nothing is computed, and at most one copy is made.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.neighborhood.sheets import OneOfEach


class RegroupPlan(NamedTuple):
    """Which sheets stand side by side.

    Attributes:
        num_receivers: M.
        sheets: |G|, of the senders' fiber.
        types: T, whose values stand side by side at a receiver.
        swapped: whether sheets are in order by (type, sheet of the receiver), as the rotations of
            D(n), type 0, before its reflections, type 1; the two axes then change places.
        order: `[|G|]` which sheet comes first, second, ...; None where they are in order.
    """

    num_receivers: int
    sheets: int
    types: int
    swapped: bool
    order: Tensor | None


def _refuses(call: Call) -> str:
    if call.options.edge_types is None or call.options.channels_in is not None:
        return "what arrives over several edges is added, or mixed by weights"
    if call.structure(OneOfEach) is None:
        return "receivers take other than one sheet over each type"
    return ""


def _plan(call: Call) -> RegroupPlan:
    record = call.structure(OneOfEach)
    assert record is not None
    sheets, order = record.sheets.numel(), None
    in_order = torch.arange(sheets)
    swapped = torch.equal(record.sheets.T.flatten(), in_order)
    if not swapped and not torch.equal(record.sheets.flatten(), in_order):
        order = record.sheets.flatten().to(call.spec.device)
    types = record.sheets.shape[1]
    return RegroupPlan(call.target.num_nodes, sheets, types, swapped, order)


def _run(plan: RegroupPlan, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    batch, nodes, channels = x.shape
    points = x.reshape(batch, nodes // plan.sheets, plan.sheets, channels)
    if plan.swapped:
        points = points.unflatten(2, (plan.types, plan.sheets // plan.types)).transpose(2, 3)
    elif plan.order is not None:
        points = points.index_select(2, plan.order)
    return points.reshape(batch, plan.num_receivers, plan.types * channels)


convolve = Lowering("regroup", _refuses, _plan, _run)
