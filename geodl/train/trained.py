"""Models out of the folders of finished runs."""

from pathlib import Path
from typing import Any, NamedTuple

from geodl.data import Vocabulary
from geodl.errors import GeodlError
from geodl.train import folder as folders
from geodl.train.recipe import Recipe
from geodl.train.recipes import recipe
from geodl.train.task import check_mark, check_shapes


class Trained(NamedTuple):
    """A recipe, its network with the weights that a run ended with, in evaluation mode, and how it
    reads tokens.
    """

    recipe: Recipe
    model: Any
    vocabularies: dict[str, Vocabulary]


def trained(folder: Path, kinds: tuple[str, ...]) -> Trained:
    """The network of seed 0 of a run.

    Args:
        folder: of the run.
        kinds: what the run's recipe may learn.

    Raises:
        GeodlError: no run is there, none with seed 0 is finished, its recipe learns something else;
            a checkpoint of another recipe, model or vocabulary, which are named.
    """
    name = folders.recipe_of(folder)
    found = recipe(name)
    if found.kind not in kinds:
        raise GeodlError(
            f"{' or '.join(kinds)} with the run {folder}",
            f"a run of {name}: {found.kind}",
            "give another run",
        )
    options, _ = folders.reopen(folder, name)
    last = folder / "seed-0" / "last.ckpt"
    if not (last.parent / folders.RESULT).is_file():
        raise GeodlError(
            f"the model of {folder}",
            "a run that is not finished",
            f"run `geodl train {name} --resume {folder}`",
        )
    vocabularies = folders.read_vocabularies(folder)
    checkpoint = folders.read_checkpoint(last, "run the recipe anew")
    mark = {"recipe": name, "run": "seed-0"} | {
        f"vocabulary {k}": v.fingerprint for k, v in vocabularies.items()
    }
    check_mark(checkpoint, mark)
    model = found.build(options).eval()
    state = {
        key.removeprefix("model."): v
        for key, v in checkpoint["state_dict"].items()
        if key.startswith("model.")
    }
    check_shapes(state, model.state_dict(), f"the model of {folder}")
    model.load_state_dict(state)
    return Trained(found, model.requires_grad_(False), vocabularies)
