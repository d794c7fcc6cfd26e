"""Attention on any domain."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from geodl import reference
from geodl.constants import cached_constants
from geodl.domain import Complete, Domain
from geodl.errors import GeodlError, is_real
from geodl.layer.base import Layer
from geodl.layer.check import (
    check_edges_read,
    check_pair,
    check_signal,
    check_state,
    count_types,
)
from geodl.layer.folding import GraphState, MergedMembers, state_of_call
from geodl.layer.projection import Projecting, linear
from geodl.layer.trace import traced_step
from geodl.layer.widths import BIASES, ROOTS, Asked, check_word, resolve_widths
from geodl.lowering import AttendOptions, Plan, describe_call
from geodl.lowering.edge_features import EdgeFeatures, edge_reader
from geodl.lowering.edges import unweighted
from geodl.lowering.scores import SCORES
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal


class Attention(Projecting):
    """Multi-head attention: `y_i = W_o [sum_j softmax_j(score(q_i, k_j) + b_type) v_j]_heads`.

    On `all_pairs()` it is the attention of a Transformer, on `past()` causal attention, on
    `adjacency()` attention on a graph: a mask is a missing edge. A node without
    edges gets zeros, and so the output bias alone; its gradients are zeros too, never NaN.

    Args:
        channels: C, in and, unless `channels_out` says otherwise, out.
        rule: which nodes each node receives from.
        heads: H.
        score: "dot", `q . k / sqrt(D)` (Vaswani et al. 2017); "product", `q . k` (Luong et al.
            2015; SAGAN: Zhang et al. 2019); "additive", `v . tanh(q + k)` (Bahdanau et al. 2015);
            "gat", `leaky_relu(a . q + b . k)` with one projection for queries, keys and values
            (Velickovic et al. 2018); "gatv2", `a . leaky_relu(q + k)` with keys that are values
            (Brody et al. 2022); "linear", weights in proportion to `f(q) . f(k)`, f = elu + 1
            (Katharopoulos et al. 2020).
        head_dim: D, by default C / H; V where keys are values, and without `out_proj` as
            `channels_out` says.
        relative: add a learned bias `[T, H]` to the scores by edge type (relative positions).
        channels_out: C_out, by default C; without `out_proj` the channels of the joined heads.
        value_dim: V, the channels of a value in each head, by default D.
        context_channels: channels of the senders where they are another signal's, by default C.
        edge_channels: C_e of the signal's `edges`, over a relation of `relation.with_edges(e)`,
            which the scores then read as `e = W_e f_ij`, added to the key (with "gat" `c . e` is
            added); values carry them, too, where the score is a product of the key ("dot",
            "product", "linear": TransformerConv, Shi et al. 2021).
        projections: 3 for queries, keys and values apart; 2 where keys are values, the default of
            "gatv2"; 1 where queries are, too, that of "gat" (2 with `context_channels`).
        positions: a layer that adds positions which queries and keys alone read, values do not
            (DETR: Carion et al. 2020), or one for receivers and one for senders.
        out_proj: W_o; without it the joined heads are the answer.
        join: "concat" the heads, or their "mean".
        root: add `W_r x_i`, the receiver itself (PyG's `root_weight`); "gated" for
            `g r + (1 - g) y` with `g = sigmoid(w . [y, r, y - r])` (Shi et al. 2021).
        bias: add biases to the projections and to the answer; "in" for the former, "out" for the
            latter alone.
        dropout: drop attention weights with this probability while training.
        rotary: rotate queries and keys by their places on a chain, so that scores read how far
            apart they are (Su et al., "RoFormer", 2021).
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Parameters are called as in `nn.MultiheadAttention`: in_proj_weight `[2 H D + H V, C]` (queries,
    keys, values), with `context_channels` unlike C q_proj_weight, k_proj_weight, v_proj_weight;
    in_proj_bias, out_proj; without one out_bias `[C_out]`. Then relative_bias `[T, H]`;
    score_vectors `[V, H, D]` (v; a and b; a, b and c); edge_proj_weight `[H D, C_e]`; root_proj and
    root_gate.

    >>> from geodl import all_pairs
    >>> layer = Attention(16, all_pairs(), heads=4)
    >>> layer(Signal(torch.zeros(2, 5, 16), Complete(5))).x.shape
    torch.Size([2, 5, 16])
    """

    verb = "attend"
    takes_sparse = True
    transparent = True
    # None where a layer has none, as those of its base.
    out_proj: Any
    root_proj: Any
    root_gate: Any

    def __init__(
        self,
        channels: int,
        rule: Neighborhood,
        heads: int = 8,
        score: str = "dot",
        head_dim: int | None = None,
        relative: bool = False,
        *,
        channels_out: int | None = None,
        value_dim: int | None = None,
        context_channels: int | None = None,
        edge_channels: int | None = None,
        projections: int | None = None,
        positions: Layer | tuple[Layer, Layer] | None = None,
        out_proj: bool = True,
        join: str = "concat",
        root: bool | str = False,
        bias: bool | str = True,
        dropout: float = 0.0,
        rotary: bool = False,
        on: Domain | None = None,
    ):
        widths = resolve_widths(
            Asked(
                channels=channels,
                heads=heads,
                score=score,
                head_dim=head_dim,
                channels_out=channels_out,
                value_dim=value_dim,
                context_channels=context_channels,
                edge_channels=edge_channels,
                projections=projections,
                out_proj=out_proj,
                join=join,
            )
        )
        _check_dropout(score, dropout)
        check_word("bias", bias, BIASES)
        check_word("root", root, ROOTS)
        types = count_types(rule, on) if relative else None
        super().__init__(rule, on, AttendOptions(score, types, widths.edges))
        self.channels_out, self.edge_channels = widths.out, widths.edges
        self.join, self.dropout = join, dropout
        self._make_projections(widths, bias in (True, "in"))
        self._make_score()
        self._make_answer(widths.joined, out_proj, root, bias in (True, "out"))
        self._make_positions(positions, rotary)
        self.reset_parameters()

    def _make_score(self) -> None:
        score, types = SCORES[self.options.score], self.options.edge_types
        vectors = score.vectors
        self.relative_bias = self.score_vectors = self.edge_proj_weight = None
        if types is not None:
            self.relative_bias = nn.Parameter(torch.zeros(types, self.heads))
        self.reads_edges = self.edge_channels is not None
        if self.edge_channels is not None:
            vectors += score.edge_vectors
            rows = self.heads * self.head_dim
            self.edge_proj_weight = nn.Parameter(torch.empty(rows, self.edge_channels))
        if vectors:
            self.score_vectors = nn.Parameter(torch.empty(vectors, self.heads, self.head_dim))

    def _make_answer(self, joined: int, out_proj: bool, root: bool | str, bias: bool) -> None:
        self.out_proj = self.out_bias = self.root_proj = self.root_gate = None
        if out_proj:
            self.out_proj = nn.Linear(joined, self.channels_out, bias=bias)
        elif bias and not root:
            self.out_bias = nn.Parameter(torch.empty(self.channels_out))
        if root:
            # One bias of the answer is enough: that of W_o, or the receiver's own.
            own = bias and not out_proj
            self.root_proj = nn.Linear(self.channels_in, self.channels_out, bias=own)
        if root == "gated":
            self.root_gate = nn.Linear(3 * self.channels_out, 1, bias=False)

    def reset_parameters(self) -> None:
        """Draw the parameters anew: as `nn.MultiheadAttention` does; where keys are values, and
        the vectors of scores, as PyG does. Relative biases start at zero.
        """
        weights: list[Any] = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        weights.append(self.edge_proj_weight)
        # Torch draws its three projections as one matrix, PyG its two apart.
        if len(self.rows) == 3 or self.in_proj_weight is None:
            weights.append(self.in_proj_weight)
        else:
            weights += self.in_proj_weight.detach().split(self.rows)
        if self.score_vectors is not None:
            weights += self.score_vectors.detach().unbind()
        for weight in weights:
            if weight is not None:
                nn.init.xavier_uniform_(weight)
        self._reset_in_proj_bias()
        biases = [self.out_bias, self.relative_bias]
        for part in (self.out_proj, self.root_proj, self.root_gate):
            if part is not None:
                part.reset_parameters()
                biases.append(part.bias)
        for zero in biases:
            if zero is not None:
                nn.init.zeros_(zero)

    def weights(self, receiver: Signal, sender: Signal | None = None) -> Signal:
        """The attention weights of each head, as a signal on the edges in the order of
        `rule.edges`.

        Raises:
            GeodlError: if there are no edges, or as the call itself.

        >>> from geodl import Chain, past
        >>> Attention(8, past(), heads=2).weights(Signal(torch.zeros(1, 3, 8), Chain(3))).x.shape
        torch.Size([1, 6, 2])
        """
        if sender is None:
            source, target = check_signal(self, receiver), None
        else:
            source, target = check_pair(self, receiver, sender), receiver.domain
        with cached_constants():
            call = describe_call(self.rule, source.domain, target, source.x, self.options)
            edges = unweighted(call)
        if not len(edges.dst):
            asked, do = f"the weights of {self.label} on {call.source}", "give a domain with edges"
            raise GeodlError(asked, "no edge to weigh", do)
        score = SCORES[self.options.score].reading(self.score_vectors)
        query, key, _ = self._heads(receiver.x, source.x, call.target, call.source, call.rule)
        parts = MergedMembers(source.domain, target, 1, self.rule)
        reader, edge = edge_reader(call, edges), self._edge_features(state_of_call(receiver, parts))
        projected = None
        if reader is not None and edge is not None:
            projected = reader.project(edge, query.shape[0])
        count = call.target.num_nodes
        a = reference.attention_weights(
            query, key, edges, score, self.relative_bias, count, projected
        )
        return Signal(a, Complete(a.shape[1]))

    @traced_step
    def step(
        self,
        signal: Signal,
        state: tuple[Tensor, Tensor] | None = None,
        sender: Signal | None = None,
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes; the state are keys `[B, nodes, H, D]` and values `[B, nodes,
        H, V]`: over `past()` those of the nodes so far, over `all_pairs()` with a sender those of
        all its nodes.
        """
        domain = check_signal(self, signal).domain
        self._check_steps(sender)
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
        self._check_kept(state, key, value)
        seen = 0 if state is None else state[0].shape[1]
        # Kept keys were rotated when they were new: only the new nodes' places count from `seen`.
        query, key = self._rotated(query, key, domain, domain, self.rule, seen)
        if state is not None:
            key = torch.cat((state[0], key), 1)
            value = torch.cat((state[1], value), 1)
        source = domain.replace((key.shape[1],))
        plan, _ = self._plan(self.rule, source, domain, key, keep=False)
        y = self._attend(plan, query, key, value, None)
        return signal.carry_state(self._answer(y, signal.x), domain), (key, value)

    def _check_steps(self, sender: Signal | None) -> None:
        """Refuse steps of a layer whose scores read what pieces of a chain do not say."""
        found, do = "", ""
        if self.positions is not None:
            found, do = "positions of its own", "add the positions before the layer"
        elif self.reads_edges:
            found = "a state of edges, which pieces do not have in common"
            do = "call it on the whole chain"
        elif sender is not None and self.rotary:
            found, do = "rotary positions and a second signal", "cross without them"
        if found:
            raise GeodlError(f"a step of {self.label}", found, do)

    def _recall(
        self, signal: Signal, sender: Signal, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Signal, Any]:
        """Attention to a sender whose keys and values are made once."""
        # Later calls project no sender at all; an empty one gives the state's dtype to check.
        x = sender.x if state is None else sender.x[:, :0]
        query, key, value = self._project(signal.x, x)
        self._check_kept(state, key, value)
        if state is not None:
            key, value = state
        plan, _ = self._plan(self.rule, sender.domain, signal.domain, key)
        y = self._attend(plan, query, key, value, None)
        return signal.with_x(self._answer(y, signal.x)), (key, value)

    def _check_kept(self, state: tuple[Tensor, Tensor] | None, key: Tensor, value: Tensor) -> None:
        """Refuse kept keys and values that are not `[B, nodes, H, D or V]` like new ones."""
        if state is not None:
            shapes = [(x.shape[0], None, *x.shape[2:]) for x in (key, value)]
            check_state(self, state, key, *shapes)

    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        target = parts.target or parts.source
        query, key, value = self._heads(receiver, sender, target, parts.source, parts.rule)
        y = self._attend(plan, query, key, value, self._edge_features(state))
        return self._answer(y, receiver)

    def _attend(
        self, plan: Plan, query: Tensor, key: Tensor, value: Tensor, edge: EdgeFeatures | None
    ) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        # Dropped in here are weights of edges, not values: the kernel has to do it.
        return plan.run(query, key, value, self.score_vectors, self.relative_bias, dropout, edge)

    def _answer(self, y: Tensor, receiver: Tensor) -> Tensor:
        """The heads' answers `[B, M, H, V]` joined, and the receiver itself added."""
        y = y.mean(2) if self.join == "mean" else y.flatten(2)
        out_proj = self.out_proj
        if out_proj is not None:
            y = out_proj(y)
        if self.out_bias is not None:
            y = y + self.out_bias
        if self.root_proj is None:
            return y
        # PyG's order: the receiver's share is the first term, and the gate's last input y - r.
        if receiver.layout == torch.strided:
            own = self.root_proj(receiver)
        else:
            own = linear(receiver, self.root_proj.weight, self.root_proj.bias)
        if self.root_gate is None:
            return y + own
        share = self.root_gate(torch.cat((y, own, y - own), -1)).sigmoid()
        return share * own + (1 - share) * y

    def _edge_features(self, state: GraphState) -> EdgeFeatures | None:
        """The edges of a call with this layer's weights; None where it reads none.

        Raises:
            GeodlError: if the signal has no state of edges, or one of other channels or dtype.
        """
        if self.edge_proj_weight is None or self.edge_channels is None:
            return None
        edges = check_edges_read(self, state.edges, self.edge_channels, self.edge_proj_weight)
        weight = self.edge_proj_weight.unflatten(0, (self.heads, self.head_dim))
        return EdgeFeatures(edges, weight)

    def extra_repr(self) -> str:
        parts = [f"{self.channels_in}, {self.rule}, heads={self.heads}"]
        if self.options.score != "dot":
            parts.append(f"score={self.options.score!r}")
        if self.relative_bias is not None:
            parts.append("relative=True")
        parts += [f"{name}={value!r}" for name, value in self._unusual() if value is not None]
        return ", ".join(parts)

    def _unusual(self) -> Iterator[tuple[str, Any]]:
        """The options that are not those of a Transformer's attention; None for usual values."""
        if self.channels_out != self.channels_in:
            yield "channels_out", self.channels_out
        if self.head_dim != self.value_dim:
            yield "head_dim", self.head_dim
            yield "value_dim", self.value_dim
        if self.context_channels != self.channels_in:
            yield "context_channels", self.context_channels
        yield "edge_channels", self.edge_channels
        if self.positions is not None:
            yield "positions", tuple(self.positions)
        if self.out_proj is None:
            yield "out_proj", False
        if self.join != "concat":
            yield "join", self.join
        if self.root_gate is not None:
            yield "root", "gated"
        elif self.root_proj is not None:
            yield "root", True
        if self.rotary:
            yield "rotary", True


def _check_dropout(score: str, dropout: float) -> None:
    """Refuse a dropout that is none or that the score cannot apply."""
    if not (is_real(dropout) and 0 <= dropout < 1):
        raise GeodlError(f"Attention(dropout={dropout!r})", do="give a probability in [0, 1)")
    if score == "linear" and dropout:
        asked = f"Attention(score='linear', dropout={dropout})"
        found = "sums over senders, in which no single weight stands"
        raise GeodlError(asked, found, "leave it 0, drop out what comes after")
