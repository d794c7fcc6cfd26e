"""Filters as sums of functions: the functions, what a group makes of them, how weights are drawn,
and what is written out for torch.
"""

import math

import pytest
import torch
from skimage.filters import gabor_kernel
from torch import nn
from torch.autograd import gradgradcheck
from torch.func import functional_call, grad, vmap

import geodl as g
from geodl.interop import to_torch
from geodl.neighborhood import FilterBasis
from geodl.neighborhood.bank import Bank
from geodl.neighborhood.harmonics import Ring, Rings
from geodl.testing import assert_parity, error
from tests.bad_input import assert_refused

BASES = {
    "harmonics": g.harmonics(),
    "gabor": g.gabor(8, (3.0, 6.0)),
    "derivatives": g.gaussian_derivatives(3),
    "rings": Rings((Ring(0.0, 0.5, 0), Ring(1.5, 0.6, 3))),
}
# The deviation of an output of `nn.Conv2d` on white noise: weights and bias have 1 / sqrt(3 n).
WHITE = 1 / math.sqrt(3)


def values(basis: FilterBasis, size: int) -> torch.Tensor:
    """The functions of a window, `[K, T]`."""
    found = g.window(size, padding="valid", basis=basis).bank().basis
    assert found is not None
    return found[0, 0]


@pytest.mark.parametrize("name", BASES)
def test_functions_have_norm_one(name):
    norms = values(BASES[name], 7).norm(dim=0)
    assert error(norms, torch.ones_like(norms)) < 1e-12


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_harmonics_are_independent_and_as_many_as_the_rule_says(size):
    found = values(g.harmonics(), size)
    furthest = (size - 1) / 2
    radii = [furthest - k for k in range(size) if furthest - k >= 0]
    assert found.shape[1] == sum(1 + 2 * math.floor(2.5 * r) for r in radii) <= size**2
    assert torch.linalg.cond(found) < 50


def test_gabor_functions_are_those_of_scikit_image():
    found = values(g.gabor(6, (5.0,), width=0.4, aspect=0.7), 9).unflatten(0, (9, 9))
    for k in range(6):
        theirs = gabor_kernel(
            1 / 5, theta=math.pi * k / 6, sigma_x=2.0, sigma_y=2.0 / 0.7, n_stds=9
        )
        middle = theirs.shape[0] // 2, theirs.shape[1] // 2
        box = theirs[middle[0] - 4 : middle[0] + 5, middle[1] - 4 : middle[1] + 5]
        for part, function in ((box.real, found[..., 2 * k]), (box.imag, found[..., 2 * k + 1])):
            wanted = torch.from_numpy(part.copy())
            assert error(function, wanted / wanted.norm()) < 1e-12


