"""`rnn`: recurrence along chains, in either direction, as torch's LSTM, GRU and RNN kernels; packed
where lengths differ.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.errors import GeodlError
from geodl.lowering.base import Call, Lowering
from geodl.lowering.cells import CELLS
from geodl.lowering.differentiable import transforms_active
from geodl.lowering.flat_weights import with_one_chunk
from geodl.neighborhood.structure import Shift


class Packed(NamedTuple):
    """Chains of different lengths, step after step, at each the longest first.

    Attributes:
        nodes: `[N]` the nodes in that order.
        position_of: `[N]` the position of each node in that order.
        members: `[D]` the longest first.
        ranks: `[D]` the position of each member among them.
        alive: how many members have each step, on the CPU, where the kernels read it.
    """

    nodes: Tensor
    position_of: Tensor
    members: Tensor
    ranks: Tensor
    alive: Tensor


class RnnPlan(NamedTuple):
    """What the kernels need to know.

    Attributes:
        kernel: torch's function.
        two_states: whether it takes (h, c), as an LSTM's, or h alone.
        backwards: whether it runs from the last node to the first.
        full: whether it runs in the dtype of the weights under autocast.
        cuda: whether it runs on CUDA, where cuDNN reads weights in one chunk.
        packed: the order of nodes, where chains have different lengths.
    """

    kernel: Any
    two_states: bool
    backwards: bool
    full: bool
    cuda: bool
    packed: Packed | None


def _refuses(call: Call) -> str:
    shift = call.structure(Shift)
    if shift is None or abs(shift.by) != 1 or not call.source.ordered:
        return "the rule does not step along a chain"
    if CELLS[call.options.cell].kernel is None:
        return f"torch has no kernel for the cell {call.options.cell!r}"
    if call.source.is_union and call.spec.device.type == "meta":
        return "torch's kernel for chains of different lengths reads values, of which meta has none"
    return ""


def _plan(call: Call) -> RnnPlan:
    shift = call.structure(Shift)
    assert shift is not None
    backwards = shift.by == -1
    # Most CPUs have no such kernel in bf16.
    full = call.spec.device.type == "cpu"
    cuda = call.spec.device.type == "cuda"
    packed = None
    if call.source.is_union:
        packed = _packed(call, backwards)
    kind = CELLS[call.options.cell]
    return RnnPlan(kind.kernel, kind.states == 2, backwards, full, cuda, packed)


def _packed(call: Call, backwards: bool) -> Packed:
    """The order in which torch's kernels take sequences of different lengths.

    Step t of all members that have one stands before step t + 1, the longest member first, so that
    the members that are still alive are always the first ones.
    """
    lengths = torch.tensor(call.source.sizes)
    members = lengths.argsort(descending=True, stable=True)
    longest = lengths[members]
    exists = torch.arange(int(longest[0]))[:, None] < longest
    step, rank = exists.nonzero().unbind(1)
    # Backwards, each member's first step is its own last node.
    place = step
    if backwards:
        place = longest[rank] - 1 - step
    starts = (lengths.cumsum(0) - lengths)[members]
    nodes = starts[rank] + place
    device = call.spec.device
    return Packed(
        nodes=nodes.to(device),
        position_of=nodes.argsort().to(device),
        members=members.to(device),
        ranks=members.argsort().to(device),
        alive=exists.sum(1),
    )


def _run(
    plan: RnnPlan, x: Tensor, cell: Any, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    if not transforms_active():
        return _run_kernel(plan, x, cell, state)
    try:
        return _run_kernel(plan, x, cell, state)
    except RuntimeError as error:
        raise GeodlError(
            "recurrence under a transform of torch.func",
            "a kernel of torch without a rule for it",
            "use lowering='levels'",
        ) from error


def _run_kernel(
    plan: RnnPlan, x: Tensor, cell: Any, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    if plan.full and torch.is_autocast_enabled("cpu"):
        dtype = cell.w.dtype
        with torch.autocast("cpu", enabled=False):
            return _run_kernel(plan, x.to(dtype), cell, tuple(s.to(dtype) for s in state))
    weights = list(cell[:4])
    if plan.cuda:
        weights = with_one_chunk(weights)
    if plan.packed is not None:
        return _run_packed(plan, plan.packed, x, weights, state)
    if plan.backwards:
        x = x.flip(1)
    before = _as_kernels_take(plan, state)
    # On a GPU the kernels keep what backward needs only when told that they train.
    train = torch.is_grad_enabled()
    y, *after = plan.kernel(x, before, weights, True, 1, 0.0, train, False, True)
    if plan.backwards:
        y = y.flip(1)
    return y, tuple(after)


def _run_packed(
    plan: RnnPlan, packed: Packed, x: Tensor, weights: list[Tensor], state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    if torch.compiler.is_exporting():
        asked = "torch.export of a recurrence on chains of different lengths"
        found = "a kernel of torch that reads their lengths as it runs"
        raise GeodlError(asked, found, "set layer.lowering = 'levels'")
    batch, nodes, channels = x.shape
    members, _, hidden = state[0].shape
    # The B batch entries of a node stand beside each other: each step has B rows for every member.
    rows = x.transpose(0, 1).index_select(0, packed.nodes).reshape(nodes * batch, channels)
    ordered = [s.index_select(0, packed.members) for s in state]
    before = _as_kernels_take(plan, [s.reshape(1, members * batch, hidden) for s in ordered])
    alive, train = packed.alive * batch, torch.is_grad_enabled()
    y, *after = plan.kernel(rows, alive, before, weights, True, 1, 0.0, train, False)
    y = y.view(nodes, batch, hidden).transpose(0, 1).index_select(1, packed.position_of)
    last = [s.view(members, batch, hidden).index_select(0, packed.ranks) for s in after]
    return y, tuple(last)


def _as_kernels_take(plan: RnnPlan, state: Sequence[Tensor]) -> Any:
    """A list of two states, or the one state alone."""
    if plan.two_states:
        return list(state)
    return state[0]


recur = Lowering("rnn", _refuses, _plan, _run)
