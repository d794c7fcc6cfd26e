"""Pictures of attention and of accuracy against length."""

import pytest
import torch

import geodl as g
from geodl import viz
from tests.training import refused


def tokens(*shape):
    return g.Signal.tokens(torch.randint(9, shape))


def test_weights_of_all_layers_and_heads_are_those_of_the_layers():
    model, target, source = (
        g.models.transformer(9, 9, channels=8, heads=2, depth=3).train(),
        tokens(1, 4),
        tokens(1, 6),
    )
    weights = viz.cross_attention(model, target, source)
    assert weights.shape == (3, 2, 4, 6)
    assert torch.allclose(weights.sum(-1), torch.ones(3, 2, 4), atol=1e-6)
    assert model.training
    assert torch.equal(weights, viz.cross_attention(model, target, source))
    assert not any(module._forward_pre_hooks for module in model.modules())
    refused(
        "attends to a second signal",
        act=lambda: viz.cross_attention(g.models.seq2seq(9, 9), target, source),
    )


def test_a_picture_of_attention_says_what_it_shows():
    weights = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])
    figure = viz.attention(weights, ["a", " ", "c"], ["x", "y"], chosen=0, title="a c → xy")
    matrix, edges = figure.axes[:2]
    assert torch.allclose(torch.tensor(matrix.images[0].get_array().tolist()), weights)
    assert [label.get_text() for label in matrix.get_xticklabels()] == ["a", "␣", "c"]
    assert edges.get_title() == "the edges into x"
    assert [line.get_linewidth() for line in edges.lines] == pytest.approx([7.2, 0.8])
    assert {"0.90", "0.10", "0.00"} <= {text.get_text() for text in edges.texts}


def test_weights_may_be_of_any_kind():
    for weights in (torch.eye(2, requires_grad=True), torch.eye(2, dtype=torch.bfloat16)):
        assert viz.attention(weights, list("ab"), list("xy")).axes[0].images[
            0
        ].get_array().tolist() == [[1, 0], [0, 1]]


def test_attention_of_one_signal_at_a_time():
    tokens, two = g.Signal.sequence(torch.randn(1, 3, 8)), g.Signal.sequence(torch.randn(2, 3, 8))
    heads = [g.Cross(g.Attention(8, g.all_pairs(), k)) for k in (2, 4)]
    assert viz.cross_attention(heads[0], tokens, tokens).shape == (1, 2, 3, 3)
    refused("a batch of 2", act=lambda: viz.cross_attention(heads[0], two, two))
    refused(
        "layers of 2, 4 heads",
        act=lambda: viz.cross_attention(g.Sequential(*heads), tokens, tokens),
    )


@pytest.mark.parametrize(
    ("weights", "chosen"),
    [
        (torch.ones(2, 2), None),
        (torch.ones(2, 3), 2),
        (2 * torch.ones(2, 3), 0),
        (-torch.ones(2, 3), 0),
        (torch.full((2, 3), torch.nan), 0),
    ],
)
def test_a_picture_of_attention_is_refused(weights, chosen):
    refused(
        "a picture of attention",
        act=lambda: viz.attention(weights, list("abc"), list("xy"), chosen=chosen),
    )


def test_lengths_show_mean_spread_and_seeds():
    figure = viz.lengths({"rnn": {10: [0.5, 0.7], 5: [1.0, 0.8]}, "transformer": {5: [1.0]}})
    (axes,) = figure.axes
    first, second = axes.lines
    assert first.get_xdata().tolist() == [5, 10]
    assert first.get_ydata().tolist() == pytest.approx([0.9, 0.6])
    assert (first.get_label(), second.get_label()) == ("rnn", "transformer")
    assert (
        sum(
            len(dots.get_offsets())
            for dots in axes.collections
            if dots.get_offsets().shape[1:] == (2,)
        )
        >= 5
    )


@pytest.mark.parametrize("curves", [{}, {"rnn": {}}, {"rnn": {5: []}}, {"rnn": {5: [1.2]}}])
def test_lengths_are_refused(curves):
    refused("accuracy against length", act=lambda: viz.lengths(curves))
