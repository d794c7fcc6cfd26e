"""Sequences in pieces: every causal layer continues from its state as if it had seen all at
once.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import geodl as g
from geodl.layer import Layer
from geodl.testing import error


def causal_window(size: int, dilation: int = 1) -> g.Neighborhood:
    return g.window(size, axes=1, dilation=dilation, padding="causal")


def block(cross: bool = False) -> g.Sequential:
    crossed = (
        [g.Residual(nn.LayerNorm(4), g.Cross(g.Attention(4, g.all_pairs(), 2)))] if cross else []
    )
    return g.Sequential(
        g.Residual(nn.LayerNorm(4), g.Attention(4, g.past(), 2), g.Dropout(0.2)),
        *crossed,
        g.Residual(nn.Linear(4, 4), nn.GELU()),
    )


LAYERS = {
    "attention": lambda: g.Attention(4, g.past(), 2),
    "rotary attention": lambda: g.Attention(4, g.past(), 2, rotary=True),
    "additive attention": lambda: g.Attention(4, g.past(), 2, score="additive"),
    "linear attention": lambda: g.Attention(4, g.past(), 2, score="linear"),
    "windowed attention": lambda: g.Attention(4, causal_window(3), 2, relative=True),
    "convolution": lambda: g.Conv(4, 4, causal_window(3, 2)),
    "linear": lambda: g.Conv(4, 4, g.itself()),
    "pool of the past": lambda: g.Pool(g.past(), "mean"),
    "convolution of the past": lambda: g.Conv(4, 4, g.past()),
    "message of the past": lambda: g.Message(lambda a, b, e: a * b, g.past()),
    "one node each": lambda: g.Conv(4, 4, g.window(1, axes=1)),
    "lstm": lambda: g.Recurrent(4, 4),
    "gru twice": lambda: g.Sequential(
        g.Recurrent(4, 4, "gru"), g.Dropout(0.5), g.Recurrent(4, 4, "gru")
    ),
    "transformer": lambda: g.Sequential(block(), block()),
    "side by side": lambda: g.Concat(g.Conv(4, 2, causal_window(2)), g.Recurrent(4, 2)),
}


def pieces(
    layer: Layer, x: torch.Tensor, cuts: list[int], sender: g.Signal | None = None
) -> torch.Tensor:
    """The layer's outputs on a sequence that it is given in pieces."""
    parts, state = [], None
    for piece in x.tensor_split(cuts, dim=1):
        y, state = layer.step(g.Signal.sequence(piece), state, sender)
        parts.append(y.x)
    return torch.cat(parts, 1)


@pytest.mark.parametrize("name", LAYERS)
@given(
    cuts=st.lists(st.integers(1, 7), max_size=7, unique=True).map(sorted),
    batch=st.sampled_from((0, 1, 3)),
)
def test_pieces_are_the_whole(name, cuts, batch):
    torch.manual_seed(len(cuts))
    layer = LAYERS[name]().double().eval()
    x = torch.randn(batch, 8, 4, dtype=torch.float64)
    assert error(pieces(layer, x, cuts), layer(g.Signal.sequence(x)).x) < 1e-10


@given(cuts=st.lists(st.integers(1, 5), max_size=5, unique=True).map(sorted))
def test_a_decoder_continues_over_the_same_memory(cuts):
    decoder = g.Sequential(block(cross=True), block(cross=True)).double().eval()
    x, memory = (
        torch.randn(2, 6, 4, dtype=torch.float64),
        g.Signal.sequence(torch.randn(2, 3, 4, dtype=torch.float64)),
    )
    whole = decoder(g.Signal.sequence(x), memory).x
    assert error(pieces(decoder, x, cuts, memory), whole) < 1e-10
    other = g.Signal.sequence(torch.randn(2, 3, 4, dtype=torch.float64))
    assert error(pieces(decoder, x, cuts, other), whole) > 1e-3


