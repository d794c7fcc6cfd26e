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


def check_classes(asked: str, labels: Any, count: int | None = None) -> None:
    """Refuse labels that are no vector of classes `[D]` from 0 to count - 1.

    Args:
        asked: what the caller asked for, the beginning of the error.
        labels: to be checked.
        count: how many classes there are; None for any number.

    >>> check_classes("a data set", torch.tensor([0, 2]), 2)
    Traceback (most recent call last):
    geodl.errors.GeodlError: a data set: found labels from 0 to 2; give classes from 0 to 1
    """
    do = "give classes from 0 on, as torch.tensor([0, 1])"
    check_vector(asked, labels, do)
    if not len(labels):
        raise GeodlError(asked, "no labels", do)
    if labels.dtype != torch.long:
        raise GeodlError(asked, f"labels of {labels.dtype}", "give torch.long: labels.long()")
    if labels.is_meta:
        return  # numbers without values: they were checked where they had some
    least, largest = int(labels.min()), int(labels.max())
    if count is not None:
        do = f"give classes from 0 to {count - 1}"
    if least < 0 or (count is not None and largest >= count):
        raise GeodlError(asked, f"labels from {least} to {largest}", do)


def check_mask(asked: str, mask: Any, count: int, *, do: str = "") -> None:
    """Refuse what is not a mask `[N]` of booleans.

    Args:
        asked: what the caller asked for, the beginning of the error.
        mask: to be checked.
        count: N.
        do: what to do where it chooses nobody; "" where that is allowed.

    >>> check_mask("the training nodes", torch.zeros(3, dtype=torch.bool), 3, do="choose some")
    Traceback (most recent call last):
    geodl.errors.GeodlError: the training nodes: found a mask that chooses nobody; choose some
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != (count,):
        raise GeodlError(asked, describe(mask), f"give {count} booleans, one for each node")
    if do and not mask.is_meta and not mask.any():
        raise GeodlError(asked, "a mask that chooses nobody", do)
