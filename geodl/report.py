"""Rows of results: a table to read, and a file that is written whole or not at all."""

import os
from collections.abc import Container, Sequence
from contextlib import suppress
from pathlib import Path

from geodl.errors import GeodlError


def aligned(lines: Sequence[Sequence[str]], numbers: Container[int]) -> str:
    """Lines of cells in columns two spaces apart; the columns in `numbers` stand to the right.

    >>> print(aligned([("name", "ms"), ("conv2d", "7")], numbers=[1]))
    name    ms
    conv2d   7
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(w) if k in numbers else cell.ljust(w)
            for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def write(path: Path, text: str) -> None:
    """Write a file; one that was there is replaced at once or not at all.

    Raises:
        GeodlError: a folder that is missing or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise GeodlError(
            f"writing {path}", reason, "name a file in a folder that exists and can be written"
        ) from error
