"""Pictures can be read: names do not cover each other, parts of a graph stay together; and what
cannot be drawn is refused in words.
"""

import itertools

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

import geodl as g
from geodl import viz

WORDS = ["the", "black", "cat", "sleeps", "incomprehensibly", "."]


def overlapping(figure, texts) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other once the figure is drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in texts]
    return [
        (a, b) for (a, of_a), (b, of_b) in itertools.combinations(boxes, 2) if of_a.overlaps(of_b)
    ]


@pytest.mark.parametrize("sources", [WORDS, list("hello world"), ["a"], list("abcdefghij") * 3])
def test_names_and_weights_of_an_attention_picture_do_not_cover_each_other(sources):
    weights = torch.full((4, len(sources)), 1 / len(sources))
    figure = viz.attention(weights, sources, ["le", "chat", "noir", "dort"])
    edges = figure.axes[1]
    assert len(edges.texts) == 2 * len(sources) + 1
    assert overlapping(figure, edges.texts) == []


def test_names_that_cover_each_other_are_found():
    figure = viz.attention(torch.eye(2), ["a", "b"], ["c", "d"])
    first, second = figure.axes[1].texts[:2]
    second.set_position(first.get_position())
    assert overlapping(figure, figure.axes[1].texts) == [("0.00", "a")]


def test_parts_of_a_graph_stay_together():
    ring = torch.arange(20)
    graph = g.Graph(torch.stack((ring, (ring + 1) % 20)), 24)  # and four nodes without links
    axes = viz.graph(graph, torch.zeros(24).long(), torch.zeros(24).long()).axes[0]
    points = np.array([text.get_position() for text in axes.texts])
    spread = np.ptp(points[:20], axis=0).min() / np.ptp(points, axis=0).max()
    assert spread > 0.3, "the ring is no point in a corner"


def test_many_classes_and_many_systems_keep_their_legends_apart():
    n = 24
    graph = g.Graph([list(range(n - 1)), list(range(1, n))], n)
    figure = viz.graph(graph, torch.arange(n) % 12, torch.arange(n) % 12)
    assert overlapping(figure, figure.axes[0].get_legend().get_texts()) == []
    curves = {f"system {k}": {5: [0.5], 10: [0.4]} for k in range(13)}
    figure = viz.lengths(curves)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    legend = axes.get_legend().get_window_extent()
    assert legend.x0 >= axes.get_window_extent().x1


def test_no_edge_is_named_only_where_there_is_none():
    ring = g.Grid(6, 6, periodic=True)
    for rule, all_there in ((g.all_pairs("offset"), True), (g.window(5), False)):
        lowest = viz.tying(rule, ring).axes[1].get_ylim()[0]
        assert lowest == (-0.5 if all_there else -1.5)


