"""Attributes of many graphs or signals that are to stand in one tensor: whether they fit."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.errors import GeodlError


class Kind(NamedTuple):
    """What attributes that are stacked have in common.

    Attributes:
        type: "" of a missing one.
        shape: of a tensor the number of its axes, then the lengths of those that are fixed.
        dtype: of a tensor.
        device: of a tensor.
    """

    type: str
    shape: tuple[int, ...] | None = None
    dtype: torch.dtype | None = None
    device: torch.device | None = None


WORDS = " of type ", " of shape ", " of ", " on "  # before each field
MISSING = Kind("")
NUMBER = Kind("number")


def check_stackable(
    asked: str, noun: str, name: str, values: Sequence[Any], *, free: int | None = 1
) -> None:
    """Refuse values that cannot be stacked, naming the first that differs from the one before all
    others, and in what.

    Args:
        asked: the beginning of the error.
        noun: who has the values, in the singular: "graph".
        name: of the attribute.
        values: one for each; None where one lacks it.
        free: how many leading axes may have any length; None where all may.

    Raises:
        GeodlError: if some lack the attribute, or if types, shapes, dtypes or devices differ.

    >>> check_stackable("a batch", "graph", "x", [torch.ones(2, 3), torch.ones(2, 4)])
    Traceback (most recent call last):
    geodl.errors.GeodlError: a batch: found x of shape [any, 4] in graph 1 and of shape [any, 3] \
in graph 0; give every graph x of the same channels, dtype and device
    """
    first = None
    for number, value in enumerate(values):
        kind = _kind(value, free)
        if first is None:
            first = kind
        if kind != first:
            found, do = _said_of(noun, name, (kind, first), number)
            raise GeodlError(asked, found, do)


def _kind(value: Any, free: int | None) -> Kind:
    if value is None:
        return MISSING
    if isinstance(value, Tensor):
        shape = (value.dim(),)
        if free is not None:
            # A shape of fewer axes differs from all others, too.
            shape = *shape, *value.shape[free:]
        return Kind("Tensor", shape, value.dtype, value.device)
    if isinstance(value, int | float):
        return NUMBER
    return Kind(type(value).__name__)


def _said_of(noun: str, name: str, kinds: tuple[Kind, Kind], number: int) -> tuple[str, str]:
    """What differs between two attributes, and what to do."""
    here, first = kinds
    if MISSING in kinds:
        found = f"no {name} in {noun} {number}, and some in {noun} 0"
        if first == MISSING:
            found = f"{name} in {noun} {number}, and none in {noun} 0"
        return found, f"give {name} to all {noun}s, or to none"
    field = next(k for k in range(len(here)) if here[k] != first[k])
    ours, theirs = here[field], first[field]
    if field == 1:
        ours, theirs = _shape_in_words(here.shape), _shape_in_words(first.shape)
    word = WORDS[field]
    found = f"{name}{word}{ours} in {noun} {number} and{word}{theirs} in {noun} 0"
    return found, f"give every {noun} {name} of the same channels, dtype and device"


def _shape_in_words(shape: tuple[int, ...] | None) -> str:
    axes, *fixed = shape or (0,)
    lengths = ["any"] * (axes - len(fixed)) + list(map(str, fixed))
    return f"[{', '.join(lengths)}]"
