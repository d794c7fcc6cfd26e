"""What an option may be: read from what was typed or from a configuration file, and told in
words.
"""

import types
from pathlib import Path
from typing import Any, Literal, final, get_args, get_origin

from geodl.errors import GeodlError, nearest

NOTHING = ("null", "none")  # how an option is typed that has no value
NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    Path: "a path",
    list[int]: "numbers in brackets, as [0,1]",
}


@final
class Value:
    """Reads an option: argparse and jsonargparse call this with what was given.

    Args:
        name: of the option, without its dashes.
        annotation: its type: one of `NAMES`, a Literal of words, or a union of these and None.

    >>> Value("trainer.max_epochs", int)("20")
    20
    >>> Value("optimizer.clip", float | None)("null")
    >>> Value("trainer.max_epochs", int)("many")
    Traceback (most recent call last):
    geodl.errors.GeodlError: --trainer.max_epochs many: found a value that it cannot have; give a
    whole number
    """

    def __init__(self, name: str, annotation: Any):
        self.name = name
        self.types = [annotation]
        if isinstance(annotation, types.UnionType):
            self.types = list(get_args(annotation))

    def __call__(self, given: Any) -> Any:
        """The value that was meant.

        Raises:
            GeodlError: if the text is of none of the types; where a word is expected, the nearest
                one is named.
        """
        for annotation in self.types:
            try:
                return _read(given, annotation)
            except (TypeError, ValueError):
                continue
        do = f"give {self}"
        if self.words:
            do = nearest(str(given), self.words)
        raise GeodlError(f"--{self.name} {given}", "a value that it cannot have", do)

    def __str__(self) -> str:
        said = []
        for annotation in self.types:
            if annotation is types.NoneType:
                said.append("null")
            elif get_origin(annotation) is Literal:
                said += get_args(annotation)
            else:
                said.append(NAMES[annotation])
        return " or ".join(said)

    __repr__ = __str__  # jsonargparse prints this in its help

    @property
    def words(self) -> tuple[str, ...]:
        """The words that it may be; none where it may be something else."""
        (first, *others) = self.types
        if others or get_origin(first) is not Literal:
            return ()
        return get_args(first)


def _read(given: Any, annotation: Any) -> Any:
    """A value as one type; ValueError or TypeError where it is none."""
    if get_origin(annotation) is Literal:
        return _word(given, get_args(annotation))
    if annotation is types.NoneType:
        return _nothing(given)
    if annotation is bool:
        return {"true": True, "false": False}[_word(str(given).lower(), ("true", "false"))]
    if annotation == list[int]:
        return _integers(given)
    # An integer is a float as well; a boolean and a float are not integers.
    if isinstance(given, bool) or (annotation is int and isinstance(given, float)):
        raise ValueError
    return annotation(given)


def _word(given: Any, words: tuple[str, ...]) -> str:
    if given not in words:
        raise ValueError
    return given


def _nothing(given: Any) -> None:
    if given is not None and str(given).lower() not in NOTHING:
        raise ValueError


def _integers(given: Any) -> list[int]:
    if isinstance(given, str):
        if not given.startswith("["):
            raise ValueError
        given = given.strip("[]").split(",")
    return [int(number) for number in given]
