"""From a card to files on disk: a mirror before the network, nothing unverified, nothing
half-written.
"""

import errno
import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

from geodl.data.cards import ROOM, Card, File, card, pooch, root
from geodl.errors import GeodlError
from geodl.files import in_words, new_file

# What a full or read-only disk of ours says; all else is said of the place that a file comes from.
OUR_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def get(name: str) -> tuple[Path, ...]:
    """The files of a data set on this machine, each verified by SHA-256, downloaded where missing.

    A file is looked for in `root()/name`, then in `$GEODL_MIRROR` (a folder or a URL), then at its
    address. It is verified under a temporary name and only then takes its place, so that a download
    cut short leaves nothing, and two processes may fetch the same file at once. Nothing is ever
    written to the mirror.

    Args:
        name: one of `names()`. A data set made from another one has the files of that one.

    Returns:
        The paths, in the order of the card; none for a data set that needs no download.

    Raises:
        GeodlError: if the name is unknown; if a file has another SHA-256 than the card says,
            wherever it was found; if no place has the file.

    >>> import geodl as g
    >>> g.data.get("karate")
    ()
    """
    owner = _owner(name)
    return tuple(_fetch(owner.name, file) for file in owner.files)


def check(name: str) -> list[tuple[Path, str]]:
    """What is on disk of a data set: each path and "ok", "missing", "truncated (...)" or "wrong
    SHA-256 (...)".

    Nothing is downloaded. Raises `GeodlError` for an unknown name.
    """
    owner = _owner(name)
    found = []
    for file in owner.files:
        path = root() / owner.name / file.name
        state = "missing"
        if path.exists():
            state = _fault(path, file) or "ok"
        found.append((path, state))
    return found


def _owner(name: str) -> Card:
    wanted = card(name)
    return card(wanted.made_from) if wanted.made_from else wanted


def _fetch(name: str, file: File) -> Path:
    path = root() / name / file.name
    if path.exists():
        _verify(path, file, path, f"delete it and run `geodl data get {name}`")
        return path
    with in_words(f"the folder {path.parent}", ROOM):
        path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for place, copy in _places(file):
        try:
            with new_file(path) as unfinished:
                copy(place, unfinished)
                _verify(unfinished, file, place, "use another mirror; nothing was kept")
            return path
        except OSError as error:
            if error.errno in OUR_DISK:
                raise GeodlError(f"to write {path}", os.strerror(error.errno), ROOM) from error
            failures.append(f"{place}: {type(error).__name__}: {error}")
    advice = f"set GEODL_MIRROR to a folder or URL that has {file.path}, or put the file at {path}"
    found = "no address that has it"
    if failures:
        found = "nothing at " + "; nor at ".join(failures)
    raise GeodlError(f"{file.name} of {name}", found, advice)


def _places(file: File) -> list[tuple[str, Callable[[str, Path], object]]]:
    """Where to look, in order, each with the way to copy from there."""
    mirror = os.environ.get("GEODL_MIRROR", "")
    network: list[tuple[str, Callable[[str, Path], object]]] = []
    if file.member:
        network.append((file.url, partial(_unpack, file)))
    elif file.url:
        network.append((file.url, _download))
    if not mirror:
        return network
    if mirror.startswith(("https://", "http://")):
        return [(f"{mirror.rstrip('/')}/{file.path}", _download), *network]
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        found = "neither a folder nor an http(s) URL"
        raise GeodlError(f"GEODL_MIRROR={mirror}", found, "correct it or unset it")
    return [(str(folder / file.path), shutil.copyfile), *network]


def _download(url: str, path: Path) -> None:
    # The bar is tqdm's: it comes with the data extra (and with torch-geometric).
    pooch().HTTPDownloader(progressbar=True)(url, str(path), None)


def _unpack(file: File, url: str, path: Path) -> None:
    """One member of the archive at an address, or its first lines."""
    # Beside the target: the system's temporary folder may be on a smaller disk.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        archive = Path(folder, "archive.zip")
        _download(url, archive)
        try:
            with (
                zipfile.ZipFile(archive) as opened,
                opened.open(file.member) as member,
                path.open("wb") as target,
            ):
                target.writelines(islice(member, file.lines or None))
        except (zipfile.BadZipFile, zlib.error, KeyError) as error:
            raise OSError(f"no {file.member} in the archive: {error}") from error


def _verify(path: Path, file: File, place: Path | str, advice: str) -> None:
    fault = _fault(path, file)
    if fault:
        raise GeodlError(f"{file.name} with SHA-256 {file.sha256}", f"{fault} at {place}", advice)


def _fault(path: Path, file: File) -> str:
    """What is wrong with a file on disk; nothing, if its SHA-256 is that of the card."""
    with in_words(f"to read {path}", "make it a file that you can read"), path.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found == file.sha256:
        return ""
    size = path.stat().st_size
    if size < file.bytes:
        return f"truncated ({size} of {file.bytes} bytes, SHA-256 {found})"
    return f"wrong SHA-256 ({found})"
