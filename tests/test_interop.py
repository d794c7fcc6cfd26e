"""A converted module computes the same numbers and the same gradients, and comes back bit for
bit.
"""

from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

import geodl as g
from geodl.interop import from_torch, to_torch
from geodl.testing import error, record_lowerings
from tests.twins import (
    CONVS,
    TRANSPOSED,
    as_image,
    as_sequence,
    assert_same_state,
    assert_twins,
    drawn,
    of_rnn,
    plainly,
)

EVEN = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    twin = drawn(nn.Linear(3, 5, bias=bias))
    layer = from_torch(twin)
    assert layer.rule == g.itself()
    assert_twins(twin, layer, torch.randn(2, 7, 3, dtype=torch.float64), plainly, as_sequence)
    assert_same_state(twin, to_torch(layer))


def test_a_wrong_conversion_is_found():
    twin = drawn(nn.Linear(3, 3))
    x = torch.randn(2, 7, 3, dtype=torch.float64)

    def turned(module):
        layer = from_torch(module)
        layer.weight = nn.Parameter(layer.weight.detach().transpose(1, 2))
        return layer

    def frozen(module):
        layer = from_torch(module)
        layer.bias.requires_grad_(False)
        return layer

    with pytest.raises(AssertionError):
        assert_twins(twin, turned(twin), x, plainly, as_sequence)
    with pytest.raises(AssertionError):
        assert_twins(twin, from_torch(twin), x, plainly, as_sequence, convert=turned)
    with pytest.raises(AssertionError):
        assert_twins(
            twin,
            from_torch(twin),
            x,
            plainly,
            lambda layer, x: as_sequence(layer, x.detach() + 0 * x),
        )
    with pytest.raises(AssertionError):
        assert_same_state(twin, drawn(nn.Linear(3, 3)))


def per_axis(axes, low, high):
    return st.tuples(*[st.integers(low, high)] * axes)


