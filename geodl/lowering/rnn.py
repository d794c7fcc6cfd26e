"""`rnn`: recurrence along chains, in either direction, as torch's LSTM, GRU and RNN kernels; packed
where lengths differ.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.cells import CELLS
from geodl.neighborhood.structure import Shift


class Packed(NamedTuple):
    """Chains of different lengths, step after step, at each the longest first.

    Attributes:
        nodes: `[N]` the nodes in that order.
        places: `[N]` where each node stands in it.
        members: `[D]` the longest first.
        ranks: `[D]` where each member stands among them.
        alive: how many members have each step, on the CPU, as the kernels read it.
    """

    nodes: Tensor
    places: Tensor
    members: Tensor
    ranks: Tensor
    alive: Tensor


class RnnPlan(NamedTuple):
    """The kernel, whether it takes two states, the direction, whether it runs in the weights' own
    precision, the packing.
    """

    kernel: Any
    two_states: bool
    backwards: bool
    full: bool
    packed: Packed | None


def _refuses(call: Call) -> str:
    shift = call.structure(Shift)
    if shift is None or abs(shift.by) != 1 or not call.source.ordered:
        return "the rule does not step along a chain"
    if CELLS[call.options.cell].kernel is None:
        return f"torch has no kernel for the cell {call.options.cell!r}"
    return ""


def _plan(call: Call) -> RnnPlan:
    shift = call.structure(Shift)
    assert shift is not None
    backwards = shift.by == -1
    full = call.spec.device.type == "cpu"  # most CPUs have no such kernel in bf16
    packed = _packed(call, backwards) if call.source.members else None
    kind = CELLS[call.options.cell]
    return RnnPlan(kind.kernel, kind.states == 2, backwards, full, packed)


def _packed(call: Call, backwards: bool) -> Packed:
    lengths = torch.tensor([m.num_nodes for m in call.source.members or ()])
    members = lengths.argsort(descending=True, stable=True)
    longest = lengths[members]
    exists = torch.arange(int(longest[0]))[:, None] < longest
    step, rank = exists.nonzero().unbind(1)
    starts = (lengths.cumsum(0) - lengths)[members]
    nodes = starts[rank] + (longest[rank] - 1 - step if backwards else step)
    at = call.spec.device
    return Packed(
        nodes.to(at),
        nodes.argsort().to(at),
        members.to(at),
        members.argsort().to(at),
        exists.sum(1),
    )


def _run(
    plan: RnnPlan, x: Tensor, cell: Any, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    if plan.full and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return _run(plan, x.to(cell.w.dtype), cell, tuple(s.to(cell.w.dtype) for s in state))
    if plan.packed is not None:
        return _run_packed(plan, plan.packed, x, list(cell[:4]), state)
    kept = (
        torch.is_grad_enabled()
    )  # on a GPU the kernels keep what backward needs only when told that they train
    before = list(state) if plan.two_states else state[0]
    along = x.flip(1) if plan.backwards else x
    y, *after = plan.kernel(along, before, list(cell[:4]), True, 1, 0.0, kept, False, True)
    return y.flip(1) if plan.backwards else y, tuple(after)


def _run_packed(
    plan: RnnPlan, packed: Packed, x: Tensor, weights: Any, state: tuple[Tensor, ...]
) -> Any:
    (b, n, c), (d, _, hidden) = x.shape, state[0].shape
    data = x.transpose(0, 1).index_select(0, packed.nodes).reshape(n * b, c)
    before = [s.index_select(0, packed.members).reshape(1, d * b, hidden) for s in state]
    hx = before if plan.two_states else before[0]
    y, *after = plan.kernel(
        data, packed.alive * b, hx, weights, True, 1, 0.0, torch.is_grad_enabled(), False
    )
    y = y.view(n, b, hidden).transpose(0, 1).index_select(1, packed.places)
    return y, tuple(s.view(d, b, hidden).index_select(0, packed.ranks) for s in after)


recur = Lowering("rnn", _refuses, _plan, _run)
