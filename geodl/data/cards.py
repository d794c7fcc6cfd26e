"""The cards: where each data set comes from, whom to cite, how it is split, and the SHA-256 of
every file.
"""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import final

from geodl.errors import GeodlError, nearest

PACKAGE = Path(__file__).resolve().parents[1]
ROOM = "make room, or set GEODL_DATA to a folder that you can write"


@final
@dataclass(frozen=True)
class File:
    """One file to download: its path in a mirror, its address ("" where it has none, so that only a
    mirror has it), its length and its SHA-256.

    Where the address is that of a zip archive, `member` names the file in it, and `lines`, if not
    0, how many of its first lines are wanted; a mirror has the file itself.
    """

    path: str
    url: str
    bytes: int
    sha256: str
    member: str = ""
    lines: int = 0

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@final
@dataclass(frozen=True)
class Card:
    """What must be known of a data set before a number is printed on it.

    `made_from` names the data set whose files it is made of, and `made_sha256` is that of the
    arrays made with seed 0. Files of a card with `when_named`, as large ones that another data set
    stands in for, are fetched where it is named, and not with all others.
    """

    name: str
    title: str
    source: str
    citation: str
    licence: str
    splits: str
    notes: str
    files: tuple[File, ...] = ()
    made_from: str = ""
    made_sha256: str = ""
    when_named: bool = False


def names() -> tuple[str, ...]:
    """The data sets that have a card, in alphabetical order.

    >>> import geodl as g
    >>> g.data.names()[:4]
    ('cifar10', 'cifar10_official', 'citeseer', 'cora')
    """
    return tuple(sorted(path.parent.name for path in _folder().glob("*/card.toml")))


def card(name: str) -> Card:
    """The card of a data set.

    Raises:
        GeodlError: if no card has this name; the nearest one is suggested.

    >>> import geodl as g
    >>> g.data.card("cora").title
    'Cora: machine-learning papers and the citations between them'
    """
    if name not in names():
        raise GeodlError(f"the data set {name!r}", "no card of that name", nearest(name, names()))
    fields = tomllib.loads((_folder() / name / "card.toml").read_text(encoding="utf-8"))
    files = tuple(File(**file) for file in fields.pop("files", ()))
    when_named = fields.pop("when_named", False)
    texts = {key: text.strip() for key, text in fields.items()}
    return Card(name, **texts, files=files, when_named=when_named)


def root() -> Path:
    """The folder that data lands in, one folder a data set.

    `$GEODL_DATA`, else the `datasets/` folder of a source checkout, else the user's cache folder.

    Raises:
        GeodlError: if only the user's cache folder is left, and pooch, which knows where it is, is
            not installed.
    """
    chosen = os.environ.get("GEODL_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if _folder() != PACKAGE / "datasets":
        return _folder()
    return Path(pooch().os_cache("geodl"))


def pooch():
    """The module pooch, imported when it is needed."""
    try:
        import pooch
    except ImportError as error:
        raise GeodlError(
            "the data folder or a download", "pooch is not installed", 'pip install "geodl[data]"'
        ) from error
    return pooch


def _folder() -> Path:
    """A wheel carries the cards inside the package; a checkout has them beside it."""
    packaged = PACKAGE / "datasets"
    if packaged.is_dir():
        return packaged
    return PACKAGE.parent / "datasets"