def test_gaussian_derivatives_are_derivatives():
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None].requires_grad_()
    envelope = torch.exp(-x.square() / (2 * 0.8**2)).sum()
    (first,) = torch.autograd.grad(envelope, x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    rule = g.window(5, axes=1, basis=g.gaussian_derivatives(2))
    bank = rule.bank().basis
    assert bank is not None
    for k, wanted in ((1, first.detach()), (2, second)):
        assert error(bank[0, 0, :, k], (wanted / wanted.norm())[:, 0]) < 1e-12


def test_given_values_are_taken_as_they_are():
    sobel = torch.tensor([[[1, 1], [2, 0], [1, -1]], [[0, 2], [0, 0], [0, -2]]])
    rule = g.window((2, 3), padding="valid", basis=sobel)
    assert rule.num_edge_types == 2 and rule == g.window((2, 3), padding="valid", basis=sobel * 1.0)
    assert rule != g.window((2, 3), padding="valid", basis=-sobel)
    filters = to_torch(g.Conv(1, 1, rule, bias=False)).weight
    with torch.no_grad():
        layer = g.Conv(1, 1, rule, bias=False)
        layer.weight.copy_(torch.tensor([2.0, 3.0])[:, None, None])
    filters = to_torch(layer).weight[0, 0]
    assert filters.equal(2.0 * sobel[..., 0] + 3.0 * sobel[..., 1])
    # An edge for each value that is not 0.
    assert len(rule.edges(g.Grid(2, 3)).dst) == int((sobel != 0).sum())


DRAWN = {
    "harmonics": lambda: g.Conv(8, 64, g.window(5, basis=g.harmonics())),
    "gabor": lambda: g.Conv(8, 64, g.window(7, basis=g.gabor())),
    "given": lambda: g.Conv(8, 64, g.window(3, basis=0.1 * torch.randn(3, 3, 6))),
    "lift": lambda: g.Conv(8, 16, g.lift(5, group=g.C(4), basis=g.harmonics())),
    "group": lambda: g.Conv(4, 8, g.window(3, group=g.D(4), basis=g.harmonics())),
    "isotropic": lambda: g.Conv(8, 64, g.isotropic(5, group=g.D(4), basis=g.harmonics())),
    "reversed": lambda: g.Conv(8, 64, g.window(3, basis=g.harmonics()).reverse(), bias=False),
}


@pytest.mark.parametrize("name", DRAWN)
def test_outputs_deviate_as_those_of_conv2d(name):
    """Measured: 0.57 to 0.59 where `nn.Conv2d` without bias has 0.577 = 1 / sqrt(3)."""
    torch.manual_seed(0)
    layer = DRAWN[name]()
    domain = g.Grid(12, 12)
    if name == "group":
        domain = g.GroupGrid(domain, g.D(4))
    with torch.no_grad():
        y = layer(g.Signal(torch.randn(4, domain.num_nodes, layer.channels_in), domain)).x
        if layer.bias is not None:
            y = y - layer.bias
    inner = y.unflatten(1, (12, 12, -1))[:, 4:8, 4:8]
    wanted = WHITE
    if name == "reversed":  # as nn.ConvTranspose2d: by the channels that it makes
        wanted = WHITE * math.sqrt(layer.channels_in / layer.channels_out)
    assert abs(float(inner.std()) - wanted) < 0.08 * wanted


def test_a_basis_of_all_places_is_the_plain_window():
    for rule, make in ((g.window(3), g.window), (g.window(3, group=g.C(4)), g.window)):
        places = torch.eye(9).view(3, 3, 9)
        based = make(3, group=rule.group, basis=places)
        domain = g.Grid(4, 4) if rule.group is None else g.GroupGrid(g.Grid(4, 4), g.C(4))
        layer, other = g.Conv(2, 3, rule), g.Conv(2, 3, based)
        other.load_state_dict(layer.state_dict())
        s = g.Signal(torch.randn(2, domain.num_nodes, 2), domain)
        assert error(other(s).x, layer(s).x) < 1e-6


@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_torch_gets_the_filters_written_out(padding):
    periodic = padding == "circular"
    rule = g.window(5, stride=2, basis=g.harmonics())
    layer = g.Conv(4, 6, rule, groups=2).double()
    grid = g.Grid(8, 8, periodic=periodic)
    twin = to_torch(layer, on=grid)
    assert isinstance(twin, nn.Conv2d) and twin.padding_mode == padding
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    ours = layer(g.Signal.image(x, periodic=periodic)).to_image()
    assert error(twin(x), ours) < 1e-12


def test_torch_gets_the_filters_of_a_transposed_window():
    layer = g.Conv(4, 6, g.window(4, stride=2, padding=1, basis=g.gabor(3)).reverse(), groups=2)
    twin = to_torch(layer.double())
    assert isinstance(twin, nn.ConvTranspose2d)
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    assert error(twin(x), layer(g.Signal.image(x)).to_image()) < 1e-12


def test_derivatives_of_a_bank():
    layer = g.Conv(1, 1, g.lift(2, group=g.C(4), padding="valid", basis=g.harmonics())).double()
    grid = g.Grid(3, 3)
    assert layer.explain(grid).lowering == "lattice"
    bias = torch.zeros(1, dtype=torch.float64)

    def answer(x, weight):
        parameters = {"weight": weight, "bias": bias}
        return functional_call(layer, parameters, (g.Signal(x, grid),)).x.square()

    def loss(weight, x):
        return answer(x[None], weight).sum()

    samples = torch.randn(3, 9, 1, dtype=torch.float64)
    weight = layer.weight.detach()
    inputs = samples[:1].clone().requires_grad_(), weight.clone().requires_grad_()
    assert gradgradcheck(answer, inputs, fast_mode=True)
    each = vmap(grad(loss), in_dims=(None, 0))(weight, samples)
    for one, x in zip(each, samples, strict=True):
        assert error(one, grad(loss)(weight, x)) < 1e-12


def test_a_wrong_value_of_one_function_is_found(monkeypatch):
    rule = g.window(3, group=g.C(4), basis=g.harmonics())
    domain = g.GroupGrid(g.Grid(3, 3), g.C(4))
    few = rule.edges_to_compare(domain, domain)
    assert 3 * len(few.dst) < len(rule.edges(domain).dst) and few.weight is None
    back = rule.reverse().edges_to_compare(domain, domain)
    assert back.dst.equal(few.src) and back.type.equal(few.type)
    assert g.certify(rule, domain).proved == ("C4 element 1",)
    bank = rule.bank()
    assert bank.basis is not None
    values = bank.basis.clone()
    values[2, 3, 4, 0] += 1e-6
    monkeypatch.setattr(type(rule), "bank", lambda self: Bank(bank.edge_type, values))
    found = g.certify(rule, domain)
    assert found.proved == () and "C4 element 1" in found.violations[0]


OCTAHEDRAL = {
    "O, odd": (g.lift(3, group=g.O()), g.Grid(3, 3, 3)),
    "Oh, even": (g.lift(2, group=g.Oh(), padding="valid"), g.Grid(3, 3, 3)),
    "Oh, over the group": (
        g.window(2, group=g.Oh(), padding="valid"),
        g.GroupGrid(g.Grid(2, 2, 2), g.Oh()),
    ),
}


@pytest.mark.parametrize("name", OCTAHEDRAL)
def test_octahedral_windows_run_on_conv3d(name):
    rule, domain = OCTAHEDRAL[name]
    layer = g.Conv(1, 1, rule).double()
    s = g.Signal(torch.randn(2, domain.num_nodes, 1, dtype=torch.float64), domain)
    assert layer.explain(s).lowering == "lattice"
    assert "lattice" in assert_parity(layer, s)
    assert g.certify(layer, domain).exact


def test_a_table_of_octahedral_types_takes_half_a_megabyte():
    table = g.window(3, group=g.Oh()).table()
    assert table.numel() * table.element_size() == 48 * 48 * 27 * 8


BAD = {
    "a name": (lambda: g.window(3, basis="gabor"), "basis='gabor'", "a tensor [*kernel, T]"),
    "a size": (lambda: g.window(3, basis=torch.ones(5, 5, 2)), "(5, 5)", "[*kernel, T]"),
    "one axis": (lambda: g.window(3, basis=torch.ones(3)), "shape (3,)", "[*kernel, T]"),
    "no function": (lambda: g.window(3, basis=torch.ones(3, 3, 0)), "(3, 3, 0)", "[*kernel, T]"),
    "NaN": (lambda: g.window(3, basis=torch.full((3, 3, 1), math.nan)), "NaN", "finite"),
    "zeros": (lambda: g.window(3, basis=torch.eye(9)[:, :2].view(3, 3, 2) * 0), "0 at", "leave"),
    "one place": (lambda: g.window(1, basis=g.gabor()), "0 at every place", "a larger window"),
    "complex": (lambda: g.window(3, basis=torch.ones(3, 3, 1) * 1j), "complex", "real"),
    "learns": (
        lambda: g.window(3, basis=torch.ones(3, 3, 1, requires_grad=True)),
        "requires a gradient",
        "parametrization of Conv.weight",
    ),
    "a row": (lambda: g.window(3, axes=1, basis=g.harmonics()), "circles", "a square window"),
    "oblong": (lambda: g.window((3, 5), basis=g.harmonics()), "circles", "a square window"),
    "gabor in 3-D": (lambda: g.window(3, axes=3, basis=g.gabor()), "3 axes", "two axes"),
    "cutoff": (lambda: g.harmonics(4), "cutoff 4", "at most pi"),
    "width": (lambda: g.gaussian_derivatives(width=0), "number 0", "positive"),
    "wavelengths": (lambda: g.gabor(wavelengths=()), "no wavelengths", "at least one"),
    "wavelet": (lambda: g.wavelets("db5"), "no such wavelet", "did you mean"),
    "wavelets": (lambda: g.wavelets(["haar"]), "no such wavelet", "did you mean"),
    "half an axis": (lambda: g.wavelets("haar", 1.0), "1.0 axes", "1, 2 or 3"),
    "nothing invariant": (
        lambda: g.isotropic((1, 3), group=g.D(2), basis=torch.tensor([[[1.0], [0.0], [-1.0]]])),
        "no function",
        "harmonics()",
    ),
    "pooled": (
        lambda: g.Pool(g.window(3, basis=g.harmonics()))(
            g.Signal(torch.ones(1, 9, 1), g.Grid(3, 3))
        ),
        "weighted edges",
        "Propagate",
    ),
    "attended": (
        lambda: g.Attention(2, g.window(3, basis=g.harmonics()), 1)(
            g.Signal(torch.ones(1, 9, 2), g.Grid(3, 3))
        ),
        "weighted edges",
        "Propagate",
    ),
    "table": (lambda: g.window(3, basis=g.harmonics()).table(), "several types", "rule.bank()"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bases_are_refused(name):
    call, found, do = BAD[name]
    assert_refused((call, "", found, do))
