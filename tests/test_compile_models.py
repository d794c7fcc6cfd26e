"""Norms, containers, messages and whole models, compiled: the same numbers."""

import pytest
from torch import nn

import geodl as g
from geodl.testing import error, outcome
from tests.compilation import compiled, random_signal, same_when_compiled
from tests.table import EQUAL, GRAPH, GRID, P4, product

pytestmark = pytest.mark.usefixtures("fresh_compiler")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("domain", [GRID, P4], ids=str)
def test_batch_norm_compiles(domain, training):
    ours, twin = g.BatchNorm(3).train(training), g.BatchNorm(3).train(training)
    s = random_signal(domain, 3)
    wanted, found = outcome(ours, s), outcome(compiled(twin), s)
    assert error(found[0], wanted[0]) < 1e-6
    assert (
        max(error(a, b) for a, b in zip(found[1].values(), wanted[1].values(), strict=True)) < 1e-5
    )
    wanted = ours.state_dict()
    for name, value in twin.state_dict().items():
        assert error(value, wanted[name]) < 1e-6, name


@pytest.mark.parametrize("training", [True, False])
def test_models_compile(training):
    p4cnn, gcn = (
        g.models.digits_p4cnn(channels=2).train(training),
        g.models.gcn(4, 3, 2, dropout=0.0).train(training),
    )
    for model, s in ((p4cnn, random_signal(g.Grid(8, 8), 1)), (gcn, random_signal(GRAPH, 4))):
        g.prepare(model, s)
        same_when_compiled(model, s)


def test_the_p4cnn_of_the_paper_compiles():
    model, s = g.models.p4cnn(channels=1).eval(), random_signal(g.Grid(28, 28), 1, batch=1)
    g.prepare(model, s)
    assert error(compiled(model)(s).x, model(s).x) < 1e-6


def test_containers_and_equal_members_compile():
    inner = g.Sequential(g.Conv(4, 4, g.window(3, axes=1)), nn.ReLU())
    model = g.Sequential(
        g.Residual(*inner),
        g.Concat(g.Conv(4, 2, g.itself()), g.Attention(4, g.past(), 2)),
        g.Readout(),
    )
    same_when_compiled(model, random_signal(EQUAL, 4))


def test_a_message_compiles():
    layer = g.Message(product, g.adjacency("sym", self_loops=True), "max")
    same_when_compiled(layer, random_signal(GRAPH, 4))
