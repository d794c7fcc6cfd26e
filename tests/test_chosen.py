"""Members chosen from a flat union: their patterns come out of the union's own, and their links are
made when something asks for them.
"""

import copy
import pickle

import pytest
import torch

import geodl as g
from geodl import data
from geodl.domain.chosen import Chosen
from geodl.lowering import chosen as chosen_patterns
from geodl.testing import assert_parity, error, outcome

NUMBERS = torch.tensor([2, 0, 2, 1])


def store(*, both_ways: bool = True) -> g.Batch:
    index = torch.tensor([[0, 1, 1, 3, 4, 6], [1, 0, 2, 4, 3, 5]])
    if both_ways:
        index = torch.cat((index, index.flip(0)), dim=1)[:, torch.randperm(12)]
    return g.Batch.from_union(g.Graph(index, 7), [0, 3, 5, 7])


def signal(domain: g.Domain, channels: int = 3) -> g.Signal:
    return g.Signal(torch.randn(1, domain.num_nodes, channels, dtype=torch.float64), domain)


def gin() -> g.Sequential:
    norm = g.BatchNorm(4)
    parts = (g.Propagate(g.adjacency(self_loops=True)), torch.nn.Linear(3, 4), norm)
    return g.Sequential(*parts, g.Readout("sum"), torch.nn.Linear(4, 2)).double()


def test_a_network_of_products_asks_for_no_links():
    domain = store().select(NUMBERS).domain
    outcome(gin(), signal(domain))
    assert domain.held is None and isinstance(domain.chosen, Chosen)
    assert domain.num_links == 14 and domain.held is None
    assert str(domain) == "Batch(4 graphs: 9 nodes, 14 edges)" and domain.held is None
    assert domain.to("cpu") is domain and domain.held is None
    assert domain.union is domain.union and domain.held is not None


@pytest.mark.parametrize("both_ways", [True, False])
@pytest.mark.parametrize("norm", [None, "sym"])
def test_the_pattern_of_the_chosen_is_that_of_their_links(both_ways, norm):
    whole = store(both_ways=both_ways)
    domain = whole.select(NUMBERS).domain
    layer = g.Conv(3, 2, g.adjacency(norm, self_loops=True)).double()
    s = signal(domain)
    assert "spmm" in assert_parity(layer, s)
    alone = g.Batch.from_union(domain.union, domain.starts)
    wanted, gradients = outcome(layer, g.Signal(s.x, alone))
    found, ours = outcome(layer, s)
    assert error(found, wanted) < 1e-12
    assert all(error(ours[name], gradients[name]) < 1e-12 for name in gradients)
    again = domain.select(torch.tensor([3, 1])).domain
    assert_parity(layer, signal(again))


def test_a_symmetric_matrix_is_gathered_once(monkeypatch):
    gathered = []
    plain = chosen_patterns._gathered
    monkeypatch.setattr(
        chosen_patterns, "_gathered", lambda *args: gathered.append(1) or plain(*args)
    )
    for both_ways in (True, False):
        outcome(gin(), signal(store(both_ways=both_ways).select(NUMBERS).domain))
    assert len(gathered) == 1 + 2


def test_what_reads_links_finds_them():
    domain = store().select(NUMBERS).domain
    edges = torch.randn(1, domain.num_links, 2, dtype=torch.float64)
    message = g.Message(lambda x_i, x_j, e: x_j[..., :2] * e, g.adjacency(), "max")
    assert_parity(message, signal(domain).with_edges(edges))
    assert_parity(g.Attention(4, g.adjacency(), 2, "gat").double(), signal(domain, 4))
    weighted = domain.union.with_weights(torch.rand(14, dtype=torch.float64))
    flat = g.Batch.from_union(weighted, domain.starts)
    part = flat.select(torch.tensor([1, 3])).domain
    assert part.runtime_weight is not None
    assert_parity(g.Propagate(g.adjacency("row")), signal(part))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_a_copy_keeps_nothing_of_the_store(copied):
    domain = store().select(NUMBERS).domain
    twin = copied(domain)
    assert twin.chosen is None and twin.sizes == domain.sizes
    assert twin.union.edge_index.equal(domain.union.edge_index)
    assert_parity(g.Conv(3, 2, g.adjacency()).double(), signal(twin))


def test_a_large_store_is_not_written_out(monkeypatch):
    from geodl.lowering import spmm

    monkeypatch.setattr(spmm, "MOST_LINKS", 11)
    whole = store()
    assert_parity(g.Conv(3, 2, g.adjacency()).double(), signal(whole.select(NUMBERS).domain))
    assert "plans" not in whole.cache


def test_a_loader_trains_as_pygs_batches_do():
    parts = [g.Signal(torch.randn(1, m.num_nodes, 3).double(), m) for m in store().members]
    model = gin()
    for s, _ in data.GraphLoader(parts, batch_size=2):
        flat = g.Batch.from_union(s.domain.union, s.domain.starts)
        wanted, gradients = outcome(model, g.Signal(s.x, flat))
        found, ours = outcome(model, s)
        assert error(found, wanted) < 1e-12
        assert all(error(ours[name], gradients[name]) < 1e-12 for name in gradients)
