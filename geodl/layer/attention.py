"""Attention on any domain."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl import reference
from geodl.domain import Complete, Domain
from geodl.errors import GeodlError, nearest, positive
from geodl.layer.base import MessagePassing
from geodl.layer.check import check_pair, check_signal, check_state, count_types
from geodl.layer.folding import GraphState, MergedMembers
from geodl.layer.position import places, rotate
from geodl.layer.trace import traced_step
from geodl.lowering import AttendOptions, Plan, describe_call
from geodl.lowering.edges import unweighted
from geodl.lowering.scores import SCORES
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal


class Attention(MessagePassing):
    """Multi-head attention: `y_i = W_o [sum_j softmax_j(score(q_i, k_j) + b_type) v_j]_heads`.

    On `all_pairs()` it is the attention of a Transformer, on `past()` causal attention, on
    `adjacency()` attention on a graph: a mask is a missing edge. A node without
    edges gets zeros, and so the output bias alone; its gradients are zeros too, never NaN.

    Args:
        channels: C, in and out.
        rule: which nodes each node receives from.
        heads: H.
        score: "dot", `q . k / sqrt(D)` (Vaswani et al. 2017); "additive", `v . tanh(q + k)`
            (Bahdanau et al. 2015); "gat", `leaky_relu(a . q + b . k)` with one projection for
            queries, keys and values (Velickovic et al. 2018); "linear", weights in proportion to
            `f(q) . f(k)`, f = elu + 1 (Katharopoulos et al. 2020).
        head_dim: D, by default C / H.
        relative: add a learned bias `[T, H]` to the scores by edge type (relative positions).
        bias: add biases to the projections.
        dropout: drop attention weights with this probability while training.
        rotary: rotate queries and keys by their places on a chain, so that scores read how far
            apart they are (Su et al., "RoFormer", 2021).
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Parameters are called as in `nn.MultiheadAttention`: in_proj_weight `[3 H D, C]` (queries, keys,
    values), in_proj_bias, out_proj; and relative_bias `[T, H]`, score_vectors `[V, H, D]` (v; a and
    b). With "gat" in_proj has `[H D, C]`.

    >>> from geodl import all_pairs
    >>> layer = Attention(16, all_pairs(), heads=4)
    >>> layer(Signal(torch.zeros(2, 5, 16), Complete(5))).x.shape
    torch.Size([2, 5, 16])
    """

    verb = "attend"
    transparent = True

    def __init__(
        self,
        channels: int,
        rule: Neighborhood,
        heads: int = 8,
        score: str = "dot",
        head_dim: int | None = None,
        relative: bool = False,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        rotary: bool = False,
        on: Domain | None = None,
    ):
        asked = f"Attention({channels!r}, heads={heads!r})"
        channels = positive(asked, channels)
        heads = positive(asked, heads)
        if head_dim is None and channels % heads:
            raise GeodlError(asked, "heads that do not divide the channels", "give head_dim")
        if head_dim is not None:
            head_dim = positive(f"Attention({channels}, head_dim={head_dim!r})", head_dim)
        _check_score(score, dropout)
        types = count_types(rule, on) if relative else None
        super().__init__(rule, on, AttendOptions(score, types))
        self.channels_in, self.heads = channels, heads
        self.head_dim = channels // heads if head_dim is None else head_dim
        self.dropout = dropout
        self.rotary = self.breaks_symmetry = rotary
        self._make_parameters(bias)
        self.reset_parameters()

    def _make_parameters(self, bias: bool) -> None:
        _, vectors, projections = SCORES[self.options.score]
        inner, types = self.heads * self.head_dim, self.options.edge_types
        self.in_proj_weight = nn.Parameter(torch.empty(projections * inner, self.channels_in))
        self.in_proj_bias = None
        if bias:
            self.in_proj_bias = nn.Parameter(torch.empty(projections * inner))
        self.out_proj = nn.Linear(inner, self.channels_in, bias=bias)
        self.relative_bias = self.score_vectors = None
        if types is not None:
            self.relative_bias = nn.Parameter(torch.zeros(types, self.heads))
        if vectors:
            self.score_vectors = nn.Parameter(torch.empty(vectors, self.heads, self.head_dim))

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as `nn.MultiheadAttention` does (scores' vectors alike);
        relative biases start at zero.
        """
        nn.init.xavier_uniform_(self.in_proj_weight)
        if self.score_vectors is not None:
            nn.init.xavier_uniform_(self.score_vectors)
        self.out_proj.reset_parameters()
        for zero in (self.in_proj_bias, self.out_proj.bias, self.relative_bias):
            if zero is not None:
                nn.init.zeros_(zero)

    def weights(self, receiver: Signal, sender: Signal | None = None) -> Signal:
        """The attention weights of each head, as a signal on the edges in the order of
        `rule.edges`.

        >>> from geodl import Chain, past
        >>> Attention(8, past(), heads=2).weights(Signal(torch.zeros(1, 3, 8), Chain(3))).x.shape
        torch.Size([1, 6, 2])
        """
        if sender is None:
            source, target = check_signal(self, receiver), None
        else:
            source, target = check_pair(self, receiver, sender), receiver.domain
        call = describe_call(self.rule, source.domain, target, source.x, self.options)
        edges = unweighted(call)
        score = SCORES[self.options.score].reading(self.score_vectors)
        query, key, _ = self._project(receiver.x, source.x)
        query, key = self._rotated(query, key, call.target, call.source)
        count = call.target.num_nodes
        a = reference.attention_weights(query, key, edges, score, self.relative_bias, count)
        return Signal(a, Complete(a.shape[1]))

    @traced_step
    def step(
        self,
        signal: Signal,
        state: tuple[Tensor, Tensor] | None = None,
        sender: Signal | None = None,
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes; the state are keys and values `[B, nodes, H, D]`: over
        `past()` those of the nodes so far, over `all_pairs()` with a sender those of all its nodes.
        """
        domain = check_signal(self, signal).domain
        if sender is not None and self.rotary:
            asked = f"a step of {self.label} over a second signal"
            raise GeodlError(asked, "rotary positions", "cross without them")
        source = domain if sender is None else sender.domain
        everyone = self._everyone(source, domain)
        if sender is not None:
            # Keys and values of the sender may be kept where every node receives all of them, in
            # no order, without types, and from no member of its own.
            unions = domain.is_union or sender.domain.is_union
            same = everyone is not None and not everyone.causal and not unions
            if same and self.options.edge_types is None:
                return self._recall(signal, check_pair(self, signal, sender), state)
            return super().step(signal, state, sender)
        one_order = domain.ordered and domain.lattice is not None
        if everyone is None or not everyone.causal or not one_order:
            return super().step(signal, state, sender)
        query, key, value = self._project(signal.x, signal.x)
        self._check_kept(state, key)
        seen = 0 if state is None else state[0].shape[1]
        # Kept keys were rotated when they were new: only the new nodes' places count from `seen`.
        query, key = self._rotated(query, key, domain, domain, seen)
        if state is not None:
            key = torch.cat((state[0], key), 1)
            value = torch.cat((state[1], value), 1)
        source = domain.replace((key.shape[1],))
        plan, _ = self._plan(self.rule, source, domain, key, keep=False)
        return signal.with_x(self._attend(plan, query, key, value)), (key, value)

    def _recall(
        self, signal: Signal, sender: Signal, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Signal, Any]:
        """Attention to a sender whose keys and values are made once."""
        # Later calls project no sender at all; an empty one gives the state's dtype to check.
        x = sender.x if state is None else sender.x[:, :0]
        query, key, value = self._project(signal.x, x)
        self._check_kept(state, key)
        if state is not None:
            key, value = state
        plan, _ = self._plan(self.rule, sender.domain, signal.domain, key)
        return signal.with_x(self._attend(plan, query, key, value)), (key, value)

    def _check_kept(self, state: tuple[Tensor, Tensor] | None, key: Tensor) -> None:
        """Refuse kept keys and values that are not `[B, nodes, H, D]` like new ones."""
        if state is not None:
            shape = (key.shape[0], None, self.heads, self.head_dim)
            check_state(self, state, key, shape, shape)

    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        query, key, value = self._project(receiver, sender)
        query, key = self._rotated(query, key, parts.target or parts.source, parts.source)
        return self._attend(plan, query, key, value)

    def _attend(self, plan: Plan, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        # Dropped in here are weights of edges, not values: the kernel has to do it.
        y = plan.run(query, key, value, self.score_vectors, self.relative_bias, dropout)
        return self.out_proj(y.reshape(*y.shape[:2], self.heads * self.head_dim))

    def _rotated(
        self, query: Tensor, key: Tensor, target: Domain, source: Domain, seen: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Queries and keys rotated by their places, which begin at `seen`, where the layer is
        rotary; as they are elsewhere.
        """
        if not self.rotary:
            return query, key
        return rotate(query, places(target) + seen), rotate(key, places(source) + seen)

    def _project(self, receiver: Tensor, sender: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of the receivers, keys and values of the senders, each `[B, nodes, H, D]`."""
        if receiver.shape[-1] != self.channels_in:
            found = f"receivers of {receiver.shape[-1]} channels"
            raise GeodlError(self.label, found, f"give {self.channels_in} channels")
        inner = self.heads * self.head_dim
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if receiver is sender:
            projected = self._by_head(sender, weight, bias)
        else:
            # Rows of the weight stand as torch has them: queries, then keys and values. A score
            # with one projection has the same rows for all three.
            of_queries = None if bias is None else bias[:inner]
            of_senders = None if bias is None else bias[-2 * inner :]
            projected = (
                *self._by_head(receiver, weight[:inner], of_queries),
                *self._by_head(sender, weight[-2 * inner :], of_senders),
            )
        return projected[0], projected[min(1, len(projected) - 1)], projected[-1]

    def _by_head(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, ...]:
        """Projections of x, as many as the weight holds, each `[B, N, H, D]`."""
        parts = weight.shape[0] // (self.heads * self.head_dim)
        y = F.linear(x, weight, bias)
        return y.view(*x.shape[:2], parts, self.heads, self.head_dim).unbind(2)

    def extra_repr(self) -> str:
        parts = [f"{self.channels_in}, {self.rule}, heads={self.heads}"]
        if self.options.score != "dot":
            parts.append(f"score={self.options.score!r}")
        if self.relative_bias is not None:
            parts.append("relative=True")
        if self.rotary:
            parts.append("rotary=True")
        return ", ".join(parts)


def _check_score(score: str, dropout: float) -> None:
    """Refuse an unknown score, and a dropout that is none or that the score cannot apply."""
    if score not in SCORES:
        raise GeodlError(f"Attention(score={score!r})", do=nearest(score, SCORES))
    if not 0 <= dropout < 1:
        raise GeodlError(f"Attention(dropout={dropout})", do="give a probability in [0, 1)")
    if score == "linear" and dropout:
        asked = f"Attention(score='linear', dropout={dropout})"
        found = "sums over senders, in which no single weight stands"
        raise GeodlError(asked, found, "leave it 0, drop out what comes after")
