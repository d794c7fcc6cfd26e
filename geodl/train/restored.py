"""The network of a finished run, whose recipe is known."""

from pathlib import Path
from typing import Any, NamedTuple

from geodl.data import Vocabulary
from geodl.train import folder as folders
from geodl.train.checkpoint import check_mark, check_shapes, read_checkpoint
from geodl.train.recipe import Recipe

# Tasks whose runs keep no vocabulary.
TOKENLESS = ("nodes", "links", "graphs", "images", "waves", "objects", "adversarial")


class Trained(NamedTuple):
    """A recipe, its network with the weights that a run reports, in evaluation mode, how it reads
    tokens, and how many training examples it was limited to.
    """

    recipe: Recipe
    model: Any
    vocabularies: dict[str, Vocabulary]
    limit_examples: int | None


def restored(folder: Path, recipe: Recipe) -> Trained:
    """The network of seed 0 of a run of a recipe, with the weights that it reports.

    Args:
        folder: of the run.
        recipe: which was run.

    Raises:
        GeodlError: if no run is there, or none with seed 0 is finished; if the checkpoint is of
            another recipe, model or vocabulary, which are named.
    """
    options, _ = folders.reopen(folder, recipe.name)
    folders.check_finished(folder / "seed-0", folder)
    vocabularies: dict[str, Vocabulary] = {}
    if recipe.task not in TOKENLESS:
        vocabularies = folders.read_vocabularies(folder)
    weights = folders.LAST
    if options.trainer.weights == "best":
        weights = folders.BEST
    checkpoint = read_checkpoint(folder / "seed-0" / weights, "run the recipe anew")
    mark = {"recipe": recipe.name, "run": "seed-0"}
    for role, vocabulary in vocabularies.items():
        mark[f"vocabulary {role}"] = vocabulary.fingerprint
    check_mark(checkpoint, mark)
    model = recipe.build(options).eval()
    state = {}
    for key, value in checkpoint["state_dict"].items():
        if key.startswith("model."):
            state[key.removeprefix("model.")] = value
    check_shapes(state, model.state_dict(), f"the model of {folder}")
    model.load_state_dict(state)
    limit = options.trainer.limit_examples
    return Trained(recipe, model.requires_grad_(False), vocabularies, limit)
