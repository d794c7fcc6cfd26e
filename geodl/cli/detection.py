"""The command `geodl detect`, which draws the predictions of a trained detector. It returns the
exit status.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from geodl.cli.asked import Asked
from geodl.cli.figure import save_figure, spread
from geodl.errors import GeodlError

OK = 0


def _detect(asked: Asked) -> int:
    from geodl.train.trained import trained

    values = asked.values
    if values.count < 1:
        raise GeodlError(f"--count {values.count}", do="give a number of scenes from 1 on")
    if not 0 <= values.seed < 2**64:
        raise GeodlError(f"--seed {values.seed}", do="give a number from 0 to 2**64 - 1")
    if not 0 <= values.threshold <= 1:
        raise GeodlError(f"--threshold {values.threshold}", do="give a score from 0 to 1")
    pictures = [values[name] for name in ("to", "attention", "epochs") if name in values]
    if len(set(pictures)) < len(pictures):
        wanted = f"to draw {', '.join(map(str, pictures))}"
        raise GeodlError(wanted, "one file for two pictures", "give each picture its own")
    run = trained(values.run, ("objects",))
    _draw_sheet(run, values)
    if "epochs" in values:
        _draw_epochs(run, values)
    return OK


def _draw_sheet(run: Any, values: Any) -> None:
    """Scenes with predicted and true boxes; on demand the attention of queries in the first one."""
    import torch

    from geodl import data, viz
    from geodl.signal import Signal
    from geodl.train.detection import found_objects

    digits = run.recipe.parts().tests[""].digits
    chance = torch.Generator().manual_seed(values.seed)
    drawn = data.scenes(digits, values.count, generator=chance)
    found = found_objects(run.model.predictions(Signal.image(drawn.images)))
    true = drawn.objects()
    for number, objects in enumerate(found):
        print(f"scene {number}: {_listed(objects.above(values.threshold), true[number])}")
    captions = [f"scene {number}" for number in range(len(found))]
    figure = viz.detections(
        drawn.images, found, true, threshold=values.threshold, captions=captions
    )
    save_figure(figure, values.to)
    print(values.to)
    if "attention" in values:
        figure = viz.query_attention(
            run.model, drawn.images[0], found[0], threshold=values.threshold
        )
        save_figure(figure, values.attention)
        print(values.attention)


def _listed(found: Any, true: Any) -> str:
    """The predicted objects, the largest score first, and the true ones, in words."""
    scores = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    objects = [f"{label} ({score:.2f})" for label, score in scores]
    said = ", ".join(objects) or "nothing"
    there = ", ".join(map(str, sorted(true.labels.tolist())))
    return f"found {said}; true {there}"


def _draw_epochs(run: Any, values: Any) -> None:
    """Predictions for the first validation scenes after some epochs: a row for each scene."""
    import torch

    from geodl import viz
    from geodl.train import folder as folders
    from geodl.train.checkpoint import read_checkpoint
    from geodl.train.epoch_boxes import boxes_of_epochs

    path: Path = values.run / "seed-0" / folders.LAST
    epochs = boxes_of_epochs(read_checkpoint(path, "run the recipe anew"))
    (drawn, *_) = run.recipe.parts().val.draw(None, None)
    true = drawn.objects()
    panels = [epochs[place] for place in spread(len(epochs))]
    images, found, there, captions = [], [], [], []
    for scene in range(len(panels[0].found)):
        for epoch in panels:
            images.append(drawn.images[scene])
            found.append(epoch.found[scene])
            there.append(true[scene])
            captions.append(f"epoch {epoch.number}")
    figure = viz.detections(
        torch.stack(images),
        found,
        there,
        threshold=values.threshold,
        captions=captions,
        columns=len(panels),
    )
    save_figure(figure, values.epochs)
    print(values.epochs)


COMMANDS: dict[str, Callable[[Asked], int]] = {"detect": _detect}
