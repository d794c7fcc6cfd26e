"""Between nodes and the edges that end at them: gathers, sums and maxima.

Let R be the matrix `[E, N]` with a one where edge e ends at node i. A gather is `R x`, a sum over
the edges of each node is `R^T m`, and each is the gradient of the other: the two close under
differentiation, any number of times. Both read or write every row `[C]` at once. What torch would
do for the gradient of a gather, `index_add`, goes through the edges one by one on a single thread;
with the edges of each node listed once, in the plan, a sum runs over nodes on all threads and in
one order on every device.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.differentiable import Operator, graph_wanted, transforms_active
from geodl.lowering.largest import largest
from geodl.lowering.sparse import BEYOND, sort_by_row


class Incidence(NamedTuple):
    """At which node each edge ends, and which edges end at each node.

    Attributes:
        node: `[E]` the node of each edge.
        start: `[N + 1]` where the edges of each node begin in `order`.
        order: `[E]` the edges, node after node; both with 32 bits where they fit.
        compiled: whether the compiled kernel finds the extremes at the nodes.
    """

    node: Tensor
    start: Tensor
    order: Tensor
    compiled: bool = False

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.start) - 1

    @property
    def degree(self) -> Tensor:
        """`[N]` how many edges end at each node."""
        return self.start.diff()


def incidence(node: Tensor, num_nodes: int, *, compiled: bool = False) -> Incidence:
    """The incidence of edges that end at these nodes `[E]`, of N."""
    each = torch.arange(len(node), device=node.device)
    start, order, _ = sort_by_row(node, each, num_nodes)
    return Incidence(node, start, order, compiled)


class Ends(NamedTuple):
    """Both ends of each edge.

    Attributes:
        receivers: M of them.
        senders: N of them.
        pair: `[E, 2]` both ends as rows of `[M + N, C]`, the receivers' values above the senders',
            with 32 bits where they fit.
    """

    receivers: Incidence
    senders: Incidence
    pair: Tensor


def both_ends(receivers: Incidence, senders: Incidence) -> Ends:
    """The ends of edges that lead from senders to receivers."""
    pair = torch.stack((receivers.node, senders.node + receivers.num_nodes), 1)
    # The kernel counts the entries of `pair` with as many bits as they have.
    if max(receivers.num_nodes + senders.num_nodes, pair.numel()) < BEYOND:
        pair = pair.int()
    return Ends(receivers, senders, pair)


class Gather(Operator):
    """`m_e = x_i` for every edge e that ends at node i: x `[B, N, C]` to `[B, E, C]`."""

    @staticmethod
    def forward(ends: Incidence, x: Tensor) -> Tensor:
        return x.index_select(1, ends.node)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.ends = inputs[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return None, SumAtNodes.apply(ctx.ends, grad_outputs[0])

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        return Gather.apply(ctx.ends, tangents[1])

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _over_batch(Gather, in_dims, *args)


class SumAtNodes(Operator):
    """`y_i = sum over the edges e that end at node i of m_e`: m `[B, E, C]` to `[B, N, C]`."""

    @staticmethod
    def forward(ends: Incidence, m: Tensor) -> Tensor:
        return _sum_at_nodes(ends, m)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.ends = inputs[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return None, Gather.apply(ctx.ends, grad_outputs[0])

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        return SumAtNodes.apply(ctx.ends, tangents[1])

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _over_batch(SumAtNodes, in_dims, *args)


class SumAtEdges(Operator):
    """`m_e = a_i + b_j` for every edge e = (j -> i): a `[B, M, C]` and b `[B, N, C]` to `[B, E,
    C]`.
    """

    @staticmethod
    def forward(ends: Ends, a: Tensor, b: Tensor) -> Tensor:
        return _sum_at_edges(ends, a, b)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.ends = inputs[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (g,) = grad_outputs
        a = b = None
        if ctx.needs_input_grad[1]:
            a = SumAtNodes.apply(ctx.ends.receivers, g)
        if ctx.needs_input_grad[2]:
            b = SumAtNodes.apply(ctx.ends.senders, g)
        return None, a, b

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        _, a, b = tangents
        if a is None:
            return Gather.apply(ctx.ends.senders, b)
        if b is None:
            return Gather.apply(ctx.ends.receivers, a)
        return SumAtEdges.apply(ctx.ends, a, b)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        ends, *values = args
        rows = []
        for value, axis in zip(values, in_dims[1:], strict=True):
            # What is not mapped is the same for all.
            if axis is None:
                value, axis = value.expand(info.batch_size, *value.shape), 0
            rows.append(value.movedim(axis, 0))
        y = SumAtEdges.apply(ends, *(value.flatten(0, 1) for value in rows))
        return y.unflatten(0, rows[0].shape[:2]), 0


def _over_batch(operator: type[Operator], in_dims: Any, ends: Incidence, x: Tensor) -> Any:
    """An operator under vmap: the mapped axis joins the batch."""
    x = x.movedim(in_dims[1], 0)
    y = operator.apply(ends, x.flatten(0, 1))
    return y.unflatten(0, x.shape[:2]), 0


def _sum_at_nodes(ends: Incidence, m: Tensor) -> Tensor:
    b, e, c = m.shape
    if m.numel() == 0:
        return m.new_zeros(b, ends.num_nodes, c)
    # The members of the batch stand side by side as columns, so that one pass serves them all.
    columns = m[0]
    if b > 1:
        columns = m.transpose(0, 1).reshape(e, b * c)
    y = F.embedding_bag(ends.order, columns, ends.start, mode="sum", include_last_offset=True)
    if b == 1:
        return y[None]
    return y.view(ends.num_nodes, b, c).transpose(0, 1)


def _sum_at_edges(ends: Ends, a: Tensor, b: Tensor) -> Tensor:
    if a.shape[0] != 1 or ends.pair.numel() == 0:
        m = a.index_select(1, ends.receivers.node)
        return m.add_(b.index_select(1, ends.senders.node))
    # One pass that writes each row once, where two gathers and a sum write it three times (0.7 of
    # the time, measured).
    m = F.embedding_bag(ends.pair, torch.cat((a[0], b[0])), mode="sum")
    # Autograd lets nobody write to what an operator answers with where that is a view.
    return torch.ops.aten._unsafe_view(m, (1, *m.shape))


class ExtremeAtNodes(Operator):
    """The largest or smallest value at each node, and how many edges attain it.

    `y_i = max over the edges e that end at node i of m_e`, m `[B, E, C]` to `[B, N, C]`; 0 where no
    edge ends. Where several edges attain it they share the gradient equally, the only way that
    commutes with a relabelling: with t_i of them, `dm_e = g_i / t_i` for each e with `m_e = y_i`.
    An edge that stands for several, c_e of them, counts as often: `t_i` is the sum of their c_e,
    and `dm_e = c_e g_i / t_i`.
    """

    @staticmethod
    def forward(
        ends: Incidence, m: Tensor, copies: Tensor | None, kernel: str, counted: bool
    ) -> tuple[Tensor, Tensor]:
        y = _extreme_at_nodes(ends, m, kernel)
        if not counted:
            return y, y.new_empty(0)
        return y, _sum_at_nodes(ends, _shares(ends, m, y, copies))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.ends, m, copies, _, _ = inputs
        y, ties = output
        ctx.mark_non_differentiable(ties)
        ctx.has_copies = copies is not None
        saved = (m, y, ties)
        if ctx.has_copies:
            saved = (m, y, ties, copies)
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        m, y, ties, *copies = ctx.saved_tensors
        # A maximum that is NaN has t = 0, and NaN is the gradient of all that arrives, as in the
        # reference; a node without edges has t = 0, too, and is never gathered.
        share = (grad_outputs[0] / ties.clamp(min=1)).masked_fill(ties == 0, torch.nan)
        share = Gather.apply(ctx.ends, share)
        shares = _shares(ctx.ends, m, y, *copies)
        if graph_wanted():
            return None, shares * share, None, None, None
        return None, share.mul_(shares), None, None, None

    @staticmethod
    def tangent(ctx: Any, *tangents: Any) -> Any:
        m, y, ties, *copies = ctx.saved_tensors
        moved = _shares(ctx.ends, m, y, *copies) * tangents[1]
        y = SumAtNodes.apply(ctx.ends, moved) / ties.clamp(min=1)
        nothing_equal = (ties == 0) & (ctx.ends.degree > 0)[:, None]
        return y.masked_fill(nothing_equal, torch.nan), None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        ends, m, copies, kernel, counted = args
        m = m.movedim(in_dims[1], 0)
        if copies is not None:
            copies = copies.movedim(in_dims[2], 0).flatten(0, 1)
        y, ties = ExtremeAtNodes.apply(ends, m.flatten(0, 1), copies, kernel, counted)
        size = m.shape[:2]
        if counted:
            ties = ties.unflatten(0, size)
            return (y.unflatten(0, size), ties), (0, 0)
        return (y.unflatten(0, size), ties), (0, None)


def extreme_at_nodes(
    ends: Incidence, m: Tensor, reduction: str, copies: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The largest or smallest value at each node `[B, N, C]`, and how many edges attain it (nothing
    where no gradient asks for it).

    Args:
        ends: the node of each edge.
        m: `[B, E, C]`.
        reduction: "max" or "min".
        copies: `[B, E, C]` how many values each stands for; None for one.
    """
    if ends.compiled and copies is None:
        return largest(ends.start, ends.order, m, reduction)
    counted = transforms_active() or (torch.is_grad_enabled() and m.requires_grad)
    return ExtremeAtNodes.apply(ends, m, copies, f"a{reduction}", counted)