@st.composite
def channels(draw):
    """Channels in and out, and groups that divide both."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    return groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3)), groups


@st.composite
def convolutions(draw):
    axes = draw(st.sampled_from([1, 1, 2, 2, 3]))
    padding = draw(
        st.one_of(st.sampled_from(["same", "valid"]), st.integers(0, 3), per_axis(axes, 0, 3))
    )
    options = {
        "kernel_size": draw(st.one_of(st.integers(1, 4), per_axis(axes, 1, 4))),
        "stride": 1
        if padding == "same"
        else draw(st.one_of(st.integers(1, 3), per_axis(axes, 1, 3))),
        "dilation": draw(st.one_of(st.integers(1, 2), per_axis(axes, 1, 2))),
        "padding": padding,
        "padding_mode": draw(st.sampled_from(["zeros", "circular"])),
        "bias": draw(st.booleans()),
    }
    lengths = draw(per_axis(axes, 4, 6))
    channels_in, channels_out, groups = draw(channels())
    twin = drawn(CONVS[axes](channels_in, channels_out, groups=groups, **options))
    reach = [d * (k - 1) for k, d in zip(twin.kernel_size, twin.dilation, strict=True)]
    pads = (
        reach if padding == "same" else [0 if padding == "valid" else 2 * p for p in twin.padding]
    )
    if isinstance(padding, str):
        pads = [0] * axes if padding == "valid" else reach
    assume(all(r < n + p for r, n, p in zip(reach, lengths, pads, strict=True)))
    assume(
        options["padding_mode"] == "zeros"
        or all((p + 1) // 2 <= n for p, n in zip(pads, lengths, strict=True))
    )
    return twin, torch.randn(2, twin.in_channels, *lengths, dtype=torch.float64)


@EVEN
@given(convolutions())
def test_convolutions(drawn_case):
    twin, x = drawn_case
    periodic = twin.padding_mode == "circular"
    layer = from_torch(twin)
    assert_twins(twin, layer, x, plainly, as_image(periodic))
    domain = g.Grid(*x.shape[2:], periodic=periodic)
    back = to_torch(layer, on=domain)
    assert_same_state(twin, back)
    assert error(back(x), twin(x)) <= 1e-12
    placed = from_torch(twin, on=domain)
    image = g.Signal.image(x, axes=x.dim() - 2, periodic=periodic)
    assert error(placed(x.flatten(2).transpose(1, 2)), layer(image).x) <= 1e-12
    assert error(to_torch(placed)(x), twin(x)) <= 1e-12


@st.composite
def transposed(draw):
    axes = draw(st.sampled_from([1, 1, 2, 2, 3]))
    stride = draw(per_axis(axes, 1, 3))
    options = {
        "kernel_size": draw(per_axis(axes, 1, 4)),
        "stride": stride,
        "dilation": draw(per_axis(axes, 1, 2)),
        "padding": draw(per_axis(axes, 0, 2)),
        "output_padding": tuple(draw(st.integers(0, s - 1)) for s in stride),
        "bias": draw(st.booleans()),
    }
    lengths = draw(per_axis(axes, 2, 5))
    channels_in, channels_out, groups = draw(channels())
    twin = drawn(TRANSPOSED[axes](channels_in, channels_out, groups=groups, **options))
    made = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1
        for n, s, p, d, k in zip(
            lengths, stride, twin.padding, twin.dilation, twin.kernel_size, strict=True
        )
    ]
    assume(min(made) > 0)
    return twin, torch.randn(2, twin.in_channels, *lengths, dtype=torch.float64)


@given(transposed())
def test_transposed_convolutions(drawn_case):
    twin, x = drawn_case
    domain = g.Grid(*x.shape[2:])
    placed = from_torch(twin, on=domain)
    made = twin(x).shape[2:]

    def hear(layer, x):
        return layer(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, made)

    assert_twins(
        twin, placed, x, plainly, hear, convert=lambda module: from_torch(module, on=domain)
    )
    back = to_torch(placed)
    assert_same_state(twin, back)
    assert back.output_padding == twin.output_padding
    layer = from_torch(twin)
    assert_twins(twin, layer, x, plainly, as_image())
    back = to_torch(layer)
    assert_same_state(twin, back)
    assert back.output_padding == twin.output_padding


@st.composite
def recurrent(draw):
    kind = draw(st.sampled_from([nn.RNN, nn.GRU, nn.LSTM]))
    only = {"nonlinearity": draw(st.sampled_from(["tanh", "relu"]))} if kind is nn.RNN else {}
    layers = draw(st.integers(1, 3))
    options = {
        "num_layers": layers,
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
        "dropout": draw(st.sampled_from([0.0, 0.25])) if layers > 1 else 0.0,
    }
    return drawn(kind(draw(st.integers(1, 3)), draw(st.integers(1, 4)), **options, **only)).eval()


@given(recurrent(), st.integers(1, 5))
def test_recurrent_networks(twin, steps):
    layer = from_torch(twin)
    assert_twins(
        twin,
        layer,
        torch.randn(2, steps, twin.input_size, dtype=torch.float64),
        of_rnn,
        as_sequence,
    )
    back = to_torch(layer)
    assert_same_state(twin, back)
    told = ("mode", "num_layers", "bias", "bidirectional", "dropout", "training")
    assert [getattr(back, name) for name in told] == [getattr(twin, name) for name in told]
    assert back.batch_first


def test_the_form_of_a_recurrent_network():
    layer: Any = from_torch(nn.LSTM(3, 4, num_layers=2, bidirectional=True, dropout=0.5))
    kinds = [type(part).__name__ for part in layer]
    assert kinds == ["Concat", "Dropout", "Concat"]
    assert [one.rule for one in layer[0].children()] == [
        g.previous(),
        g.previous().reverse(),
    ]
    assert layer[1].p == 0.5
    assert isinstance(from_torch(nn.GRU(3, 4)), g.Recurrent)
    with record_lowerings() as ran:
        layer(g.Signal.sequence(torch.zeros(1, 5, 3)))
    assert ran == ["rnn"] * 4
