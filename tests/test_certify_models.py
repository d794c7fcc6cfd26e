"""Certificates of models of two signals, of oblong images, and of what is no model or no domain."""

import io
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models
from geodl.testing import assert_equivariant

P4, GRID = g.C(4), g.Grid(5, 5)
SQUARE, OBLONG = g.Signal.image(torch.randn(1, 1, 5, 5)), g.Signal.image(torch.randn(1, 1, 4, 6))


def crossed(relative: bool = False) -> g.Sequential:
    """Queries that read from a second signal."""
    attention = g.Attention(8, g.all_pairs("self"), 2, relative=True)
    own = [g.Residual(attention)] if relative else []
    return g.Sequential(
        *own, g.Residual(nn.LayerNorm(8), g.Cross(g.Attention(8, g.all_pairs(), 2)))
    )


def encoder(rule: g.Neighborhood) -> g.Sequential:
    pooled = [] if rule.group is None else [g.Pool(g.fiber())]
    return g.Sequential(g.Conv(3, 8, rule), *pooled, nn.ReLU())


def test_two_signals_under_a_group():
    queries = g.Complete(3)
    turning = g.layer.EncoderDecoder(encoder(g.lift(3, group=P4)), crossed())
    certificate = g.certify(turning, (queries, GRID))
    assert certificate.exact and certificate.group == P4, str(certificate)
    assert str(certificate).startswith(
        "EncoderDecoder on Complete(3) <- Grid(5, 5): exact under C4"
    )
    planar = g.layer.EncoderDecoder(encoder(g.window(3)), crossed())
    certificate = g.certify(planar, (queries, GRID), P4)
    assert not certificate.exact
    assert [violation.split(":")[0] for violation in certificate.violations] == ["encoder.0"]


def test_two_signals_under_their_rules_own_claims():
    for domains in ((g.Complete(3), g.Complete(5)), (g.Complete(4), g.Complete(4))):
        for model in (crossed(), crossed(relative=True)):
            certificate = g.certify(model, domains)
            assert certificate.exact, str(certificate)
            assert certificate.proved == ("exchange or cycle 1", "exchange or cycle 2")
    for order in ((0, 1, 2), (2, 0, 1)):
        x, memory = torch.randn(1, 3, 8), g.Signal(torch.randn(1, 5, 8), g.Complete(5))
        model = crossed(relative=True)
        y = model(g.Signal(x, g.Complete(3)), memory).x
        moved = model(g.Signal(x[:, list(order)], g.Complete(3)), memory).x
        assert (moved - y[:, list(order)]).abs().max() < 1e-5, "what was proved is seen"