def _shares(ends: Incidence, m: Tensor, y: Tensor, copies: Tensor | None = None) -> Tensor:
    """For each edge, how many times it attains the value at its node: `[B, E, C]`."""
    # In place: what is as large as all messages is better made once. It is piecewise constant, so
    # that no gradient is lost.
    attained = y.detach().index_select(1, ends.node)
    if transforms_active():
        # torch's vmap takes comparisons in place entry by entry, and warns.
        attained = (attained == m.detach()).to(m.dtype)
    else:
        attained = attained.eq_(m.detach())
    if copies is None:
        return attained
    return attained.mul_(copies)


def _extreme_at_nodes(ends: Incidence, m: Tensor, kernel: str) -> Tensor:
    """The kernel of :class:`ExtremeAtNodes`."""
    b, e, c = m.shape
    worst = {"amax": -torch.inf, "amin": torch.inf}[kernel]
    # Side by side as columns, as above: torch has a kernel for the rows of a matrix, which takes a
    # fourth of the time of the one for any other axis.
    columns = m.transpose(0, 1).reshape(e, b * c)
    y = m.new_full((ends.num_nodes, b * c), worst)
    y = y.scatter_reduce(0, ends.node[:, None].expand_as(columns), columns, kernel)
    y = y.masked_fill((ends.degree == 0)[:, None], 0.0)
    return y.view(ends.num_nodes, b, c).transpose(0, 1)
