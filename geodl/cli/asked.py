"""What a command is given."""

from typing import Any, NamedTuple


class Asked(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        command: the first word.
        name: the word after it where that chooses too, as a recipe; else empty.
        values: the options, those that were not given at their defaults.
        given: the options that were given, on the command line or in a file of options.
    """

    command: str
    name: str
    values: Any
    given: Any
