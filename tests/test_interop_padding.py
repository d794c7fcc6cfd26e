"""A converted window keeps its twin's padding, or refuses a domain that pads otherwise."""

from dataclasses import replace

import pytest
import torch

import geodl as g

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
