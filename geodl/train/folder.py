"""Run folders: what a run was asked for, where it stands, and whose it is."""

import json
import pickle
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.core.saving import save_hparams_to_yaml

from geodl import __version__
from geodl.data import Vocabulary
from geodl.errors import GeodlError
from geodl.report import write
from geodl.train.options import Optimizer, Options, TrainerOptions
from geodl.train.parts import NO_VOCABULARIES

CONFIG, ABOUT, RESULT, VOCABULARIES = "config.yaml", "run.json", "result.json", "vocabulary.json"


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
        GeodlError: the folder cannot be written, or holds something already.
    """
    folder = folder or Path("runs") / recipe / f"{datetime.now():%Y%m%d-%H%M%S-%f}"
    asked = f"the run folder {folder} for {recipe}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise GeodlError(asked, *_taken(folder, recipe))
    except OSError as error:
        raise GeodlError(
            asked, str(error), "give a folder that you can write with --run"
        ) from error
    versions = {
        "geodl": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    resolved = {name: value for name, value in asdict(options).items() if value is not None}
    about = {
        "recipe": recipe,
        "seeds": seeds,
        "options": resolved,
        "versions": versions | {"platform": platform.platform()},
    }
    save_hparams_to_yaml(folder / CONFIG, resolved, use_omegaconf=False)
    if vocabularies:
        fields = {
            name: found.to_dict() | {"fingerprint": found.fingerprint}
            for name, found in vocabularies.items()
        }
        write(folder / VOCABULARIES, json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
    write(folder / ABOUT, json.dumps(about, indent=2) + "\n")
    return folder


def reopen(folder: Path, recipe: str) -> tuple[Options, int]:
    """The options and the number of seeds of a run that was started.

    Raises:
        GeodlError: no run is there, it belongs to another recipe, or its files cannot be read.
    """
    asked = f"to resume {recipe} in {folder}"
    if not (folder / ABOUT).is_file():
        raise GeodlError(asked, f"no {ABOUT} there", "give the folder that the run was started in")
    about = _about(folder)
    if about["recipe"] != recipe:
        raise GeodlError(
            asked,
            f"a run of {about['recipe']}",
            f"run `geodl train {about['recipe']} --resume {folder}`",
        )
    try:
        kept = about["options"]
        trainer, optimizer = TrainerOptions(**kept["trainer"]), Optimizer(**kept["optimizer"])
        return Options(dict(kept["model"]), optimizer, trainer, kept.get("batch_size")), about[
            "seeds"
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise GeodlError(
            asked, f"options in {ABOUT} that cannot be used ({error})", "start the run anew"
        ) from error


def check_vocabularies(folder: Path, vocabularies: Mapping[str, Vocabulary]) -> None:
    """Refuse to continue a run that was started with another vocabulary: both fingerprints are
    named.
    """
    kept = read_vocabularies(folder) if vocabularies else {}
    for name in sorted(kept.keys() | vocabularies.keys()):
        ours, theirs = (
            found[name].fingerprint if name in found else "none" for found in (vocabularies, kept)
        )
        if ours != theirs:
            asked = f"to continue {folder} with the {name} vocabulary {ours}"
            raise GeodlError(
                asked,
                f"a run with {theirs}",
                "start the run anew, or get the data that it was started with",
            )


def read_vocabularies(folder: Path) -> dict[str, Vocabulary]:
    """The vocabularies of a run.

    Raises:
        GeodlError: none are there, or one has another fingerprint than it says: both are named.
    """
    path, found = folder / VOCABULARIES, {}
    for name, fields in read(path).items():
        found[name] = Vocabulary.from_dict(
            {key: value for key, value in fields.items() if key != "fingerprint"}
        )
        if found[name].fingerprint != fields.get("fingerprint"):
            made = f"one with {found[name].fingerprint}"
            raise GeodlError(
                f"the {name} vocabulary {fields.get('fingerprint')} of {folder}",
                made,
                "restore the file",
            )
    return found


def read(path: Path) -> Any:
    """The JSON in a file.

    Raises:
        GeodlError: it holds none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GeodlError(
            f"to read {path}", str(error), "delete it, and it will be made again"
        ) from error


def read_checkpoint(path: Path, do: str) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU.

    Raises:
        GeodlError: none is there, or it cannot be read; `do` says what to do about it.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise GeodlError(
            f"to continue from {path}", f"no checkpoint ({type(error).__name__})", do
        ) from error


def recipe_of(folder: Path) -> str:
    """The name of the recipe of a run.

    Raises:
        GeodlError: no run is there.
    """
    if not (folder / ABOUT).is_file():
        raise GeodlError(
            f"the run {folder}",
            f"no {ABOUT} there",
            "give the folder of a run, as `geodl train` prints it",
        )
    return _about(folder)["recipe"]


def _about(folder: Path) -> dict[str, Any]:
    about = read(folder / ABOUT)
    if (
        not isinstance(about, dict)
        or not isinstance(about.get("recipe"), str)
        or not isinstance(about.get("seeds"), int)
    ):
        raise GeodlError(
            f"to read {folder / ABOUT}", "no recipe or no seeds in it", "start the run anew"
        )
    return about


def _taken(folder: Path, recipe: str) -> tuple[str, str]:
    """What stands in a folder, and what to do about it."""
    elsewhere = "give another folder with --run"
    if not (folder / ABOUT).is_file():
        return "files that are no run's", elsewhere
    owner = _about(folder)["recipe"]
    if owner != recipe:
        return f"a run of {owner}", elsewhere
    if (folder / RESULT).exists():
        return "a finished run", elsewhere
    return "a run that was started", f"continue it with --resume {folder}, or {elsewhere}"
