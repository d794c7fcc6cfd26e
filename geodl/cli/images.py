"""Pictures of what networks on images learnt."""

import math
from collections.abc import Callable
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
    image = None
    for folder in folders:
        run = trained(folder, ("images",))
        name = run.recipe.name
        if name in networks:
            asked = f"a picture with {folder}"
            raise GeodlError(asked, f"another run of {name}", "give each network once")
        networks[name] = run.model
        if image is None:
            image, _ = _test_image(run, number)
    assert image is not None  # the command takes one folder at least
    return viz.stabilised(networks, image)


def feature_maps(folder: Path, number: int, layer: str | None, count: int) -> Any:
    """The figure of a layer's feature maps of a test image, of a run's network.

    Args:
        folder: of the run.
        number: of the test image.
        layer: its name in the network; None for the last convolution that has several pixels.
        count: the most maps.

    Raises:
        GeodlError: if no finished run on images is there; if there is no such image; as
            `viz.feature_maps`.
    """
    from geodl import viz

    return _inside(viz.feature_maps, folder, number, layer, count)


def deconvolution(folder: Path, number: int, layer: str | None, count: int) -> Any:
    """The figure of what in a test image made the largest numbers of a layer, of a run's network.

    Args:
        folder: of the run.
        number: of the test image.
        layer: its name in the network; None for the last convolution that has several pixels.
        count: the most channels.

    Raises:
        GeodlError: if no finished run on images is there; if there is no such image; as
            `viz.deconvolution`.
    """
    from geodl import viz

    return _inside(viz.deconvolution, folder, number, layer, count)


def _inside(
    draw: Callable[..., Any], folder: Path, number: int, layer: str | None, count: int
) -> Any:
    """What a function draws of a layer."""
    from geodl.train.trained import trained

    run = trained(folder, ("images",))
    image, label = _test_image(run, number)
    path = layer or _last_convolution(run, image)
    return _titled(draw(run.model, image, path, count=count), run, number, label)


def occlusion(folder: Path, number: int, size: int, stride: int) -> Any:
    """The figure of what the answer of a run's network to a test image loses where a square of it
    is hidden: the probability of the true class.

    Raises:
        GeodlError: if no finished run on images is there; if there is no such image; as
            `viz.occlusion`.
    """
    from geodl import viz
    from geodl.train.trained import trained

    run = trained(folder, ("images",))
    image, label = _test_image(run, number)
    figure = viz.occlusion(run.model, image, size=size, stride=stride, channel=label)
    return _titled(figure, run, number, label)


def _titled(figure: Any, run: Any, number: int, label: int) -> Any:
    """A figure that says of which network and of which image it is."""
    where = f"{run.recipe.name}, test image {number}, class {label}"
    figure.suptitle(f"{where}\n{figure.get_suptitle()}", fontsize=10)
    return figure


def _test_image(run: Any, number: int) -> tuple[Any, int]:
    """A test image of a run `[C, H, W]`, normalised as its network takes it, and its class."""
    from geodl.train.parts import limited

    test = limited(run.recipe.parts(), run.limit_examples).tests[""]
    images, labels = next(iter(test.draw(test.count(1), None)))  # all as one batch
    if not 0 <= number < len(images):
        do = f"give a number from 0 to {len(images) - 1}"
        raise GeodlError(f"--number {number}", f"{len(images)} test images", do)
    return images[number], int(labels[number])


def _last_convolution(run: Any, image: Any) -> str:
    """The name of the last convolution of a network whose answer has more than one pixel."""
    from geodl.layer import Conv, trace
    from geodl.signal import Signal

    with trace(run.model) as events:
        run.model(Signal.image(image[None]))
    paths = []
    for event in events:
        lattice = event.target.lattice
        if isinstance(event.layer, Conv) and lattice is not None and math.prod(lattice) > 1:
            paths.append(event.path)
    if not paths:
        asked = f"a layer of {run.recipe.name}"
        raise GeodlError(asked, "no convolution with several pixels", "name one with --layer")
    return paths[-1]
