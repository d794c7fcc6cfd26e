"""Padding of windows in all its notations, as (before, after) for each axis."""

from typing import Any

from geodl.errors import GeodlError

Padding = str | int | tuple[int | tuple[int, int], ...] | None
Pairs = tuple[tuple[int, int], ...]


def per_axis(asked: str, value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """One positive integer for each axis."""
    values: tuple[Any, ...] = (value,) * axes
    if isinstance(value, (tuple, list)):
        values = tuple(value)
    if len(values) != axes or not all(type(v) is int and v >= 1 for v in values):
        do = "give a positive integer, or one for each axis"
        raise GeodlError(asked, f"{value!r} for {axes} axes", do)
    return values


def same_padding(size: tuple[int, ...], dilation: tuple[int, ...]) -> Pairs:
    """The padding that keeps the length of odd windows at stride 1."""
    halves = [(k - 1) * d // 2 for k, d in zip(size, dilation, strict=True)]
    return tuple((half, half) for half in halves)


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
        GeodlError: another notation, negative numbers, "same" for an even window.
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
    numbers = [n for pair in pairs for n in pair]
    fits = len(pairs) == axes and all(len(pair) == 2 for pair in pairs)
    if not fits or not all(type(n) is int and n >= 0 for n in numbers):
        do = "give non-negative numbers, one or a pair for each axis"
        raise GeodlError(asked, f"padding={padding!r}", do)
    return tuple((pair[0], pair[1]) for pair in pairs)


def _pair(one: Any) -> tuple[Any, ...]:
    """A pair as it is, a number as the padding of both sides."""
    if isinstance(one, (tuple, list)):
        return tuple(one)
    return one, one


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
