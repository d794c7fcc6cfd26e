"""The lowering expected for each case is the one that runs, and `explain` names it: one that
refuses too much fails here.
"""

import copy

import pytest
import torch

import geodl as g
from geodl.lowering import LOWERINGS, Lowering
from geodl.lowering.edges import never
from geodl.testing import accepting, assert_lowered_to, assert_parity
from tests.table import CHAIN, GRAPH, GRID, P4, SET, product, rows

TABLE = rows()


@pytest.mark.parametrize("name", TABLE)
def test_the_expected_lowering_runs(name):
    layer, domain, lowering, receivers = row = TABLE[name]
    assert_lowered_to(lowering, layer, *row.signals())
    choice = layer.explain(domain, receivers)
    assert choice.lowering == lowering
    before = [entry.name for entry in LOWERINGS[layer.verb]]
    assert [refused for refused, _ in choice.refused] == before[: before.index(lowering)]
    assert all(len(reason.split()) > 2 for _, reason in choice.refused)
    assert all(reason in str(choice) for _, reason in choice.refused)


@pytest.mark.parametrize("name", TABLE)
def test_its_numbers_are_the_references(name):
    # A copy: the table is shared by tests that run in any order.
    row = TABLE[name]._replace(layer=copy.deepcopy(TABLE[name].layer).double())
    signals = row.signals(torch.float64)
    if accepting(row.layer, *signals):
        errors = assert_parity(row.layer, *signals)
        assert row.lowering == "edges" or row.lowering in errors
    else:
        assert row.lowering == "edges"
        with pytest.raises(AssertionError, match="nothing to compare"):
            assert_parity(row.layer, *signals)


def test_the_table_has_every_lowering():
    have = {(row.layer.verb, row.lowering) for row in TABLE.values()}
    assert have == {
        (verb, entry.name) for verb, entries in LOWERINGS.items() for entry in freely(entries)
    }


def freely(entries: tuple[Lowering, ...]) -> tuple[Lowering, ...]:
    """The lowerings that run without force: none after the first that refuses nothing."""
    return entries[: 1 + next(k for k, entry in enumerate(entries) if entry.refuses is never)]


def test_a_wrong_expectation_is_found():
    with pytest.raises(AssertionError, match="ran on lattice, not on spmm"):
        assert_lowered_to("spmm", g.Conv(4, 3, g.window(3)), g.Signal(torch.zeros(1, 25, 4), GRID))


def test_explain_of_a_model_is_what_ran():
    model = g.Sequential(
        g.Conv(1, 2, g.lift(3, group=g.C(4))),
        torch.nn.ReLU(),
        g.Pool(g.fiber()),
        g.Conv(2, 2, g.adjacency("sym", self_loops=True)),
    )
    told = g.explain(model, g.Signal(torch.zeros(1, 25, 1), GRID))
    with g.testing.record_lowerings() as ran:
        model(g.Signal(torch.zeros(1, 25, 1), GRID))
    assert [choice.lowering for choice in told.choices] == ran == ["lattice", "blocks", "spmm"]
    assert [choice.path for choice in told.choices] == ["0", "2", "3"]
    assert "3: Conv(2, 2, adjacency('sym', self_loops=True)) on Grid(5, 5) runs on spmm" in str(
        told
    )


def test_explain_hears_a_sender_by_its_name():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = g.Attention(4, g.all_pairs(), 2)

        def forward(self, target, source):
            return self.attention(target, sender=source)

    told = g.explain(
        Model(),
        g.Signal(torch.zeros(1, 3, 4), g.Chain(3)),
        g.Signal(torch.zeros(1, 5, 4), g.Chain(5)),
    )
    assert "on Chain(5) -> Chain(3)" in str(told)


def test_explain_of_layers_built_on_a_domain():
    model = torch.nn.Sequential(
        g.Conv(4, 4, g.window(3), on=GRID),
        torch.nn.ReLU(),
        g.Attention(4, g.all_pairs(), 2, on=GRID),
    )
    assert [choice.lowering for choice in g.explain(model, torch.zeros(1, 25, 4)).choices] == [
        "lattice",
        "sdpa",
    ]


