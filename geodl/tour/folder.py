"""A folder that appears whole or not at all, and replaces nothing that is not a tour's."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geodl.errors import GeodlError
from geodl.tour.page import INDEX, MARK


def hold_free(folder: Path) -> None:
    """Refuse a folder that is there and is neither empty nor, file for file, what an earlier tour
    wrote.
    """
    asked = f"a tour in {folder}"
    if not folder.parent.is_dir():
        raise GeodlError(
            asked, f"no folder {folder.parent}", "make it first, or choose another folder"
        )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise GeodlError(asked, "a file of that name", "choose another folder")
    files = {path.name for path in folder.iterdir()}
    page = (
        (folder / INDEX).read_text(encoding="utf-8", errors="replace")
        if (folder / INDEX).is_file()
        else ""
    )
    ours = (
        {name for name in files if name == INDEX or f'src="{name}"' in page}
        if MARK in page
        else set()
    )
    if foreign := sorted(files - ours):
        raise GeodlError(
            asked,
            f"{', '.join(foreign[:3])}, not of a tour",
            "choose another folder, or move the files away",
        )


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block succeeds and vanishes
    when it fails.
    """
    building = folder.with_name(f".{folder.name}-{os.getpid()}")
    aside = building.with_name(f"{building.name}-old")
    with _said(folder):
        building.mkdir()
    try:
        yield building
        hold_free(folder)
        with _said(folder):
            if folder.exists():
                folder.rename(aside)
            building.rename(folder)
    finally:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _said(folder: Path) -> Iterator[None]:
    """What the system refuses, in our words."""
    try:
        yield
    except OSError as error:
        raise GeodlError(
            f"a tour in {folder}", str(error), "choose a folder that can be written"
        ) from error
