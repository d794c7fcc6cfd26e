"""Many small graphs in one batch: each answers as it does alone, whoever stands beside it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import geodl as g
from geodl.testing import error
from tests.strategies import Gated, graphs

CHANNELS = 3


def gnn(rule: g.Neighborhood) -> g.Sequential:
    """Two convolutions and a mean, as molecules are classified."""
    return g.Sequential(
        g.Conv(CHANNELS, 4, rule), nn.ReLU(), g.Conv(4, 2, rule), nn.Tanh(), g.Readout("mean")
    )


MODELS = {
    "gcn": lambda: gnn(g.adjacency("sym", self_loops=True)),
    "sage": lambda: gnn(g.adjacency("row")),
    "gat": lambda: g.Sequential(
        g.Attention(CHANNELS, g.adjacency(self_loops=True), 1, score="gat"), g.Readout("max")
    ),
    "attention": lambda: g.Sequential(g.Attention(CHANNELS, g.all_pairs(), 1), g.Readout("sum")),
    "deep sets": lambda: g.Sequential(g.Conv(CHANNELS, 4, g.all_pairs("self")), g.Readout("mean")),
    "message": lambda: g.Sequential(
        g.Message(Gated(CHANNELS), g.adjacency(self_loops=True), "max"), g.Readout("min")
    ),
    "max pooling": lambda: g.Sequential(g.Pool(g.adjacency(self_loops=True), "max"), g.Readout()),
}


def drawn(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]().double()


def values(domain: g.Domain) -> torch.Tensor:
    generator = torch.Generator().manual_seed(domain.num_nodes)
    return torch.randn(1, domain.num_nodes, CHANNELS, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", MODELS)
@given(members=st.lists(graphs(weighted=False), min_size=1, max_size=40))
def test_each_graph_answers_as_alone(name, members):
    model, batch = drawn(name), g.Batch(members)
    alone = [model(g.Signal(values(member), member)).x for member in members]
    x = torch.cat([values(member) for member in members], 1)
    together = model(g.Signal(x, batch)).x
    assert together.shape == (1, len(members), alone[0].shape[-1])
    assert error(together, torch.cat(alone, 1)) < 1e-12


@pytest.mark.parametrize("name", MODELS)
def test_an_epoch_of_new_batches(name):
    """Graphs in another company and order at every step: 60 batches of 16, out of 50 graphs."""
    model, generator = drawn(name), torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 9, (50,), generator=generator).tolist()
    members = [g.Graph(torch.randint(n, (2, 2 * n - 1), generator=generator), n) for n in sizes]
    with torch.no_grad():
        alone = torch.cat([model(g.Signal(values(member), member)).x for member in members], 1)
        for _ in range(60):
            order = torch.randperm(50, generator=generator)[:16].tolist()
            batch = g.Batch([members[k] for k in order])
            x = torch.cat([values(members[k]) for k in order], 1)
            assert error(model(g.Signal(x, batch)).x, alone[:, order]) < 1e-12
