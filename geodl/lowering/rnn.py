"""`rnn`: recurrence along a chain, in either direction, as torch's LSTM, GRU and RNN kernels."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Ask, Lowering

KERNELS = {"lstm": torch.lstm, "gru": torch.gru, "rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu}


class RnnPlan(NamedTuple):
    """The kernel, whether it takes two states, the direction, and whether it runs in the weights' own precision."""

    kernel: Any
    two_states: bool
    backwards: bool
    full: bool


def _refuses(ask: Ask) -> str:
    if ask.neighborhood.steps not in (1, -1) or not ask.source.ordered:
        return "the rule does not step along a chain"
    if ask.source.members is not None:
        return "chains of different lengths"
    return "" if ask.options.cell in KERNELS else f"torch has no kernel for the cell {ask.options.cell!r}"


def _plan(ask: Ask) -> RnnPlan:
    full = ask.like.device.type == "cpu"  # most CPUs have no recurrent kernel in bf16
    return RnnPlan(KERNELS[ask.options.cell], ask.options.cell == "lstm", ask.neighborhood.steps == -1, full)


def _run(plan: RnnPlan, x: Tensor, cell: Any, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    if plan.full and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return _run(plan, x.to(cell[0].dtype), cell, tuple(s.to(cell[0].dtype) for s in state))
    before = [s.transpose(0, 1).contiguous() for s in state]  # [1, B, hidden], as the kernels take it
    along = x.flip(1) if plan.backwards else x
    y, *after = plan.kernel(along, before if plan.two_states else before[0], list(cell), True, 1, 0.0, False, False, True)
    return y.flip(1) if plan.backwards else y, tuple(s.transpose(0, 1) for s in after)


recur = Lowering("rnn", _refuses, _plan, _run)
