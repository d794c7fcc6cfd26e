"""A feature map over a group seen as one over a subgroup, and what arrives over each type apart."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import geodl as g
from geodl.testing import assert_lowered_to, error
from tests.bad_input import assert_refused

P4, P4M = g.C(4), g.D(4)
PAIRS = [(P4M, P4), (P4, g.C(2)), (P4M, g.C(2)), (P4M, g.D(1)), (P4M, g.D(2)), (P4M, g.C(1))]
PAIRS += [(P4M, P4M), (g.C(8), P4), (g.D(6), g.C(3))]
IN_SPACE = [(g.Oh(), g.O()), (g.O(), g.O().subgroup(g.O().generator_numbers[0]))]


def drawn(domain: g.Domain, channels: int, batch: int = 2) -> g.Signal:
    x = torch.randn(batch, domain.num_nodes, channels, dtype=torch.float64)
    return g.Signal(x, domain)


@st.composite
def maps(draw: st.DrawFn) -> tuple[g.Group, g.Group, g.Signal]:
    """A group, a part of it, and a feature map over the group."""
    group, part = draw(st.sampled_from(PAIRS + IN_SPACE))
    lengths = [draw(st.integers(1, 4)) for _ in range(group.axes)]
    periodic = tuple(draw(st.booleans()) for _ in lengths)
    domain = g.GroupGrid(g.Grid(*lengths, periodic=periodic), group)
    return group, part, drawn(domain, draw(st.integers(1, 3)), draw(st.sampled_from((0, 1, 3))))


@given(maps())
def test_channels_are_the_values_on_the_elements_of_cosets(case):
    """By hand: on h of H, block t has what h t had, for one t of every coset H t."""
    group, part, s = case
    layer = g.Restrict(group, part)
    y = layer(s)
    assert y.domain == s.domain.replace(s.domain.lattice, part, s.domain.periodic)
    index, channels = group.order // part.order, s.x.shape[2]
    points = s.domain.num_nodes // group.order
    before = s.x.unflatten(1, (points, group.order))
    after = y.x.unflatten(1, (points, part.order)).unflatten(3, (index, channels))
    inside, product = group.numbers_of(part).tolist(), group.tables.product
    seen = set()
    for t in range(index):
        representative = int(layer.rule.sheets()[0, t])
        for h in range(part.order):
            element = int(product[inside[h], representative])
            seen.add(element)
            assert after[:, :, h, t].equal(before[:, :, element])
    assert seen == set(range(group.order))
    layer.lowering = "edges"
    assert layer(s).x.equal(y.x)


@pytest.mark.parametrize(("group", "part"), PAIRS[:5] + IN_SPACE[1:], ids=str)
def test_every_element_of_the_subgroup(group, part):
    grid = g.Grid(*(4, 3, 2)[: group.axes])
    model = g.Sequential(
        g.Conv(1, 2, g.lift(3, group=group)),
        nn.Tanh(),
        g.Restrict(group, part),
        g.Conv(2 * group.order // part.order, 2, g.window(3, group=part)),
        g.Pool(g.fiber()),
    ).double()
    certificate = g.certify(model, grid)
    assert certificate.exact and certificate.group == part
    s = drawn(grid, 1)
    straight = model(s)
    for k in range(part.order):
        there = g.domain.turn_domain(grid, part, k)
        nodes = g.domain.rotate_nodes(grid, part, k)
        turned = model(g.Signal(g.symmetry.move(s.x, nodes), there))
        assert error(turned.x, g.symmetry.move(straight.x, nodes)) < 1e-12
    # What follows the restriction commutes with the part alone.
    with pytest.raises(g.GeodlError, match=f"not in {str(part)[:2]}"):
        g.certify(model, grid, group)


def test_what_is_lost_is_the_rest_of_the_group():
    """A p4m map turned over is another p4 map than the restricted one turned over."""
    grid = g.Grid(5, 5)
    model = g.Sequential(
        g.Conv(1, 2, g.lift(3, group=P4M)),
        g.Restrict(P4M, P4),
        g.Conv(4, 2, g.window(3, group=P4)),
        g.Pool(g.fiber()),
    ).double()
    mirror = g.D(1)
    assert max(g.equivariance_error(model, drawn(grid, 1), P4).values()) < 1e-12
    assert max(g.equivariance_error(model, drawn(grid, 1), mirror).values()) > 1e-2
    pooled = g.Sequential(*list(model)[:2], g.Pool(g.fiber(), "sum")).double()
    assert max(g.equivariance_error(pooled, drawn(grid, 1), P4).values()) < 1e-12


def test_a_view_where_elements_stand_so():
    layer, s = g.Restrict(P4, g.C(2)), drawn(g.GroupGrid(g.Grid(3, 3), P4), 2)
    assert layer(s).x.data_ptr() == s.x.data_ptr()
    for group, part in PAIRS:
        here = drawn(g.GroupGrid(g.Grid(2, 2), group), 3)
        assert_lowered_to("regroup", g.Restrict(group, part), here)


def test_the_rule_in_other_layers():
    """Learned maps of what cosets hold, pools of it, and the way back."""
    domain = g.GroupGrid(g.Grid(3, 4), P4M)
    rule, s = g.restriction(P4M, P4), drawn(domain, 3)
    mixed, apart = g.Conv(3, 5, rule).double(), g.Restrict(P4M, P4)(s).x
    assert error(mixed(s).x, apart @ mixed.weight.flatten(0, 1) + mixed.bias) < 1e-12
    pooled = g.Pool(rule, "mean")(s)
    assert error(pooled.x, apart.unflatten(2, (2, 3)).mean(2)) < 1e-12
    back = g.Conv(4, 3, rule.reverse()).double()
    assert back(drawn(pooled.domain, 4)).domain == domain
    for layer, source in ((mixed, domain), (g.Pool(rule), domain), (back, pooled.domain)):
        certificate = g.certify(layer, source)
        assert certificate.exact and certificate.group == P4, str(certificate)


def test_patches_are_those_of_torch():
    """Torch counts channels first, then places of the window."""
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    s = g.Signal.image(x)
    patches = g.Propagate(g.window(3), join="concat")(s).to_image()
    wanted = nn.functional.unfold(x, 3, padding=1).unflatten(1, (3, 9)).transpose(1, 2)
    assert error(patches.flatten(2), wanted.flatten(1, 2)) < 1e-12
    halves = g.Signal.image(x[..., :4, :])
    deep = g.Propagate(g.window(2, stride=2), join="concat")(halves).to_image()
    unshuffled = nn.functional.pixel_unshuffle(x[..., :4, :], 2).unflatten(1, (3, 4))
    assert error(deep, unshuffled.transpose(1, 2).flatten(1, 2)) < 1e-12
    relations = g.Graph([[0, 1, 2], [1, 2, 0]], 3, edge_type=[0, 1, 0])
    layer = g.Propagate(g.adjacency(types=2), join="concat")
    assert "concat" in str(layer) and layer(drawn(relations, 2)).x.shape == (2, 3, 4)


BAD = {
    "a name": (lambda: g.restriction("D4", P4), "a str and a Group", "D(4) and C(4)"),
    "no part": (lambda: g.Restrict(P4, P4M), "D4, which is no such subgroup", "C4.subgroup("),
    "no lattice": (lambda: g.restriction(g.S(4), g.S(4)), "S4, which is no such", "subgroup"),
    "another fiber": (
        lambda: g.Restrict(P4M, P4)(drawn(g.GroupGrid(g.Grid(2, 2), P4), 1)),
        "not one of C4",
        "fits the domain",
    ),
    "no fiber": (
        lambda: g.Restrict(P4M, P4)(drawn(g.Grid(2, 2), 1)),
        "use it after lift(..., group=D4)",
        "fits the domain",
    ),
    "cosets": (
        lambda: g.Restrict(P4M, P4)(
            drawn(g.fiber(g.C(2)).target(g.GroupGrid(g.Grid(2, 2), P4M)), 1)
        ),
        "not one of D4/C2",
        "fits the domain",
    ),
    "back from elsewhere": (
        lambda: g.Propagate(g.restriction(P4M, P4).reverse())(drawn(g.Grid(2, 2), 1)),
        "no fiber of C4",
        "C4 stands over each point",
    ),
    "another join": (lambda: g.Propagate(g.window(3), join="cat"), "", "concat"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_in_words(name):
    call, found, do = BAD[name]
    assert_refused((call, "", found, do))
