"""Models out of the folders of finished runs."""

from pathlib import Path
from typing import Any, NamedTuple

from geodl.data import Vocabulary
from geodl.errors import GeodlError
from geodl.train import folder as folders
from geodl.train.checkpoint import check_mark, check_shapes, read_checkpoint
from geodl.train.recipe import Recipe, TaskName
from geodl.train.recipes import recipe

TOKENLESS = ("nodes", "links", "graphs", "images", "objects")  # tasks whose runs keep no vocabulary


class Trained(NamedTuple):
    """A recipe, its network with the weights that a run reports, in evaluation mode, how it reads
    tokens, and how many training examples it was limited to.
    """

    recipe: Recipe
    model: Any
    vocabularies: dict[str, Vocabulary]
    limit_examples: int | None


def trained(folder: Path, tasks: tuple[TaskName, ...]) -> Trained:
    """The network of seed 0 of a run, with the weights that it reports.

    Args:
        folder: of the run.
        tasks: what the run's recipe may have learnt.

    Raises:
        GeodlError: if no run is there, none with seed 0 is finished, or its recipe learns something
            else; if the checkpoint is of another recipe, model or vocabulary, which are named.
    """
    name = folders.recipe_of(folder)
    found = recipe(name)
    if found.task not in tasks:
        asked = f"{' or '.join(tasks)} with the run {folder}"
        raise GeodlError(asked, f"a run of {name}: {found.task}", "give another run")
    options, _ = folders.reopen(folder, name)
    folders.check_finished(folder / "seed-0", folder)
    vocabularies: dict[str, Vocabulary] = {}
    if found.task not in TOKENLESS:
        vocabularies = folders.read_vocabularies(folder)
    weights = folders.LAST
    if options.trainer.weights == "best":
        weights = folders.BEST
    checkpoint = read_checkpoint(folder / "seed-0" / weights, "run the recipe anew")
    mark = {"recipe": name, "run": "seed-0"}
    for role, vocabulary in vocabularies.items():
        mark[f"vocabulary {role}"] = vocabulary.fingerprint
    check_mark(checkpoint, mark)
    model = found.build(options).eval()
    state = {}
    for key, value in checkpoint["state_dict"].items():
        if key.startswith("model."):
            state[key.removeprefix("model.")] = value
    check_shapes(state, model.state_dict(), f"the model of {folder}")
    model.load_state_dict(state)
    limit = options.trainer.limit_examples
    return Trained(found, model.requires_grad_(False), vocabularies, limit)
