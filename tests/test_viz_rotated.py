"""Pictures of sample efficiency and of feature maps turned back."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

import geodl as g
from geodl import viz
from geodl.cli.images import feature_maps, samples
from geodl.train import RECIPES, run
from geodl.viz.samples import samples_needed
from geodl.viz.stabilised import differences
from tests.test_cli import says
from tests.training import refused, short

CURVES = {"p4 (8)": {100: [0.2, 0.4], 1000: [0.1], 9000: [0.02]}, "z2": {100: [0.6], 1000: [0.2]}}


def test_errors_are_drawn_on_two_logarithmic_axes():
    figure = viz.samples(CURVES)
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    first, second = axes.lines
    assert first.get_xdata().tolist() == [100, 1000, 9000]
    assert first.get_ydata().tolist() == pytest.approx([0.3, 0.1, 0.02])
    assert second.get_label() == "z2"
    FigureCanvasAgg(figure).draw()
    # From 0.6 to 0.2 over a factor of ten: half of the way, on both axes, is log 2 / log 3.
    times = 10 ** (np.log(2) / np.log(3))
    expected = f"examples that z2 needs for the error of p4, times its:\n{times:.1f} (of 100)"
    assert figure.get_supxlabel() == expected
    more = {"p4": {100: [0.3], 200: [0.1], 1000: [0.1]}, "z2": CURVES["z2"]}
    assert viz.samples(more).get_supxlabel() == f"{expected}, over 5 (of 200)"
    assert viz.samples({"p4": {100: [0.2]}}).get_supxlabel() == ""


def test_examples_needed_lie_on_the_line_between_two_measured_points():
    curve = {100: [0.5], 1000: [0.05, 0.15], 3000: [0.0]}
    assert samples_needed(curve, 0.1) == pytest.approx(1000)
    assert samples_needed(curve, 0.5) is None
    assert samples_needed(curve, 0.05) == 3000
    assert samples_needed({100: [0.5], 1000: [0.1]}, 0.01) is None


@pytest.mark.parametrize(
    ("curves", "told"),
    [
        ({}, "no system"),
        ([], "found a list"),
        ({"p4": {}}, "no number of examples"),
        ({"p4": {0: [0.5]}}, "numbers above 0"),
        ({"p4": {100: [1.5]}}, "fractions from 0 to 1"),
        ({"p4": {100: 0.5}}, "one error for each seed"),
    ],
)
def test_what_are_no_errors_is_refused(curves, told):
    refused("error against training examples", told, act=lambda: viz.samples(curves))


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(1, 14, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def networks() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    group = g.C(4)
    planar = g.Sequential(g.Conv(1, 3, g.window(3)), torch.nn.ReLU(), g.Conv(3, 2, g.window(3)))
    turning = g.Sequential(
        g.Conv(1, 3, g.lift(3, group=group)),
        torch.nn.ReLU(),
        g.Conv(3, 2, g.window(3, group=group)),
        g.Readout(),
    )
    return {"plain": planar.double(), "p4": turning.double()}


def test_maps_of_a_p4_network_turned_back_are_all_the_same(image):
    figure = viz.stabilised(networks(), image, degrees=(0, 45, 90, 270))
    rows = [figure.axes[4 * k : 4 * k + 4] for k in range(5)]
    drawn = [[np.array(axes.images[0].get_array()) for axes in row] for row in rows]
    assert np.array_equal(drawn[0][2], np.rot90(drawn[0][0]))
    plain, back = drawn[3], drawn[4]
    assert np.abs(np.rot90(plain[2], -1) - back[2]).max() < 1e-12
    assert np.abs(back[2] - back[0]).max() < 1e-12
    assert np.abs(drawn[2][2] - drawn[2][0]).max() > 1e-3, "a plain window does not turn"
    said = [float(axes.get_xlabel()) for axes in rows[4]]
    assert said[0] == 0
    assert max(said[2], said[3]) < 1e-10
    assert said[1] > 1e-3
    assert float(rows[2][2].get_xlabel()) > 1e-2
    assert [axes.get_ylabel() for axes in figure.axes[::4]][1:] == [
        *("plain", "turned back", "p4", "turned back"),
    ]


def test_a_map_that_was_not_turned_back_is_far_from_the_first():
    maps = torch.rand(1, 1, 9, 9).repeat(3, 1, 1, 1)
    maps[1] = maps[1].rot90(1, (1, 2))
    maps[2] += 1  # a map about its mean
    first, turned, brighter = differences(maps)
    assert first == 0
    assert turned > 0.1
    assert brighter < 1e-6


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda image: viz.stabilised({}, image), "no networks"),
        (lambda image: viz.stabilised({"f": abs}, image), "found a builtin"),
        (lambda image: viz.stabilised(networks(), image[0]), "shape [14, 14]"),
        (lambda image: viz.stabilised(networks(), image[:, 1:]), "shape [1, 13, 14]"),
        (lambda image: viz.stabilised(networks(), image.long()), "int64"),
        (lambda image: viz.stabilised(networks(), image, degrees=()), "degrees=()"),
        (lambda image: viz.stabilised(networks(), image, degrees=("90",)), "angles as numbers"),
        (lambda image: viz.stabilised(networks(), image[:, :9, :9]), "larger images"),
    ],
)
def test_what_has_no_maps_to_turn_back_is_refused(act, told, image):
    refused("turned back", told, act=lambda: act(image))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of the small P4CNN on 64 and on 128 digits, and of a graph network."""
    folders = {}
    for name, limit in (("digits-p4cnn", 64), ("digits-p4cnn", None), ("karate-gcn", None)):
        options = short(name, 1)
        options = replace(options, trainer=replace(options.trainer, limit_examples=limit))
        folder = tmp_path_factory.mktemp("run")
        run(RECIPES[name], options, folder=folder)
        folders[f"{name} {limit}"] = str(folder)
    return folders


