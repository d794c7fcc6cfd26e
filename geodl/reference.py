"""The meaning of everything: five verbs by gather and scatter, as slow and as plain as their
formulas.

`x` are values of the senders `[B, N, ...]`, results are values of the receivers `[B, M, ...]`, with
M = `num_receivers`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from geodl.errors import GeodlError
from geodl.neighborhood.edges import Edges

State = tuple[Tensor, ...]
Score = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # of query, key and edge

SMALLEST_VARIANCE = 1e-5  # below it a standard deviation is 0, with no gradient, as in PyG


class Cell(Protocol):
    """A recurrent cell: `h_i = node(b_i, sum over j of edge(a_i, h_j))`, `a_i, b_i = read(x_i)`.

    A state is a tuple of tensors `[..., hidden]`: `(h, c)` for an LSTM, `(h,)` otherwise. An LSTM
    needs `edge`, because each sender has a forget gate of its own; GRU and Elman cells return the
    sender's state.
    """

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The input `[..., C]` of each receiver, transformed once: `a` for `edge`, `b` for
        `node`.
        """
        ...

    def edge(self, a: Tensor, state: State) -> State:
        """What one edge adds to its receiver's sum, from `a` of the receiver and the sender's
        state.
        """
        ...

    def node(self, b: Tensor, total: State) -> State:
        """The receiver's new state, from its `b` and the sum of what its edges added."""
        ...


def convolve(
    x: Tensor, edges: Edges, weight: Tensor | None, bias: Tensor | None, num_receivers: int
) -> Tensor:
    """`y_i = bias + sum over edges (j -> i, type t, entry s) of s x_j W_t`, that is `Y = sum_t S_t
    X W_t`.

    W_t is block diagonal: with C_in / groups rows, block k maps the k-th part of the channels in to
    the k-th part of the channels out. None stands for W_t = 1.

    Shapes: x `[B, N, C_in]`, entries (`edges.weight`) `[E]` or `[B, E]`, weight `[T, C_in / groups,
    C_out]`, bias `[C_out]`, result `[B, M, C_out]`.
    """
    entries = torch.ones_like(edges.dst, dtype=x.dtype)
    if edges.weight is not None:
        entries = edges.weight.to(x.dtype)
    if weight is None:
        y = x.new_zeros(x.shape[0], num_receivers, x.shape[2])
        return y.index_add(1, edges.dst, entries[..., None] * x[:, edges.src])
    y = x.new_zeros(x.shape[0], num_receivers, weight.shape[2])
    for t, w in enumerate(weight):
        of_type = edges.type == t
        message = _through_blocks(x[:, edges.src[of_type]], w)
        message = entries[..., of_type, None] * message
        y = y.index_add(1, edges.dst[of_type], message.to(x.dtype))  # autocast multiplies in bf16
    if bias is None:
        return y
    return y + bias


def _through_blocks(x: Tensor, w: Tensor) -> Tensor:
    """`x W` for W block diagonal: x `[B, E, C_in]`, w `[C_in / groups, C_out]` its blocks side by
    side.
    """
    groups = x.shape[2] // len(w)
    parts = zip(x.chunk(groups, dim=2), w.chunk(groups, dim=1), strict=True)
    return torch.cat([part @ block for part, block in parts], dim=2)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edges: Edges,
    score: Score,
    bias: Tensor | None,
    dropout: float,
    num_receivers: int,
    edge: Tensor | None = None,
    carried: Tensor | None = None,
) -> Tensor:
    """`y_i = sum over edges (j -> i) of a_ij (v_j + c_ij)`; a receiver without senders gets zeros.

    Shapes: query `[B, M, H, D]`, key `[B, N, H, D]`, value `[B, N, H, V]`, bias `[T, H]`; edge `[B,
    E, H, D]`, which the score reads, and c, what edges carry, `[B, E, H, V]`, None without; result
    `[B, M, H, V]`.
    """
    a = attention_weights(query, key, edges, score, bias, num_receivers, edge)
    a = torch.nn.functional.dropout(a, dropout).to(
        value.dtype
    )  # autocast multiplies in bf16, a bias is not
    sent = value[:, edges.src]
    if carried is not None:
        sent = sent + carried.to(value.dtype)
    y = value.new_zeros(value.shape[0], num_receivers, *value.shape[2:])
    return y.index_add(1, edges.dst, a[..., None] * sent)


