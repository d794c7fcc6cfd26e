"""Pictures of what networks on images learnt."""

from pathlib import Path
from typing import Any

from geodl.errors import GeodlError


def samples(folders: list[Path]) -> Any:
    """The figure of error against the number of training examples, a line for each network of runs.

    Raises:
        GeodlError: if a folder holds no finished run of a recipe that classifies; if two runs are
            of one network and number of examples.
    """
    from geodl import viz

    curves: dict[str, dict[int, list[float]]] = {}
    for folder in folders:
        name, count, errors = _errors(folder)
        curve = curves.setdefault(name, {})
        if count in curve:
            asked = f"a picture with {folder}"
            found = f"another run of {name} on {count} examples"
            raise GeodlError(asked, found, "give each number of examples once")
        curve[count] = errors
    return viz.samples(curves)


def _errors(folder: Path) -> tuple[str, int, list[float]]:
    """The network of a run, how many examples it learnt from, and its errors, one a seed."""
    from geodl.train import folder as folders
    from geodl.train import recipe

    name = folders.recipe_of(folder)
    options, _ = folders.reopen(folder, name)
    folders.check_finished(folder, folder)
    path = folder / folders.RESULT
    result = folders.read_fields(path, "metrics", "parameters")
    try:
        errors = [float(error) for error in result["metrics"]["test/error"]["values"]]
        label = f"{name} ({int(result['parameters']):,} parameters)"
    except (KeyError, TypeError, ValueError) as error:
        asked = f"the test error of {folder}"
        raise GeodlError(asked, f"a run of {name}", "give runs that classify") from error
    count = options.trainer.limit_examples
    if count is None:
        count = recipe(name).parts().train.count(1)
    return label, count, errors


def rotations(folders: list[Path], number: int) -> Any:
    """The figure of a test image turned, and of the feature maps of runs' networks turned back.

    Raises:
        GeodlError: if a folder holds no finished run on images; if two are of one recipe; if there
            is no test image of that number.
    """
    from geodl import viz
    from geodl.train.trained import trained

    networks: dict[str, Any] = {}
    images = None
    for folder in folders:
        run = trained(folder, ("images",))
        name = run.recipe.name
        if name in networks:
            asked = f"a picture with {folder}"
            raise GeodlError(asked, f"another run of {name}", "give each network once")
        networks[name] = run.model
        if images is None:
            test = run.recipe.parts().tests[""]
            images, _ = next(iter(test.draw(test.count(1), None)))  # all as one batch
    assert images is not None  # the command takes one folder at least
    if not 0 <= number < len(images):
        do = f"give a number from 0 to {len(images) - 1}"
        raise GeodlError(f"--number {number}", f"{len(images)} test images", do)
    return viz.stabilised(networks, images[number])