def test_runs_are_drawn_by_commands(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few, all_of_them = runs["digits-p4cnn 64"], runs["digits-p4cnn None"]
    status, out, _ = says(capsys, "draw", "samples", few, all_of_them, "--to", "samples.png")
    assert (status, out) == (0, "samples.png\n")
    club = runs["karate-gcn None"]
    assert says(capsys, "draw", "losses", few, club, "--to", "loss.png")[:2] == (0, "loss.png\n")
    told = says(capsys, "draw", "losses", few, all_of_them, "--to", "again.png")[2]
    assert "another run of digits-p4cnn, 1 epoch" in told
    status, out, err = says(capsys, "draw", "samples", few, few, "--to", "again.png")
    assert status == 2
    assert "on 64 examples" in err
    status, _, err = says(capsys, "draw", "rotations", few, "--to", "rotations.png")
    assert status == 2
    assert "larger images" in err
    status, _, err = says(capsys, "draw", "rotations", few, "--number", "500", "--to", "a.png")
    assert "from 0 to 499" in err
    status, _, err = says(capsys, "draw", "rotations", runs["karate-gcn None"], "--to", "a.png")
    assert "a run of karate-gcn" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loss.png", "samples.png"]


def test_looks_inside_are_drawn_by_commands(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    net = runs["digits-p4cnn 64"]
    for picture, *options in (
        ("feature-maps", "--layer", "0", "--count", "2"),
        ("deconvolution", "--count", "2"),
        ("occlusion", "--size", "4", "--stride", "4"),
    ):
        words = ("draw", picture, net, "--number", "3", "--to", "a.png", *options)
        assert says(capsys, *words) == (0, "a.png\n", "")
        assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    figure = feature_maps(Path(net), 3, None, 2)
    label = g.data.digits().test.labels[3]
    where, what = figure.get_suptitle().splitlines()
    assert where == f"digits-p4cnn, test image 3, class {label}"
    assert what == "3: 40 maps of 4 x 4", "those of the last convolution"
    assert re.fullmatch(r"channel \d\nelement [0-3]", figure.axes[1].get_xlabel())
    assert len(figure.axes) == 3
    for words, told in (
        (("feature-maps", net, "--layer", "10"), "did you mean"),
        (("deconvolution", net, "--count", "0"), "count=0"),
        (("occlusion", net, "--number", "500"), "from 0 to 499"),
        (("occlusion", net, "--size", "9"), "window(9x9"),
        (("feature-maps", runs["karate-gcn None"]), "a run of karate-gcn"),
    ):
        status, out, err = says(capsys, "draw", *words, "--to", "b.png")
        assert (status, out) == (2, "") and told in err
    assert not Path("b.png").exists()


def test_the_number_of_examples_is_that_of_the_run(runs):
    figure = samples([Path(runs["digits-p4cnn 64"]), Path(runs["digits-p4cnn None"])])
    (line,) = figure.axes[0].lines
    assert line.get_xdata().tolist() == [64, 997]
    assert line.get_label() == "digits-p4cnn (10,160 parameters)"
