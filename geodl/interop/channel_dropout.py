"""Dropout of whole channels."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from geodl.interop.activation import dropped_share
from geodl.interop.converters import converts
from geodl.interop.whole.layout import BATCH
from geodl.interop.whole.values import Call, Value
from geodl.layer import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.signal import Signal

DROPOUTS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class ChannelDropout(Layer):
    """While training each channel of each entry is set to zero on all nodes alike, with probability
    p, and what is left is divided by 1 - p. (Tompson et al., "Efficient Object Localization Using
    Convolutional Networks", 2015.)

    Args:
        p: the probability.

    >>> ChannelDropout(0.5).eval()(Signal.sequence(torch.ones(1, 2, 1))).x.flatten().tolist()
    [1.0, 1.0]
    """

    transparent = True

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    @property
    def nodewise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """In evaluation it changes nothing."""
        return not self.training

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal without some of its channels."""
        check_no_sender(self, sender)
        signal = check_signal(self, receiver)
        if not self.training:
            return signal
        x, domain = signal.x, signal.domain
        members = domain.num_members if domain.is_union else 1
        # torch draws as many numbers in this order, one for each channel of an image.
        kept = F.dropout(x.new_ones(x.shape[0], members, x.shape[2]), self.p)
        if domain.is_union:
            kept = kept[:, domain.member_of()]
        return signal.with_x(x * kept)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


@converts(*DROPOUTS, traced=True)
def convert_channel_dropout(build: Any, call: Call) -> Any:
    """`nn.Dropout1d/2d/3d` of images `[B, C, *lattice]`."""
    return _dropped(build, call, getattr(call.module, "p", None))


@converts(F.dropout1d, F.dropout2d, F.dropout3d, torch.feature_dropout, traced=True, modes=True)
def convert_channel_dropout_function(build: Any, call: Call) -> Any:
    """`F.dropout2d(x, p, training=self.training)` and the like."""
    p = dropped_share(call)
    if p == 0:
        return call.args[0]
    return _dropped(build, call, p)


def _dropped(build: Any, call: Call, p: float | None) -> Value | None:
    value = call.args[0]
    if p is None or not isinstance(value, Value) or value.tensor.dim() < 3:
        return None
    value = build.read(value, "each")
    if value.kept.channel_dim() != 1 or value.kept.dims[0] != (BATCH,):
        # Of [B, T, C] torch drops whole nodes.
        return None
    return build.apply(call.name, ChannelDropout(p), value, call.example)
