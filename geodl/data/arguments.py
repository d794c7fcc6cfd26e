"""What the data functions take: everything else is refused in words."""

import operator
from typing import Any

import torch
from torch import Tensor

from geodl.errors import GeodlError


def describe(value: Any) -> str:
    """A value in the words of an error: shape and type of a tensor, the class of all else.

    >>> describe(torch.zeros(2, 3)), describe([1, 2])
    ('shape [2, 3] of torch.float32', 'a list')
    """
    if isinstance(value, Tensor):
        return f"shape {list(value.shape)} of {value.dtype}"
    return f"a {type(value).__name__}"


def is_vector(value: Any) -> bool:
    """Whether a value is a tensor `[N]` of integers; booleans are none."""
    if not isinstance(value, Tensor) or value.ndim != 1:
        return False
    if value.is_floating_point() or value.is_complex():
        return False
    return value.dtype != torch.bool


def check_vector(asked: str, value: Any, do: str) -> None:
    """Refuse what is not a tensor `[N]` of integers.

    >>> check_vector("windows of a text", [1, 2], "give integers [N], as torch.tensor([1, 2])")
    Traceback (most recent call last):
    geodl.errors.GeodlError: windows of a text: found a list; give integers [N], ...
    """
    if not is_vector(value):
        raise GeodlError(asked, describe(value), do)


def check_count(asked: str, value: Any, least: int = 1, *, do: str = "") -> int:
    """A whole number of at least `least`, as a Python integer; `do` is the advice where it is none.

    >>> check_count("batches of 0", 0)
    Traceback (most recent call last):
    geodl.errors.GeodlError: batches of 0; give an integer of at least 1
    """
    do = do or f"give an integer of at least {least}"
    if isinstance(value, bool):
        raise GeodlError(asked, do=do)
    try:
        number = operator.index(value)
    except TypeError as error:
        raise GeodlError(asked, describe(value), do) from error
    if number < least:
        raise GeodlError(asked, do=do)
    return number


def check_seed(seed: Any) -> int:
    """A seed of numpy's, as a Python integer; all else is refused."""
    number = check_count(f"seed={seed!r}", seed, least=0)
    if number >= 2**32:
        raise GeodlError(f"seed={seed!r}", do="give an integer from 0 to 2**32 - 1")
    return number


def check_text(asked: str, text: Any) -> None:
    """Refuse what is not a string."""
    if not isinstance(text, str):
        raise GeodlError(asked, describe(text), "give one string")


def check_texts(asked: str, texts: Any) -> list[str]:
    """The strings of a collection; one string, or a member that is none, is refused."""
    do = "give a list of strings"
    if isinstance(texts, str):
        raise GeodlError(asked, "one string", do)
    try:
        several = list(texts)
    except TypeError as error:
        raise GeodlError(asked, describe(texts), do) from error
    for place, text in enumerate(several):
        if not isinstance(text, str):
            raise GeodlError(asked, f"{describe(text)} at place {place}", do)
    return several
