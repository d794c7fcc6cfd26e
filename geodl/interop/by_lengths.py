"""Padding and resizing to lengths that a model computes, as a U-Net does at odd sizes."""

from typing import Any

from geodl.errors import GeodlError
from geodl.interop.resampling import padding_rule, resizing_rule
from geodl.interop.whole.lengths import NUMBERS, evaluate, formulas
from geodl.interop.whole.values import Call, Value
from geodl.layer import Layer, Propagate
from geodl.layer.check import check_signal
from geodl.neighborhood import itself
from geodl.signal import Signal


class ByLengths(Layer):
    """A lattice padded, or resized, by numbers that are computed of its own lengths and of those of
    a second signal's lattice.

    With two signals it is called as every layer that crosses: the receiver, of which only the
    lattice is read, and the sender.

    Args:
        numbers: formulas (`geodl.interop.whole.lengths`): before and after each axis, the last axis
            first, or the new length of each axis.
        mode: of a padding or a resizing.
        options: of a resizing; None of a padding.
        crosses: whether there is a second signal.
    """

    transparent = True

    def __init__(
        self,
        numbers: tuple[Any, ...],
        mode: str,
        options: dict[str, Any] | None,
        *,
        crosses: bool,
    ):
        super().__init__()
        self.numbers, self.mode, self.options = numbers, mode, options
        self.takes_context = crosses
        self.propagate = Propagate(itself())

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal on a lattice of the computed lengths."""
        given = sender
        if given is None:
            given = receiver
        signal = check_signal(self, given)
        first, own = receiver.domain.lattice, signal.domain.lattice
        if first is None or own is None or self.takes_context != (sender is not None):
            found = f"signals on {receiver.domain} and {signal.domain}"
            raise GeodlError(f"{self.label} called", found, "give a lattice for each")
        numbers = [evaluate(one, (first, own)) for one in self.numbers]
        if self.options is None:
            pads = list(zip(numbers[::2], numbers[1::2], strict=True))
            if not any(numbers):
                return signal
            pads += [(0, 0)] * (len(own) - len(pads))
            made = padding_rule(pads[::-1], self.mode)
        else:
            sizes = tuple(numbers)
            made = resizing_rule(sizes, (None,) * len(sizes), self.mode, **self.options)
        return self.propagate(signal, rule=made)

    def extra_repr(self) -> str:
        return f"{self.mode!r}"


def padded_by_lengths(
    build: Any, call: Call, value: Value, pad: list[Any], mode: str, fill: Any
) -> Value | None:
    """`F.pad(x, [dx // 2, dx - dx // 2, ...])` of numbers that are computed of lengths."""
    if fill or len(pad) > 2 * (value.tensor.dim() - 2):
        return None
    return _by_lengths(build, call, value, pad, mode, None)


def resized_by_lengths(
    build: Any, call: Call, value: Value, sizes: Any, mode: str, options: dict[str, Any]
) -> Value | None:
    """`F.interpolate(x, size=y.shape[2:])`."""
    options = {name: given for name, given in options.items() if name != "antialias"}
    return _by_lengths(build, call, value, sizes, mode, options)


def _by_lengths(
    build: Any, call: Call, value: Value, numbers: Any, mode: str, options: Any
) -> Value | None:
    if not all(isinstance(one, NUMBERS) for one in numbers):
        return None
    value = build.read(value, "planes")
    found = formulas(numbers, value)
    if found is None:
        return None
    given, other = found
    layer = ByLengths(given, mode, options, crosses=other is not None)
    if other is None:
        return build.apply(call.name, layer, value, call.example)
    if other.layout is None or other.on.domain.lattice is None:
        return None
    return build.apply(call.name, layer, other, call.example, value.kept, sender=value)
