"""Several signals on one domain as one: sums, products, channels side by side."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from geodl.domain import same_place, told_apart
from geodl.errors import GeodlError
from geodl.signal import Signal
from geodl.signal.check import mixes_dtypes


def _cat(values: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(values), -1)


def _max(values: Sequence[Tensor]) -> Tensor:
    # Where several attain it, one of them gets the gradient, as from torch's max over an axis.
    return torch.stack(list(values), -1).max(-1).values


def _add(values: Sequence[Tensor]) -> Tensor:
    first, *others = values
    for other in others:
        first = first + other
    return first


def _mul(values: Sequence[Tensor]) -> Tensor:
    first, *others = values
    for other in others:
        first = first * other
    return first


def _sub(values: Sequence[Tensor]) -> Tensor:
    first, *others = values
    for other in others:
        first = first - other
    return first


JOINS: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "max": _max,
    "cat": _cat,
}


def join_signals(name: str, signals: Sequence[Signal]) -> Signal:
    """One signal of several, with the state of the first.

    Args:
        name: of a join: "add", "sub" (the others taken from the first), "mul", "max", "cat".
        signals: on one domain, with one batch, dtype and device; of one shape, but for "cat".

    Raises:
        GeodlError: if the signals differ: nothing is broadcast or cast.

    >>> from geodl.domain import Chain
    >>> s = Signal(torch.ones(1, 3, 2), Chain(3))
    >>> join_signals("cat", [s, s, s]).shape
    torch.Size([1, 3, 6])
    """
    first, *others = signals
    for other in others:
        check_alike(name, first, other)
    return first.carry_state(JOINS[name]([signal.x for signal in signals]), first.domain)


def check_alike(name: str, one: Signal, other: Signal) -> None:
    """Refuse to join two signals that differ in domain, shape, dtype or device.

    Args:
        name: of the join; "cat" lets the channels differ.
        one: the first signal.
        other: the second one.
    """
    found = do = ""
    if not same_place(one.domain, other.domain):
        found = f"signals on {one.domain} and on {told_apart(other.domain, one.domain)}"
        do = "bring both to one domain first"
    elif one.shape != other.shape and (name != "cat" or one.shape[:2] != other.shape[:2]):
        found = f"shapes {list(one.shape)} and {list(other.shape)}"
        do = "give equal shapes: nothing is broadcast"
    elif one.device != other.device or differ_in_dtype(one, other):
        found = f"{one.dtype} on {one.device} and {other.dtype} on {other.device}"
        do = "convert one of them with .to"
    if found:
        raise GeodlError(f"the join {name!r}", found, do)


def differ_in_dtype(one: Signal, other: Signal) -> bool:
    """Whether two signals differ in dtype, where each kernel does not choose its own."""
    return one.dtype != other.dtype and not mixes_dtypes(one.device)