def attention_weights(
    query: Tensor,
    key: Tensor,
    edges: Edges,
    score: Score,
    bias: Tensor | None,
    num_receivers: int,
    edge: Tensor | None = None,
) -> Tensor:
    """`a_ij = exp(s_ij) / sum over j' of exp(s_ij')` with `s_ij = score(q_i, k_j, e_ij) +
    bias[type]`: `[B, E, H]`.
    """
    s = score(query[:, edges.dst], key[:, edges.src], edge)
    if bias is not None:
        s = s + bias[edges.type]
    receiver = edges.dst[None, :, None].expand_as(s)
    shape = (s.shape[0], num_receivers, s.shape[2])
    largest = s.new_full(shape, -torch.inf).scatter_reduce(1, receiver, s.detach(), "amax")
    e = torch.exp(s - largest.gather(1, receiver))
    total = s.new_zeros(shape).scatter_add(1, receiver, e)
    return e / total.gather(1, receiver)


def message(
    receiver: Tensor,
    sender: Tensor,
    edge: Tensor | None,
    edges: Edges,
    function: Callable[..., Tensor],
    reductions: Sequence[str],
    num_receivers: int,
    u: Tensor | None = None,
) -> Tensor:
    """`y_i = reduce over edges (j -> i) of function(x_i, x_j, e_ij)`, several reductions one after
    another along the channels.

    Shapes: as in :func:`messages`; result `[B, M, C_out * reductions]`.
    """
    along = messages(receiver, sender, edge, edges, function, u)
    reduced = [reduce(along, edges, reduction, num_receivers) for reduction in reductions]
    return torch.cat(reduced, dim=2)


def messages(
    receiver: Tensor,
    sender: Tensor,
    edge: Tensor | None,
    edges: Edges,
    function: Callable[..., Tensor],
    u: Tensor | None = None,
) -> Tensor:
    """`m_ij = function(x_i, x_j, e_ij)`, one for each edge (j -> i); with the state of the
    receiver's graph `function(x_i, x_j, e_ij, u_i)`.

    Shapes: receiver `[B, M, C]`, sender `[B, N, C']`, edge `[B, E, C_e]` or None, u `[B, M, C_g]`
    or None, result `[B, E, C_out]`.
    """
    ends = receiver[:, edges.dst], sender[:, edges.src], edge
    if u is None:
        return function(*ends)
    return function(*ends, u[:, edges.dst])


def pool(x: Tensor, edges: Edges, reduction: str, num_receivers: int) -> Tensor:
    """`y_i = reduce over edges (j -> i) of x_j`: `[B, N, C]` to `[B, M, C]`, blind to types."""
    return reduce(x[:, edges.src], edges, reduction, num_receivers)


def reduce(messages: Tensor, edges: Edges, reduction: str, num_receivers: int) -> Tensor:
    """What arrives over the edges `[B, E, C]` at each receiver `[B, M, C]`, as one value for each
    channel; 0 where nothing arrives.

    "sum", "mean", "max" and "min"; "std" is `sqrt(v_i)`, v_i the mean of `(m_ij - mean_i)^2`, and 0
    where v_i is at most `SMALLEST_VARIANCE`; "softmax" is `sum_j a_ij m_ij`, a_ij the softmax of
    the m_ij that arrive at i.
    """
    if reduction in ("max", "min"):
        return _extreme(messages, edges, reduction, num_receivers)
    if reduction == "std":
        return _deviation(messages, edges, num_receivers)
    if reduction == "softmax":
        weights = _softmax(messages, edges, num_receivers)
        return reduce(weights * messages, edges, "sum", num_receivers)
    shape = (messages.shape[0], num_receivers, messages.shape[2])
    total = messages.new_zeros(shape).index_add(1, edges.dst, messages)
    if reduction == "sum":
        return total
    # Counted in integers: bfloat16 knows none above 256.
    count = edges.dst.new_zeros(num_receivers).index_add(0, edges.dst, torch.ones_like(edges.dst))
    return total / count.clamp(min=1)[:, None]


