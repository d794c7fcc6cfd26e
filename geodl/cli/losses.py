"""Pictures of how runs learnt, also of those that go on."""

import csv
from pathlib import Path
from typing import Any

from geodl.errors import GeodlError


def losses(folders: list[Path]) -> Any:
    """The figure of the training loss of each epoch, seed 0 of each run.

    Raises:
        GeodlError: if a folder holds no run, or one without an epoch; if two runs are of one recipe
            and number of epochs.
    """
    from geodl import viz

    curves: dict[str, list[float]] = {}
    for folder in folders:
        name, curve = _curve(folder, "train/loss")
        if name in curves:
            asked = f"a picture with {folder}"
            raise GeodlError(asked, f"another run of {name}", "give each network once")
        curves[name] = curve
    return viz.losses(curves)


def precision(folders: list[Path]) -> Any:
    """The figure of the mean average precision on validation scenes after each epoch, seed 0 of
    each run.

    Raises:
        GeodlError: if a folder holds no run of a detector, or one without an epoch; if two runs are
            of one recipe and number of epochs.
    """
    from geodl import viz

    curves: dict[str, list[float]] = {}
    for folder in folders:
        for measure in ("map50", "map"):
            name, curve = _curve(folder, f"val/{measure}")
            label = f"{name}: {measure}"
            if label in curves:
                asked = f"a picture with {folder}"
                raise GeodlError(asked, f"another run of {name}", "give each detector once")
            curves[label] = curve
    return viz.precision(curves)


def _curve(folder: Path, column: str) -> tuple[str, list[float]]:
    """What a run is called, and a number of each of its epochs so far."""
    from geodl.train import folder as folders
    from geodl.train.metrics import FILE

    name = folders.recipe_of(folder)
    options, _ = folders.reopen(folder, name)
    path = folder / "seed-0" / FILE
    asked = f"{column} of {folder}"
    if not path.is_file():
        raise GeodlError(asked, f"no {path.name} yet", "wait for the first epoch")
    try:
        rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
        curve = [float(row[column]) for row in rows]
    except (KeyError, ValueError) as error:
        do = "give a run that measures it in every epoch"
        raise GeodlError(asked, f"no such numbers in {path}", do) from error
    epochs = options.trainer.max_epochs
    return f"{name}, {epochs} epoch{'s' * (epochs > 1)}", curve
