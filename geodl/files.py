"""Files and folders that are written whole or not at all: everything the library writes goes
through here.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from geodl.errors import GeodlError

PART = ".part"  # how the names of unfinished files and folders end
DO = "name a file in a folder that exists, that can be written and has room"


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and is removed
    when it does not.

    Beside it means on the same file system, where renaming is one step. Whoever opens `path` finds
    the old content or the new, never half of it, also after a full disk or a kill. A link is
    followed. What is not a file, as a pipe or `/dev/stdout`, is written as it is.

    Raises:
        OSError: what the system says, as it says it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "numbers.txt")
    ...     with new_file(path) as unfinished:
    ...         _ = unfinished.write_text("1 2 3")
    ...     path.read_text()
    '1 2 3'
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        yield path
        return
    temporary = _beside(path)
    try:
        yield temporary
        # Some file systems put a rename on disk before the data of the file, which a power failure
        # would then leave empty.
        with temporary.open("r+b") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path, *, do: str = DO) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block ends well, and is
    removed when it does not.

    A folder that was there stands until then; two renames replace it, and if the second one fails
    it comes back.

    Raises:
        GeodlError: if the folder cannot be made or replaced; `do` is the advice.
    """
    building = _beside(folder)
    aside = _beside(folder)
    with in_words(f"to write {folder}", do):
        building.mkdir()
    try:
        yield building
        with in_words(f"to write {folder}", do):
            if folder.exists():
                folder.rename(aside)
            building.rename(folder)
    finally:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def remove_parts(folder: Path) -> None:
    """Remove the unfinished files that a killed process left in a folder that is ours alone."""
    for unfinished in folder.glob(f".*{PART}"):
        unfinished.unlink(missing_ok=True)


@contextmanager
def in_words(asked: str, do: str = DO) -> Iterator[None]:
    """What the system refuses inside the block, as a GeodlError.

    Args:
        asked: what was to be done, as "to write picture.png".
        do: what would work instead.

    >>> with in_words("to read no-such-file", "name a file that exists"):
    ...     Path("no-such-file").read_text()
    Traceback (most recent call last):
    geodl.errors.GeodlError: to read no-such-file: found No such file or directory; ...
    """
    try:
        yield
    except OSError as error:
        raise GeodlError(asked, error.strerror or str(error), do) from error


def write_text(path: Path, text: str, *, do: str = DO) -> None:
    """Write a text in UTF-8, whole or not at all.

    Raises:
        GeodlError: if the folder is missing or cannot be written, or if the disk is full; `do` is
            the advice.
    """
    with in_words(f"to write {path}", do), new_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, indent: int = 2, do: str = DO) -> None:
    """Write a value as JSON, whole or not at all.

    Raises:
        GeodlError: if there is a number that JSON does not have (NaN, infinity); as
            :func:`write_text`.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        found = "a number that is not finite"
        raise GeodlError(f"to write {path}", found, "JSON has no such number") from error
    write_text(path, f"{text}\n", do=do)


def _beside(path: Path) -> Path:
    """A hidden name in the same folder that nobody else has."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{PART}")
