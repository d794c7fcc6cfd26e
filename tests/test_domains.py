"""Domains keep their promises, down to the links; graphs cross to other libraries and back; unions
fold and split.
"""

import copy
import pickle

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.data import Batch as PygBatch
from torch_geometric.data import Data

import geodl as g
from geodl.domain import DOMAINS
from geodl.testing import record_lowerings
from tests.conformance import hold_domain

SMALL = [domain for kind in DOMAINS for domain in kind.small()]
each = pytest.mark.parametrize("domain", SMALL, ids=str)
WEIGHTED = g.Graph([[0, 0, 1, 2, 2], [1, 1, 2, 2, 0]], 5, edge_weight=[0.5, 2.0, 1.0, 3.0, 0.25])


@each
def test_keeps_its_promise(domain):
    hold_domain(domain)
    assert len(domain.tensors()) == 0 or domain.cache is not None
    if domain.ordered:
        dst, src, _ = domain.links()
        assert (dst > src).all()


def test_a_broken_promise_is_noticed():
    class Crooked(g.Chain):
        complete = True

    with pytest.raises(AssertionError):
        hold_domain(Crooked(3))


@each
def test_copies(domain):
    twins = pickle.loads(pickle.dumps(domain)), copy.deepcopy(domain)
    for twin in twins:
        assert twin.num_nodes == domain.num_nodes and str(twin) == str(domain)
        assert all(
            torch.equal(a, b) for a, b in zip(twin.links()[:2], domain.links()[:2], strict=True)
        )
        if domain.cache is None:
            assert twin == domain and hash(twin) == hash(domain)
        else:
            assert twin != domain and twin.cache is not domain.cache
    assert domain.to("cpu") is domain
    moved = domain.to("meta")
    assert (moved is domain) == (not domain.tensors()) and all(t.is_meta for t in moved.tensors())


def test_plans_are_left_behind():
    graph = g.Graph([[0, 1], [1, 0]])
    g.Conv(1, 1, g.adjacency("sym", self_loops=True))(g.Signal(torch.zeros(1, 2, 1), graph))
    assert graph.cache and graph == graph and len({graph, graph}) == 1
    assert not copy.deepcopy(graph).cache and not pickle.loads(pickle.dumps(graph)).cache
    assert not graph.to("meta").cache and not graph.relabel(torch.tensor([1, 0])).cache


def test_values_are_equal_by_value():
    assert g.Grid(3, 4) == g.Grid(3, 4) != g.Grid(4, 3) and g.Grid(3) != g.Grid(
        3, periodic=True
    ) != g.Chain(3)
    assert (
        g.GroupGrid(g.Grid(3, 3), g.C(4))
        == g.GroupGrid(g.Grid(3, 3), g.C(4))
        != g.GroupGrid(g.Grid(3, 3), g.D(2))
    )
    assert g.Graph([[0], [0]]) != g.Graph([[0], [0]])


def test_like():
    assert g.Grid(3, 4, periodic=True).replace((5, 6)) == g.Grid(5, 6, periodic=True)
    assert g.Grid(3, 3).replace(None, g.C(4)) == g.GroupGrid(g.Grid(3, 3), g.C(4))
    assert g.GroupGrid(g.Grid(3, 3), g.C(4)).replace((2, 2)) == g.Grid(2, 2)
    assert g.Chain(4).replace((7,)) == g.Chain(7)
    for refused in (
        lambda: g.Chain(3).replace(None, g.C(4)),
        lambda: g.Complete(3).replace((2,)),
        lambda: g.Chain(3).replace((2, 2)),
    ):
        with pytest.raises(g.GeodlError):
            refused()


def test_relabel():
    to = torch.tensor([3, 1, 4, 0, 2])
    dst, src, weight = WEIGHTED.relabel(to).links()
    assert (
        dst.equal(to[WEIGHTED.links().dst])
        and src.equal(to[WEIGHTED.links().src])
        and weight.equal(WEIGHTED.edge_weight)
    )
    assert g.Complete(4).relabel(torch.arange(4).flip(0)) == g.Complete(4)
    batch = g.Batch([g.Chain(2), g.Complete(2)]).relabel(torch.tensor([3, 2, 1, 0]))
    assert set(zip(*(t.tolist() for t in batch.links()[:2]), strict=True)) == {
        (2, 3),
        (1, 0),
        (0, 1),
    }


def test_networkx_directed_and_not():
    names = nx.Graph([("a", "b"), ("b", "c"), ("c", "c")])
    names.add_node("alone")
    graph = g.Graph.from_networkx(names)
    assert graph.num_nodes == 4 and graph.edge_weight is None
    assert sorted(map(tuple, graph.edge_index.T.tolist())) == [
        (0, 1),
        (1, 0),
        (1, 2),
        (2, 1),
        (2, 2),
    ]
    arrows = nx.MultiDiGraph()
    arrows.add_nodes_from(range(4))
    arrows.add_weighted_edges_from([(0, 1, 2.0), (0, 1, 3.0), (2, 0, 0.5)])
    graph = g.Graph.from_networkx(arrows, weight="weight")
    assert graph.edge_index.tolist() == [[0, 0, 2], [1, 1, 0]] and graph.edge_weight.tolist() == [
        2.0,
        3.0,
        0.5,
    ]
    assert nx.utils.graphs_equal(graph.to_networkx(), arrows)
    assert g.Graph.from_networkx(nx.empty_graph(3)).edge_index.shape == (2, 0)
    plain = g.Graph([[0, 0], [1, 1]], 3).to_networkx()
    assert plain.number_of_edges(0, 1) == 2 and plain.number_of_nodes() == 3


