"""A converted window keeps its twin's padding, or refuses a domain that pads otherwise."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import geodl as g
from geodl.interop import from_torch, to_torch
from geodl.testing import error
from tests.conformance import accepts, hold_rule
from tests.twins import as_image, drawn

CIRCULAR = replace(g.window(3), boundary="circular")
ZEROS = replace(g.window(3), boundary="zeros")
SHEET, TORUS, CYLINDER = (g.Grid(5, 5, periodic=p) for p in (False, True, (True, False)))


def test_the_boundary_belongs_to_the_rule():
    assert len({g.window(3), ZEROS, CIRCULAR, ZEROS.reverse(), CIRCULAR.reverse()}) == 5
    assert str(CIRCULAR) == "window(3x3, boundary='circular')"
    assert str(g.window(3)) == "window(3x3)"


@pytest.mark.parametrize("turned", [False, True], ids=["window", "reversed"])
@pytest.mark.parametrize(
    ("rule", "takes", "why"),
    [
        (CIRCULAR, TORUS, r"axis that does not wrap.*Signal.image\(x, periodic=True\)"),
        (ZEROS, SHEET, r"zero padding on an axis that wraps.*Signal.image\(x\)"),
    ],
    ids=["circular", "zeros"],
)
def test_a_boundary_refuses_a_domain_that_pads_otherwise(rule, takes, why, turned):
    layer = g.Conv(1, 1, rule.reverse() if turned else rule)
    plain = layer.over(replace(rule, boundary=None).reverse() if turned else g.window(3))
    for domain in (SHEET, TORUS, CYLINDER, g.Batch([takes, CYLINDER])):
        signal = g.Signal(torch.randn(1, domain.num_nodes, 1), domain)
        if domain == takes:
            assert torch.equal(layer(signal).x, plain(signal).x)
            continue
        with pytest.raises(g.GeodlError, match=why):
            layer(signal)


def test_an_axis_without_padding_has_no_boundary():
    for boundary in ("zeros", "circular"):
        rule = replace(g.window(3, padding=(1, 0)), boundary=boundary)
        for second in (False, True):
            domain = g.Grid(5, 5, periodic=(boundary == "circular", second))
            assert rule.refuses(domain) == ""
            assert rule.refuses(g.Grid(5, 5, periodic=(boundary == "zeros", second)))


KINDS = [(nn.Conv1d, 1), (nn.Conv2d, 2), (nn.Conv3d, 3)]


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize(("kind", "axes"), KINDS, ids=["1", "2", "3"])
def test_the_twins_number_or_a_refusal(kind, axes, mode):
    twin = drawn(kind(2, 3, 3, padding=1, padding_mode=mode))
    layer, x = from_torch(twin), torch.randn(2, 2, *[5] * axes, dtype=torch.float64)
    wraps = mode == "circular"
    assert error(as_image(wraps)(layer, x), twin(x)) <= 1e-12
    why = "make it periodic, as Signal.image.x, periodic=True." if wraps else "make it bounded"
    with pytest.raises(g.GeodlError, match=why):
        as_image(not wraps)(layer, x)
    with pytest.raises(g.GeodlError, match=why):
        from_torch(twin, on=g.Grid(*[5] * axes, periodic=not wraps))


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("options", [{}, {"padding": "valid", "stride": 2}, {"kernel_size": 1}])
def test_without_padding_both_domains_will_do(mode, options):
    twin = drawn(nn.Conv2d(2, 3, **{"kernel_size": 3, **options}, padding_mode=mode))
    layer, x = from_torch(twin), torch.randn(2, 2, 6, 6, dtype=torch.float64)
    for periodic in (False, True):
        assert error(as_image(periodic)(layer, x), twin(x)) <= 1e-12
        assert from_torch(twin, on=g.Grid(6, 6, periodic=periodic)).on is not None


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("padding", [0, (1, 0), 2, "same", "valid"])
def test_the_mode_comes_back(mode, padding):
    twin = nn.Conv2d(2, 3, 3, padding=padding, padding_mode=mode)
    assert to_torch(from_torch(twin)).padding_mode == mode
    fits = g.Grid(6, 6, periodic=mode == "circular")
    assert to_torch(from_torch(twin), on=fits).padding_mode == mode
    assert to_torch(from_torch(twin, on=fits)).padding_mode == mode


def test_a_window_of_our_own_takes_the_mode_of_its_domain():
    layer = g.Conv(2, 3, g.window(3))
    assert to_torch(layer).padding_mode == "zeros"
    assert to_torch(layer, on=SHEET).padding_mode == "zeros"
    assert to_torch(layer, on=TORUS).padding_mode == "circular"
    assert to_torch(layer, on=g.Batch([TORUS, g.Grid(4, 4, periodic=True)])).padding_mode == (
        "circular"
    )
    assert to_torch(g.Conv(2, 3, g.window(3), on=TORUS)).padding_mode == "circular"
    assert to_torch(g.Conv(2, 3, g.window(3, padding=(1, 0))), on=CYLINDER).padding_mode == (
        "circular"
    )
    for domain in (CYLINDER, g.Batch([TORUS, SHEET])):
        with pytest.raises(
            g.GeodlError, match="on some axes only; torch pads all axes in one mode"
        ):
            to_torch(layer, on=domain)


def test_the_window_knows_better_than_the_domain_it_is_sent_to():
    circular = from_torch(nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"))
    for layer, domain in ((circular, SHEET), (from_torch(nn.Conv2d(2, 3, 3, padding=1)), TORUS)):
        with pytest.raises(g.GeodlError, match="to_torch.* with on=Grid.*padding on an axis"):
            to_torch(layer, on=domain)


def test_transposed_convolutions_pad_with_zeros():
    twin = drawn(nn.ConvTranspose2d(2, 3, 3, padding=1))
    layer, x = from_torch(twin), torch.randn(2, 2, 5, 5, dtype=torch.float64)
    assert error(as_image()(layer, x), twin(x)) <= 1e-12
    with pytest.raises(g.GeodlError, match="zero padding on an axis that wraps"):
        as_image(periodic=True)(layer, x)
    with pytest.raises(g.GeodlError, match="torch transposes convolutions on bounded domains"):
        to_torch(g.Conv(2, 3, CIRCULAR.reverse()))
    with pytest.raises(g.GeodlError, match="torch transposes convolutions on bounded domains"):
        to_torch(g.Conv(2, 3, g.window(3).reverse(), on=TORUS))


@pytest.mark.parametrize("domain", [g.Complete(25), g.Chain(25), g.GroupGrid(SHEET, g.C(4))])
def test_a_domain_that_is_no_image_is_refused_at_once(domain):
    twin = nn.Conv2d(2, 3, 3, padding=1)
    with pytest.raises(g.GeodlError, match="from_torch.*with on=.*name a domain that fits"):
        from_torch(twin, on=domain)
    with pytest.raises(g.GeodlError, match="to_torch.*with on=.*name a domain that fits"):
        to_torch(g.Conv(2, 3, g.window(3)), on=domain)


@pytest.mark.parametrize("domain", [SHEET, TORUS, CYLINDER, g.Grid(4, 6)], ids=str)
@pytest.mark.parametrize("rule", [ZEROS, CIRCULAR, ZEROS.reverse(), CIRCULAR.reverse()], ids=str)
def test_windows_with_a_boundary_keep_what_rules_promise(rule, domain):
    plain = g.window(3).reverse() if str(rule).endswith("reverse()") else g.window(3)
    if rule.refuses(domain):
        assert not accepts(rule, domain)
        return
    hold_rule(rule, domain)
    found, wanted = rule.edges(domain), plain.edges(domain)
    assert all(torch.equal(a, b) for a, b in zip(found[:3], wanted[:3], strict=True))
