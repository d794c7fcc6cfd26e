"""Pictures of what an answer rests on: lines are as wide as links matter, discs as dark as nodes
do; and what cannot be drawn is refused in words.
"""

import numpy as np
import pytest
import torch

import geodl as g
from geodl import viz
from geodl.viz.neighborhood import BLUES, WIDEST

# A path 0 - 1 - 2 - 3 in both directions, and a node beside it.
PATH = g.Graph([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]], 5)
LINKS = torch.tensor([4.0, 0.0, -1.0, 1.0, 2.0, 0.0])
NODES = torch.tensor([-2.0, 1.0, 0.0, 8.0, 9.0])


def test_links_are_as_wide_and_nodes_as_dark_as_they_matter():
    figure = viz.neighborhood(PATH, 1, {"both": (NODES, LINKS), "field": (NODES, None)})
    both, field = figure.axes[:2]
    assert (both.get_title(), field.get_title()) == ("both", "field")
    widths = sorted(line.get_linewidth() / WIDEST for line in both.lines if line.get_zorder() == 2)
    assert np.allclose(widths, [0.25, 0.5, 1.0]), "the larger of both directions, without its sign"
    assert not [line for line in field.lines if line.get_zorder() == 2]
    discs = zip([text.get_text() for text in both.texts], both.collections, strict=True)
    fills = {name: disc.get_facecolor()[0] for name, disc in discs}
    assert set(fills) == {"0", "1", "2", "3"}
    assert np.allclose(fills["0"], BLUES(2 / 9)) and np.allclose(fills["3"], BLUES(8 / 9))
    places = [[text.get_position() for text in axes.texts] for axes in (both, field)]
    assert places[0] == places[1]


def test_hops_are_rings_and_no_two_nodes_stand_together():
    club = g.data.karate().signal.domain
    axes = viz.neighborhood(club, 33, {"field": (torch.ones(34), None)}).axes[0]
    points = np.array([text.get_position() for text in axes.texts])
    radii = np.linalg.norm(points, axis=1)
    assert np.allclose(radii, radii.round()) and radii.max() == pytest.approx(2)
    gaps = np.linalg.norm(points[:, None] - points, axis=-1) + 9 * np.eye(len(points))
    assert gaps.min() > 0.1


def test_masks_are_drawn_as_they_are():
    half = torch.full((6,), 0.5)
    figure = viz.neighborhood(PATH, 1, {"mask": (None, half)}, as_they_are=["mask"])
    wide = [line.get_linewidth() for line in figure.axes[0].lines if line.get_zorder() == 2]
    assert np.allclose(wide, WIDEST / 2)


def test_curves_of_over_smoothing_stand_on_a_logarithmic_scale():
    figure = viz.smoothing({"gcn": [0.9, 0.1, 0.0], "gcnii": (0.9, 0.8)})
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["gcn", "gcnii"]
    assert np.allclose(axes.lines[0].get_ydata(), [0.9, 0.1, 1e-16])


def test_losses_stand_by_epoch_on_a_logarithmic_scale():
    (axes,) = viz.losses({"20 layers": [2.0, 0.5], "44 layers": (2.5,)}).axes
    assert axes.get_yscale() == "log" and axes.get_xlabel() == "epoch"
    assert [line.get_label() for line in axes.lines] == ["20 layers", "44 layers"]
    assert np.array_equal(axes.lines[0].get_xydata(), [[1, 2.0], [2, 0.5]])


ONE = {"field": (NODES, None)}
REFUSALS = {
    "no domain": (lambda: viz.neighborhood(NODES, 1, ONE), "a Tensor; give a domain"),
    "a node too far": (lambda: viz.neighborhood(PATH, 5, ONE), "5 nodes; give a number from 0"),
    "no hops": (lambda: viz.neighborhood(PATH, 1, ONE, hops=0), "the size 0"),
    "too many nodes": (
        lambda: viz.neighborhood(g.Graph([[0] * 200, list(range(200))]), 0, ONE),
        "200 nodes within 2 hops; give a node with at most 150",
    ),
    "no panels": (lambda: viz.neighborhood(PATH, 1, {}), "give {name: "),
    "a tensor as panel": (lambda: viz.neighborhood(PATH, 1, {"a": NODES}), "a Tensor for 'a'"),
    "nodes of another number": (
        lambda: viz.neighborhood(PATH, 1, {"a": (NODES[:3], None)}),
        r"nodes of 'a' of shape \[3\]; give \[5\]",
    ),
    "links in a list": (
        lambda: viz.neighborhood(PATH, 1, {"a": (None, [1.0] * 6)}),
        "edges of 'a' that are a list",
    ),
    "NaN": (lambda: viz.neighborhood(PATH, 1, {"a": (NODES / 0, None)}), "not finite"),
    "a mask beyond 1": (
        lambda: viz.neighborhood(PATH, 1, {"a": (NODES, None)}, as_they_are=["a"]),
        "up to 9; give numbers from 0 to 1",
    ),
    "no curve": (lambda: viz.smoothing({}), "without a curve"),
    "a curve of one": (lambda: viz.smoothing({"gcn": [0.5]}), "for 'gcn'"),
    "no losses": (lambda: viz.losses({}), "without a curve"),
    "a loss for a curve": (lambda: viz.losses({"a": 2.0}), "2.0 for 'a'"),
    "an empty curve": (lambda: viz.losses({"a": []}), r"\[\] for 'a'"),
    "a loss of zero": (lambda: viz.losses({"a": [1.0, 0.0]}), "0.0 for 'a'; give numbers above 0"),
    "a negative energy": (lambda: viz.smoothing({"gcn": [0.5, -1.0]}), "-1.0 for 'gcn'"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_drawn_is_refused_in_words(name):
    draw, words = REFUSALS[name]
    with pytest.raises(g.GeodlError, match=words):
        draw()