def test_code_between_two_signals_is_found():
    class Numbered(nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = crossed()

        def forward(self, target, source):
            numbers = torch.arange(source.domain.num_nodes)[:, None]
            return self.decoder(target, g.Signal(source.x * numbers, source.domain))

    domains = (g.Complete(3), g.Complete(5))
    certificate = g.certify(Numbered(), domains)
    assert not certificate.exact and "code of its own" in certificate.violations[0]


@pytest.mark.parametrize(
    "make", [models.seq2seq, models.seq2seq_attention, models.transformer], ids=lambda m: m.__name__
)
def test_encoders_and_decoders_are_no_code_of_their_own(make):
    sizes = {"heads": 2, "depth": 1} if make is models.transformer else {"hidden": 8}
    certificate = g.certify(make(7, 7, channels=8, **sizes), (g.Chain(4), g.Chain(5)))
    assert not certificate.exact and not certificate.proved
    assert all("by where they stand" in violation for violation in certificate.violations)


def test_signals_in_place_of_domains():
    model = nn.Sequential(g.Conv(1, 2, g.isotropic(3, group=P4)))
    assert g.certify(model, SQUARE).exact and g.certify(model[0], SQUARE).exact
    target, source = (g.Signal(torch.randn(2, n, 8), g.Complete(n)) for n in (3, 5))
    assert g.certify(crossed(), (target, source)).exact
    assert g.certify(crossed(), (target, g.Complete(5))).exact
    assert g.certify(g.all_pairs(), (g.Complete(3), g.Complete(5))).exact


def test_one_domain_for_a_model_of_two_signals_is_refused():
    with pytest.raises(g.GeodlError, match=r"a model of two signals.*\(receivers, senders\)"):
        g.certify(crossed(), g.Complete(3))


OBLONG_RULES = {
    "lifted": g.lift(3, group=P4),
    "mirrored": g.isotropic(3, group=g.D(4)),
    "even": g.lift(2, group=g.D(4), padding="valid"),
    "strided": g.lift(3, group=P4, stride=2, padding="valid"),
    "dilated": g.isotropic(3, group=g.D(4), dilation=2, stride=2, padding=2),
}


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("lengths", [(5, 7), (4, 7), (6, 4)], ids=str)
@pytest.mark.parametrize("name", OBLONG_RULES)
def test_oblong_images_are_accepted_exactly_where_the_turned_pair_is_proved(
    name, lengths, periodic
):
    rule, domain = OBLONG_RULES[name], g.Grid(*lengths, periodic=periodic)
    loose = replace(rule, exact=False)
    certificate = g.certify(g.Sequential(g.Conv(1, 2, loose), nn.ReLU()), domain, rule.group)
    try:
        rule.target(domain)
        accepted = True
    except g.GeodlError:
        accepted = False
    assert accepted == certificate.exact == (not certificate.violations), str(certificate)
    x = torch.randn(1, 1, *lengths, dtype=torch.float64)
    errors = g.equivariance_error(g.Conv(1, 2, loose).double(), g.Signal(x.view(1, -1, 1), domain))
    if accepted:
        turns = [f"{rule.group} element {k}" for k in rule.group.generator_numbers]
        assert set(turns) <= set(certificate.proved)
        assert max(errors.values(), default=0.0) < 1e-12


@pytest.mark.parametrize("group", [P4, g.D(4)], ids=str)
@pytest.mark.parametrize("lengths", [(9, 9), (8, 8), (9, 13), (8, 10)], ids=str)
def test_every_element_turns_a_whole_network_at_odd_even_and_oblong_sizes(group, lengths):
    """What is proved is seen, for every element: 4 x 6 turned is 6 x 4, with the same numbers."""
    torch.manual_seed(0)
    stride, last = (2, 3) if lengths[0] % 2 else (1, 2)
    net = g.Sequential(
        g.Conv(1, 2, g.lift(3, group=group, stride=stride)),
        nn.Tanh(),
        g.Conv(2, 3, g.window(last, group=group, padding="valid")),
        g.Pool(g.fiber()),
    ).double()
    domain = g.Grid(*lengths)
    assert g.certify(net, domain).exact
    s = g.Signal(torch.randn(1, domain.num_nodes, 1, dtype=torch.float64), domain)
    straight = net(s)
    for k in range(group.order):
        turned = g.domain.turn_domain(domain, group, k)
        there = g.domain.rotate_nodes(domain, group, k)
        answer = net(g.Signal(g.symmetry.move(s.x, there), turned))
        assert answer.domain == g.domain.turn_domain(straight.domain, group, k)
        back = answer.x[:, g.domain.rotate_nodes(straight.domain, group, k)]
        assert (back - straight.x).abs().max() < 1e-11
    assert max(g.equivariance_error(net, s).values()) < 1e-11
    assert_equivariant(net, s)


def test_boxes_with_the_rotations_of_the_cube():
    rule = g.lift(2, group=g.O(), padding="valid")
    certificate = g.certify(rule, g.Grid(2, 3, 4))
    assert certificate.exact and len(certificate.proved) == 2, str(certificate)
    layer = g.Conv(1, 1, rule).double()
    s = g.Signal(torch.randn(1, 24, 1, dtype=torch.float64), g.Grid(2, 3, 4))
    assert max(g.equivariance_error(layer, s, g.O()).values()) < 1e-11


def test_what_an_oblong_image_breaks_is_found():
    certificate = g.certify(g.Conv(1, 2, g.window(3)), g.Grid(4, 6), P4)
    assert not certificate.exact and "C4 element 1" in certificate.violations[0]
    assert "not exact under C4" in str(certificate)
    wide = g.Conv(1, 2, g.window((3, 5)))
    assert not g.certify(g.Sequential(wide, g.Readout()), g.Grid(6, 6), P4).exact


class Leaning(nn.Module):
    """Another layer for wide images than for tall ones."""

    def __init__(self):
        super().__init__()
        self.wide = g.Conv(1, 2, g.isotropic(3, group=P4))
        self.tall = g.Conv(1, 2, g.isotropic(3, group=P4))

    def forward(self, image):
        height, width = image.domain.lattice
        return self.wide(image) if width > height else self.tall(image)


def test_a_model_that_goes_another_way_on_the_turned_image_is_not_exact():
    certificate = g.certify(Leaning(), g.Grid(4, 6))
    assert "on Grid(6, 4) the model goes another way" in certificate.violations[0]
    assert g.certify(Leaning(), g.Grid(5, 5)).exact
    assert max(g.equivariance_error(Leaning(), OBLONG, P4).values()) > 1e-3
    shaped = g.Sequential(
        g.Conv(1, 2, g.isotropic(3, group=P4)), g.Pool(g.window((2, 3), padding="valid"))
    )
    assert not g.certify(shaped, g.Grid(4, 6)).exact
    halved = g.Sequential(g.Pool(g.window((2, 1), stride=(2, 1))), g.Conv(1, 2, shaped[0].rule))
    assert g.equivariance_error(halved, OBLONG) == {"C4 element 1": math.inf}
    certificate = g.certify(halved, g.Grid(4, 6))
    assert "the model goes another way" in certificate.violations[0]


def test_layers_built_on_an_oblong_domain_exist_there_alone():
    layer = g.Conv(1, 2, g.isotropic(3, group=P4), on=g.Grid(4, 6))
    certificate = g.certify(layer, g.Grid(4, 6))
    assert not certificate.exact and "leads to Grid(6, 4), where it does not" in str(certificate)
    for check in (g.equivariance_error, assert_equivariant):
        with pytest.raises(g.GeodlError, match=r"built with on=, and C4 element 1, which leads to"):
            check(layer, OBLONG, P4)
    assert max(g.equivariance_error(layer, OBLONG, g.C(2)).values()) < 1e-6


def test_signals_are_turned_with_their_values():
    model = g.Sequential(g.Embedding(5, 2), g.Conv(2, 2, g.isotropic(3, group=P4)))
    numbers = g.Signal(torch.arange(24).remainder(5).view(1, 24, 1), g.Grid(4, 6))
    assert g.certify(model, numbers).exact
    edges = g.Signal(torch.randn(1, 24, 2), g.Grid(4, 6), torch.randn(1, 76, 1))
    with pytest.raises(g.GeodlError, match="a state of edges"):
        g.certify(model[1], edges)


def test_the_models_own_group_is_measured_and_named():
    net = models.digits_p4cnn().double().eval()
    s = g.Signal.image(torch.randn(1, 1, 8, 8, dtype=torch.float64))
    assert list(g.equivariance_error(net, s)) == ["C4 element 1"]
    assert max(g.equivariance_error(net, s).values()) < 1e-12
    assert_equivariant(net, s)
    mirrored = g.Sequential(g.Conv(1, 2, g.isotropic(3, group=g.D(4))), g.Readout())
    assert list(g.equivariance_error(mirrored, SQUARE)) == ["D4 element 1", "D4 element 4"]
    planar = models.digits_cnn()
    with pytest.raises(AssertionError, match="off by"):
        assert_equivariant(planar, g.Signal.image(torch.randn(1, 1, 8, 8)), P4)


def staged(first: g.Group, second: g.Group) -> g.Sequential:
    """Two parts, each equivariant under a group of its own."""
    return g.Sequential(
        g.Conv(1, 2, g.lift(3, group=first)),
        g.Pool(g.fiber()),
        g.Conv(2, 2, g.lift(3, group=second)),
        g.Pool(g.fiber()),
    )


@pytest.mark.parametrize(("first", "second"), [(P4, g.C(2)), (g.C(2), P4), (g.D(4), P4)], ids=str)
def test_a_model_of_several_groups_has_the_one_that_lies_in_all(first, second):
    model, shared = staged(first, second).double(), min(first, second, key=lambda g: g.order)
    certificate = g.certify(model, GRID)
    assert certificate.exact and certificate.group == shared, str(certificate)
    errors = g.equivariance_error(model, g.Signal(torch.randn(1, 25, 1).double(), GRID))
    assert errors and all(name.startswith(str(shared)) for name in errors)
    assert max(errors.values()) < 1e-12, "what was proved is seen"


def test_values_that_are_no_numbers_have_an_infinite_error():
    errors = g.equivariance_error(TURNING, SQUARE.map(lambda x: x * math.nan))
    assert set(errors.values()) == {math.inf}


def test_a_measurement_leaves_a_model_as_it_was():
    net = g.Sequential(g.Conv(1, 2, g.lift(3, group=P4)), g.BatchNorm(2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert max(g.equivariance_error(net, SQUARE).values()) < 1e-5
    on_nodes = g.Sequential(g.Conv(1, 2, g.itself()), net[1])
    g.testing.assert_permutation_equivariant(on_nodes, g.Signal(SQUARE.x, g.Complete(25)))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training and net[1].training


TURNING = g.Conv(1, 2, g.lift(3, group=P4))
REFUSED = {
    "groups that share a part": (
        lambda: g.certify(staged(P4, g.D(2)), GRID),
        "rules of C4 and D2, none of which lies in all others; name the group",
    ),
    "a shape": (lambda: g.certify(TURNING, (5, 5)), "a int; give a domain"),
    "a name": (lambda: g.certify(TURNING, "grid"), "a str; give a domain"),
    "a tensor": (lambda: g.certify(TURNING, torch.zeros(1)), "a Tensor; give a domain"),
    "three domains": (lambda: g.certify(TURNING, (GRID,) * 3), "3 domains; give one"),
    "a group's name": (lambda: g.certify(TURNING, GRID, "C4"), "a str; give a group"),
    "a group's order": (lambda: g.certify(g.lift(3, group=P4), GRID, 4), "a int; give a group"),
    "dropout": (
        lambda: g.equivariance_error(g.Sequential(TURNING, g.Dropout(0.5)), SQUARE),
        "another answer at each call; measure without dropout",
    ),
    "values": (lambda: g.equivariance_error(TURNING, SQUARE.x), "a Tensor; give a Signal"),
    "a domain": (lambda: g.equivariance_error(TURNING, GRID), "a Grid; give a Signal"),
    "a group by name": (lambda: g.equivariance_error(TURNING, SQUARE, "C4"), "a str; give a group"),
    "orbits of a shape": (lambda: g.orbits((5, 5)), "a tuple; give a domain"),
    "orbits of values": (lambda: g.orbits(SQUARE), "a Signal; give a domain"),
    "tying of a shape": (lambda: g.viz.tying(g.window(3), (5, 5)), "a tuple; give a domain"),
    "tying of a layer": (lambda: g.viz.tying(TURNING, GRID), "a Conv; give a rule"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_words(name):
    call, words = REFUSED[name]
    with pytest.raises(g.GeodlError, match=words):
        call()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal_where_it_takes_its_time(monkeypatch, capsys):
    model = g.Sequential(TURNING, g.Pool(g.fiber()))
    screen = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", screen)
        g.certify(model, GRID)
        assert not screen.getvalue(), "a quick one is silent"
        patch.setattr("geodl.symmetry.progress.DELAY", 0)
        g.certify(model, GRID)
    assert "layers" in screen.getvalue() and "claims" in screen.getvalue()
    g.certify(model, GRID)
    assert not capsys.readouterr().err, "no terminal, no bar"


def test_a_model_without_layers_is_code_of_its_own():
    certificate = g.certify(nn.Conv2d(1, 1, 3), GRID)
    assert not certificate.exact and "code of its own" in certificate.violations[0]


DOMAINS = [g.Grid(6, periodic=True), g.GSet(g.S(3)), g.Complete(4)]


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_an_invariant_head_behind_a_layer_of_orbits(domain):
    layers = [g.Conv(2, 3, g.all_pairs("orbit"), on=domain), nn.ReLU(), g.Conv(3, 3, g.itself())]
    model = g.Sequential(*layers, g.Readout())
    certificate = g.certify(model, domain)
    assert certificate.exact and len(certificate.proved) == len(domain.generators())
    layers[2].register_forward_hook(lambda _, given, y: y.map(lambda x: x.cumsum(1)))
    assert not g.certify(model, domain).exact


def test_values_of_all_nodes_spread_over_them_again():
    """Squeeze and excitation: what `whole().reverse()` spreads over is known from the call."""
    net = g.Network(
        "x",
        {
            "conv": (g.Conv(1, 2, g.window(3)), "x"),
            "mean": (g.Readout("mean"), "conv"),
            "gate": (nn.Sigmoid(), "mean"),
            "spread": (g.Pool(g.whole().reverse(), "sum"), "conv", "gate"),
            "y": ("mul", "conv", "spread"),
        },
    )
    certificate = g.certify(net, g.Grid(4, 5, periodic=True))
    assert certificate.exact and certificate.proved == ("shift of axis 0", "shift of axis 1")
    placed = g.Network("x", {"tell": (g.LearnedPositions(20, 1), "x"), "y": (net, "tell")})
    assert not g.certify(placed, g.Grid(4, 5, periodic=True)).exact