def _extreme(messages: Tensor, edges: Edges, reduction: str, num_receivers: int) -> Tensor:
    """The largest or smallest message into each receiver."""
    kernel, worst = {"max": ("amax", -torch.inf), "min": ("amin", torch.inf)}[reduction]
    shape = (messages.shape[0], num_receivers, messages.shape[2])
    receiver = edges.dst[None, :, None].expand_as(messages)
    y = messages.new_full(shape, worst).scatter_reduce(
        1, receiver, messages, kernel
    )  # from 0, a 0 would share its gradient
    yes = torch.ones((), dtype=torch.bool, device=y.device)
    reached = torch.zeros(num_receivers, dtype=torch.bool, device=y.device)
    reached = reached.index_put((edges.dst,), yes)
    return y.masked_fill(~reached[:, None], 0.0)


def _deviation(messages: Tensor, edges: Edges, num_receivers: int) -> Tensor:
    """The standard deviation of the messages into each receiver."""
    mean = reduce(messages, edges, "mean", num_receivers)
    apart = (messages - mean[:, edges.dst]).square()
    variance = reduce(apart, edges, "mean", num_receivers)
    # A root has no slope at 0: where it is not taken, it is not differentiated either.
    large = variance > SMALLEST_VARIANCE
    return variance.where(large, 1.0).sqrt().where(large, 0.0)


def _softmax(messages: Tensor, edges: Edges, num_receivers: int) -> Tensor:
    """`a_ij = exp(m_ij) / sum over j' of exp(m_ij')`, channel by channel: `[B, E, C]`."""
    # The largest message cancels: it keeps the exponentials from overflowing.
    largest = _extreme(messages.detach(), edges, "max", num_receivers)
    e = torch.exp(messages - largest[:, edges.dst])
    return e / reduce(e, edges, "sum", num_receivers)[:, edges.dst]


def recur(x: Tensor, edges: Edges, cell: Cell, initial: State, num_nodes: int) -> State:
    """`h_i = node(b_i, sum over edges (j -> i) of edge(a_i, h_j))` with `a_i, b_i = read(x_i)`, in
    topological order; a node without senders takes `initial` in place of a sender's state.

    Shapes: x `[B, N, C]`, each tensor of `initial` and of the result `[B, N, hidden]`.

    Raises:
        GeodlError: if the edges have a cycle, which is named by its nodes.
    """
    senders: list[list[int]] = [[] for _ in range(num_nodes)]
    for i, j in zip(edges.dst.tolist(), edges.src.tolist(), strict=True):
        senders[i].append(j)
    states: dict[int, State] = {}
    order = topological_order(senders)
    at_edges, at_nodes = cell.read(x)
    for i in order:
        before = [states[j] for j in senders[i]] or [tuple(s[:, i] for s in initial)]
        taken = [cell.edge(at_edges[:, i], state) for state in before]
        total = tuple(torch.stack(parts).sum(0) for parts in zip(*taken, strict=True))
        states[i] = cell.node(at_nodes[:, i], total)
    return tuple(
        torch.stack([states[i][k] for i in range(num_nodes)], dim=1) for k in range(len(initial))
    )


def topological_order(senders: Sequence[Sequence[int]]) -> list[int]:
    """Nodes in an order in which each comes after its senders."""
    # A node is done with once none of its senders is waited for (Kahn, 1962).
    waiting = [len(js) for js in senders]
    receivers: list[list[int]] = [[] for _ in senders]
    for i, js in enumerate(senders):
        for j in js:
            receivers[j].append(i)
    order = [i for i, n in enumerate(waiting) if n == 0]
    for j in order:
        for i in receivers[j]:
            waiting[i] -= 1
            if waiting[i] == 0:
                order.append(i)
    if len(order) < len(senders):
        raise GeodlError(
            "recur",
            f"the cycle {_cycle(senders, set(order))}",
            "recurrence needs a tree, a chain or a DAG",
        )
    return order


def _cycle(senders: Sequence[Sequence[int]], settled: set[int]) -> str:
    node, path = next(i for i in range(len(senders)) if i not in settled), []
    # Every node that is left waits for another one: going from each to such a sender closes a
    # circle.
    while node not in path:
        path.append(node)
        node = next(j for j in senders[node] if j not in settled)
    return " <- ".join(map(str, [*path[path.index(node) :], node]))