def test_a_forgetful_layer_is_caught():
    layer = g.Attention(4, g.past(), 2).double()
    x = torch.randn(1, 4, 4, dtype=torch.float64)
    forgotten = torch.cat([layer.step(g.Signal.sequence(piece))[0].x for piece in x.split(1, 1)], 1)
    assert error(forgotten, layer(g.Signal.sequence(x)).x) > 1e-3


@pytest.mark.parametrize(
    "layer",
    [
        g.Attention(4, g.all_pairs(), 2),
        g.Conv(4, 4, g.window(3, axes=1)),
        g.Conv(4, 4, g.window(2, axes=1, stride=2, padding="causal")),
        g.Concat(g.Recurrent(4, 4), g.Recurrent(4, 4, rule=g.previous().reverse())),
        g.BatchNorm(4),
        g.Pool(g.whole()),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_receive_from_the_future_are_refused(layer):
    with pytest.raises(g.GeodlError, match="nodes to come|all nodes at once|backwards"):
        layer.step(g.Signal.sequence(torch.zeros(1, 4, 4)))


READS_ALL = {
    "pool over offsets": lambda: g.Pool(g.all_pairs("offset")),
    "attention over offsets": lambda: g.Attention(4, g.all_pairs("offset"), 2),
    "message over offsets": lambda: g.Message(lambda a, b, e: b, g.all_pairs("offset")),
    "residual over offsets": lambda: g.Residual(g.Pool(g.all_pairs("offset"))),
    "readout": lambda: g.Readout(),
    "readout in a row": lambda: g.Sequential(nn.Linear(4, 4), g.Readout()),
    "convolution to one node": lambda: g.Conv(4, 4, g.whole()),
    "window": lambda: g.Conv(4, 4, g.window(3, axes=1)),
    "all pairs": lambda: g.Attention(4, g.all_pairs(), 2),
    "the next node": lambda: g.Pool(g.previous().reverse()),
    "backwards": lambda: g.Recurrent(4, 4, rule=g.previous().reverse()),
    "backwards in a row": lambda: g.Sequential(g.Recurrent(4, 4, rule=g.previous().reverse())),
    "edges": lambda: g.EdgeUpdate(lambda a, b, e: b, g.past()),
}


@pytest.mark.parametrize("name", READS_ALL)
@pytest.mark.parametrize("length", [1, 2, 4])
def test_pieces_of_any_length_are_refused_alike(name, length):
    with pytest.raises(g.GeodlError, match="a step of.*(nodes to come|in common)"):
        READS_ALL[name]().step(g.Signal.sequence(torch.zeros(1, length, 4)))


def test_backwards_a_recurrence_runs_from_a_state_at_once():
    rule = g.previous().reverse()
    layer = g.Recurrent(4, 3, rule=rule).double()
    x = torch.randn(2, 6, 4, dtype=torch.float64)
    last, state = layer.run_from(g.Signal.sequence(x[:, 4:]))
    first, _ = layer.run_from(g.Signal.sequence(x[:, :4]), state)
    found = torch.cat((first.x, last.x), 1)
    assert error(found, layer(g.Signal.sequence(x)).x) < 1e-12


def test_cross_needs_a_second_signal():
    with pytest.raises(g.GeodlError, match="no second signal"):
        block(cross=True)(g.Signal.sequence(torch.zeros(1, 4, 4)))
    with pytest.raises(g.GeodlError, match="give a layer that takes two"):
        g.Cross(nn.Linear(4, 4))  # pyright: ignore[reportArgumentType]


def test_only_layers_that_cross_receive_from_the_second_signal():
    net = g.Sequential(
        g.Residual(g.Attention(4, g.past(), 2)),
        g.Residual(g.Cross(g.Attention(4, g.all_pairs(), 2))),
    )
    x, memory = g.Signal.sequence(torch.randn(1, 3, 4)), g.Signal.sequence(torch.randn(1, 5, 4))
    first = net[0](x)
    wanted = first.x + net[1].inner[0].layer(first, memory).x
    assert error(net(x, memory).x, wanted) < 1e-6


def test_causal_attention_between_two_signals_is_aligned_at_the_end():
    layer = g.Attention(4, g.past(), 2).double()
    x = torch.randn(2, 5, 4).double()
    whole = layer(g.Signal.sequence(x)).x
    for count in (1, 2, 5):
        last = layer(g.Signal.sequence(x[:, -count:]), g.Signal.sequence(x)).x
        assert g.testing.error(last, whole[:, -count:]) < 1e-12
    three, two = (g.Signal.sequence(x[:, :n]) for n in (3, 2))
    with pytest.raises(g.GeodlError, match="3 receivers of 2 senders"):
        layer(three, two)
    unions = [g.Batch([g.Chain(n) for n in sizes]) for sizes in ((2, 1), (2, 4), (1, 4))]
    ragged, fitting, short = (g.Signal(torch.randn(1, d.num_nodes, 4).double(), d) for d in unions)
    each = [
        layer(g.Signal.sequence(a), g.Signal.sequence(b)).x
        for a, b in zip(ragged.domain.split(ragged.x), fitting.domain.split(fitting.x), strict=True)
    ]
    assert g.testing.error(layer(ragged, fitting).x, torch.cat(each, 1)) < 1e-12
    with pytest.raises(g.GeodlError, match="2 receivers of 1 senders"):
        layer(ragged, short)


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        (g.Attention(4, g.all_pairs(), 2, rotary=True), "rotary"),
        (g.Attention(4, g.past(), 2), "asks where a node stands"),
        (g.Conv(4, 4, g.window(3, axes=1)), "asks where a node stands"),
        (g.Attention(4, g.window(3, axes=1), 2), "asks where a node stands"),
        (g.Attention(4, g.all_pairs("self"), 2, relative=True), r"only all_pairs\(\)"),
    ],
    ids=["rotary", "past", "window", "attention in a window", "typed pairs"],
)
def test_keys_of_a_second_signal_are_kept_only_where_places_do_not_count(layer, found):
    s, other = (g.Signal.sequence(torch.zeros(1, n, 4)) for n in (4, 3))
    with pytest.raises(g.GeodlError, match=found):
        g.Cross(layer).step(s, None, other)


