"""`geodl generate` with a generator of images."""

import pytest
import torch

from geodl import viz
from geodl.train import RECIPES, run
from tests.test_cli import here, says
from tests.toy_gans import recipe
from tests.toy_recipes import lettered
from tests.training import refused

__all__ = ["here"]
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for kind in ("dcgan", "conditional"):
        run(recipe(kind), folder=root / kind)
    run(lettered(epochs=1), folder=root / "text")
    return root


@pytest.fixture
def toy(monkeypatch, runs):
    """The folder of a toy's run, while the toy is the recipe of its name."""

    def choose(kind):
        made = lettered(epochs=1)
        if kind != "text":
            made = recipe(kind)
        monkeypatch.setitem(RECIPES, "toy", made)
        return str(runs / kind)

    return choose


def test_a_sheet_follows_from_the_seed(toy, here, capsys):
    folder = toy("conditional")
    sheets = []
    for name, more in (("a", ()), ("b", ()), ("c", ("--seed", "1")), ("d", ("--label", "3"))):
        status, out, err = says(capsys, "generate", folder, "--to", f"{name}.png", *more)
        assert (status, out, err) == (0, f"{name}.png\n", "")
        sheets.append((here / f"{name}.png").read_bytes())
    assert sheets[0].startswith(PNG) and sheets[0] == sheets[1]
    assert len(set(sheets)) == 3


def test_epochs_are_drawn_beside_the_sheet(toy, here, capsys):
    words = ("generate", toy("dcgan"), "--to", "a.png", "--epochs", "b.png", "--count", "7")
    assert says(capsys, *words) == (0, "a.png\nb.png\n", "")
    assert (here / "b.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("kind", "words", "told"),
    [
        ("dcgan", (), "no file to draw them to"),
        ("dcgan", ("--to", "a.png", "--prompt", "x"), "--prompt with the run"),
        ("dcgan", ("--to", "a.png", "--label", "1"), "a GAN without classes"),
        ("conditional", ("--to", "a.png", "--label", "10"), "class 10, which was never seen"),
        ("conditional", ("--to", "a.png", "--label", str(10**30)), "give one of 0 to 9"),
        ("dcgan", ("--to", "a.png", "--epochs", "a.png"), "one file for two pictures"),
        ("dcgan", ("--to", "a.png", "--count", "0"), "--count 0"),
        ("dcgan", ("--to", "a.png", "--seed", "-1"), "--seed -1"),
        ("text", ("--to", "a.png"), "--to with the run"),
        ("text", ("--label", "1"), "a model of texts"),
    ],
)
def test_what_cannot_be_drawn_is_told(kind, words, told, toy, here, capsys):
    status, out, err = says(capsys, "generate", toy(kind), *words)
    assert (status, out) == (2, "")
    assert told in err
    assert list(here.iterdir()) == []


def test_images_stand_in_rows_in_their_order():
    images = torch.arange(5).view(5, 1, 1, 1).expand(5, 1, 2, 2) / 4
    picture = viz.sheet(images, columns=3).axes[0].images[0].get_array()
    assert picture.shape == (6, 10, 3)
    assert [float(picture[0, 0, 0]), float(picture[0, 4, 0]), float(picture[4, 0, 0])] == [
        0,
        0.25,
        0.75,
    ]
    assert float(picture[5, 9, 0]) == 1, "white where there is none"


def test_noise_stands_over_what_becomes_of_it():
    noise = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 4.0]])
    figure = viz.noise_to_images(noise, {"before": torch.zeros(2, 1, 4, 4)})
    histogram, vectors, row = figure.axes
    assert sum(bar.get_height() for bar in histogram.patches) == 6
    shades = vectors.images[0].get_array()
    assert shades.shape == (4, 10, 3), "each as large as an image"
    assert [float(shades[0, 0, 0]), float(shades[3, 3, 0]), float(shades[0, 9, 0])] == [0, 0.5, 1]
    assert row.get_ylabel() == "before"


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda: viz.sheet(torch.zeros(2, 2, 4, 4)), "shape [2, 2, 4, 4]"),
        (lambda: viz.sheet(torch.full((1, 1, 2, 2), torch.nan)), "values outside of [0, 1]"),
        (lambda: viz.sheet(torch.zeros(1, 1, 2, 2), columns=0), "columns=0"),
        (lambda: viz.noise_to_images(torch.zeros(3), {}), "noise of shape [3]"),
        (lambda: viz.noise_to_images(torch.zeros(3, 2), {}), "no images"),
        (
            lambda: viz.noise_to_images(torch.zeros(3, 2), {"a": torch.zeros(2, 1, 4, 4)}),
            "2 images for 3 vectors",
        ),
    ],
)
def test_what_is_no_picture_is_told(act, told):
    refused(told, act=act)
