"""What `geodl generate` draws of a GAN: a sheet of images, and panels by epoch."""

from pathlib import Path
from typing import Any

from geodl.cli.figure import save_figure, spread
from geodl.errors import GeodlError

COLUMNS = 10
COUNT = 100  # images, if no number is given
OF_TEXTS = ("prompt", "temperature", "top_k")


def draw_images(run: Any, values: Any, given: Any) -> None:
    """Draw the sheet of images of a GAN and, on demand, what it made of the same noise by epoch.

    Args:
        run: the run.
        values: the options of the command.
        given: those that were given.

    Raises:
        GeodlError: if options of texts are given, no file is, or a number is out of range; if
            there is no such class.
    """
    import torch

    for option in OF_TEXTS:
        if option in given:
            asked = f"--{option} with the run {values.run}"
            raise GeodlError(asked, "a generator of images", "leave it out")
    if "to" not in values:
        asked = f"images of the run {values.run}"
        raise GeodlError(asked, "no file to draw them to", "give --to sheet.png")
    count = values.get("count", COUNT)
    if count < 1:
        raise GeodlError(f"--count {count}", do="give a number of images from 1 on")
    if values.get("epochs") == values.to:
        asked = f"--to and --epochs {values.to}"
        raise GeodlError(asked, "one file for two pictures", "give another file for one of them")
    labels = _labels(run.model, count, values.get("label"))
    chance = torch.Generator().manual_seed(values.seed)
    images = run.model.sample(count, labels, chance)
    _save_sheet(run, images, values)
    print(values.to)
    if "epochs" in values:
        _draw_epochs(run, values)
        print(values.epochs)


def _labels(gan: Any, count: int, label: int | None) -> Any:
    """The classes or codes of the images: the one that was asked for, else each in turn, so that
    they stand in columns; None where there are none.
    """
    import torch

    if label is not None:
        # Here and not by the model: of a number beyond int64 no tensor can be made.
        if not gan.classes:
            raise GeodlError(f"--label {label}", "a GAN without classes", "leave it out")
        if not 0 <= label < gan.classes:
            found = f"class {label}, which was never seen"
            raise GeodlError(f"--label {label}", found, f"give one of 0 to {gan.classes - 1}")
        return torch.full((count,), label)
    if not gan.classes:
        return None
    return torch.arange(count) % COLUMNS % gan.classes


def _save_sheet(run: Any, images: Any, values: Any) -> None:
    from geodl import viz

    below = ""
    if run.model.classes:
        kind = "code" if run.model.predicts_code else "class"
        below = f"one {kind} a column, from 0 on"
        if "label" in values:
            below = f"{kind} {values.label}"
    title = f"{run.recipe.name}, noise of seed {values.seed}"
    save_figure(viz.sheet(images, columns=COLUMNS, title=title, below=below), values.to)


def _draw_epochs(run: Any, values: Any) -> None:
    """What the generator made of the same noise before training and after some epochs."""
    from geodl import viz
    from geodl.train import folder as folders
    from geodl.train.adversarial import images_of_epochs, noise_of_images
    from geodl.train.checkpoint import read_checkpoint

    path: Path = values.run / "seed-0" / folders.LAST
    before, *after = images_of_epochs(read_checkpoint(path, "run the recipe anew"))
    rows = {"untrained": before}
    for place in spread(len(after)):
        rows[f"epoch {place + 1}"] = after[place]
    title = f"{run.recipe.name}: {run.model.noise} noise, and the images made of it"
    figure = viz.noise_to_images(noise_of_images(run.model), rows, title=title)
    save_figure(figure, values.epochs)