def test_one_layer_in_two_places_runs_in_both():
    layer, x = g.Recurrent(4, 4).double(), torch.randn(2, 6, 4, dtype=torch.float64)
    row, beside = g.Sequential(layer, layer), g.Concat(layer, layer)
    once = layer(g.Signal.sequence(x))
    assert list(row) == [layer, layer] and row[1] is layer
    for net, whole in ((row, layer(once).x), (beside, torch.cat((once.x, once.x), -1))):
        assert error(net(g.Signal.sequence(x)).x, whole) < 1e-12
        assert error(pieces(net, x, [1, 4]), whole) < 1e-12


def test_a_second_signal_that_no_layer_takes_is_refused():
    s = g.Signal.sequence(torch.zeros(1, 4, 4))
    with pytest.raises(g.GeodlError, match="a second signal"):
        block().step(s, None, s)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_recurrence_continues_in_mixed_precision(cell):
    net = g.Sequential(nn.Linear(4, 4), g.Recurrent(4, 4, cell))
    x = torch.randn(2, 6, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = pieces(net, x, [2, 4])
    assert error(found.float(), net(g.Signal.sequence(x)).x) < 0.05


@pytest.mark.parametrize("rule", [g.past(), g.all_pairs()], ids=str)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_linear_attention_stays_finite(rule, scale):
    layer = g.Attention(8, rule, 4, score="linear")
    x = (scale * torch.randn(1, 70, 8)).requires_grad_()
    y = layer(g.Signal.sequence(x)).x
    y.sum().backward()
    assert y.isfinite().all() and x.grad is not None and x.grad.isfinite().all()
