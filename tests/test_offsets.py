"""All pairs over a fiber, by relative offset and group element."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import geodl as g
from geodl.symmetry import move
from geodl.testing import assert_parity, error
from tests.bad_input import assert_refused

RULE = g.all_pairs("offset")
PLANE = [g.C(2), g.C(4), g.D(1), g.D(4)]


@st.composite
def fibered(draw: st.DrawFn) -> g.Domain:
    group = draw(st.sampled_from(PLANE))
    lengths = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    periodic = draw(st.booleans()), draw(st.booleans())
    return g.GroupGrid(g.Grid(*lengths, periodic=periodic), group)


def randomised(layer):
    layer = layer.double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


@given(fibered())
def test_proved_on_any_lattice_oblong_ones_as_a_pair(domain):
    certificate = g.certify(RULE, domain, domain.fiber)
    assert certificate.exact and not certificate.violations, str(certificate)
    kinds = RULE.edges(domain).type
    assert int(kinds.max()) < RULE.num_types(domain)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("group", [*PLANE, g.O()], ids=str)
def test_every_element_on_numbers(group, periodic):
    length = 5 - group.axes  # three in the plane, two in space
    domain = g.GroupGrid(g.Grid(*[length] * group.axes, periodic=periodic), group)
    convolution = randomised(g.Conv(2, 3, RULE, on=domain))
    attention = randomised(g.Attention(2, RULE, 2, relative=True, on=domain))
    x = torch.randn(2, domain.num_nodes, 2, dtype=torch.float64)
    for layer in (convolution, attention):
        straight = layer(x)
        for k in range(group.order):
            nodes = g.domain.rotate_nodes(domain, group, k)
            assert error(layer(move(x, nodes)), move(straight, nodes)) < 1e-11


def test_it_is_the_widest_window():
    """Of the same numbers of types, so that one state fits both."""
    domain = g.GroupGrid(g.Grid(3, 3), g.D(4))
    pairs = randomised(g.Conv(2, 3, RULE, on=domain))
    window = g.Conv(2, 3, g.window(5, group=g.D(4))).double()
    window.load_state_dict(pairs.state_dict())
    x = torch.randn(2, 72, 2, dtype=torch.float64)
    assert error(pairs(x), window(g.Signal(x, domain)).x) < 1e-12


def test_on_a_torus_its_types_are_the_orbits():
    for group in (g.C(4), g.D(1), g.D(4)):
        domain = g.GroupGrid(g.Grid(3, 3, periodic=True), group)
        labels, kinds = g.orbits(domain).flatten(), RULE.edges(domain).type
        both = torch.stack((labels, kinds)).unique(dim=1)
        assert both.shape[1] == int(labels.max()) + 1 == RULE.num_types(domain)


def test_kernels_agree_in_values_and_gradients():
    domain = g.GroupGrid(g.Grid(2, 3), g.C(4))
    s = g.Signal(torch.randn(2, 24, 2, dtype=torch.float64), domain)
    convolution = randomised(g.Conv(2, 3, RULE, on=domain))
    attention = randomised(g.Attention(2, RULE, 2, relative=True, on=domain))
    assert "lattice" in assert_parity(convolution, s) and "sdpa" in assert_parity(attention, s)


BAD = {
    "cosets": (g.fiber(g.C(2)).target(g.GroupGrid(g.Grid(2, 2), g.D(4))), "not cosets"),
    "turns between lattice points": (g.GroupGrid(g.Grid(2, 2), g.C(8)), "all_pairs('orbit')"),
    "no lattice": (g.Complete(3), "need a lattice"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_in_words(name):
    domain, found = BAD[name]
    assert_refused((lambda: g.Conv(1, 1, RULE, on=domain), "all_pairs('offset')", found, ""))
