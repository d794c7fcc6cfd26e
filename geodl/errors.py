"""The one error of the library: what was asked, what was found, what to do."""

import difflib
from collections.abc import Iterable


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
        self.args = (
            asked,
            found,
            do,
        )  # not by super().__init__, which torch.compile cannot trace to its message

    def __str__(self) -> str:
        asked, found, do = self.args
        return asked + (f": found {found}" if found else "") + (f"; {do}" if do else "")


def nearest(name: str, known: Iterable[str]) -> str:
    """Advice for a misspelt name: the nearest known one, else all of them.

    >>> nearest("lstn", ["lstm", "gru"])
    "did you mean 'lstm'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"choose from {', '.join(names)}"
