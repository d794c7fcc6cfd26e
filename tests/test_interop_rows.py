"""Rows of torch.nn: layers and pointwise modules, which agree on the axis of the channels."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import geodl as g
from geodl.interop import from_torch, to_torch
from geodl.layer.pointwise import ELEMENTWISE
from geodl.testing import error
from tests.twins import as_image, as_sequence, assert_same_state, assert_twins, drawn, plainly

CHANNELS = 4
ON_NUMBERS = [
    nn.ReLU,
    lambda: nn.LeakyReLU(0.3),
    lambda: nn.ELU(0.7),
    lambda: nn.GELU(approximate="tanh"),
    lambda: nn.GELU(),
    lambda: nn.Hardtanh(-0.4, 0.6),
    lambda: nn.Softplus(beta=2.0, threshold=5.0),
    lambda: nn.Dropout(0.5, inplace=True),
    nn.PReLU,
    nn.RReLU,
    lambda: nn.Threshold(0.1, 2.0),
    nn.Identity,
]
ON_CHANNELS = [
    lambda: nn.LayerNorm(CHANNELS, eps=0.1),
    lambda: nn.LayerNorm(CHANNELS, elementwise_affine=False),
    lambda: nn.LayerNorm(CHANNELS, bias=False),
    lambda: nn.RMSNorm(CHANNELS, eps=0.1),
    lambda: nn.Softmax(dim=-1),
    lambda: nn.Sequential(nn.Tanh(), nn.LogSoftmax(dim=-1)),
]


def convolution(draw):
    """A convolution that keeps the size of an image of six by six."""
    size, dilation = draw(st.sampled_from([(1, 1), (3, 1), (3, 2), (5, 1)]))
    padding = dilation * (size - 1) // 2
    options = {"padding": padding, "dilation": dilation, "bias": draw(st.booleans())}
    return nn.Conv2d(CHANNELS, CHANNELS, size, **options)


def linear(draw):
    return nn.Linear(CHANNELS, CHANNELS, bias=draw(st.booleans()))


@st.composite
def rows(draw, layer, pointwise, deep=True):
    """A row of layers and pointwise modules, some with names, some in a row of their own."""
    parts: list[nn.Module] = [layer(draw)]
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["layer", "pointwise", "row" if deep else "layer"]))
        if kind == "layer":
            parts.append(layer(draw))
        elif kind == "row":
            parts.append(draw(rows(layer, pointwise, deep=False)))
        else:
            parts.append(draw(st.sampled_from(pointwise))())
    if draw(st.booleans()):
        return nn.Sequential(OrderedDict((f"part{k}", part) for k, part in enumerate(parts)))
    return nn.Sequential(*parts)


@settings(max_examples=25)
@given(rows(convolution, ON_NUMBERS), st.sampled_from(["zeros", "circular"]), st.data())
def test_rows_of_convolutions(twin, mode, data):
    for part in twin.modules():
        if isinstance(part, nn.Conv2d):
            part.padding_mode = mode
    twin = frozen_in_part(drawn(twin).eval(), data)
    layer = from_torch(twin)
    x = torch.randn(2, CHANNELS, 6, 6, dtype=torch.float64)
    assert_twins(twin, layer, x, plainly, as_image(mode == "circular"))
    assert_comes_back(twin, layer)


@settings(max_examples=25)
@given(rows(linear, ON_NUMBERS + ON_CHANNELS), st.data())
def test_rows_of_linear_layers(twin, data):
    twin = frozen_in_part(drawn(twin).eval(), data)
    layer = from_torch(twin)
    x = torch.randn(2, 5, CHANNELS, dtype=torch.float64)
    assert_twins(twin, layer, x, plainly, as_sequence)
    assert_comes_back(twin, layer)


def frozen_in_part(twin, data):
    """The first parameter of a row is trained, others may not be."""
    for p in list(twin.parameters())[1:]:
        p.requires_grad_(data.draw(st.booleans()))
    return twin


def assert_comes_back(twin, layer):
    """A row comes back with its names, options, modes and frozen parameters."""
    back = to_torch(layer)
    assert_same_state(twin, back)
    assert repr(back) == repr(twin)
    trained = {name: p.requires_grad for name, p in twin.named_parameters()}
    assert {name: p.requires_grad for name, p in back.named_parameters()} == trained
    modes = {name: part.training for name, part in twin.named_modules(remove_duplicate=False)}
    assert {
        name: part.training for name, part in back.named_modules(remove_duplicate=False)
    } == modes


def test_a_row_of_convolutions():
    twin = drawn(
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Sequential(nn.Conv2d(4, 3, 2, stride=2)),
        )
    )
    twin.eval()
    layer: Any = from_torch(twin)
    assert [type(part).__name__ for part in layer] == ["Conv", "ReLU", "Dropout", "Sequential"]
    assert_twins(twin, layer, torch.randn(2, 2, 6, 6, dtype=torch.float64), plainly, as_image())
    assert_same_state(twin, to_torch(layer))
    assert twin[1] is not layer[1]


def test_modes_of_parts_are_kept():
    twin = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.Sequential(nn.Linear(2, 2)))
    twin[1].eval()
    twin[2].eval()
    layer = from_torch(twin)
    assert [part.training for part in layer.modules()] == [True, True, False, False, False]
    assert_comes_back(twin, layer)


@pytest.mark.parametrize("layer", [nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3))])
def test_what_works_in_place(layer):
    parts = (layer, nn.ReLU(inplace=True), nn.Dropout(0.5, inplace=True), nn.Linear(3, 2))
    twin = drawn(nn.Sequential(*parts)).eval()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    assert_twins(twin, from_torch(twin), x, plainly, as_sequence)
    assert_comes_back(twin, from_torch(twin))


def test_a_module_in_two_places_of_a_row():
    relu = nn.ReLU()
    twin = drawn(nn.Sequential(relu, nn.Linear(3, 3), relu, nn.Linear(3, 3)))
    layer = from_torch(twin)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    assert_twins(twin, layer, x, plainly, as_sequence)
    assert_comes_back(twin, layer)


def test_a_row_goes_back_along_the_domain():
    net = g.Sequential(
        g.Conv(1, 2, g.window(3)),
        g.Dropout(0.25),
        g.Sequential(g.Conv(2, 2, g.window(2, stride=2))),
        g.Conv(2, 1, g.window(3)),
        g.Sequential(g.Conv(1, 1, g.window(3, padding="valid"))),
        g.Conv(1, 1, g.window(3)),
    )
    net = net.eval().double()
    twin: Any = to_torch(net, on=g.Grid(6, 6, periodic=True))
    convolutions = [part for part in twin.modules() if isinstance(part, nn.Conv2d)]
    modes = [part.padding_mode for part in convolutions]
    assert modes == ["circular", "zeros", "circular", "zeros", "zeros"]
    x = torch.randn(1, 1, 6, 6, dtype=torch.float64)
    assert error(twin(x), as_image(periodic=True)(net, x)) <= 1e-10
    assert (twin[1].p, twin.training) == (0.25, False)


def test_pointwise_modules_of_torch_stay_what_they_are():
    net = drawn(g.Sequential(nn.LayerNorm(3), g.Conv(3, 2, g.itself()), nn.Tanh()))
    twin: Any = to_torch(net)
    assert [type(part).__name__ for part in twin] == ["LayerNorm", "Linear", "Tanh"]
    assert_twins(twin, net, torch.randn(2, 5, 3, dtype=torch.float64), plainly, as_sequence)


@pytest.mark.parametrize("kind", sorted(ELEMENTWISE, key=lambda kind: kind.__name__))
def test_what_stands_beside_convolutions_acts_on_each_number(kind):
    options = {nn.Threshold: (0.1, 2.0)}.get(kind, ())
    module = kind(*options).double().eval()
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    assert error(module(x.transpose(1, 2)), module(x).transpose(1, 2)) <= 1e-12


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        (
            (nn.Conv1d(2, 2, 1), nn.Linear(2, 2)),
            "Conv1d, with channels on axis 1, and Linear, on the last; convert the parts one by",
        ),
        (
            (nn.Conv1d(2, 2, 1), nn.Sequential(nn.LayerNorm(2))),
            "Conv1d, with channels on axis 1, and LayerNorm, on the last",
        ),
        (
            (nn.ConvTranspose1d(2, 2, 1), nn.LayerNorm(2)),
            "ConvTranspose1d, with channels on axis 1, and LayerNorm, on the last",
        ),
        (
            (nn.Linear(2, 2), nn.LSTM(2, 2)),
            "LSTM, which may take or return more than one tensor; convert it alone",
        ),
        ((nn.Conv1d(2, 2, 1), nn.Softmax(-1)), "Conv1d, with channels on axis 1, and Softmax"),
        ((nn.Conv1d(2, 2, 1), nn.RMSNorm(2)), "Conv1d, with channels on axis 1, and RMSNorm"),
        ((nn.Conv1d(2, 2, 1), nn.GLU()), "Conv1d, with channels on axis 1, and GLU, on the last"),
        ((nn.Conv1d(2, 2, 1), nn.PReLU(2)), r"PReLU.*a type with no converter; use nn.PReLU\(\)"),
        ((nn.Linear(2, 2), nn.LayerNorm((3, 2))), "LayerNorm.*a type with no converter"),
        ((nn.Linear(2, 2), nn.Softmax(dim=1)), r"Softmax.*use nn.Softmax\(dim=-1\)"),
        ((nn.Conv2d(2, 2, 1), nn.AdaptiveMaxPool2d(2)), r"AdaptiveMaxPool2d.*use g.Readout"),
        ((nn.MaxPool1d(2), nn.Linear(2, 2)), "MaxPool1d, with channels on axis 1, and Linear"),
    ],
)
def test_rows_that_are_refused(parts, why):
    with pytest.raises(g.GeodlError, match=why):
        from_torch(nn.Sequential(*parts))


def test_batch_norms_of_several_processes_know_other_axes():
    norm = nn.SyncBatchNorm(2).eval()
    with pytest.raises(g.GeodlError, match="SyncBatchNorm.*a type with no converter"):
        from_torch(nn.Sequential(nn.Linear(2, 2), norm))
    with pytest.raises(g.GeodlError, match="SyncBatchNorm.*a type with no twin"):
        to_torch(g.Sequential(g.Conv(2, 2, g.itself()), norm))


def test_rows_that_do_not_go_back():
    mixed = g.Sequential(g.Conv(2, 2, g.window(1)), g.Conv(2, 2, g.itself()))
    with pytest.raises(g.GeodlError, match="Conv2d, with channels on axis 1, and Linear"):
        to_torch(mixed)
    with pytest.raises(g.GeodlError, match="which no torch.nn module computes"):
        to_torch(g.Sequential(g.Conv(2, 2, g.window(1)), g.Pool(g.window(2, stride=2), "sum")))
    with pytest.raises(g.GeodlError, match="it is a module of torch.nn already"):
        to_torch(nn.ReLU())
