"""Windows that torch computes by fewer steps than a convolution: those that hear the whole lattice,
and transposed ones whose cut the kernel leaves out itself.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import geodl as g
from geodl.lowering import lattice
from geodl.testing import assert_parity, error

WHOLE = {
    "a row": (g.Chain(5), g.window(5, axes=1, padding="valid")),
    "an image": (g.Grid(3, 4), g.window((3, 4), padding="valid")),
    "a torus": (g.Grid(3, 3, periodic=True), g.window(3, axes=2, padding="valid")),
    "a volume": (g.Grid(2, 3, 2), g.window((2, 3, 2), axes=3, padding="valid")),
    "a union": (g.Batch([g.Grid(3, 3)] * 2), g.window(3, axes=2, padding="valid")),
}


def refuse(*args, **kwargs):
    raise AssertionError("a convolution was called")


@pytest.fixture
def no_convolutions(monkeypatch):
    for axes in (2, 3):
        monkeypatch.setitem(lattice.CONV, axes, refuse)
        monkeypatch.setitem(lattice.CONV_TRANSPOSE, axes, refuse)


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", WHOLE)
def test_one_receiver_of_all_is_a_product(name, bias, batch, no_convolutions):
    """Values and every gradient of the reference, there and back."""
    domain, rule = WHOLE[name]
    torch.manual_seed(0)
    x = torch.randn(batch, domain.num_nodes, 3, dtype=torch.float64)
    layer = g.Conv(3, 2, rule, bias=bias).double()
    signal = g.Signal(x, domain)
    assert "lattice" in assert_parity(layer, signal)
    member = domain.equal_member or domain
    back = g.Conv(2, 4, rule.reverse(onto=member), bias=bias).double()
    assert "lattice" in assert_parity(back, layer(signal))
    y = back(layer(signal)).x
    assert y.shape == (batch, domain.num_nodes, 4) and y.is_contiguous()


def test_second_derivatives_and_transforms_go_through_the_product(no_convolutions):
    domain, rule = WHOLE["an image"]
    layer = g.Conv(2, 2, rule, on=domain).double()
    x = torch.randn(2, 12, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(layer, x)
    each = torch.func.vmap(lambda one: layer(one[None])[0])(x)
    assert error(each, layer(x)) < 1e-12


@pytest.mark.parametrize(
    ("domain", "rule", "groups"),
    {
        "a larger lattice": (g.Grid(4, 3), g.window(3, padding="valid"), 1),
        "groups of channels": (g.Grid(3, 3), g.window(3, padding="valid"), 2),
        "apart": (g.Grid(3, 3), g.window(2, dilation=2, padding="valid"), 1),
        "around": (g.Grid(3, 3, periodic=True), g.window(3, axes=2), 1),
        "with zeros": (g.Grid(3, 3), g.window(3, stride=3, padding=1), 1),
        "a basis": (g.Grid(3, 3), g.window(3, padding="valid", basis=torch.ones(3, 3, 2)), 1),
    }.values(),
)
def test_other_windows_stay_convolutions(domain, rule, groups, monkeypatch):
    layer = g.Conv(2, 2, rule, groups=groups).double()
    signal = g.Signal(torch.randn(2, domain.num_nodes, 2, dtype=torch.float64), domain)
    assert_parity(layer, signal)
    monkeypatch.setitem(lattice.CONV, 2, refuse)
    with pytest.raises(AssertionError, match="was called"):
        layer(signal)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_transposed_windows_on_every_length(kernel, stride, padding, bias):
    """Whether the kernel cuts or `F.pad` does, and where zeros have to be added."""
    seen = set()
    for length in range(kernel, kernel + 4):
        fine, rule = (
            g.Grid(length, 6),
            g.window((kernel, 2), stride=(stride, 2), padding=(padding, 0)),
        )
        coarse = rule.target(fine)
        layer = g.Conv(2, 3, rule.reverse(onto=fine), bias=bias).double()
        signal = g.Signal(torch.randn(2, coarse.num_nodes, 2, dtype=torch.float64), coarse)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(F, "pad", lambda *a: seen.add("pad") or torch._C._nn.pad(*a))
            assert "lattice" in assert_parity(layer, signal)
    if padding < kernel and stride > 1:
        assert not seen, "the kernel's own numbers do"


def test_transposed_windows_in_a_volume_and_on_a_torus():
    """The second does not wrap: its windows stand beside each other."""
    for fine, rule in (
        (g.Grid(5, 4, 6), g.window(3, axes=3, stride=2, padding=1)),
        (g.Grid(6, 4, periodic=True), g.window(2, axes=2, stride=2)),
    ):
        coarse = rule.target(fine)
        layer = g.Conv(2, 3, rule.reverse(onto=fine)).double()
        x = torch.randn(2, coarse.num_nodes, 2, dtype=torch.float64)
        signal = g.Signal(x, coarse)
        assert "lattice" in assert_parity(layer, signal)


def test_the_generator_of_a_dcgan_pads_nothing(monkeypatch):
    monkeypatch.setattr(F, "pad", refuse)
    assert g.models.dcgan(channels=4).sample(2).shape == (2, 1, 28, 28)


def test_an_image_of_one_channel_is_read_and_answered_channels_last(monkeypatch):
    """Whatever the stride of the one channel, forward and backward: nothing is copied back."""
    made = []

    def conv2d(image, *others):
        made.append(F.conv2d(image, *others))
        return made[-1]

    monkeypatch.setitem(lattice.CONV, 2, conv2d)
    layer = g.Conv(1, 8, g.window(3))
    layer(g.Signal.image(torch.randn(4, 1, 6, 5)))
    assert made[0].is_contiguous(memory_format=torch.channels_last)
    assert not made[0].is_contiguous()


def test_a_classifiers_head_is_torchs_linear_layer(no_convolutions):
    """The same numbers as `nn.Linear` on the flattened map, nodes before channels."""
    head = g.Conv(3, 5, g.window((2, 3), padding="valid"))
    twin = nn.Linear(math.prod((2, 3, 3)), 5)
    with torch.no_grad():
        twin.weight.copy_(head.weight.flatten(0, 1).T)
        twin.bias.copy_(head.bias)
    x = torch.randn(4, 6, 3)
    assert error(head(g.Signal(x, g.Grid(2, 3))).x[:, 0], twin(x.flatten(1))) < 1e-6
