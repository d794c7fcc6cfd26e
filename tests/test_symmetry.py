"""Certificates in integers, and errors in numbers: exact where it is, O(1) where it is not, nothing
for nothing.
"""

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models
from tests.conformance import accepts

P4 = g.C(4)


def noise(domain: g.Domain, channels: int = 2) -> g.Signal:
    generator = torch.Generator().manual_seed(0)
    return g.Signal(
        torch.randn(2, domain.num_nodes, channels, generator=generator, dtype=torch.float64), domain
    )


def worst(module: nn.Module, domain: g.Domain, group: g.Group | None, channels: int = 2) -> float:
    torch.manual_seed(0)
    return max(g.equivariance_error(module.double(), noise(domain, channels), group).values())


CLAIMS = {
    "lift": (g.lift(3, group=P4), g.Grid(5, 5)),
    "even lift": (g.lift(2, group=g.D(4), padding="valid"), g.Grid(4, 4)),
    "p4": (g.window(3, group=P4), g.GroupGrid(g.Grid(4, 4), P4)),
    "p4m": (g.window(3, group=g.D(4)), g.GroupGrid(g.Grid(3, 3), g.D(4))),
    "torus": (g.window(3, group=P4), g.GroupGrid(g.Grid(4, 4, periodic=True), P4)),
    "isotropic": (g.isotropic(3, group=g.D(4)), g.Grid(4, 4)),
    "strided": (g.lift(3, group=P4, stride=2, padding="valid"), g.Grid(5, 5)),
    "transposed": (g.window(2, group=P4, stride=2).reverse(), g.GroupGrid(g.Grid(2, 2), P4)),
    "axes that a mirror does not exchange": (
        g.lift((3, 5), group=g.D(1), stride=(2, 1)),
        g.Grid(4, 6),
    ),
    "cube": (g.lift(2, group=g.O(), padding="valid"), g.Grid(3, 3, 3)),
    "mirrored cube": (g.isotropic(3, group=g.Oh()), g.Grid(3, 3, 3)),
    "fiber": (g.fiber(), g.GroupGrid(g.Grid(3, 3), P4)),
    "graph": (g.adjacency("sym", self_loops=True), g.Complete(5)),
    "set": (g.all_pairs("self"), g.Complete(5)),
    "orbit": (g.all_pairs("orbit"), g.GSet([[1, 2, 3, 4, 0]])),
    "offset": (g.all_pairs("offset"), g.Grid(6, periodic=True)),
    "itself": (g.itself(), g.Complete(4)),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_proved_and_measured(name):
    rule, domain = CLAIMS[name]
    certificate = g.certify(rule, domain)
    assert certificate.exact and certificate.proved and not certificate.violations, str(certificate)
    assert (
        worst(g.Conv(2, 3, rule, on=None if rule.num_edge_types else domain), domain, None) < 1e-12
    )


def test_shifts_hold_away_from_the_border():
    bounded, torus = (
        g.certify(g.window(3), g.Grid(5, 5)),
        g.certify(g.window(3), g.Grid(5, 5, periodic=True)),
    )
    assert (
        not bounded.exact
        and bounded.interior == ("shift of axis 0", "shift of axis 1")
        and not bounded.violations
    )
    assert (
        torus.exact
        and torus.proved == ("shift of axis 0", "shift of axis 1")
        and not torus.interior
    )
    assert worst(g.Conv(2, 3, g.window(3)), g.Grid(5, 5), None) < 1e-12


def test_a_cnn_does_not_turn():
    certificate = g.certify(g.Conv(1, 1, g.window(3)), g.Grid(5, 5), P4)
    assert not certificate.exact and not certificate.proved
    assert "it carries an edge to 0 <- 0 of type 4" not in certificate.violations[0]
    assert (
        "C4 element 1" in certificate.violations[0]
        and "where there is none of that type" in certificate.violations[0]
    )
    assert worst(g.Conv(2, 3, g.window(3)), g.Grid(5, 5), P4) > 0.1
    assert g.certify(g.Pool(g.window(3)), g.Grid(5, 5), P4).exact, "pooling is blind to types"


def test_models_at_the_users_size():
    grid = g.Grid(28, 28)
    certificate = g.certify(models.p4cnn(), grid)
    assert certificate.exact and certificate.group == P4 and certificate.proved == ("C4 element 1",)
    planar = g.certify(models.z2cnn(), grid, P4)
    assert not planar.exact and planar.violations[0].startswith("0: window(3x3, padding=0)")
    assert (
        g.certify(models.digits_p4cnn(), g.Grid(8, 8)).exact
        and not g.certify(models.digits_cnn(), g.Grid(8, 8), P4).exact
    )
    with pytest.raises(g.GeodlError, match=r"Grid\(23, 23\), C4.*sizes of 28 x 28 and 30 x 30 of"):
        g.certify(models.p4cnn(), g.Grid(27, 27))


def test_approximate_where_asked_for():
    rule = g.lift(3, group=P4, stride=2, padding="valid", exact=False)
    certificate = g.certify(rule, g.Grid(6, 6), P4)
    assert not certificate.exact and certificate.violations
    assert worst(g.Conv(2, 3, rule), g.Grid(6, 6), P4) > 0.1
    assert g.certify(rule, g.Grid(5, 5), P4).exact


def test_nothing_checked_is_not_exact():
    for subject, domain in (
        (g.adjacency("sym", self_loops=True), g.Graph([[0], [1]])),
        (g.past(), g.Chain(3)),
        (nn.ReLU(), g.Grid(3, 3)),
        (g.Sequential(nn.ReLU()), g.Grid(3, 3)),
        (g.window(3, axes=1), g.Chain(3)),
    ):
        certificate = g.certify(subject, domain)
        assert not certificate.exact and not certificate.proved and not certificate.violations
    assert "nothing to check" in str(g.certify(g.past(), g.Chain(3)))


def test_the_identity_holds_for_any_model_that_runs():
    for subject in (g.lift(3, group=g.C(1)), g.Conv(1, 1, g.window(3)), Named()):
        certificate = g.certify(subject, g.Grid(3, 3), g.C(1))
        assert certificate.exact and not certificate.violations
        assert "the identity, which claims nothing" in str(certificate)
    with pytest.raises(g.GeodlError, match="use a group that acts on the lattice"):
        g.certify(g.window(3, axes=1), g.Chain(3), g.C(1))


class Named(g.Layer):
    """A layer with code of its own: it depends on the names of the nodes."""

    def __init__(self):
        super().__init__()
        self.conv = g.Conv(2, 2, g.isotropic(3, group=P4))

    def compute(self, receiver, sender, rule):
        y = self.conv(receiver)
        return g.Signal(y.x * torch.arange(y.domain.num_nodes).to(y.x)[:, None], y.domain)


class Pair(nn.Module):
    """The message of one sender, as it is."""

    def forward(self, x_i, x_j, e_ij):
        return x_j


class Configured(nn.Sequential):
    """A name for a row of layers, without code of its own."""


def test_code_between_layers_is_no_certificate():
    turning, on = g.isotropic(3, group=P4), g.Grid(5, 5)
    placed = [g.Conv(2, 2, turning, on=on), nn.ReLU()]
    assert (
        g.certify(Configured(*placed), on, P4).exact
        and g.certify(nn.Sequential(*placed), on, P4).exact
    )
    for model in (
        Named(),
        nn.Sequential(*placed, nn.Flatten(), nn.Linear(50, 3)),
        nn.Sequential(nn.BatchNorm1d(25), *placed),
    ):
        certificate = g.certify(model, on, P4)
        assert not certificate.exact and "code of its own" in certificate.violations[-1]
    assert worst(Named(), on, P4) > 0.1
    hooked = g.Conv(2, 2, turning)
    hooked.register_forward_hook(
        lambda layer, args, y: g.Signal(y.x * torch.arange(25.0)[:, None], y.domain)
    )
    given = g.Message(lambda x_i, x_j, e_ij: x_j * torch.arange(x_j.shape[1])[:, None], turning)
    for layer in (hooked, given, g.Message(Pair(), turning, update=lambda x_i, y_i: y_i.flip(1))):
        assert (
            not g.certify(layer, on, P4).exact and not g.certify(g.Sequential(layer), on, P4).exact
        )
    with pytest.raises(g.GeodlError, match="certify it there"):
        g.certify(nn.Sequential(*placed), g.Grid(4, 4), P4)
    with pytest.raises(g.GeodlError, match="give a rule, a layer or a model"):
        g.certify("p4", on)


def test_layers_behind_a_readout_stay():
    net = g.Sequential(
        g.Conv(2, 3, g.lift(3, group=P4)), g.Pool(g.fiber()), g.Readout(), g.Conv(3, 2, g.itself())
    )
    assert g.certify(net, g.Grid(5, 5), P4).exact and worst(net.double(), g.Grid(5, 5), P4) < 1e-12
    for refused in (
        lambda: g.certify(g.adjacency("sym", self_loops=True), g.Graph([[0], [1]]), P4),
        lambda: worst(g.Readout(), g.Complete(3), P4),
    ):
        with pytest.raises(g.GeodlError, match="a domain without a lattice"):
            refused()


def test_the_first_layer_that_breaks_it_is_named():
    net = g.Sequential(
        g.Pool(g.window(2, stride=2)),
        g.BatchNorm(3),
        g.Conv(3, 2, g.lift(3, group=P4)),
        g.Residual(nn.ReLU()),
        g.Pool(g.fiber()),
        g.Conv(2, 2, g.window(3)),
        g.Readout(),
    )
    net.train()
    certificate = g.certify(net, g.Grid(6, 6), P4)
    assert not certificate.exact and [v.split(":")[0] for v in certificate.violations] == ["5"]
    assert net.training and net[1].training and int(net[1].num_batches_tracked) == 0, (
        "a certificate leaves no trace"
    )
    assert g.certify(g.Sequential(*list(net)[:5], net[6]), g.Grid(6, 6)).exact


def test_attention_and_its_bias():
    grid = g.Grid(4, 4)
    assert g.certify(g.Attention(8, g.window(3)), grid, P4).exact, (
        "without a bias attention is blind to types"
    )
    assert not g.certify(g.Attention(8, g.window(3), relative=True), grid, P4).exact
    assert g.certify(g.Attention(8, g.isotropic(3, group=P4), relative=True), grid, P4).exact


@pytest.mark.parametrize("group", [g.C(2), g.C(4), g.D(2), g.D(4)], ids=str)
def test_every_element_on_numbers(group):
    domain = g.Grid(5, 5)
    lifted, inner = g.Conv(2, 3, g.lift(3, group=group)), g.Conv(3, 2, g.window(3, group=group))
    net = g.Sequential(lifted, nn.Tanh(), inner, g.Pool(g.fiber())).double()
    s = noise(domain)
    straight = net(s).x
    for element in range(group.order):
        to = g.domain.rotate_nodes(domain, group, element)
        moved = torch.empty_like(s.x)
        moved[:, to] = s.x
        assert (net(g.Signal(moved, domain)).x[:, to] - straight).abs().max() < 1e-12


def test_a_part_of_the_group_holds_too():
    net = g.Conv(1, 2, g.window(3, group=g.D(4)))
    domain = g.GroupGrid(g.Grid(3, 3), g.D(4))
    for part in (g.C(2), g.C(4), g.D(2)):
        assert g.certify(net, domain, part).exact
    with pytest.raises(g.GeodlError, match="not in C4"):
        g.certify(g.Conv(1, 2, g.window(3, group=P4)), g.GroupGrid(g.Grid(3, 3), P4), g.D(4))
    with pytest.raises(g.GeodlError, match="use a group that acts on the lattice"):
        g.certify(g.window(3), g.Grid(5, 5), g.O())


def test_the_group_must_be_named_between_two_domains():
    with pytest.raises(g.GeodlError, match="name the group"):
        g.equivariance_error(g.Sequential(g.Pool(g.window(2, stride=2))), noise(g.Grid(4, 4)))
    assert worst(g.Sequential(g.Readout()), g.Grid(4, 4), None) < 1e-12


RULES = [
    g.adjacency("sym", self_loops=True),
    g.adjacency("row", self_loops=True),
    g.predecessors(),
    g.past(),
    g.previous(),
    g.fiber(),
    g.whole(),
    g.itself(),
    *(g.all_pairs(by) for by in (None, "self", "offset", "orbit")),
    *(g.window(3, axes=d) for d in (1, 2, 3)),
    g.window(2, stride=2),
    g.window(3, group=P4),
    g.lift(3, group=P4),
    g.isotropic(3, group=g.D(4)),
    g.window(3, axes=1, stride=2),
    g.window(2, axes=1, stride=2).reverse(),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_no_rule_claims_what_it_does_not_keep(rule):
    domains = [
        domain for kind in g.domain.DOMAINS for domain in kind.small() if accepts(rule, domain)
    ]
    assert domains
    for domain in domains:
        certificate = g.certify(rule, domain)
        assert not certificate.violations, str(certificate)
        assert len(certificate.proved) + len(certificate.interior) == len(
            {c.name for c in rule.symmetries(domain)}
        )
