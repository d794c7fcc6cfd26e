"""What is drawn is what is so: matrices are the written-out edges, feature maps do turn, colours
are classes.
"""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

import geodl as g
from geodl.viz.style import PALETTE, colors

ROOT = Path(__file__).resolve().parent.parent
TYINGS = {
    "window": (g.window(3), g.Grid(4, 4)),
    "pooling": (g.window(2, stride=2), g.Grid(4, 4)),
    "lift": (g.lift(3, group=g.C(4)), g.Grid(3, 3)),
    "p4": (g.window(3, group=g.C(4)), g.GroupGrid(g.Grid(3, 3), g.C(4))),
    "DeepSets": (g.all_pairs("self"), g.Complete(5)),
    "ring": (g.all_pairs("orbit"), g.Grid(8, periodic=True)),
    "causal": (g.past(), g.Chain(6)),
    "graph": (g.adjacency("sym", self_loops=True), g.Graph([[0, 1, 2], [1, 2, 0]], 4)),
}


def misdrawn(figure, rule, domain) -> list[str]:
    """Where a weight-tying picture differs from the rule's edges, by the colours of its cells."""
    image = figure.axes[0].images[0]
    drawn = np.round(image.to_rgba(image.get_array())[..., :3], 6)
    edges = rule.edges(domain)
    wrong = []
    color_of: dict[int, set] = {}
    white = np.ones(drawn.shape[:2], dtype=bool)
    for i, j, kind in zip(edges.dst.tolist(), edges.src.tolist(), edges.type.tolist(), strict=True):
        color_of.setdefault(kind, set()).add(tuple(drawn[i, j]))
        white[i, j] = False
    if any(len(found) > 1 for found in color_of.values()):
        wrong.append("one type, two colours")
    if len(set().union(*color_of.values())) != len(color_of):
        wrong.append("two types, one colour")
    if not (drawn[white] == 1).all() or (1.0, 1.0, 1.0) in set().union(*color_of.values()):
        wrong.append("white is not where no edge is")
    if drawn.shape[:2] != (rule.target(domain).num_nodes, domain.num_nodes):
        wrong.append("not receivers by senders")
    return wrong


@pytest.mark.parametrize("name", TYINGS)
def test_a_matrix_has_one_colour_for_each_weight_and_white_elsewhere(name):
    rule, domain = TYINGS[name]
    figure = g.viz.tying(rule, domain)
    axes = figure.axes[0]
    assert misdrawn(figure, rule, domain) == []
    assert figure.get_suptitle() == f"{rule} on {domain}"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("sender", "receiver")
    weights = len(rule.edges(domain).type.unique())
    assert axes.get_title().startswith(
        f"{len(rule.edges(domain).dst)} edges share {weights} weight"
    )
    assert axes.get_legend() is not None or len(figure.axes) == 2


def test_a_misdrawn_matrix_is_found():
    rule, domain = TYINGS["window"]
    figure = g.viz.tying(rule, domain)
    image = figure.axes[0].images[0]
    types = np.array(image.get_array())
    for cell, kind in (((0, 0), 3), ((0, 15), 2), ((0, 0), -1)):
        changed = types.copy()
        changed[cell] = kind
        image.set_data(changed)
        assert misdrawn(figure, rule, domain) != []
    image.set_data(types[:, :-1])
    with pytest.raises(IndexError):
        misdrawn(figure, rule, domain)


def test_cells_say_their_type_in_words_too():
    rule, domain = TYINGS["ring"]
    edges = rule.edges(domain)
    said = {
        (int(t.get_position()[1]), int(t.get_position()[0])): t.get_text()
        for t in g.viz.tying(rule, domain).axes[0].texts
    }
    assert said == {
        (i, j): str(k)
        for i, j, k in zip(edges.dst.tolist(), edges.src.tolist(), edges.type.tolist(), strict=True)
    }


@pytest.mark.parametrize("count", [1, 8, 12, 13, 36, 48, 100, 625])
def test_colours_are_different_and_none_is_white(count):
    found = colors(count)
    assert len({tuple(round(255 * c) for c in color) for color in found}) == count
    assert max(min(color) for color in found) < 0.95


@pytest.mark.parametrize(
    ("rule", "domain", "message"),
    [
        (g.window(3), g.Grid(40, 40), "at most 1024 nodes"),
        (g.window(3), g.Grid(2, 2, periodic=True), "two edges between the same pair"),
        (g.adjacency(), g.Graph([[], []], 3), "no edges"),
        (g.window(3), g.Chain(5), "lattice of 2 axes"),
    ],
)
def test_a_matrix_that_cannot_be_drawn_is_refused(rule, domain, message):
    with pytest.raises(g.GeodlError, match=message):
        g.viz.tying(rule, domain)


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return g.models.digits_p4cnn().double()


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def unturned(figure) -> list[str]:
    """Drawn arrays of a rotation strip (rows: image, four maps, answer) that are not the upright
    ones, turned.
    """
    drawn = [np.array(axes.images[0].get_array()) for axes in figure.axes[:20]]
    rows = [drawn[4 * k : 4 * k + 4] for k in range(5)]
    wrong = [
        f"image at {90 * k}"
        for k in range(4)
        if not np.array_equal(np.rot90(rows[0][0], k), rows[0][k])
    ]
    for k in range(4):
        for element in range(4):
            expected = np.rot90(rows[1 + (element - k) % 4][0], k)
            if np.abs(expected - rows[1 + element][k]).max() > 1e-12:
                wrong.append(f"element {element} at {90 * k}")
    bars = [[bar.get_height() for bar in axes.patches] for axes in figure.axes[20:24]]
    wrong += [
        f"answer at {90 * k}"
        for k in range(4)
        if np.abs(np.subtract(bars[k], bars[0])).max() > 1e-12
    ]
    return wrong


