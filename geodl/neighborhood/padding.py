"""Padding of windows in all its notations, as (before, after) for each axis."""

from typing import Any

from geodl.errors import GeodlError, as_integer

Padding = str | int | tuple[int | tuple[int, int], ...] | None
Pairs = tuple[tuple[int, int], ...]


def per_axis(asked: str, value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """One positive integer for each axis."""
    values: tuple[Any, ...] = (value,) * axes
    if isinstance(value, (tuple, list)):
        values = tuple(value)
    numbers = [as_integer(v) for v in values]
    known = tuple(n for n in numbers if n is not None and n >= 1)
    if len(values) != axes or len(known) != axes:
        do = "give a positive integer, or one for each axis"
        raise GeodlError(asked, f"{value!r} for {axes} axes", do)
    return known


def same_padding(size: tuple[int, ...], dilation: tuple[int, ...]) -> Pairs:
    """The padding that keeps the length of odd windows at stride 1."""
    halves = [(k - 1) * d // 2 for k, d in zip(size, dilation, strict=True)]
    return tuple((half, half) for half in halves)


def usual_padding(size: tuple[int, ...], dilation: tuple[int, ...]) -> Pairs:
    """What `padding=None` is for odd sizes; for even ones none."""
    if all(k % 2 for k in size):
        return same_padding(size, dilation)
    return ((0, 0),) * len(size)


def normalize_padding(
    asked: str,
    padding: Padding,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Pairs:
    """Padding as (before, after) for each axis.

    Args:
        asked: what the caller asked for, in words.
        padding: None, "same", "valid", "causal", a number, or a number or a pair for each axis.
        size: of the window.
        stride: of the window.
        dilation: of the window.

    Raises:
        GeodlError: if the notation is another one, a number is negative, or it is "same" for an
            even window.
    """
    odd = all(k % 2 for k in size)
    if padding is None:
        if not odd and size != stride:
            do = 'pass padding="valid", a number or a pair for each axis'
            raise GeodlError(asked, "an even size without padding", do)
        padding = "same" if odd else "valid"
    if padding == "same":
        if not odd:
            found = 'padding="same" with an even size, which has no centre'
            raise GeodlError(asked, found, "use an odd size, or pairs")
        return same_padding(size, dilation)
    if padding == "valid":
        return ((0, 0),) * len(size)
    if padding == "causal":
        return tuple(((k - 1) * d, 0) for k, d in zip(size, dilation, strict=True))
    if isinstance(padding, str):
        do = 'use "same", "valid", "causal", a number or pairs'
        raise GeodlError(asked, f"padding={padding!r}", do)
    return _numbers(asked, padding, len(size))


def _numbers(asked: str, padding: int | tuple[int | tuple[int, int], ...], axes: int) -> Pairs:
    """Numbers and pairs of numbers as pairs; for one axis a bare pair is its (before, after)."""
    each: tuple[Any, ...] = (padding,) * axes
    if isinstance(padding, (tuple, list)):
        each = tuple(padding)
        # On one axis (64, 0) can only be the pair that `repr` prints.
        if axes == 1 and len(padding) == 2:
            each = (each,)
    pairs = [_pair(one) for one in each]
    known = tuple(pair for pair in pairs if pair is not None)
    if len(pairs) != axes or len(known) != axes:
        do = "give non-negative numbers, one or a pair for each axis"
        raise GeodlError(asked, f"padding={padding!r}", do)
    return known


def _pair(one: Any) -> tuple[int, int] | None:
    """A pair of numbers, or one number as the padding of both sides; None where they are none."""
    ends = tuple(one) if isinstance(one, (tuple, list)) else (one, one)
    if len(ends) != 2:
        return None
    before, after = map(as_integer, ends)
    if before is None or after is None or min(before, after) < 0:
        return None
    return before, after


def compact(values: tuple) -> str:
    """Equal values once: `(2, 2)` as "2", `((1, 1), (1, 1))` as "1".

    >>> compact((2, 2)), compact((1, 2)), compact(((64, 0),))
    ('2', '(1, 2)', '(64, 0)')
    """
    if len(set(values)) > 1:
        return str(values)
    first = values[0]
    if isinstance(first, tuple):
        return compact(first)
    return str(first)


def refuses_boundary(periodic: tuple[bool, ...], padding: Pairs, boundary: str | None) -> str:
    """Why the padding would mean something else on a domain than a window's `boundary` says ("" if
    not).

    An axis without padding reaches over no border, so that either kind of axis will do.
    """
    axes = zip(periodic, padding, strict=True)
    wraps = [is_periodic for is_periodic, pair in axes if any(pair)]
    if boundary == "circular" and not all(wraps):
        return (
            "circular padding on an axis that does not wrap: "
            "make it periodic, as Signal.image(x, periodic=True) does"
        )
    if boundary == "zeros" and any(wraps):
        return "zero padding on an axis that wraps: make it bounded, as Signal.image(x) does"
    return ""


def refuses_tiling(
    lengths: tuple[int, ...], periodic: tuple[bool, ...], stride: tuple[int, ...]
) -> str:
    """Why windows do not go around every axis of a domain in whole strides ("" if they do)."""
    for length, is_periodic, step in zip(lengths, periodic, stride, strict=True):
        if not is_periodic:
            return "an axis that does not wrap: make it periodic, or use zeros at its border"
        if length % step:
            return f"an axis that wraps, of length {length}: use multiples of {step}"
    return ""
