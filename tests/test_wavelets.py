"""Discrete wavelet transforms: their taps, several levels, what they refuse; the z-transform."""

import math

import pytest
import torch
from torch import Tensor

import geodl as g
from geodl.neighborhood.filter_basis import WAVELETS, daubechies
from geodl.spectrum import z_transform
from geodl.testing import assert_parity, error
from tests.bad_input import assert_refused


def values(domain: g.Domain, channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = 2, domain.num_nodes, channels
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", WAVELETS)
def test_taps_are_orthonormal_and_blind_to_polynomials(name):
    order, taps = WAVELETS[name], daubechies(WAVELETS[name])
    assert len(taps) == 2 * order
    for shift in range(order):
        product = (taps[2 * shift :] * taps[: len(taps) - 2 * shift]).sum()
        assert abs(float(product) - (shift == 0)) < 1e-12
    signs = torch.tensor([1.0, -1.0]).repeat(order).double()
    for power in range(order):
        moment = (signs * taps.flip(0) * torch.arange(2 * order).double() ** power).sum()
        assert abs(float(moment)) < 1e-9


def test_the_taps_of_db2():
    root = math.sqrt(3)
    wanted = torch.tensor([1 + root, 3 + root, 3 - root, 1 - root]).double() / (4 * math.sqrt(2))
    assert error(daubechies(2), wanted) < 1e-6  # written in single precision


def test_levels_follow_each_other_and_lead_back():
    options = {"periodic": True, "dtype": torch.float64}
    image = g.Grid(16, 8, periodic=True)
    s = g.Signal(values(image), image)
    first = g.models.wavelet_transform("db3", 2, **options)
    top = first(s)
    assert top.shape == (2, 32, 4) and top.domain == g.Grid(8, 4, periodic=True)
    low = g.Signal(top.x[..., :1], top.domain)
    second = first(low)
    back = g.models.inverse_wavelet_transform("db3", 2, onto=low.domain, **options)(second)
    assert error(back.x, low.x) < 1e-12
    whole = top.with_x(torch.cat((back.x, top.x[..., 1:]), 2))
    restored = g.models.inverse_wavelet_transform("db3", 2, onto=image, **options)(whole)
    assert error(restored.x, s.x) < 1e-12


@pytest.mark.parametrize("name", WAVELETS)
@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (5,), (8,), (11,), (1, 6), (5, 4), (7, 9)])
@pytest.mark.parametrize("periodic", [False, True])
def test_every_length_keeps_its_energy_or_is_refused(name, shape, periodic):
    domain = g.Grid(*shape, periodic=periodic)
    options = {"periodic": periodic, "dtype": torch.float64}
    layer = g.models.wavelet_transform(name, len(shape), **options)
    s = g.Signal(values(domain), domain)
    if periodic and any(n % 2 for n in shape):
        with pytest.raises(g.GeodlError, match="of length [0-9]+: use multiples of 2"):
            layer(s)
        with pytest.raises(g.GeodlError, match="odd length"):
            g.models.inverse_wavelet_transform(name, len(shape), onto=domain, **options)
        return
    found = layer(s)
    assert error(found.x.square().sum((1, 2)), s.x.square().sum((1, 2))) < 1e-12
    back = g.models.inverse_wavelet_transform(name, len(shape), onto=domain, **options)
    assert error(back(found).x, s.x) < 1e-12


def test_an_odd_length_is_refused_at_the_level_where_it_arises():
    layer = g.models.wavelet_transform("haar", 2, periodic=True)
    image = g.Grid(8, 6, periodic=True)
    once = layer(g.Signal(torch.ones(1, 48, 1), image))
    with pytest.raises(g.GeodlError, match="of length 3: use multiples of 2"):
        layer(once.with_x(once.x[..., :1]))
    # A member of a batch as a domain by itself.
    batch = g.Batch([image, once.domain])
    with pytest.raises(g.GeodlError, match="of length 3: use multiples of 2"):
        layer(g.Signal(torch.ones(1, 60, 1), batch))


