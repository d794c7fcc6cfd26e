"""Models out of the folders of finished runs."""

from pathlib import Path

from geodl.errors import GeodlError
from geodl.train import folder as folders
from geodl.train.recipe import TaskName
from geodl.train.recipes import recipe
from geodl.train.restored import Trained, restored


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
    return restored(folder, found)