EYE = torch.eye(2)
RING = g.Graph([[0, 1, 2], [1, 2, 0]])
ZEROS = torch.zeros(3, dtype=torch.long)
NET, IMAGE = g.models.digits_p4cnn(), torch.rand(1, 8, 8)
SEQUENCE = g.Signal.sequence(torch.zeros(1, 3, 8))
CROSS = g.Cross(g.Attention(8, g.all_pairs(), 2))
REFUSALS = {
    "a function as model": (
        lambda: viz.cross_attention(len, SEQUENCE, SEQUENCE),
        "a builtin_function_or_method; give a model",
    ),
    "a tensor as source": (
        lambda: viz.cross_attention(CROSS, SEQUENCE, SEQUENCE.x),
        "a source that is a Tensor",
    ),
    "several targets": (
        lambda: viz.cross_attention(CROSS, g.Signal.sequence(torch.zeros(2, 3, 8)), SEQUENCE),
        "a batch of 2 as target",
    ),
    "no model": (lambda: viz.feature_strip(len, IMAGE), "a model that is a builtin_function"),
    "no tensor": (lambda: viz.feature_strip(NET, [[[1.0]]]), "an image that is a list"),
    "an image of integers": (
        lambda: viz.feature_strip(NET, torch.ones(1, 8, 8).long()),
        "dtype torch.int64",
    ),
    "a channel by name": (
        lambda: viz.feature_strip(NET, IMAGE, channel="red"),
        "channel='red'",
    ),
    "weights in a list": (
        lambda: viz.attention([[1.0]], ["a"], ["b"]),
        "weights that are a list, not a tensor",
    ),
    "complex weights": (
        lambda: viz.attention(EYE.cfloat(), ["a", "b"], ["c", "d"]),
        "dtype torch.complex64",
    ),
    "one axis": (lambda: viz.attention(EYE[0], ["a", "b"], ["c"]), r"weights of shape \[2\]"),
    "no tokens": (lambda: viz.attention(torch.ones(1, 0), [], ["b"]), "no sources"),
    "numbers as tokens": (lambda: viz.attention(EYE, [1, 2], ["c", "d"]), "sources with a int"),
    "no list of tokens": (lambda: viz.attention(EYE, ["a", "b"], 3), "targets that are a int"),
    "a token by name": (
        lambda: viz.attention(EYE, ["a", "b"], ["c", "d"], chosen="c"),
        "2 targets and chosen='c'",
    ),
    "a token too far": (
        lambda: viz.attention(EYE, ["a", "b"], ["c", "d"], chosen=-1),
        "2 targets and chosen=-1",
    ),
    "a signal as graph": (
        lambda: viz.graph(g.Signal(torch.zeros(1, 3, 1), RING), ZEROS, ZEROS),
        "a Signal; give a domain",
    ),
    "too many nodes": (
        lambda: viz.graph(g.Complete(1001), torch.zeros(1001).long(), torch.zeros(1001).long()),
        "1001 nodes; give at most 1000",
    ),
    "labels in a list": (
        lambda: viz.graph(RING, [0, 1, 0], ZEROS),
        "labels that are a list, not a tensor",
    ),
    "bool labels": (lambda: viz.graph(RING, ZEROS.bool(), ZEROS), "dtype torch.bool"),
    "complex predictions": (
        lambda: viz.graph(RING, ZEROS, ZEROS.cfloat()),
        "predictions of shape .* dtype torch.complex64",
    ),
    "a class too high": (lambda: viz.graph(RING, ZEROS + 12, ZEROS), "from 12 to 12"),
    "known in a list": (
        lambda: viz.graph(RING, ZEROS, ZEROS, known=[True, False, False]),
        "known that is a list",
    ),
    "known as numbers": (
        lambda: viz.graph(RING, ZEROS, ZEROS, known=ZEROS),
        "known of shape .* dtype torch.int64",
    ),
    "known of another size": (
        lambda: viz.graph(RING, ZEROS, ZEROS, known=torch.ones(2).bool()),
        r"known of shape \[2\]",
    ),
    "curves in a list": (lambda: viz.lengths([1, 2]), "a list; give"),
    "a curve in a list": (lambda: viz.lengths({"rnn": [0.5]}), "a list for 'rnn'"),
    "one number": (lambda: viz.lengths({"rnn": {5: 0.5}}), "a float for 'rnn' at length 5"),
    "words as accuracies": (lambda: viz.lengths({"rnn": {5: ["high"]}}), "'high' for 'rnn'"),
    "a length in words": (
        lambda: viz.lengths({"rnn": {"five": [0.5]}}),
        "give each length as a number",
    ),
    "no number": (lambda: viz.lengths({"rnn": {5: [float("nan")]}}), "nan for 'rnn'"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_drawn_is_refused_in_words(name):
    draw, words = REFUSALS[name]
    with pytest.raises(g.GeodlError, match=words):
        draw()


def test_an_image_that_wants_a_gradient_is_drawn():
    image = IMAGE.clone().requires_grad_()
    drawn = viz.feature_strip(NET, image).axes[0].images[0].get_array()
    assert np.array_equal(np.array(drawn), IMAGE[0].numpy())


def test_numpy_numbers_are_numbers():
    figure = viz.lengths({"rnn": {np.int64(5): [np.float32(0.5), np.float64(0.75)]}})
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0.625]