@pytest.mark.parametrize(
    ("layer", "domain", "wanted", "reason"),
    [
        (
            g.Conv(4, 3, g.adjacency("sym", self_loops=True)),
            GRAPH,
            "lattice",
            "no window on a lattice",
        ),
        (g.Conv(4, 3, g.window(3)), GRID, "mean", "not all receive from all"),
        (g.Conv(4, 3, g.all_pairs()), SET, "spmm", "the operator is dense"),
        (
            g.Attention(4, g.adjacency(self_loops=True), 2),
            GRAPH,
            "sdpa",
            "not all receive from all",
        ),
        (g.Recurrent(4, 3, "lstm", g.predecessors()), CHAIN, "rnn", "does not step along a chain"),
        (g.Pool(g.window(3), "max"), GRID, "blocks", "no equal runs of senders"),
        (g.Pool(g.fiber(), "max"), P4, "lattice", "no window on a lattice"),
    ],
)
def test_a_forced_lowering_that_refuses_says_why(layer, domain, wanted, reason):
    layer.lowering = wanted
    with pytest.raises(g.GeodlError, match=reason):
        layer(g.Signal(torch.zeros(1, domain.num_nodes, 4), domain))
    with pytest.raises(g.GeodlError, match=reason):
        layer.explain(domain)
    layer.lowering = "auto"
    layer(g.Signal(torch.zeros(1, domain.num_nodes, 4), domain))


@pytest.mark.parametrize(
    "layer", [g.Attention(4, g.window(2, stride=2), 2), g.Message(product, g.whole())]
)
def test_who_reads_its_receivers_is_given_them(layer):
    sender = g.Signal(torch.randn(1, 16, 4), g.Grid(4, 4))
    with pytest.raises(g.GeodlError, match=r"give both signals: layer\(receiver, sender\)"):
        layer(sender)
    domain = layer.rule.target(sender.domain)
    assert layer(g.Signal(torch.randn(1, domain.num_nodes, 4), domain), sender).domain == domain


def test_an_unknown_lowering_suggests_the_nearest():
    layer = g.Conv(4, 3, g.window(3))
    with pytest.raises(g.GeodlError, match="did you mean 'lattice'"):
        layer.lowering = "latice"
    assert layer.lowering == "auto"
    with pytest.raises(g.GeodlError, match="did you mean 'sdpa'"):
        g.set_lowering(g.Sequential(layer), "spda")


def test_set_lowering_reaches_the_layers_that_know_it():
    model = g.Sequential(
        g.Conv(4, 4, g.window(3)),
        g.Pool(g.window(2, padding="valid")),
        g.Message(product, g.itself()),
    )
    g.set_lowering(model, "lattice")
    assert [layer.lowering for layer in model] == ["lattice", "lattice", "auto"]
    with g.testing.record_lowerings() as ran:
        model(g.Signal(torch.zeros(1, 25, 4), GRID))
    assert ran == ["lattice", "lattice", "segment"]
    g.set_lowering(model, "auto")
    assert [layer.lowering for layer in model] == ["auto", "auto", "auto"]


def sparse(dtype: torch.dtype) -> torch.Tensor:
    dense = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return (dense * (dense > 0)).to_sparse_csr()


@pytest.mark.parametrize(
    "rule", [g.adjacency("sym", self_loops=True), g.adjacency("row"), g.itself()], ids=str
)
def test_sparse_features_give_the_dense_numbers(rule):
    layer, x = g.Conv(4, 3, rule).double(), sparse(torch.float64)
    layer.lowering = "spmm"
    y = layer(g.Signal(x, GRAPH)).x
    ours = torch.autograd.grad(y.square().sum(), list(layer.parameters()))
    z = layer(g.Signal(x.to_dense()[None], GRAPH)).x
    theirs = torch.autograd.grad(z.square().sum(), list(layer.parameters()))
    assert g.testing.error(y, z) < 1e-12
    assert max(map(g.testing.error, ours, theirs)) < 1e-12
    layer.lowering = "auto"
    assert_lowered_to("spmm", layer, g.Signal(x, GRAPH))
    layer.lowering = "edges"
    assert g.testing.error(layer(g.Signal(x, GRAPH)).x, z) < 1e-12


@pytest.mark.parametrize(
    "layer",
    [
        g.Pool(g.whole()),
        g.Message(product, g.adjacency("sym", self_loops=True)),
        g.BatchNorm(4),
        torch.nn.ReLU(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_sparse_features_are_refused_elsewhere(layer):
    with pytest.raises(g.GeodlError, match="sparse"):
        g.Sequential(layer)(g.Signal(sparse(torch.float32), GRAPH))
