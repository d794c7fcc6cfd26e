"""The one error of the library, and the checks of arguments that every room shares."""

import difflib
import numbers
import operator
from collections.abc import Iterable
from typing import Any


class GeodlError(ValueError):
    """Bad input, said in three parts.

    Args:
        asked: what the caller asked for.
        found: what stood in the way.
        do: what would work instead.

    >>> raise GeodlError("Grid(0, 3)", found="an axis of length 0", do="give at least one node")
    Traceback (most recent call last):
    geodl.errors.GeodlError: Grid(0, 3): found an axis of length 0; give at least one node
    """

    def __init__(self, asked: str, found: str = "", do: str = ""):
        # Not by super().__init__, through which torch.compile cannot follow the message.
        self.args = (asked, found, do)

    def __str__(self) -> str:
        asked, found, do = self.args
        words = asked
        if found:
            words += f": found {found}"
        if do:
            words += f"; {do}"
        return words


def nearest(name: str, known: Iterable[str]) -> str:
    """Advice for a misspelt name, in words: the nearest known one, else all of them.

    >>> nearest("lstn", ["lstm", "gru"])
    "did you mean 'lstm'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"choose from {', '.join(names)}"


def positive(asked: str, size: Any) -> int:
    """A size of at least 1, as a Python int.

    Numpy integers and 0-d integer tensors are accepted, booleans and floats are not.

    Args:
        asked: what the caller asked for, the beginning of the error.
        size: the number to check.

    Raises:
        GeodlError: if the size is not an integer, or less than 1.

    >>> import torch
    >>> positive("Chain(n)", torch.tensor(3))
    3
    >>> positive("Chain(True)", True)
    Traceback (most recent call last):
    geodl.errors.GeodlError: Chain(True): found the size True; give positive integers
    """
    number = as_integer(size)
    if number is None or number < 1:
        raise GeodlError(asked, f"the size {size!r}", "give positive integers")
    return number


def as_integer(value: Any) -> int | None:
    """`value` as a Python int; None if it is not an integer (a boolean, a float, a list).

    >>> import torch
    >>> as_integer(torch.tensor(-2)), as_integer(True), as_integer(2.0)
    (-2, None, None)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    # A tensor [1] and one boolean, of torch or numpy, have an `__index__` too.
    has_axes = len(getattr(value, "shape", ())) > 0
    is_boolean = str(getattr(value, "dtype", "")) in ("bool", "torch.bool")
    if has_axes or is_boolean:
        return None
    try:
        return operator.index(value)
    except (TypeError, RuntimeError):
        return None


def is_real(value: Any) -> bool:
    """Whether `value` is a real number, of Python or numpy, and no boolean.

    >>> is_real(1), is_real(0.5), is_real(True), is_real("1")
    (True, True, False, False)
    """
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
