"""Layers made of layers: in a row, around a shortcut, side by side."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from geodl.errors import GeodlError
from geodl.layer.base import Layer, checked
from geodl.signal import Signal

OTHER_AXIS = (
    "BatchNorm", "SyncBatchNorm", "InstanceNorm", "LazyBatchNorm", "LazyInstanceNorm", "GroupNorm", "LocalResponseNorm",
    "Conv", "LazyConv", "MaxPool", "AvgPool", "LPPool", "FractionalMaxPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "MaxUnpool",
    "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout", "RNN", "LSTM", "GRU", "MultiheadAttention", "Transformer",
    "Flatten", "Unflatten", "Upsample", "PixelShuffle", "PixelUnshuffle", "Fold", "Unfold", "ZeroPad", "ConstantPad",
    "ReflectionPad", "ReplicationPad", "CircularPad", "Softmax2d", "ChannelShuffle",
)  # fmt: skip


class Sequential(Layer):
    """Layers one after another. Any other `nn.Module` is applied to `x` along its last axis, the channels.

    Args:
        layers: Layers, and modules that act on the last axis (`nn.ReLU`, `nn.Linear`, `nn.LayerNorm`, ...).

    Raises:
        GeodlError: a module that acts on another axis (`nn.Conv2d`, `nn.BatchNorm2d`, `nn.LSTM`, ...), by name.

    >>> from geodl import Conv, Grid, window
    >>> net = Sequential(Conv(1, 4, window(3)), nn.ReLU(), Conv(4, 2, window(3)))
    >>> net(Signal(torch.zeros(2, 25, 1), Grid(5, 5))).x.shape
    torch.Size([2, 25, 2])
    """

    def __init__(self, *layers: nn.Module):
        super().__init__()
        for k, layer in enumerate(layers):
            self.add_module(str(k), _fitting(layer))

    def forward(self, receiver: Any, sender: Any = None) -> Signal:
        """All layers in turn; the first of them hears `sender` where one is given."""
        signal = receiver
        for k, layer in enumerate(self._modules.values()):
            signal = applied(layer, signal) if k or sender is None else _hearing(layer, signal, sender)
        return signal

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.children())

    def __getitem__(self, index: int) -> nn.Module:
        return list(self.children())[index]


class Residual(Layer):
    """`y = x + f(x)` for layers f that keep domain and channels (He et al., "Deep Residual Learning", 2016).

    Args:
        layers: the layers of f, in a row.
    """

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.inner = Sequential(*layers)

    def forward(self, receiver: Any, sender: Any = None) -> Signal:
        """The signal plus what the inner layers make of it."""
        y = self.inner(receiver, sender)
        if y.domain != receiver.domain or y.x.shape != receiver.x.shape:
            asked = f"Residual from {list(receiver.x.shape)} on {receiver.domain}"
            raise GeodlError(asked, f"{list(y.x.shape)} on {y.domain}", "keep domain and channels inside")
        return Signal(receiver.x + y.x, receiver.domain)


class Concat(Layer):
    """Layers side by side on the same signal, their channels one after another.

    `Concat(Recurrent(...), Recurrent(..., neighborhood=previous().reverse()))` is a bidirectional RNN.

    Args:
        layers: layers that end on the same domain.
    """

    def __init__(self, *layers: nn.Module):
        super().__init__()
        if not layers:
            raise GeodlError("Concat()", "no layers", "give at least one")
        for k, layer in enumerate(layers):
            self.add_module(str(k), _fitting(layer))

    def forward(self, receiver: Any, sender: Any = None) -> Signal:
        """Each layer's answer, channels side by side."""
        parts = [applied(m, receiver) if sender is None else _hearing(m, receiver, sender) for m in self.children()]
        if any(part.domain != parts[0].domain for part in parts):
            raise GeodlError("Concat", f"parts on {[str(p.domain) for p in parts]}", "end all parts on one domain")
        return Signal(torch.cat([part.x for part in parts], dim=-1), parts[0].domain)


def applied(layer: Any, signal: Any) -> Signal:
    """A layer on a signal, or a plain module on its values."""
    if isinstance(layer, Layer):
        return layer(signal)
    x = checked(layer, signal).x
    y = layer(x)
    if y.shape[:-1] != x.shape[:-1]:
        asked = f"{type(layer).__name__} inside a Sequential"
        raise GeodlError(asked, f"shape {list(x.shape)} turned into {list(y.shape)}", "use modules that act on the last axis")
    return Signal(y, signal.domain)


def acts_elsewhere(part: nn.Module) -> bool:
    """Whether a module of torch's acts along another axis than the last."""
    if not type(part).__module__.startswith("torch."):
        return False
    axes, parameters = len(getattr(part, "normalized_shape", ())), getattr(part, "num_parameters", 1)
    other = axes > 1 or parameters > 1 or getattr(part, "dim", -1) not in (-1, 2)
    return other or type(part).__name__.startswith(OTHER_AXIS)


def _hearing(layer: Any, receiver: Any, sender: Any) -> Signal:
    """A layer that hears a second signal."""
    if not isinstance(layer, Layer):
        raise GeodlError(f"{type(layer).__name__} with a sender", "a module of one input", "begin with a layer that hears two")
    return layer(receiver, sender)


def _fitting(layer: nn.Module) -> nn.Module:
    if not isinstance(layer, nn.Module):
        raise GeodlError("a container of layers", f"a {type(layer).__name__}", "give nn.Module instances, as nn.ReLU()")
    if isinstance(layer, Layer):
        return layer
    for part in layer.modules():
        name = type(part).__name__
        if isinstance(part, Layer) or acts_elsewhere(part):
            asked = f"nn.{name} inside a container of layers"
            if isinstance(part, Layer):
                asked = f"{name} inside a plain {type(layer).__name__}"
            raise GeodlError(asked, "a module that acts on another axis than the last", "use geodl's own layers")
    return layer
