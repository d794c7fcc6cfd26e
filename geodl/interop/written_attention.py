"""Attention on a domain that is named as a module of torch: masks, and a bias for each type of
edges, are part of it. See :mod:`geodl.interop.written_out`.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.attention import WEIGHTS
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.written_out import OverTable, Table, call_of, followed, table_of_call
from geodl.layer import Attention
from geodl.lowering.edges import unweighted
from geodl.lowering.scores import SCORES

# Scores that one product of matrices computes, and the power of D they are multiplied by.
PRODUCTS = {"dot": -0.5, "product": 0.0}


class AlongEdges(OverTable):
    """`y_i = W_o [sum over edges of softmax(score(q_i, k_j) + b_type) v_j]_heads`, of an
    `Attention`.
    """

    types: Any
    allowed: Any
    in_proj_weight: Any
    q_proj_weight: Any
    k_proj_weight: Any
    v_proj_weight: Any
    in_proj_bias: Any
    score_vectors: Any
    relative_bias: Any
    out_bias: Any
    out_proj: Any
    root_proj: Any
    root_gate: Any

    def __init__(self, layer: Attention, table: Table, num_senders: int):
        super().__init__(table, num_senders)
        self.heads, self.rows, self.join = layer.heads, layer.rows, layer.join
        self.score = layer.options.score
        self.widths = layer.head_dim, layer.value_dim
        for name in (*WEIGHTS, "in_proj_bias", "score_vectors", "relative_bias", "out_bias"):
            setattr(self, name, None)
            with_parameters(self, layer, **{name: getattr(layer, name)})
        for name in ("out_proj", "root_proj", "root_gate"):
            setattr(self, name, copy.deepcopy(getattr(layer, name)))
        self.drop = nn.Dropout(layer.dropout)
        types = None
        if layer.relative_bias is not None:
            types = table.types
        self.register_buffer("types", types)
        allowed = None
        if not table.full:
            # A receiver without edges keeps finite scores, all of which are dropped afterwards.
            allowed = table.there | ~table.there.any(1, keepdim=True)
        self.register_buffer("allowed", allowed)

    def answer(self, receiver: Tensor, sender: Tensor) -> Tensor:
        """The answer at receivers `[B, M, C]`, which receive from senders `[B, N, C']`."""
        query, key, value = self.projected(receiver, sender)
        scores = self.scores(query, key)
        if self.types is not None:
            scores = scores + self.relative_bias[self.types]
        if self.allowed is not None:
            scores = scores.masked_fill(~self.allowed[..., None], -torch.inf)
        weights = self.drop(scores.softmax(2))
        if self.there is not None:
            weights = weights * self.there[..., None].type_as(weights)
        if self.senders is None:
            y = torch.einsum("bmkh,bkhv->bmhv", weights, value)
        else:
            y = torch.einsum("bmkh,bmkhv->bmhv", weights, self.along(value))
        return self.joined(y, receiver)

    def projected(self, receiver: Tensor, sender: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by heads; one projection may stand for two or three of them."""
        first, last = self.widths
        query = self.projection(0, receiver, first)
        if len(self.rows) == 1:
            key = query
            if receiver is not sender:
                key = self.projection(0, sender, first)
            return query, key, key
        key = self.projection(1, sender, first)
        if len(self.rows) == 2:
            return query, key, key
        return query, key, self.projection(2, sender, last)

    def projection(self, number: int, x: Tensor, width: int) -> Tensor:
        """`[B, N, H, width]`, by the rows of one projection."""
        start = sum(self.rows[:number])
        stop = start + self.rows[number]
        if self.in_proj_weight is not None:
            weight = self.in_proj_weight[start:stop]
        elif number == 0:
            weight = self.q_proj_weight
        elif number == len(self.rows) - 1:
            weight = self.v_proj_weight
        else:
            weight = self.k_proj_weight
        bias = self.in_proj_bias
        if bias is not None:
            bias = bias[start:stop]
        return nn.functional.linear(x, weight, bias).unflatten(2, (self.heads, width))

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """`[B, M, K, H]`, of each edge."""
        if self.score not in PRODUCTS:
            function = SCORES[self.score].function
            return function(query[:, :, None], self.along(key), None, self.score_vectors)
        query = query * self.widths[0] ** PRODUCTS[self.score]
        if self.senders is None:
            return torch.einsum("bmhd,bkhd->bmkh", query, key)
        return torch.einsum("bmhd,bmkhd->bmkh", query, self.along(key))

    def joined(self, y: Tensor, receiver: Tensor) -> Tensor:
        """The answers of all heads joined, and the receiver itself added."""
        y = self.across_heads(y)
        if self.out_proj is not None:
            y = self.out_proj(y)
        if self.out_bias is not None:
            y = y + self.out_bias
        if self.root_proj is None:
            return y
        own = self.root_proj(receiver)
        if self.root_gate is None:
            return y + own
        share = self.root_gate(torch.cat((y, own, y - own), -1)).sigmoid()
        return share * own + (1 - share) * y

    def across_heads(self, y: Tensor) -> Tensor:
        """`[B, M, H, V]` with the heads side by side, or their mean."""
        if self.join == "mean":
            return y.mean(2)
        return y.flatten(2)


class SelfAttention(AlongEdges):
    """Attention whose receivers are its senders."""

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(x, x)


class CrossAttention(AlongEdges):
    """Attention whose receivers are another signal, as a lift's: `twin(receiver, sender)`."""

    def forward(self, receiver: Tensor, sender: Tensor) -> Tensor:
        return self.answer(receiver, sender)


@converts(Attention, back="torch", form="any rule, with on=domain")
def to_written_attention(layer: Attention, on: Domain | None) -> nn.Module | None:
    """Attention on a named domain: masks, and a bias for each type of edges, are part of it."""
    if on is None:
        return None
    asked = f"to_torch({layer.label})"
    if layer.rotary or layer.positions is not None:
        do = "add them before the layer: LearnedPositions, SinusoidalPositions"
        raise GeodlError(asked, "positions that queries and keys alone read", do)
    if layer.edge_channels is not None:
        raise GeodlError(asked, "features of edges", "to_pyg converts it over a graph")
    call = call_of(layer, on)
    table = table_of_call(unweighted(call), call)
    if call.target == call.source:
        return followed(SelfAttention(layer, table, on.num_nodes), layer)
    return followed(CrossAttention(layer, table, on.num_nodes), layer)
