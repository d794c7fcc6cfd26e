"""Queries, keys and values: the projections of attention."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.layer.base import Layer, MessagePassing
from geodl.layer.parameters import read_parameter
from geodl.layer.position import aligns_ends, check_pairs, places, places_of_receivers, rotate
from geodl.layer.widths import Widths
from geodl.lowering import product
from geodl.lowering.spmm import sparse_features
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal

Projection = tuple[Tensor, Tensor | None]  # weight and bias


class Projecting(MessagePassing):
    """A layer that projects receivers to queries, senders to keys and values.

    Where both ends have the same channels all weights stand in one, in_proj_weight, one below the
    other; else apart. The names are those of `nn.MultiheadAttention`.

    Attributes:
        channels_in: C of the receivers.
        context_channels: C of the senders.
        heads: H.
        head_dim: D of queries and keys.
        value_dim: V of values.
        rows: how many rows each projection has, queries first: three of them, two where keys are
            values, one where queries are, too.
        positions: layers that add positions to what queries and keys read, those of receivers
            first; None without.
        rotary: whether queries and keys are rotated by their places.
    """

    # None where a layer has none: whoever reads one has seen that it is there.
    in_proj_weight: Any
    in_proj_bias: Any

    @property
    def breaks_symmetry(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Whether scores read where nodes stand."""
        layers: Any = self.positions or ()
        return self.rotary or any(layer.breaks_symmetry for layer in layers)

    def _make_projections(self, widths: Widths, bias: bool) -> None:
        self.channels_in, self.context_channels = widths.channels, widths.context
        self.heads, self.rows = widths.heads, widths.rows
        self.head_dim, self.value_dim = widths.key, widths.value
        self.in_proj_weight = self.in_proj_bias = None
        self.q_proj_weight = self.k_proj_weight = self.v_proj_weight = None
        if self.channels_in == self.context_channels:
            self.in_proj_weight = nn.Parameter(torch.empty(sum(self.rows), self.channels_in))
        else:
            self.q_proj_weight = nn.Parameter(torch.empty(self.rows[0], self.channels_in))
            if len(self.rows) == 3:
                self.k_proj_weight = nn.Parameter(torch.empty(self.rows[1], self.context_channels))
            self.v_proj_weight = nn.Parameter(torch.empty(self.rows[-1], self.context_channels))
        if bias:
            self.in_proj_bias = nn.Parameter(torch.empty(sum(self.rows)))

    def _reset_in_proj_bias(self) -> None:
        """Draw the biases of the projections: zeros, as torch has them; where keys are values as
        those of `nn.Linear`, which are PyG's.
        """
        if self.in_proj_bias is None:
            return
        if len(self.rows) == 3:
            nn.init.zeros_(self.in_proj_bias)
            return
        channels = (self.channels_in, self.context_channels)
        # One projection, whose keys are queries, reads the receivers' channels.
        for part, count in zip(self.in_proj_bias.detach().split(self.rows), channels, strict=False):
            nn.init.uniform_(part, -(count**-0.5), count**-0.5)

    def _make_positions(self, positions: Any, rotary: bool) -> None:
        if rotary:
            check_pairs(self.head_dim, 1)
        self.positions, self.rotary = _position_layers(positions), rotary

    def _heads(
        self,
        receiver: Tensor,
        sender: Tensor,
        target: Domain,
        source: Domain,
        rule: Neighborhood,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values as the scores read them, on the domains of both ends."""
        if self.positions is None:
            query, key, value = self._project(receiver, sender)
            if self.rotary:
                query, key = self._rotated(query, key, target, source, rule)
            return query, key, value
        if target.sizes != source.sizes and aligns_ends(rule, source, target):
            found = f"positions of its own, and receivers on {target} that are the last of {source}"
            raise GeodlError(self.label, found, "add the positions before the layer")
        first, last = self.positions[0], self.positions[-1]
        at = self._positioned(first, receiver, target)
        by = at
        if sender is not receiver or last is not first:
            by = self._positioned(last, sender, source)
        query, key, value = self._project_apart(at, by, sender)
        return *self._rotated(query, key, target, source, rule), value

    def _positioned(self, layer: nn.Module, x: Tensor, domain: Domain) -> Tensor:
        """Values with positions added, which have to stay where they are."""
        y = layer(Signal(x, domain))
        if y.x.shape != x.shape:
            found = f"shape {list(x.shape)} turned into {list(y.x.shape)}"
            do = "give a layer that adds positions, as SinusoidalPositions"
            raise GeodlError(f"the positions of {self.label}", found, do)
        return y.x

    def _rotated(
        self,
        query: Tensor,
        key: Tensor,
        target: Domain,
        source: Domain,
        rule: Neighborhood,
        seen: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """Queries and keys rotated by their places, which begin at `seen`, where the layer is
        rotary; as they are elsewhere.
        """
        if not self.rotary:
            return query, key
        at = places_of_receivers(rule, source, target)
        return rotate(query, at + seen), rotate(key, places(source) + seen)

    def _project(self, receiver: Tensor, sender: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of the receivers `[B, M, H, D]`, keys and values of the senders `[B, N, H, D or
        V]`.
        """
        weight = read_parameter(self, "in_proj_weight")
        bias = read_parameter(self, "in_proj_bias")
        if weight is None:
            return self._project_apart(receiver, sender, sender)
        if receiver is sender:
            # One product in place of three, and one view where heads have one width.
            y = linear(sender, weight, bias)
            if self.head_dim == self.value_dim:
                batch, nodes, _ = y.shape
                wide = (len(self.rows), self.heads, self.head_dim)
                parts = y.view(batch, nodes, *wide).unbind(2)
                return parts[0], parts[min(1, len(parts) - 1)], parts[-1]
            parts = y.split_with_sizes(self.rows, -1)
            return self._by_head(parts[0], parts[min(1, len(parts) - 1)], parts[-1])
        self._check_channels(receiver, sender)
        # Rows of the weight stand as torch has them: queries, then keys and values; one projection
        # has the same rows for all three.
        first, others = self.rows[0], self.rows[1:] or self.rows
        of_queries = of_senders = None
        if bias is not None:
            of_queries, of_senders = bias[:first], bias[-sum(others) :]
        query = linear(receiver, weight[:first], of_queries)
        y = linear(sender, weight[-sum(others) :], of_senders)
        parts = y.split_with_sizes(others, -1)
        return self._by_head(query, parts[0], parts[-1])

    def _project_apart(
        self, receiver: Tensor, sender: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of the receivers, keys of the senders and values of `value`: the senders as they
        are without positions.
        """
        self._check_channels(receiver, sender)
        parts = self._projections()
        query = linear(receiver, *parts[0])
        key = linear(sender, *parts[min(1, len(parts) - 1)])
        if len(parts) < 3 and sender is value:
            return self._by_head(query, key, key)
        return self._by_head(query, key, linear(value, *parts[-1]))

    def _projections(self) -> list[Projection]:
        """Each projection's weight and bias: queries, keys, values."""
        if self.in_proj_weight is not None:
            weights = list(self.in_proj_weight.split(self.rows))
        else:
            given = self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
            weights = [weight for weight in given if weight is not None]
        biases: list[Tensor | None] = [None] * len(weights)
        if self.in_proj_bias is not None:
            biases = list(self.in_proj_bias.split(self.rows))
        return list(zip(weights, biases, strict=True))

    def _by_head(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, N, H D]` as `[B, N, H, D]`, views."""
        heads, wide = self.heads, self.head_dim
        query = query.view(query.shape[0], query.shape[1], heads, wide)
        key = key.view(key.shape[0], key.shape[1], heads, wide)
        return query, key, value.view(value.shape[0], value.shape[1], heads, self.value_dim)

    def _check_channels(self, receiver: Tensor, sender: Tensor) -> None:
        """Refuse values of other channels than both ends have."""
        channels, name = self.channels_in, "receivers"
        found = receiver.shape[-1]
        if found == channels:
            channels, name = self.context_channels, "senders"
            found = sender.shape[-1]
        if found != channels:
            do = f"give {channels} channels"
            raise GeodlError(self.label, f"{name} of {found} channels", do)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x W^T + b` for `[B, N, C]`, or sparse values `[N, C]`, which become `[1, N, C_out]`."""
    if x.layout == torch.strided:
        return product.linear(x, weight, bias)
    y = sparse_features(x, weight.T)
    if bias is not None:
        y = y + bias
    return y


def _position_layers(positions: Any) -> nn.ModuleList | None:
    """The layers that add positions, of receivers first; one of both may stand alone."""
    if positions is None:
        return None
    layers = positions if isinstance(positions, tuple) else (positions,)
    wrong = [type(layer).__name__ for layer in layers if not isinstance(layer, Layer)]
    if wrong or len(layers) not in (1, 2):
        found = f"{len(layers)} of them"
        if wrong:
            found = f"a {wrong[0]}"
        do = "give a layer, as SinusoidalPositions(channels), or (of receivers, of senders)"
        raise GeodlError("Attention(positions=...)", found, do)
    return nn.ModuleList(layers)
