"""Pictures written to files."""

from pathlib import Path
from typing import Any

from geodl.errors import GeodlError
from geodl.files import in_words, new_file


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
