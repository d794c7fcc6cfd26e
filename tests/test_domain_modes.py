"""Domains that are made under somebody else's mode: real tensors, fit for every later call; tensors
without values are refused in words.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import geodl as g
from geodl.domain import DOMAINS
from tests.table import product

MODES = {
    "inference": torch.inference_mode,
    "no grad": torch.no_grad,
    "meta": lambda: torch.device("meta"),
    "fake": FakeTensorMode,
}
MAKE = {
    "graph": lambda: g.Graph([[0, 1, 2], [1, 2, 0]], 4, edge_weight=[1.0, 2.0, 3.0]),
    "relations": lambda: g.Graph([[0, 1, 2], [1, 2, 0]], edge_type=[0, 1, 0]),
    "set": lambda: g.GSet([[1, 2, 0]]),
    "chains": lambda: g.Batch([g.Chain(2), g.Chain(3)]),
    "union": lambda: g.Batch([g.Graph([[0], [1]]), g.Grid(2, 2)]),
    "relabelled": lambda: g.Graph([[0, 1], [1, 2]]).relabel([2, 1, 0]),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MAKE)
def test_a_domain_made_under_a_mode_trains(name, mode):
    with MODES[mode]():
        domain = MAKE[name]()
    assert all(type(t) is torch.Tensor and t.device.type == "cpu" for t in domain.tensors())
    assert not any(t.is_inference() for t in domain.tensors())
    plain = MAKE[name]()
    assert all(a.equal(b) for a, b in zip(domain.tensors(), plain.tensors(), strict=True))
    rule = g.adjacency("row", weights=False)
    for layer in (
        g.Conv(2, 2, rule),
        g.Message(product, rule, "max"),
        g.Attention(2, g.adjacency(weights=False), 1, "additive"),
        g.Pool(g.adjacency(weights=False), "mean"),
    ):
        x = torch.randn(1, domain.num_nodes, 2, requires_grad=True)
        layer(g.Signal(x, domain)).x.square().sum().backward()
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("domain", [d for kind in DOMAINS for d in kind.small()], ids=str)
def test_links_and_generators_under_a_mode(domain, mode):
    links, generators = domain.links(), domain.generators()
    cold = domain.with_tensors(tuple(t.clone() for t in domain.tensors()))
    with MODES[mode]():
        found, moves = cold.links(), cold.generators()
    assert found.dst.equal(links.dst) and found.src.equal(links.src)
    assert moves.equal(generators) and not found.dst.is_inference()


def test_lists_go_to_the_default_device_but_never_to_meta():
    assert g.Graph([[0], [1]]).device == torch.device("cpu")
    with torch.device("meta"):
        assert g.Graph([[0], [1]], edge_weight=[2.0]).edge_weight.tolist() == [2.0]
        assert g.Signal.sequence(torch.zeros(1, 3, 1, device="cpu")).domain == g.Chain(3)


def test_moved_under_inference_mode():
    """As a validation loop moves its batches; what it moved may be kept and trained on."""
    graph = g.Graph([[0], [1]], edge_weight=torch.tensor([2.0], dtype=torch.float64))
    with torch.inference_mode():
        moved = graph.with_tensors(tuple(t.clone() for t in graph.tensors())).to("meta")
    assert not any(t.is_inference() for t in moved.tensors())


@pytest.mark.parametrize("name", ["graph", "union"])
def test_links_without_values(name):
    domain = MAKE[name]().to("meta")
    x = torch.zeros(1, domain.num_nodes, 2, device="meta")
    with pytest.raises(g.GeodlError, match="tensors without values, on meta .* that holds them"):
        g.Conv(2, 2, g.adjacency()).to("meta")(g.Signal(x, domain))
    with pytest.raises(g.GeodlError, match="from meta to cpu: found tensors without values"):
        domain.to("cpu")
    assert domain.to("meta") is domain


def test_edge_states_and_generators_without_values():
    assert MAKE["graph"]().to("meta").edge_domain() == g.Complete(3)
    with pytest.raises(g.GeodlError, match="the generators of .* without values"):
        MAKE["set"]().to("meta").generators()


ON_META = {
    "lattice": (g.Conv(2, 3, g.window(3)), g.Grid(4, 4)),
    "links of a grid": (g.Conv(2, 3, g.adjacency("sym", self_loops=True)), g.Grid(4, 4)),
    "ragged chains": (g.Conv(2, 3, g.window(3, axes=1)), g.Batch([g.Chain(3), g.Chain(5)])),
    "fiber": (g.Conv(2, 3, g.fiber()), g.GroupGrid(g.Grid(3, 3), g.C(4))),
    "whole": (g.Conv(2, 3, g.whole()), g.Grid(3, 3)),
    "everyone": (g.Attention(2, g.all_pairs(), 1), g.Batch([g.Chain(3), g.Chain(5)])),
    "relative": (g.Attention(2, g.past(), 1, relative=True), g.Chain(7)),
    "banded": (g.Attention(2, g.window(3), 1, relative=True), g.Grid(5, 5)),
    "sums": (g.Attention(2, g.past(), 1, "linear"), g.Chain(7)),
    "along edges": (g.Attention(2, g.all_pairs(), 1, "gat"), g.Chain(7)),
    "pooled": (g.Pool(g.window(3, padding=2), "mean"), g.Grid(4, 4, periodic=True)),
}


@pytest.mark.parametrize("name", ON_META)
def test_shapes_flow_through_layers_on_meta(name):
    layer, domain = ON_META[name]
    s = g.Signal(torch.randn(2, domain.num_nodes, 2), domain)
    wanted = layer(s)
    found = layer.to("meta")(s.to("meta"))
    assert found.x.is_meta and found.shape == wanted.shape and found.dtype == wanted.dtype


def test_two_signals_on_meta():
    layer = g.Attention(2, g.all_pairs(), 1).to("meta")
    s, t = (g.Signal(torch.zeros(1, n, 2, device="meta"), g.Chain(n)) for n in (3, 4))
    assert layer(s, t).shape == (1, 3, 2)
    with pytest.raises(g.GeodlError, match="float32 and torch.float64; convert one"):
        _ = s + s.to(torch.float64)


@pytest.mark.parametrize(
    ("rule", "domain"),
    [
        (g.all_pairs("orbit"), g.GSet([[1, 2, 0]])),
        (g.all_pairs("orbit"), g.Grid(3, periodic=True)),
        (g.all_pairs("orbit"), g.GroupGrid(g.Grid(2, 2), g.C(4))),
        (g.all_pairs("offset"), g.Chain(4)),
    ],
    ids=str,
)
def test_layers_on_a_domain_are_built_on_meta(rule, domain):
    """Deferred initialisation: shapes first, numbers later."""
    with torch.device("meta"):
        layer = g.Conv(2, 3, rule, on=domain)
    assert layer.weight.is_meta
    made = layer.to_empty(device="cpu")
    made.reset_parameters()
    wanted = g.Conv(2, 3, rule, on=domain)
    assert made.weight.shape == wanted.weight.shape
    x = torch.randn(2, domain.num_nodes, 2)
    wanted.load_state_dict(made.state_dict())
    assert made(x).equal(wanted(x))


def test_a_plan_made_inside_a_transform_outlives_it():
    layer, graph = g.Conv(2, 2, g.adjacency("sym")), g.Graph([[0, 1], [1, 2]], 3)
    x = torch.randn(1, 3, 2)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return layer(g.Signal(x, graph)).x.square().sum()

    cold = torch.func.grad(loss)(x)
    x.requires_grad_()
    (warm,) = torch.autograd.grad(loss(x), x)
    assert warm.equal(cold)


SMALL_DOMAINS = [domain for kind in DOMAINS for domain in kind.small()]
RULES_OF_VALUES = (
    g.window(3),
    g.all_pairs("offset"),
    g.all_pairs("orbit"),
    g.past(),
    g.previous(),
    g.whole(),
    g.itself(),
    g.adjacency("sym", self_loops=True),
    g.laplacian(),
    g.polynomial(g.laplacian(), 2),
    g.previous().reverse(),
)


@pytest.mark.parametrize("mode", ["meta", "fake", "inference"])
def test_rules_and_members_under_a_mode(mode):
    """Rules written out are those of no mode at all, on every domain that takes them."""
    seen = 0
    for rule in RULES_OF_VALUES:
        for domain in SMALL_DOMAINS:
            if rule.refuses_senders(domain):
                continue
            with MODES[mode]():
                edges, claims = rule.edges(domain), rule.symmetries(domain)
            for found, wanted in zip(edges, rule.edges(domain), strict=True):
                assert (found is None) == (wanted is None)
                assert found is None or (found.equal(wanted) and not found.is_inference())
            for found, wanted in zip(claims, rule.symmetries(domain), strict=True):
                assert found.receivers.equal(wanted.receivers)
            seen += 1
    assert seen > 50
    with torch.device("meta"):
        members = [domain.member_of() for domain in SMALL_DOMAINS]
    assert all(m.equal(d.member_of()) for m, d in zip(members, SMALL_DOMAINS, strict=True))


def test_proofs_and_weights_on_another_default_device():
    turning, grid = g.Conv(2, 2, g.lift(3, group=g.C(4))), g.Grid(5, 5)
    s = g.Signal(torch.randn(1, 25, 2), grid)
    shifting, attention = g.Conv(2, 2, g.window(3)), g.Attention(2, g.adjacency(), 1)
    wanted = attention.weights(s).x
    with torch.device("meta"):
        assert g.certify(turning, grid).exact
        assert g.certify(g.window(3), g.Grid(4, 4, periodic=True)).exact
        assert g.certify(g.Sequential(g.Pool(g.all_pairs())), grid).exact
        assert max(g.equivariance_error(turning, s).values()) < 1e-5
        assert max(g.equivariance_error(shifting, s).values()) < 1e-5
        assert attention.weights(s).x.equal(wanted)


def test_a_fake_mode_that_no_plan_was_made_in_refuses_in_words():
    """Sums over edges of each type need to know how many there are."""
    ragged, ring = g.Batch([g.Chain(2), g.Chain(3)]), g.Grid(3, periodic=True)
    for layer, domain in (
        (g.Conv(2, 3, g.all_pairs("self")), ragged),
        (g.Conv(2, 3, g.all_pairs("orbit"), on=ring), ring),
    ):
        with FakeTensorMode(allow_non_fake_inputs=True):
            x = torch.zeros(1, domain.num_nodes, 2)
            given = x if layer.on is not None else g.Signal(x, domain)
            with pytest.raises(g.GeodlError, match="`edges`: found a fake mode.*hold values"):
                layer(given)
        x = torch.randn(1, domain.num_nodes, 2)
        given = x if layer.on is not None else g.Signal(x, domain)
        assert layer(given).shape == (1, domain.num_nodes, 3), "later calls are sound"
