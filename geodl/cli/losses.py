"""The picture of how runs of any recipe learnt, also of those that go on."""

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
        name, curve = _curve(folder)
        if name in curves:
            asked = f"a picture with {folder}"
            raise GeodlError(asked, f"another run of {name}", "give each network once")
        curves[name] = curve
    return viz.losses(curves)


def _curve(folder: Path) -> tuple[str, list[float]]:
    """What a run is called, and the loss of each of its epochs so far."""
    from geodl.train import folder as folders
    from geodl.train.metrics import FILE

    name = folders.recipe_of(folder)
    options, _ = folders.reopen(folder, name)
    path = folder / "seed-0" / FILE
    asked = f"the losses of {folder}"
    if not path.is_file():
        raise GeodlError(asked, f"no {path.name} yet", "wait for the first epoch")
    try:
        rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
        curve = [float(row["train/loss"]) for row in rows]
    except (KeyError, ValueError) as error:
        raise GeodlError(asked, f"no losses in {path}", "run the recipe anew") from error
    epochs = options.trainer.max_epochs
    return f"{name}, {epochs} epoch{'s' * (epochs > 1)}", curve
