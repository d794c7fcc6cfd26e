"""Run folders: what a run was asked for, where it stands, and whose it is."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml

from geodl import __version__
from geodl.data import Vocabulary
from geodl.errors import GeodlError
from geodl.files import in_words, write_json, write_text
from geodl.train.options import Options
from geodl.train.parts import NO_VOCABULARIES

CONFIG, ABOUT, RESULT, VOCABULARIES = "config.yaml", "run.json", "result.json", "vocabulary.json"
LAST, BEST = "last.ckpt", "best.ckpt"
ELSEWHERE = "give another folder with --run"


def start(
    folder: Path | None,
    recipe: str,
    options: Options,
    seeds: int,
    vocabularies: Mapping[str, Vocabulary] = NO_VOCABULARIES,
) -> Path:
    """A new run folder that says what it is: its recipe, seeds, resolved options, versions, and how
    it reads tokens.

    The options are there a second time, as a file for `geodl train RECIPE --config`.

    Args:
        folder: where; None makes one under `runs/`, named after the recipe and the time.

    Raises:
        GeodlError: if the folder cannot be written, or holds something already.
    """
    folder = folder or Path("runs") / recipe / f"{datetime.now():%Y%m%d-%H%M%S-%f}"
    asked = f"the run folder {folder} for {recipe}"
    with in_words(asked, "give a folder that you can write with --run"):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            found, do = _occupied(folder, recipe)
            raise GeodlError(asked, found, do)
    resolved = {name: value for name, value in asdict(options).items() if value is not None}
    about = {
        "recipe": recipe,
        "seeds": seeds,
        "options": resolved,
        "versions": {
            "geodl": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
        },
    }
    write_text(folder / CONFIG, yaml.safe_dump(resolved))
    if vocabularies:
        fields = {}
        for name, vocabulary in vocabularies.items():
            fields[name] = vocabulary.to_dict() | {"fingerprint": vocabulary.fingerprint}
        write_json(folder / VOCABULARIES, fields, indent=1)
    # Last: a folder with this file is one whose run can be continued.
    write_json(folder / ABOUT, about)
    return folder


def reopen(folder: Path, recipe: str) -> tuple[Options, int]:
    """The options and the number of seeds of a run that was started.

    Raises:
        GeodlError: if no run is there, it belongs to another recipe, or its files cannot be read.
    """
    asked = f"to resume {recipe} in {folder}"
    if not (folder / ABOUT).is_file():
        raise GeodlError(asked, f"no {ABOUT} there", "give the folder that the run was started in")
    about = _about(folder)
    owner = about["recipe"]
    if owner != recipe:
        do = f"run `geodl train {owner} --resume {folder}`"
        raise GeodlError(asked, f"a run of {owner}", do)
    try:
        kept = about["options"]
        flat = {name: value for name, value in kept.items() if name == "batch_size"}
        for part in ("model", "optimizer", "trainer"):
            flat |= {f"{part}.{name}": value for name, value in kept[part].items()}
        return Options.from_named(flat), about["seeds"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        found = f"options in {ABOUT} that cannot be used ({error})"
        raise GeodlError(asked, found, "start the run anew") from error


def check_vocabularies(folder: Path, vocabularies: Mapping[str, Vocabulary]) -> None:
    """Refuse to continue a run that was started with another vocabulary: both fingerprints are
    named.
    """
    kept = read_vocabularies(folder) if vocabularies else {}
    for name in sorted(kept.keys() | vocabularies.keys()):
        fingerprints = []
        for known in (vocabularies, kept):
            fingerprint = "none"
            if name in known:
                fingerprint = known[name].fingerprint
            fingerprints.append(fingerprint)
        ours, theirs = fingerprints
        if ours != theirs:
            asked = f"to continue {folder} with the {name} vocabulary {ours}"
            do = "start the run anew, or get the data that it was started with"
            raise GeodlError(asked, f"a run with {theirs}", do)


def read_vocabularies(folder: Path) -> dict[str, Vocabulary]:
    """The vocabularies of a run.

    Raises:
        GeodlError: if none are there, the file holds something else, or one has another fingerprint
            than it says; both are named.
    """
    path = folder / VOCABULARIES
    vocabularies = {}
    for name, fields in read_fields(path).items():
        if not isinstance(fields, dict) or "fingerprint" not in fields:
            raise GeodlError(f"to read {path}", f"no vocabulary in {name!r}", "restore the file")
        said = fields.pop("fingerprint")
        vocabulary = Vocabulary.from_dict(fields)
        if vocabulary.fingerprint != said:
            asked = f"the {name} vocabulary {said} of {folder}"
            raise GeodlError(asked, f"one with {vocabulary.fingerprint}", "restore the file")
        vocabularies[name] = vocabulary
    return vocabularies


def read_fields(path: Path, *names: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: the file.
        names: fields that it must have.

    Raises:
        GeodlError: if the file holds none, or one without these fields.
    """
    do = "delete it, and it will be made again"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GeodlError(f"to read {path}", str(error), do) from error
    if not isinstance(fields, dict):
        raise GeodlError(f"to read {path}", f"a {type(fields).__name__}, no JSON object", do)
    missing = [name for name in names if name not in fields]
    if missing:
        raise GeodlError(f"to read {path}", f"no {missing[0]} in it", do)
    return fields


def check_finished(part: Path, folder: Path) -> None:
    """Refuse a run, or one seed of it, that has not given its result.

    Args:
        part: where the result is to be: the folder of the run, or of a seed in it.
        folder: of the run.
    """
    if not (part / RESULT).is_file():
        do = f"run `geodl train {recipe_of(folder)} --resume {folder}`"
        raise GeodlError(f"the result of {part}", "a run that is not finished", do)


def recipe_of(folder: Path) -> str:
    """The name of the recipe of a run.

    Raises:
        GeodlError: if no run is there.
    """
    if not (folder / ABOUT).is_file():
        do = "give the folder of a run, as `geodl train` prints it"
        raise GeodlError(f"the run {folder}", f"no {ABOUT} there", do)
    return _about(folder)["recipe"]


def _about(folder: Path) -> dict[str, Any]:
    about = read_fields(folder / ABOUT)
    if not isinstance(about.get("recipe"), str) or not isinstance(about.get("seeds"), int):
        found = "no recipe or no seeds in it"
        raise GeodlError(f"to read {folder / ABOUT}", found, "start the run anew")
    return about


def _occupied(folder: Path, recipe: str) -> tuple[str, str]:
    """What stands in a folder, and what to do about it."""
    if not (folder / ABOUT).is_file():
        return "files that are not those of a run", ELSEWHERE
    owner = _about(folder)["recipe"]
    if owner != recipe:
        return f"a run of {owner}", ELSEWHERE
    if (folder / RESULT).exists():
        return "a finished run", ELSEWHERE
    return "a run that was started", f"continue it with --resume {folder}, or {ELSEWHERE}"