def test_feature_maps_turn_with_the_image_and_shift_by_one_element(model, image):
    model.train()
    figure = g.viz.feature_strip(model, image, channel=3)
    assert model.training and all(part.training for part in model.modules())
    assert unturned(figure) == []
    frames = [
        [to_rgb(figure.axes[4 * row + k].spines["left"].get_edgecolor()) for row in range(1, 5)]
        for k in range(4)
    ]
    palette = [to_rgb(color) for color in PALETTE[:4]]
    assert frames == [[palette[(element - k) % 4] for element in range(4)] for k in range(4)]
    assert [axes.get_title() for axes in figure.axes[:4]] == ["0°", "90°", "180°", "270°"]
    assert [figure.axes[4 * row].get_ylabel() for row in (0, 1, 5)] == [
        "image",
        "element 0",
        "probability",
    ]


def test_feature_maps_that_do_not_turn_are_found(model, image):
    figure = g.viz.feature_strip(model, image)
    swapped = figure.axes[5].images[0]
    swapped.set_data(np.array(swapped.get_array())[::-1])
    figure.axes[21].patches[0].set_height(2)
    assert unturned(figure) == ["element 0 at 90", "answer at 90"]


@pytest.mark.parametrize(
    ("network", "shape", "channel", "message"),
    [
        (g.models.digits_cnn(), (1, 8, 8), 0, "no layer that makes a fiber"),
        (
            g.Sequential(g.Conv(1, 2, g.lift(3, group=g.C(4)))),
            (1, 8, 8),
            0,
            "an answer on GroupGrid",
        ),
        (g.models.digits_p4cnn(), (1, 8, 9), 0, "one square image"),
        (g.models.digits_p4cnn(), (8, 8), 0, "one square image"),
        (g.models.digits_p4cnn(), (1, 8, 8), 10, "10 channels and channel=10"),
    ],
)
def test_a_strip_that_cannot_be_drawn_is_refused(network, shape, channel, message):
    with pytest.raises(g.GeodlError, match=message):
        g.viz.feature_strip(network, torch.zeros(shape), channel=channel)
    assert all(not module._forward_hooks for module in network.modules())


def test_nodes_are_filled_by_prediction_and_ringed_by_truth():
    club = g.data.karate()
    predicted = club.labels.clone()
    predicted[[3, 8, 33]] = 1 - predicted[[3, 8, 33]]
    figure = g.viz.graph(
        club.signal.domain, club.labels, predicted, known=club.train, title="The club"
    )
    axes = figure.axes[0]
    fills = {text.get_text(): None for text in axes.texts}
    nodes = dict(zip(fills, axes.collections, strict=True))
    palette = [to_rgb(color) for color in PALETTE[:2]]
    assert len(nodes) == 34 and len(axes.lines) == 78
    for k in range(34):
        assert to_rgb(nodes[str(k)].get_facecolor()[0]) == palette[int(predicted[k])]
        assert to_rgb(nodes[str(k)].get_edgecolor()[0]) == palette[int(club.labels[k])]
    assert (figure.get_suptitle(), axes.get_title()) == (
        "The club",
        "30 of 32 nodes predicted right",
    )
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["class 0", "class 1", "inside: predicted, ring: true", "class was given"]


def test_a_graph_is_drawn_the_same_twice():
    club = g.data.karate()
    first, second = (
        g.viz.graph(club.signal.domain, club.labels, club.labels).axes[0] for _ in range(2)
    )
    assert [text.get_position() for text in first.texts] == [
        text.get_position() for text in second.texts
    ]


@pytest.mark.parametrize(
    "labels",
    [torch.zeros(3), torch.zeros(4).long(), torch.tensor([0, 1, -1]), torch.tensor([0, 1, 12])],
)
def test_labels_that_are_not_one_class_for_each_node_are_refused(labels):
    ring, good = g.Graph([[0, 1, 2], [1, 2, 0]]), torch.zeros(3).long()
    with pytest.raises(g.GeodlError, match="labels of shape"):
        g.viz.graph(ring, labels, good)
    with pytest.raises(g.GeodlError, match="predictions of shape"):
        g.viz.graph(ring, good, labels)


def test_pictures_touch_neither_the_backend_nor_pyplot():
    script = (
        "import sys, matplotlib; matplotlib.use('svg'); import geodl "
        "as g; assert 'geodl.viz' not in sys.modules;"
        "g.viz.tying(g.window(3), g.Grid(3, 3)); print(matplotlib.get_backend(), "
        "'matplotlib.pyplot' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["svg", "False"]


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    importlib.import_module("geodl.viz")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "geodl.viz")
    with pytest.raises(
        g.GeodlError, match=r"matplotlib is not installed; pip install \"geodl\[viz\]\""
    ):
        importlib.import_module("geodl.viz")
