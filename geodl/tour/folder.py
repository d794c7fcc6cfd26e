"""Which folder a tour may write: none that holds anything but an earlier tour."""

from pathlib import Path

from geodl.errors import GeodlError
from geodl.tour.page import INDEX, MARK


def check_free(folder: Path) -> None:
    """Refuse a folder that exists, unless it is empty or every file in it was written by an earlier
    tour.
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
    foreign = sorted(files - _written_by_tour(folder, files))
    if foreign:
        raise GeodlError(
            asked,
            f"{', '.join(foreign[:3])}, not of a tour",
            "choose another folder, or move the files away",
        )


def _written_by_tour(folder: Path, files: set[str]) -> set[str]:
    """Those of the files that a tour's page shows, and the page; nothing if there is no such
    page.
    """
    if not (folder / INDEX).is_file():
        return set()
    page = (folder / INDEX).read_text(encoding="utf-8", errors="replace")
    if MARK not in page:
        return set()
    return {name for name in files if name == INDEX or f'src="{name}"' in page}
