"""Layers made of layers: in a row, around a shortcut, side by side."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.layer.base import Layer, MessagePassing
from geodl.layer.check import check_no_sender, check_signal
from geodl.signal import Signal

OTHER_AXIS = (
    "BatchNorm",
    "SyncBatchNorm",
    "InstanceNorm",
    "LazyBatchNorm",
    "LazyInstanceNorm",
    "GroupNorm",
    "LocalResponseNorm",
    "Conv",
    "LazyConv",
    "MaxPool",
    "AvgPool",
    "LPPool",
    "FractionalMaxPool",
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "MaxUnpool",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    "RNN",
    "LSTM",
    "GRU",
    "MultiheadAttention",
    "Transformer",
    "Flatten",
    "Unflatten",
    "Upsample",
    "PixelShuffle",
    "PixelUnshuffle",
    "Fold",
    "Unfold",
    "ZeroPad",
    "ConstantPad",
    "ReflectionPad",
    "ReplicationPad",
    "CircularPad",
    "Softmax2d",
    "ChannelShuffle",
)


class Sequential(Layer):
    """Layers one after another. Any other `nn.Module` is applied to `x` along its last axis, the
    channels.

    Args:
        layers: Layers, and modules that act on the last axis (`nn.ReLU`, `nn.Linear`,
            `nn.LayerNorm`, ...).

    Raises:
        GeodlError: a module that acts on another axis (`nn.Conv2d`, `nn.BatchNorm2d`, `nn.LSTM`,
            ...), by name.

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
        """All layers in turn; those that cross hear `sender` where one is given, or else the first
        of them.
        """
        signal, crosses = receiver, sender is not None and self.takes_context
        for k, layer in enumerate(self._modules.values()):
            heard = sender is not None and (
                getattr(layer, "takes_context", False) if crosses else k == 0
            )
            signal = _hearing(layer, signal, sender) if heard else applied(layer, signal)
        return signal

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes; the state are those of the layers, in a row."""
        check_no_sender(self, None if sender is None or self.takes_context else sender)
        after = []
        for layer, before in zip(
            self._modules.values(), states_of(self, state, len(self)), strict=True
        ):
            signal, kept = _continued(layer, signal, before, sender)
            after.append(kept)
        return signal, tuple(after)

    @property
    def takes_context(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Whether one of the layers does."""
        return any(getattr(layer, "takes_context", False) for layer in self._modules.values())

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return (layer for layer in self._modules.values() if layer is not None)

    def __getitem__(self, index: int) -> nn.Module:
        return list(self)[index]


class Residual(Layer):
    """`y = x + f(x)` for layers f that keep domain and channels (He et al., "Deep Residual
    Learning", 2016).

    Args:
        layers: the layers of f, in a row.
    """

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.inner = Sequential(*layers)

    def forward(self, receiver: Any, sender: Any = None) -> Signal:
        """The signal plus what the inner layers make of it."""
        return self._added(receiver, self.inner(receiver, sender))

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes; the state is that of the inner layers."""
        y, after = self.inner.step(signal, state, sender)
        return self._added(signal, y), after

    @property
    def takes_context(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Whether one of the inner layers does."""
        return self.inner.takes_context

    def _added(self, receiver: Signal, y: Signal) -> Signal:
        if y.domain != receiver.domain or y.x.shape != receiver.x.shape:
            asked = f"Residual from {list(receiver.x.shape)} on {receiver.domain}"
            raise GeodlError(
                asked, f"{list(y.x.shape)} on {y.domain}", "keep domain and channels inside"
            )
        return Signal(receiver.x + y.x, receiver.domain)


