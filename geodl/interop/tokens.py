"""Learned tokens beside those of a sequence, as the class token of a vision Transformer."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Chain
from geodl.errors import GeodlError
from geodl.interop.whole.ancestry import is_fixed, sources_of
from geodl.interop.whole.layout import BATCH, Layout, nodes
from geodl.interop.whole.values import Call, Value
from geodl.layer import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.signal import Signal


class OwnTokens(Layer):
    """Nodes of the layer's own before those of a sequence, or behind them, on a longer chain.

    Args:
        weight: their values, `[K, C]`.
        before: whether they stand before the others.

    >>> layer = OwnTokens(torch.ones(1, 2), before=True)
    >>> layer(Signal.sequence(torch.zeros(1, 2, 2))).x.tolist()
    [[[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]]
    """

    breaks_symmetry = True
    transparent = True

    def __init__(self, weight: Tensor, *, before: bool):
        super().__init__()
        self.channels_in = weight.shape[1]
        self.before = before
        self.weight = nn.Parameter(weight)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The longer sequence."""
        check_no_sender(self, sender)
        signal = check_signal(self, receiver)
        if signal.domain.is_union:
            raise GeodlError(f"{self.label} called", str(signal.domain), "give one sequence a row")
        own = self.weight.to(signal.x.dtype).expand(signal.x.shape[0], -1, -1)
        parts = [signal.x, own]
        if self.before:
            parts = [own, signal.x]
        x = torch.cat(parts, 1)
        return Signal(x, Chain(x.shape[1]))

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, {self.channels_in}, before={self.before}"


def with_own_tokens(build: Any, call: Call, values: Any, dim: Any) -> Value | None:
    """`torch.cat((token.expand(B, -1, -1), x), dim=1)`; None of any other call."""
    if not isinstance(values, tuple | list) or len(values) != 2 or dim not in (1, -2):
        return None
    if not all(isinstance(one, Value) and one.tensor.dim() == 3 for one in values):
        return None
    before = values[0].layout is None
    own, value = values if before else reversed(values)
    if value.layout is None or own.layout is not None or not is_fixed(build.nodes, own.name):
        return None
    dims = value.kept.dims
    if dims[0] != (BATCH,) or value.kept.channel_dim() != 2:
        return None
    sources = sources_of(build.nodes, own.name)
    if len(sources) != 1 or not isinstance(sources[0].tensor, nn.Parameter):
        return None
    tensor, path = sources[0].tensor, sources[0].name
    if tensor.numel() != own.tensor[0].numel():
        return None
    rows = tensor.detach().clone().reshape(own.tensor.shape[1:])
    if not torch.equal(own.tensor, rows.expand_as(own.tensor)):
        return None

    def make() -> OwnTokens:
        layer = OwnTokens(rows, before=before)
        layer.weight.requires_grad_(tensor.requires_grad)
        return layer

    layer = build.shared({"weight": tensor}, ("own tokens", before), make)
    made = Layout((dims[0], nodes(1), dims[2]), "chain")
    return build.apply(path, layer, value, call.example, made)
