"""`segment`: messages along all edges at once, and reductions over the edges of each receiver.

The function of the user sees every edge in the order of the rule, as the reference shows them;
only the gathers and the reductions follow the plan, in which the edges of each receiver and of each
sender are listed once. Their gradients are sums and gathers of the same kind.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.compiler import numba_missing
from geodl.lowering.base import Call, Lowering
from geodl.lowering.edges import never, written_out
from geodl.lowering.incidence import (
    Ends,
    Gather,
    Incidence,
    SumAtEdges,
    both_ends,
    incidence,
)
from geodl.lowering.joined import Joined, Split
from geodl.lowering.largest import compile_largest
from geodl.lowering.message_edges import MessageEdges, message_edges
from geodl.lowering.message_pieces import Pieces, cut, reduce_in_pieces
from geodl.lowering.reductions import FINDS_EXTREMES, REDUCTIONS

# of receivers, of senders, of edges, and the state of each receiver's graph
Values = tuple[Tensor, Tensor, Tensor | None, Tensor | None]


class MessagePlan(NamedTuple):
    """Edges by their receivers and by their senders.

    Attributes:
        along: the edges, and what messages read there.
        receivers: the receiver of each edge.
        senders: the sender of each edge.
        reductions: by name; none where the messages themselves are the answer.
        pieces: of the edges; None where they are all computed at once.
        ends: both ends of each edge, where networks that read what an edge sees side by side are
            split, and what the nodes have to do with their first layer is done at the nodes. None
            of other functions, and where there are fewer edges than nodes at one of the ends.
        torch_because: why torch finds the extremes; "" where the compiled kernel does. None where
            no reduction asks for any.
    """

    along: MessageEdges
    receivers: Incidence
    senders: Incidence
    reductions: tuple[str, ...]
    pieces: Pieces | None
    ends: Ends | None
    torch_because: str | None


def _plan(call: Call) -> MessagePlan:
    along = message_edges(call, written_out(call))
    reason = _no_kernel(call)
    receivers = incidence(along.edges.dst, call.target.num_nodes, compiled=reason == "")
    if receivers.compiled:
        compile_largest(receivers.start, receivers.order, call.spec.dtype)
    senders = incidence(along.edges.src, call.source.num_nodes)
    pieces, most = None, call.options.max_edges
    if most is not None and most < len(receivers.node):
        pieces = cut(receivers, along.edges.src, most)
    ends = None
    if call.options.joins and _edges_outnumber_nodes(receivers, senders):
        ends = both_ends(receivers, senders)
    return MessagePlan(along, receivers, senders, call.options.reductions, pieces, ends, reason)


def _edges_outnumber_nodes(receivers: Incidence, senders: Incidence) -> bool:
    """Whether what is computed once for each node is computed less often than for each edge."""
    return len(receivers.node) >= max(receivers.num_nodes, senders.num_nodes)


def _no_kernel(call: Call) -> str | None:
    """Why torch finds the extremes; "" where the compiled kernel does, None without any."""
    if FINDS_EXTREMES.isdisjoint(call.options.reductions):
        return None
    if call.spec.device.type != "cpu":
        return "the kernels are for CPUs"
    return numba_missing()


def _note(plan: MessagePlan) -> str:
    if plan.torch_because is None:
        return ""
    if plan.torch_because:
        return f"extremes by torch: {plan.torch_because}"
    return "extremes by numba"


def _run(
    plan: MessagePlan,
    receiver: Tensor,
    sender: Tensor,
    edge: Tensor | None,
    u: Tensor | None,
    function: Callable[..., Tensor],
    entries: Tensor | None = None,
) -> Tensor:
    e_ij = plan.along.edge_values(edge, entries, receiver)
    if u is not None:
        u = plan.along.at_receivers(u)
    values: Values = (receiver, sender, e_ij, u)
    if plan.ends is not None and isinstance(function, Joined):
        split = function.split(*values)
        if split is not None:
            function, values = split
    if plan.pieces is not None:
        return reduce_in_pieces(plan.pieces, plan.reductions, values, function)
    m = _messages(plan, values, function)
    if not plan.reductions:
        return plan.along.by_links(m)
    reduced = []
    for name in plan.reductions:
        reduction = REDUCTIONS[name]
        summary = reduction.collect(plan.receivers, m)
        reduced.append(reduction.finish(plan.receivers.degree, summary))
    return torch.cat(reduced, dim=2)


def _messages(plan: MessagePlan, values: Values, function: Callable[..., Tensor]) -> Tensor:
    """What a function answers to the values at the ends of each edge, `[B, E, C_out]`."""
    # What a network has read stays for its backward, or is freed before its last module runs: here
    # nothing holds on to tensors as long as the edges.
    if isinstance(function, Split) and plan.ends is not None:
        a, b, e_ij, _ = values
        return function.finish(SumAtEdges.apply(plan.ends, a, b), e_ij)
    if isinstance(function, Joined):
        return function.net(function.join(_at_edges(plan, values)))
    return function(*_at_edges(plan, values))


def _at_edges(plan: MessagePlan, values: Values) -> list[Any]:
    """What each edge sees, in the order in which functions read it."""
    receiver, sender, e_ij, u = values
    seen = [Gather.apply(plan.receivers, receiver), Gather.apply(plan.senders, sender), e_ij]
    if u is not None:
        seen.append(Gather.apply(plan.receivers, u))
    return seen


message = Lowering("segment", never, _plan, _run, note=_note)
