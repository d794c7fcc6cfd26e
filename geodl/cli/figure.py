"""Pictures written to files, and the epochs that a picture shows."""

from pathlib import Path
from typing import Any

from geodl.errors import GeodlError
from geodl.files import in_words, new_file

PANELS = 8  # the most epochs in a picture


def save_figure(figure: Any, path: Path) -> None:
    """Write a picture, whole or not at all, in the format that its name ends in.

    Raises:
        GeodlError: if the file cannot be written, or its format is none.
    """
    asked, do = f"to draw {path}", "give a file that you can write, as picture.png"
    try:
        with in_words(asked, do), new_file(path) as unfinished:
            figure.savefig(unfinished, dpi=150, format=path.suffix.removeprefix(".") or "png")
    except ValueError as error:
        if isinstance(error, GeodlError):
            raise
        raise GeodlError(asked, str(error), do) from error


def spread(count: int) -> list[int]:
    """Places of `count` epochs, each about twice as late as the one before, the first and the last
    among them.

    >>> spread(30)
    [0, 1, 3, 7, 15, 29]
    """
    places = [2**k - 1 for k in range(PANELS) if 2**k - 1 < count]
    # The last but one gives way to the last where both are near.
    if places[-1] != count - 1:
        if count < 1.5 * (places[-1] + 1):
            places.pop()
        places.append(count - 1)
    return places