def test_scipy_has_receivers_in_rows():
    matrix = WEIGHTED.to_scipy()
    assert np.array_equal(
        matrix.toarray()[:3, :3], [[0, 0, 0.25], [2.5, 0, 0], [0, 1, 3]]
    ) and matrix.shape == (5, 5)
    back = g.Graph.from_scipy(matrix)
    assert back.num_nodes == 5 and (back.to_scipy() != matrix).nnz == 0
    assert g.Graph.from_scipy(
        sp.coo_array(([2], ([0], [1])), shape=(2, 2))
    ).edge_index.tolist() == [[1], [0]]
    with pytest.raises(g.GeodlError, match="square"):
        g.Graph.from_scipy(sp.csr_matrix((2, 3)))


def test_pyg_both_ways():
    data = Data(
        edge_index=torch.tensor([[0, 0, 1], [1, 1, 0]]),
        edge_weight=torch.tensor([1.0, 2.0, 3.0]),
        edge_attr=torch.randn(3, 4),
        edge_type=torch.tensor([0, 2, 1]),
        num_nodes=4,
    )
    graph = g.Graph.from_pyg(data)
    assert graph.num_nodes == 4 and graph.edge_domain() == g.Complete(3)
    back = graph.to_pyg()
    for name in ("edge_index", "edge_weight", "edge_attr", "edge_type"):
        assert torch.equal(back[name], data[name]) and torch.equal(getattr(graph, name), data[name])
        assert getattr(graph, name) is not data[name], "a graph keeps its own copy"
    assert back.num_nodes == 4 and "edge_attr" not in g.Graph([[0], [0]]).to_pyg()


def test_batch_of_unequal_kinds():
    batch = g.Batch([g.Chain(3), WEIGHTED, g.Complete(2)])
    assert batch.starts.tolist() == [0, 3, 8, 10] and batch.num_members == 3
    assert batch.member_of().tolist() == [0] * 3 + [1] * 5 + [2] * 2
    x = torch.randn(2, 10, 4)
    parts = batch.split(x)
    assert [p.shape[1] for p in parts] == [3, 5, 2] and torch.cat(parts, 1).equal(x)
    assert parts[0].untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    dst, src, weight = batch.links()
    assert dst.tolist() == [1, 2, 4, 4, 5, 5, 3, 8, 9] and src.tolist() == [
        0,
        1,
        3,
        3,
        4,
        5,
        5,
        9,
        8,
    ]
    assert weight.tolist() == [1, 1, 0.5, 2, 1, 3, 0.25, 1, 1]
    assert batch.links()[0] is dst, "merged once"


def test_batch_of_pyg():
    items = [Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=n) for n in (2, 3)]
    items[0].edge_type, items[1].edge_type = torch.tensor([0, 1]), torch.tensor([1, 1])
    theirs = PygBatch.from_data_list(items)
    batch = g.Batch(theirs)
    assert batch.num_members == 2 and batch.member_of().equal(theirs.batch)
    assert torch.stack(batch.links()[1::-1]).equal(
        theirs.edge_index
    ) and batch.edge_type.tolist() == [0, 1, 1, 1]
    e = g.adjacency("row", self_loops=True, types=2).edges(batch)
    assert e.type.tolist() == [0, 1, 1, 1] + [2] * 5


UNIONS = {
    "unequal": (
        g.Batch([g.Chain(3), WEIGHTED, g.Complete(2)]),
        g.adjacency("sym", self_loops=True),
    ),
    "windows": (g.Batch([g.Grid(3), g.Chain(5), g.Grid(4, periodic=True)]), g.window(3, axes=1)),
    "equal": (g.Batch([g.Chain(4)] * 3), g.window(3, axes=1, stride=2)),
}


@pytest.mark.parametrize("name", UNIONS)
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_members_do_not_hear_each_other(name, batch):
    union, rule = UNIONS[name]
    torch.manual_seed(0)
    layer, read = g.Conv(2, 3, rule).double(), g.Readout("mean")
    x = torch.randn(batch, union.num_nodes, 2, dtype=torch.float64)
    together = layer(g.Signal(x, union))
    alone = [
        layer(g.Signal(part, member))
        for part, member in zip(union.split(x), union.members, strict=True)
    ]
    assert [m.num_nodes for m in together.domain.members] == [s.domain.num_nodes for s in alone]
    torch.testing.assert_close(together.x, torch.cat([s.x for s in alone], 1), rtol=0, atol=1e-12)
    summary = read(together)
    assert summary.domain == g.Complete(union.num_members)
    torch.testing.assert_close(
        summary.x, torch.cat([read(s).x for s in alone], 1), rtol=0, atol=1e-12
    )


def test_equal_members_fold():
    union = g.Batch([g.Chain(4)] * 3)
    layer = g.Conv(2, 3, g.window(3, axes=1))
    s = g.Signal(torch.randn(2, 12, 2), union)
    assert layer.explain(union).lowering == "lattice"
    with record_lowerings() as ran:
        layer(s)
    assert ran == ["lattice"] and str(g.explain(layer, s)).endswith("runs on lattice")
    mixed = g.Batch([g.Chain(4), g.Chain(5)])
    assert layer.explain(mixed).lowering == "spmm"


def test_union_of_unions_is_refused_and_devices_are_one():
    with pytest.raises(g.GeodlError, match="none of them a Batch itself"):
        g.Batch([g.Batch([g.Chain(2)])])
    with pytest.raises(g.GeodlError, match="one device"):
        g.Batch([WEIGHTED, g.Graph([[0], [0]]).to("meta")])
