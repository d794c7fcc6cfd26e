"""A domain and a lowering from outside: one file and one line each, held to the same conformance
tests.
"""

import pytest
import torch
from hypothesis import strategies as st

import geodl as g
from geodl import domain, lowering
from geodl.lowering import LOWERINGS, Store, plans
from geodl.testing import assert_lowered_to, assert_parity
from tests.conformance import hold_kind, hold_lowering
from tests.strategies import Case, called, few
from tests.test_rules import RULES
from tests.toys import roll
from tests.toys.ladder import Ladder


@pytest.fixture
def registered(monkeypatch):
    """The toys, registered: a line for each."""
    monkeypatch.setattr(domain, "DOMAINS", (*domain.DOMAINS, Ladder))
    register(monkeypatch, roll.convolve)


def register(monkeypatch, entry):
    """A lowering of `convolve`, preferred to all others; plans made before it was there know
    nothing of it.
    """
    monkeypatch.setitem(LOWERINGS, "convolve", (entry, *LOWERINGS["convolve"]))
    monkeypatch.setattr(plans, "VALUES", Store())


@st.composite
def rings(draw: st.DrawFn) -> Case:
    """Windows that wrap around a ring and keep its length."""
    size, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    reach = dilation * (size - 1)
    low = draw(st.integers(0, reach))
    rule = g.window(size, axes=1, dilation=dilation, padding=((low, reach - low),))
    ring = g.Grid(draw(st.integers(max(1, reach), 9)), periodic=True)
    layer = g.Conv(draw(few), draw(few), rule, bias=draw(st.booleans()))
    return draw(called(layer, g.Batch([ring, ring]) if draw(st.booleans()) else ring))


def test_a_new_domain_is_a_domain(registered):
    assert domain.DOMAINS[-1] is Ladder
    assert hold_kind(domain.DOMAINS[-1], RULES) >= 30


@pytest.mark.parametrize(
    ("layer", "runs_on"),
    [
        (g.Conv(4, 3, g.adjacency("sym", self_loops=True)), "spmm"),
        (g.Conv(4, 3, g.all_pairs("orbit"), on=Ladder(4)), "edges"),
        (g.Conv(4, 3, g.itself()), "lattice"),
        (g.Attention(4, g.all_pairs(), 2), "sdpa"),
        (g.Attention(4, g.adjacency(self_loops=True), 2), "edge_softmax"),
        (g.Readout(), "blocks"),
    ],
    ids=lambda value: getattr(value, "label", value),
)
def test_a_new_domain_runs_on_what_is_there(layer, runs_on):
    s = g.Signal(torch.randn(2, 8, 4, dtype=torch.float64), Ladder(4))
    layer.double()
    assert_lowered_to(runs_on, layer, s)
    if runs_on != "edges":
        assert runs_on in assert_parity(layer, s)
    assert g.certify(layer, s.domain).violations == ()


def test_a_new_lowering_is_a_lowering(registered):
    hold_lowering("convolve", "roll", rings())
    layer, s = (
        g.Conv(4, 3, g.window(3, axes=1)),
        g.Signal(torch.randn(2, 6, 4), g.Grid(6, periodic=True)),
    )
    assert_lowered_to("roll", layer, s)
    assert layer.explain(g.Grid(6)).refused == (
        ("roll", "the rule is no plain window around a ring"),
    )
    g.set_lowering(layer, "roll")
    with pytest.raises(g.GeodlError, match="no plain window around a ring"):
        layer(g.Signal(torch.randn(2, 6, 4), g.Grid(6)))


def test_an_unregistered_lowering_is_unknown():
    with pytest.raises(g.GeodlError, match="roll"):
        g.Conv(4, 3, g.window(3, axes=1)).lowering = "roll"
    assert "roll" not in {
        entry.name for entries in lowering.LOWERINGS.values() for entry in entries
    }


def plan_off_by_one(call):
    turns = roll.convolve.plan(call)
    return turns._replace(first=turns.first + 1)


def forgets_the_bias(plan, x, weight, bias):
    return roll.convolve.run(plan, x, weight, None)


def cuts_a_gradient(plan, x, weight, bias):
    return roll.convolve.run(plan, x.detach(), weight, bias)


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ({"plan": plan_off_by_one}, "roll is off the reference by .* in the"),
        ({"run": forgets_the_bias}, "roll is off the reference by .* in the"),
        ({"run": cuts_a_gradient}, "roll is off the reference by .* in the gradient of input 0"),
        ({"refuses": lambda call: "it refuses too much"}, "roll refuses Conv"),
    ],
    ids=["off by one", "no bias", "no gradient", "refuses too much"],
)
def test_a_wrong_lowering_is_found(monkeypatch, fault, seen):
    register(monkeypatch, roll.convolve._replace(**fault))
    with pytest.raises(AssertionError, match=seen):
        hold_lowering("convolve", "roll", rings())


def test_a_lowering_that_refuses_too_little_is_found(monkeypatch):
    register(monkeypatch, roll.convolve._replace(refuses=lambda call: ""))
    s = g.Signal(torch.randn(2, 6, 4, dtype=torch.float64), g.Grid(6))
    with pytest.raises(AssertionError, match="roll is off the reference"):
        assert_parity(g.Conv(4, 3, g.window(3, axes=1)).double(), s)
