"""Layers made of layers: in a row, around a shortcut, side by side."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from geodl.domain import told_apart
from geodl.errors import GeodlError
from geodl.layer.base import Layer
from geodl.layer.check import check_sender_taken
from geodl.layer.image_sizes import name_image_sizes
from geodl.layer.joins import differ_in_dtype
from geodl.layer.pointwise import (
    POINTWISE,
    check_part,
    is_pointwise,
    run_pointwise,
    run_row,
    stands_in_row,
)
from geodl.layer.steps import states_of
from geodl.layer.trace import made
from geodl.layer.unfolded import UnfoldedCalls, unfolded_calls
from geodl.neighborhood.exactness import InexactSize
from geodl.signal import Signal


class Sequential(Layer):
    """Layers one after another. Modules on the list of `geodl.layer.pointwise` are applied to `x`
    along its last axis, the channels.

    Args:
        layers: Layers, and modules that act on the last axis (`nn.ReLU`, `nn.Linear`,
            `nn.LayerNorm`, ...); one of your own as `g.Pointwise(module)`. They are numbered; or
            one mapping gives their names, as `nn.Sequential` takes one.

    Raises:
        GeodlError: a module that acts on another axis (`nn.Conv2d`, `nn.BatchNorm2d`, `nn.LSTM`,
            ...), or of which nothing is known, by name and with what to use; a name that a part
            cannot have; at the call, a second signal that no `Cross` inside takes.

    >>> from geodl import Conv, Grid, window
    >>> net = Sequential(Conv(1, 4, window(3)), nn.ReLU(), Conv(4, 2, window(3)))
    >>> net(Signal(torch.zeros(2, 25, 1), Grid(5, 5))).x.shape
    torch.Size([2, 25, 2])
    >>> list(Sequential({"conv": Conv(1, 4, window(3)), "relu": nn.ReLU()}).state_dict())
    ['conv.weight', 'conv.bias']
    """

    transparent = True

    def __init__(self, *layers: nn.Module | Mapping[str, nn.Module]):
        super().__init__()
        _add_parts(self, layers)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """All layers in turn; those with a `Cross` in them receive from `sender`."""
        check_sender_taken(self, sender)
        calls = None
        if sender is None:
            calls = unfolded_calls(self)
        try:
            if calls is not None:
                return calls.run((receiver,))
            return run_parts(self._modules.values(), receiver, sender)
        except InexactSize as error:
            # Of a layer inside, whose lattice is not the image.
            raise name_image_sizes(error, self, receiver) from None

    def unfold(self, calls: UnfoldedCalls, place: int) -> int:
        """Add the layers to a list of calls, one after another."""
        for part in self._modules.values():
            place = calls.part(part, place)
        return place

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes; the state are those of the layers, in a row."""
        check_sender_taken(self, sender)
        befores = states_of(self, state, len(self))
        afters: list[Any] = []
        row: list[Any] = []
        for layer, before in zip(self._modules.values(), befores, strict=True):
            if type(layer) in POINTWISE:
                row.append(layer)
                afters.append(None)
                continue
            if row:
                signal, row = run_row(row, signal), []
            signal, after = step_part(layer, signal, before, sender)
            afters.append(after)
        if row:
            signal = run_row(row, signal)
        return signal, tuple(afters)

    @property
    def takes_context(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Whether one of the layers does."""
        # Asked anew each time: a part may be exchanged, as `interop.over` does.
        return any(map(takes_context, self._modules.values()))

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return (layer for layer in self._modules.values() if layer is not None)

    def __getitem__(self, index: int) -> nn.Module:
        return list(self)[index]


class Residual(Layer):
    """`y = x + f(x)` for layers f that keep domain and channels; with a layer s on the shortcut
    `y = s(x) + f(x)`, and f may change both as s does (He et al., "Deep Residual Learning", 2016).

    The answer has the edges and globals of x, or of s(x); those that f gave are left behind.

    Args:
        layers: the layers of f, in a row, as a `Sequential` takes them.
        shortcut: s, a layer or a module that acts on the last axis, as the projection of a ResNet
            where it halves an image; None for x itself.

    Raises:
        GeodlError: at the call, if the two paths end on different domains, with other channels or
            in another dtype.

    >>> from geodl import Conv, Grid, window
    >>> halve = window(3, stride=2, padding=1)
    >>> projection = Conv(2, 4, window(1, axes=2, stride=2))
    >>> block = Residual(Conv(2, 4, halve), nn.ReLU(), Conv(4, 4, window(3)), shortcut=projection)
    >>> block(Signal(torch.zeros(1, 64, 2), Grid(8, 8))).domain
    Grid(4, 4)
    """

    transparent = True

    def __init__(
        self,
        *layers: nn.Module | Mapping[str, nn.Module],
        shortcut: nn.Module | None = None,
    ):
        super().__init__()
        self.inner = Sequential(*layers)
        self.shortcut = None
        if shortcut is not None:
            self.shortcut = check_part(shortcut)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal, or what the shortcut makes of it, plus what the inner layers do."""
        check_sender_taken(self, sender)
        if sender is None and (calls := unfolded_calls(self)) is not None:
            return calls.run((receiver,))
        kept = receiver
        if self.shortcut is not None:
            kept = run_part(self.shortcut, receiver, sender)
        y = run_part(self.inner, receiver, sender)
        return made(self, _added(kept, y), kept, y)

    def unfold(self, calls: UnfoldedCalls, place: int) -> int:
        """Add both paths to a list of calls, and their sum."""
        kept = place
        if self.shortcut is not None:
            kept = calls.part(self.shortcut, place)
        return calls.call(_added, kept, calls.part(self.inner, place), joins="add")

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes; the state is that of the inner layers, and with a shortcut
        that of it beside.
        """
        check_sender_taken(self, sender)
        if self.shortcut is None:
            y, after = step_part(self.inner, signal, state, sender)
            return made(self, _added(signal, y), signal, y), after
        before, own = states_of(self, state, 2)
        kept, own = step_part(self.shortcut, signal, own, sender)
        y, after = step_part(self.inner, signal, before, sender)
        return made(self, _added(kept, y), kept, y), (after, own)

    @property
    def takes_context(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Whether one of the inner layers does, or the shortcut."""
        return self.inner.takes_context or takes_context(self.shortcut)


class Concat(Layer):
    """Layers side by side on the same signal, their channels one after another; edges and globals
    are those that the first layer answers.

    `Concat(Recurrent(...), Recurrent(..., rule=previous().reverse()))` is a bidirectional
    RNN.

    Args:
        layers: layers that end on the same domain; one mapping gives their names.
    """

    transparent = True

    def __init__(self, *layers: nn.Module | Mapping[str, nn.Module]):
        super().__init__()
        _add_parts(self, layers)
        if not self._modules:
            raise GeodlError("Concat()", "no layers", "give at least one")

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """Each layer's answer, channels side by side; those with a `Cross` in them receive from
        `sender`.
        """
        check_sender_taken(self, sender)
        if sender is None and (calls := unfolded_calls(self)) is not None:
            return calls.run((receiver,))
        parts = [run_part(m, receiver, sender) for m in self._modules.values()]
        return made(self, _joined(*parts), *parts)

    def unfold(self, calls: UnfoldedCalls, place: int) -> int:
        """Add the layers to a list of calls, and what they make side by side."""
        made = [calls.part(part, place) for part in self._modules.values()]
        return calls.call(_joined, *made, joins="cat")

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes; the state are those of the layers, side by side."""
        check_sender_taken(self, sender)
        befores = states_of(self, state, len(self._modules))
        parts, afters = [], []
        for layer, before in zip(self._modules.values(), befores, strict=True):
            part, after = step_part(layer, signal, before, sender)
            parts.append(part)
            afters.append(after)
        return made(self, _joined(*parts), *parts), tuple(afters)

    @property
    def takes_context(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Whether one of the layers does."""
        return any(map(takes_context, self._modules.values()))


class Cross(Layer):
    """A layer that receives from the second signal of a call, wherever in a `Sequential`,
    `Residual` or `Concat` it stands; no other layer in a container does.

    `Cross(Attention(c, all_pairs()))` is the attention of a decoder: `decoder(target, memory)`.

    Args:
        layer: the layer that receives, `layer(receiver, sender)`.

    >>> from geodl import Attention, Chain, all_pairs, past
    >>> crossed = Residual(nn.LayerNorm(8), Cross(Attention(8, all_pairs(), 2)))
    >>> block = Sequential(Residual(Attention(8, past(), 2)), crossed)
    >>> target, memory = (Signal(torch.zeros(1, n, 8), Chain(n)) for n in (3, 5))
    >>> block(target, memory).x.shape
    torch.Size([1, 3, 8])
    """

    takes_context = True
    transparent = True

    def __init__(self, layer: Layer):
        super().__init__()
        if not isinstance(layer, Layer):
            raise GeodlError(
                "Cross",
                f"a {type(layer).__name__}",
                "give a layer that takes two signals, as Attention",
            )
        self.layer = layer

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """What the layer receives from `sender`."""
        return self.layer(receiver, self._given(sender))

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """The layer on the next nodes, which receive from all of `sender` as those before did."""
        return self.layer.step(signal, state, self._given(sender))

    def _given(self, sender: Signal | None) -> Signal:
        if sender is None:
            raise GeodlError(
                f"Cross({self.layer.label})", "no second signal", "call model(receiver, sender)"
            )
        return sender


def _added(kept: Signal, y: Signal) -> Signal:
    """The sum of a signal and what a Residual made of it, with the state of the first."""
    # Compilers follow no `!=` of domains whose sizes they do not know.
    stays = y.domain == kept.domain
    if not stays or y.x.shape != kept.x.shape:
        asked = f"Residual from {list(kept.x.shape)} on {kept.domain}"
        found = f"{list(y.x.shape)} on {told_apart(y.domain, kept.domain)}"
        do = "keep domain and channels inside, or give a shortcut that changes them, too"
        raise GeodlError(asked, found, do)
    _check_dtype("Residual", kept, y)
    return kept.carry_state(kept.x + y.x, kept.domain)


def _check_dtype(asked: str, one: Signal, other: Signal) -> None:
    """Refuse to cast one of two signals in silence."""
    if differ_in_dtype(one, other):
        found = f"parts that end in {one.dtype} and in {other.dtype}"
        raise GeodlError(asked, found, "end all parts in one dtype")


def _joined(first: Signal, *others: Signal) -> Signal:
    """Channels one after another, with the edges and globals of the first signal."""
    for other in others:
        stays = other.domain == first.domain
        if not stays:
            found = f"parts on {first.domain} and on {told_apart(other.domain, first.domain)}"
            raise GeodlError("Concat", found, "end all parts on one domain")
        _check_dtype("Concat", first, other)
    x = torch.cat([first.x, *[other.x for other in others]], dim=-1)
    return first.with_x(x)


def _add_parts(container: Layer, layers: tuple[Any, ...]) -> None:
    """Register the parts of a container by their numbers, as `nn.Sequential` does, so that state
    dicts fit; or by the names of the one mapping that was given.
    """
    named = {str(k): layer for k, layer in enumerate(layers)}
    if len(layers) == 1 and isinstance(layers[0], Mapping):
        named = layers[0]
    for name, layer in named.items():
        if not isinstance(name, str) or not name or "." in name or hasattr(container, name):
            asked = f"{type(container).__name__} with a part named {name!r}"
            found = "no name, or one that a module of torch uses itself"
            raise GeodlError(asked, found, 'give a name without dots, as "conv1"')
        container.add_module(name, check_part(layer))


def takes_context(part: Any) -> bool:
    """Whether a layer, or one inside it, receives from the second signal; no plain module does."""
    return isinstance(part, Layer) and part.takes_context


def run_parts(parts: Iterable[Any], signal: Signal, sender: Signal | None = None) -> Signal:
    """Parts of a container one after another, those that read rows of channels together; the
    others each by :func:`run_part`.
    """
    row: list[Any] = []
    for part in parts:
        if stands_in_row(part):
            row.append(part)
            continue
        if row:
            signal, row = run_row(row, signal), []
        signal = run_part(part, signal, sender)
    if row:
        signal = run_row(row, signal)
    return signal


def run_part(part: Any, signal: Signal, sender: Signal | None = None) -> Signal:
    """A part of a container on a signal: a layer, with the second signal where it takes one, or a
    module on the list of pointwise ones.
    """
    if stands_in_row(part):
        # Also alone: compiled code then asks for the plans that the same model has made before.
        return run_row((part,), signal)
    if not isinstance(part, Layer):
        return run_pointwise(part, signal)
    if sender is not None and part.takes_context:
        return part(signal, sender)
    return part(signal)


def step_part(
    part: Any, signal: Signal, state: Any, sender: Signal | None = None
) -> tuple[Signal, Any]:
    """A part of a container on the next nodes of a chain."""
    if not isinstance(part, Layer):
        if type(part) not in POINTWISE and not is_pointwise(part):
            found = "a module that reads all nodes at once"
            raise GeodlError(f"a step of {type(part).__name__}", found, "call model.eval() first")
        return run_pointwise(part, signal), None
    # Who crosses is asked only where there is a second signal: it costs a walk through the layers.
    if sender is not None and part.takes_context:
        return part.step(signal, state, sender)
    return part.step(signal, state)