class Concat(Layer):
    """Layers side by side on the same signal, their channels one after another.

    `Concat(Recurrent(...), Recurrent(..., rule=previous().reverse()))` is a bidirectional
    RNN.

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
        """Each layer's answer, channels side by side; of `sender`, to those that cross, or else to
        all.
        """
        crosses, parts = sender is not None and self.takes_context, []
        for m in self._modules.values():
            heard = sender is not None and (getattr(m, "takes_context", False) or not crosses)
            parts.append(_hearing(m, receiver, sender) if heard else applied(m, receiver))
        return _beside(parts)

    @property
    def takes_context(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Whether one of the layers does."""
        return any(getattr(layer, "takes_context", False) for layer in self._modules.values())

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes; the state are those of the layers, side by side."""
        befores = states_of(self, state, len(self._modules))
        both = [
            _continued(m, signal, before, sender)
            for m, before in zip(self._modules.values(), befores, strict=True)
        ]
        return _beside([part for part, _ in both]), tuple(after for _, after in both)


class Cross(Layer):
    """A layer that hears the second signal of a call, wherever in a `Sequential` or `Residual` it
    stands.

    `Cross(Attention(c, all_pairs()))` is the attention of a decoder: `decoder(target, memory)`.

    Args:
        layer: the layer that hears, `layer(receiver, sender)`.

    >>> from geodl import Attention, Chain, all_pairs, past
    >>> crossed = Residual(nn.LayerNorm(8), Cross(Attention(8, all_pairs(), 2)))
    >>> block = Sequential(Residual(Attention(8, past(), 2)), crossed)
    >>> target, memory = (Signal(torch.zeros(1, n, 8), Chain(n)) for n in (3, 5))
    >>> block(target, memory).x.shape
    torch.Size([1, 3, 8])
    """

    takes_context = True

    def __init__(self, layer: Layer):
        super().__init__()
        if not isinstance(layer, Layer):
            raise GeodlError(
                "Cross",
                f"a {type(layer).__name__}",
                "give a layer that hears two signals, as Attention",
            )
        self.layer = layer

    def forward(self, receiver: Any, sender: Any = None) -> Signal:
        """What the layer hears from `sender`."""
        if sender is None:
            raise GeodlError(
                f"Cross({self.layer.label})", "no second signal", "call model(receiver, sender)"
            )
        return self.layer(receiver, sender)

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """The layer on the next nodes, which hear all of `sender` as those before did."""
        if sender is None:
            return self(signal), None
        return self.layer.step(signal, state, sender)


def applied(layer: Any, signal: Any) -> Signal:
    """A layer on a signal, or a plain module on its values."""
    if isinstance(layer, Layer):
        return layer(signal)
    x = check_signal(layer, signal).x
    y = layer(x)
    if y.shape[:-1] != x.shape[:-1]:
        asked = f"{type(layer).__name__} inside a Sequential"
        raise GeodlError(
            asked,
            f"shape {list(x.shape)} turned into {list(y.shape)}",
            "use modules that act on the last axis",
        )
    return Signal(y, signal.domain)


def _continued(layer: Any, signal: Signal, state: Any, sender: Signal | None) -> tuple[Signal, Any]:
    """A layer, or a plain module, on the next nodes of a chain."""
    if not isinstance(layer, Layer):
        return applied(layer, signal), None
    if isinstance(layer, MessagePassing) and _runs_backwards(layer, signal.domain):
        raise GeodlError(
            f"{layer.label} unrolled",
            "a rule that receives from nodes to come",
            "use layers that hear only what came before",
        )
    return layer.step(signal, state, sender if sender is not None and layer.takes_context else None)


def _runs_backwards(layer: MessagePassing, domain: Domain) -> bool:
    """Whether a layer that runs through the nodes in order begins at the last one."""
    if not layer.options.ordered or layer.rule.lookback(domain) is not None:
        return False
    first, *_ = domain.members or (domain,)
    edges = layer.rule.edges(first.replace((2,)))  # a piece of one node has no edges to tell by
    return bool((edges.src >= edges.dst).any())


def states_of(layer: Layer, state: Any, count: int) -> tuple[Any, ...]:
    """The state of each of `count` layers, None for each at the beginning; refused unless it is as
    many.
    """
    if state is not None and (not isinstance(state, tuple) or len(state) != count):
        found = (
            f"{len(state)} states of {count} layers"
            if isinstance(state, tuple)
            else f"a {type(state).__name__}"
        )
        raise GeodlError(f"{type(layer).__name__} unrolled", found, "give what step returned")
    return (None,) * count if state is None else state


def _beside(parts: list[Signal]) -> Signal:
    """Channels one after another."""
    if any(part.domain != parts[0].domain for part in parts):
        raise GeodlError(
            "Concat", f"parts on {[str(p.domain) for p in parts]}", "end all parts on one domain"
        )
    return Signal(torch.cat([part.x for part in parts], dim=-1), parts[0].domain)


def acts_elsewhere(part: nn.Module) -> bool:
    """Whether a module of torch's acts along another axis than the last."""
    if not type(part).__module__.startswith("torch."):
        return False
    axes, parameters = (
        len(getattr(part, "normalized_shape", ())),
        getattr(part, "num_parameters", 1),
    )
    other = axes > 1 or parameters > 1 or getattr(part, "dim", -1) not in (-1, 2)
    return other or type(part).__name__.startswith(OTHER_AXIS)


def _hearing(layer: Any, receiver: Any, sender: Any) -> Signal:
    """A layer that hears a second signal."""
    if not isinstance(layer, Layer):
        raise GeodlError(
            f"{type(layer).__name__} with a sender",
            "a module of one input",
            "begin with a layer that hears two",
        )
    return layer(receiver, sender)


def _fitting(layer: nn.Module) -> nn.Module:
    if not isinstance(layer, nn.Module):
        raise GeodlError(
            "a container of layers",
            f"a {type(layer).__name__}",
            "give nn.Module instances, as nn.ReLU()",
        )
    if isinstance(layer, Layer):
        return layer
    for part in layer.modules():
        name = type(part).__name__
        if isinstance(part, Layer) or acts_elsewhere(part):
            asked = f"nn.{name} inside a container of layers"
            if isinstance(part, Layer):
                asked = f"{name} inside a plain {type(layer).__name__}"
            raise GeodlError(
                asked, "a module that acts on another axis than the last", "use geodl's own layers"
            )
    return layer