@pytest.mark.parametrize("length", [4, 5])
def test_a_periodic_haar_transform_refuses_axes_that_end(length):
    layer = g.models.wavelet_transform("haar", 1, periodic=True)
    with pytest.raises(g.GeodlError, match="does not wrap"):
        layer(g.Signal(torch.ones(1, length, 1), g.Chain(length)))


def test_bands_of_a_channel_stand_side_by_side():
    layer = g.models.wavelet_transform("haar", 1, channels=2, dtype=torch.float64)
    x = values(g.Chain(6), 2)
    y = layer(g.Signal(x, g.Chain(6))).x
    for channel in range(2):
        even, odd = x[:, ::2, channel], x[:, 1::2, channel]
        low, high = y[..., 2 * channel], y[..., 2 * channel + 1]
        assert error(low, (even + odd) / math.sqrt(2)) < 1e-12
        assert error(high, (even - odd) / math.sqrt(2)) < 1e-12
    assert not any(p.requires_grad for p in layer.parameters())
    assert "lattice" in assert_parity(layer, g.Signal(x, g.Chain(6)))


def test_the_z_transform_rounds_nothing():
    z = torch.tensor([1.1 + 0.3j], dtype=torch.complex128)
    single, double = g.Signal.sequence(torch.rand(1, 9, 1)), torch.complex128
    wanted = z_transform(single.to(torch.float64), z)
    assert z_transform(single, z).dtype == z_transform(single, z.real).dtype == double
    assert error(z_transform(single, z), wanted) < 1e-14
    assert z_transform(single, z.to(torch.complex64)).dtype == torch.complex64
    assert z_transform(single.to(torch.bfloat16), z.real.float()).dtype == torch.complex64


def test_the_z_transform_on_the_unit_circle_is_the_dft():
    chain = g.Chain(6)
    s = g.Signal(values(chain, 2).requires_grad_(), chain)
    z = torch.exp(2j * math.pi * torch.arange(6).double() / 6)
    found = z_transform(s, z)
    assert error(found, torch.fft.fft(s.x, dim=1)) < 1e-12
    assert torch.autograd.grad(found.abs().square().sum(), s.x)[0].abs().min() > 0


CHAIN = g.Signal(torch.ones(1, 3, 1), g.Chain(3))
RING = g.Signal(torch.ones(1, 4, 1), g.Grid(4, periodic=True))
REFUSED = {
    "name": (lambda: g.models.wavelet_transform("db5"), "'db5'", "", "did you mean 'db"),
    "names": (lambda: g.models.wavelet_transform(["haar"]), "['haar']", "", "did you mean"),
    "axes": (lambda: g.models.wavelet_transform("haar", 4), "4", "4 axes", "1, 2 or 3"),
    "channels": (lambda: g.models.wavelet_transform(channels=0), "channels=0", "0", "positive"),
    "odd": (
        lambda: g.models.inverse_wavelet_transform(
            "haar", 1, onto=g.Grid(5, periodic=True), periodic=True
        ),
        "inverse_wavelet_transform",
        "odd length",
        "even lengths",
    ),
    "axes that wrap": (
        lambda: g.models.wavelet_transform("db2", 1)(RING),
        "window(4, stride=2, padding=(2, 3)",
        "make it bounded",
        "choose a rule that fits the domain",
    ),
    "axes that end": (
        lambda: g.models.wavelet_transform("db2", 1, periodic=True)(CHAIN),
        "window(4, stride=2, padding=1",
        "make it periodic",
        "choose a rule that fits the domain",
    ),
    "no order": (
        lambda: z_transform(g.Signal(torch.ones(1, 3, 1), g.Complete(3)), torch.ones(1)),
        "z_transform",
        "no one order",
        "a Chain",
    ),
    "no signal": (lambda: z_transform(3, torch.ones(1)), "z_transform", "no signal", "a Chain"),
    "zero": (lambda: z_transform(CHAIN, torch.zeros(1)), "z_transform", "not 0", "such a tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    assert_refused(REFUSED[name])
