"""Finished runs side by side: what their networks cost, and what they reached."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geodl.columns import align
from geodl.errors import GeodlError
from geodl.files import in_words
from geodl.inspection import multiply_adds
from geodl.train import folder as folders
from geodl.train.metrics import FILE
from geodl.train.options import Options
from geodl.train.recipe import Recipe
from geodl.train.recipes import recipe

HEADINGS = (
    *("recipe", "parameters", "multiply-adds", "epochs"),
    *("s an epoch", "training error", "test error"),
)
NUMBERS = range(1, len(HEADINGS))


def compare(runs: Sequence[Path]) -> str:
    """A table of finished runs of recipes that classify, a line for each.

    It has the parameters; the multiply-adds of one example, as
    :func:`geodl.inspection.multiply_adds` counts them, where the network has nothing but
    convolutions and linear layers; the epochs of a seed; the seconds of an epoch, the evaluation
    after the last one shared out over all of them; the error on the examples that were learnt from,
    where the recipe reports it; the test error, and the sample standard deviation of several seeds.

    Args:
        runs: their folders.

    Raises:
        GeodlError: if a folder holds no finished run, or one of a recipe that does not classify.
    """
    return align([HEADINGS, *map(_line, runs)], NUMBERS)


def _line(run: Path) -> tuple[str, ...]:
    """The cells of one run."""
    name = folders.recipe_of(run)
    options, _ = folders.reopen(run, name)
    folders.check_finished(run, run)
    path = run / folders.RESULT
    result = folders.read_fields(path, "metrics", "parameters", "seeds")
    if "test/error" not in result["metrics"]:
        asked = f"the test error of {run}"
        raise GeodlError(asked, f"a run of {name}", "give runs that classify")
    seconds, epochs = _duration(run, len(result["seeds"]))
    return (
        name,
        f"{result['parameters']:,}",
        _count(recipe(name), options),
        f"{epochs / len(result['seeds']):g}",
        f"{seconds / epochs:.1f}",
        _percent(result["metrics"], "test/error-learnt"),
        _percent(result["metrics"], "test/error"),
    )


def _duration(run: Path, seeds: int) -> tuple[float, int]:
    """The seconds that all seeds took, and their epochs: a run may have stopped before its last."""
    seconds, epochs = 0.0, 0
    for seed in range(seeds):
        home = run / f"seed-{seed}"
        folders.check_finished(home, run)
        seconds += folders.read_fields(home / folders.RESULT, "seconds")["seconds"]
        with in_words(f"the epochs of {home}", "run the recipe anew"):
            table = (home / FILE).read_text(encoding="utf-8")
        epochs += len(table.splitlines()) - 1  # without the names of the columns
    return seconds, epochs


def _count(found: Recipe, options: Options) -> str:
    """The multiply-adds of one example; nothing where layers multiply otherwise."""
    signals = found.sample()
    if len(signals) != 1:
        return ""
    try:
        return f"{multiply_adds(found.build(options), signals[0]):,}"
    except GeodlError:
        return ""


def _percent(metrics: dict[str, Any], name: str) -> str:
    """A metric's mean in percent, and its deviation over several seeds; nothing where it was not
    measured.
    """
    if name not in metrics:
        return ""
    values = metrics[name]["values"]
    mean = f"{100 * statistics.fmean(values):.2f}"
    if len(values) == 1:
        return f"{mean} %"
    return f"{mean} ± {100 * statistics.stdev(values):.2f} %"
