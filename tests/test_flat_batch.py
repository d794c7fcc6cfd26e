"""Flat unions of graphs: members on demand are the graphs put in, PyG's batches stay merged, and
every verb answers on them as on the members one by one.
"""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Batch as PygBatch
from torch_geometric.data import Data

import geodl as g
from geodl.domain import batch
from geodl.neighborhood import full_or_adjacency
from geodl.testing import error
from tests.strategies import Gated, graphs, two_way

CHANNELS = 3
VALUES = ("edge_index", "edge_weight", "edge_attr", "edge_type")


@st.composite
def alike(draw: st.DrawFn) -> list[g.Graph]:
    """Graphs that all have weights, types and attributes, or all have not."""
    weighted, typed, described = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    parts = draw(st.lists(graphs(weighted=weighted, types=typed), min_size=1, max_size=6))
    if not described:
        return parts
    generator = torch.Generator().manual_seed(0)
    made = []
    for part in parts:
        attributes = torch.randn(part.num_links, 2, generator=generator)
        values = {"edge_weight": part.edge_weight, "edge_type": part.edge_type}
        made.append(g.Graph(part.edge_index, part.num_nodes, edge_attr=attributes, **values))
    return made


def same(one: g.Domain, other: g.Domain) -> bool:
    """Whether two graphs have the same nodes, and the same edges in the same order."""
    for name in VALUES:
        a, b = getattr(one, name), getattr(other, name)
        if (a is None) != (b is None) or (a is not None and not a.equal(b)):
            return False
    return one.num_nodes == other.num_nodes


def shuffled(flat: g.Batch, seed: int) -> tuple[g.Batch, torch.Tensor]:
    """The same union with its links in another order, those of one member among those of others."""
    union = flat.union
    order = torch.randperm(union.num_links, generator=torch.Generator().manual_seed(seed))
    values = {name: getattr(union, name) for name in VALUES if getattr(union, name) is not None}
    index = values.pop("edge_index")[:, order]
    values = {name: value[order] for name, value in values.items()}
    return g.Batch.from_union(g.Graph(index, union.num_nodes, **values), flat.starts), order


@given(parts=alike())
def test_members_on_demand_are_the_graphs_put_in(parts):
    flat = g.Batch(parts).flat()
    assert flat.union is not None and flat.flat() is flat
    assert "members" not in flat.cache.get("memo", {})
    assert len(flat.members) == flat.num_members == len(parts)
    assert all(same(a, b) for a, b in zip(flat.members, parts, strict=True))
    assert flat.members is flat.members, "made once"
    given_one_by_one = g.Batch(parts)
    assert flat.sizes == given_one_by_one.sizes
    assert flat.starts.equal(given_one_by_one.starts)
    for a, b in zip(flat.links(), given_one_by_one.links(), strict=True):
        assert (a is None and b is None) or a.equal(b)


def test_members_are_views():
    flat = g.Batch([g.Graph([[0], [1]], 2, edge_type=[k]) for k in range(4)]).flat()
    for name in ("edge_index", "edge_type"):
        storages = {getattr(m, name).untyped_storage().data_ptr() for m in flat.members}
        assert len(storages) == 1


@given(parts=alike(), seed=st.integers(0, 9))
def test_links_may_stand_in_any_order(parts, seed):
    flat = g.Batch(parts).flat()
    mixed, order = shuffled(flat, seed)
    assert mixed.links().dst.equal(flat.links().dst[order])
    for made, put_in in zip(mixed.members, flat.members, strict=True):
        pairs = [sorted(m.edge_index.T.tolist()) for m in (made, put_in)]
        assert pairs[0] == pairs[1]


def pyg_parts(described: bool = True) -> list[Data]:
    parts = []
    for k, n in enumerate((2, 3, 5)):
        index = torch.tensor([[0, 1, n - 1], [1, 0, 0]])
        data = Data(torch.randn(n, CHANNELS), index, y=torch.tensor([k]), num_nodes=n)
        if described:
            data.edge_attr, data.edge_type = torch.randn(3, 2), torch.tensor([0, 1, k])
            data.edge_weight = torch.rand(3)
        parts.append(data)
    return parts


@pytest.mark.parametrize("described", [False, True])
@pytest.mark.parametrize("make", [g.Batch.from_pyg, g.Batch])
def test_a_batch_of_pyg_stays_merged_and_goes_back(described, make, monkeypatch):
    parts = pyg_parts(described)
    merged = PygBatch.from_data_list(parts)
    monkeypatch.setattr(PygBatch, "to_data_list", lambda self: pytest.fail("taken apart"))
    batch = make(merged)
    assert batch.sizes == (2, 3, 5) and batch.member_of().equal(merged.batch)
    assert torch.stack(batch.links()[1::-1]).equal(merged.edge_index)
    assert batch.union.edge_index is not merged.edge_index, "a domain keeps a copy of its own"
    monkeypatch.undo()
    back = batch.to_pyg()
    names = VALUES if described else VALUES[:1]
    for name in (*names, "batch", "ptr"):
        assert back[name].equal(merged[name])
    for one, other in zip(back.to_data_list(), parts, strict=True):
        assert one.num_nodes == other.num_nodes
        assert all(one[name].equal(other[name]) for name in names)
    assert "edge_attr" not in back or described


def test_a_batch_of_pyg_without_ptr():
    merged = PygBatch.from_data_list(pyg_parts())
    del merged.ptr
    assert g.Batch.from_pyg(merged).sizes == (2, 3, 5)
    merged.batch = merged.batch.flip(0)
    with pytest.raises(g.GeodlError, match="do not stand graph after graph"):
        g.Batch.from_pyg(merged)
    with pytest.raises(g.GeodlError, match="neither ptr nor batch"):
        g.Batch.from_pyg(pyg_parts()[0])


def test_what_pyg_does_not_know():
    with pytest.raises(g.GeodlError, match=r"to PyG: found a member Chain\(2\)"):
        g.Batch([g.Chain(2), g.Graph([[0], [1]])]).to_pyg()


PAIR = g.Graph([[0, 2], [1, 3]], 4)
WRONG = {
    "no graph": (g.Chain(4), [0, 2, 4], "a Chain; give a Graph"),
    "not from 0": (PAIR, [1, 2, 4], "begin at 0"),
    "not to the end": (PAIR, [0, 2, 3], "end at the 4 nodes"),
    "beyond the end": (PAIR, [0, 2, 5], "end at the 4 nodes"),
    "no member": (PAIR, [4], "begin at 0"),
    "nothing": (PAIR, torch.zeros(0, dtype=torch.long), "begin at 0"),
    "an empty member": (PAIR, [0, 2, 2, 4], "a member without nodes"),
    "backwards": (PAIR, [0, 3, 2, 4], "a member without nodes"),
    "halves": (PAIR, [0.0, 2.0, 4.0], "give integers"),
    "a matrix": (PAIR, [[0, 2, 4]], "give integers"),
    "booleans": (PAIR, [False, True], "give integers"),
    "meta": (PAIR, torch.zeros(3, dtype=torch.long, device="meta"), "without values"),
    "across": (PAIR, [0, 1, 4], "an edge from member 0 to member 1"),
    "words": (PAIR, "ab", "not a tensor"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_union(name):
    union, starts, words = WRONG[name]
    with pytest.raises(g.GeodlError, match=words):
        g.Batch.from_union(union, starts)


@pytest.mark.parametrize("starts", [[0, 2, 4], torch.tensor([0, 2, 4]).int(), (0, 4)], ids=str)
def test_starts_in_any_notation(starts):
    flat = g.Batch.from_union(PAIR, starts)
    assert flat.starts.tolist() == list(map(int, starts))
    assert flat.starts.dtype == torch.long
    assert g.Batch.from_union(PAIR, [0, 4]).members == (PAIR,), "a union of one is that one"


@given(parts=alike(), numbers=st.data(), mixed=st.booleans(), flat=st.booleans())
def test_selected_members_are_those(parts, numbers, mixed, flat):
    chosen = numbers.draw(st.lists(st.integers(0, len(parts) - 1), min_size=1, max_size=8))
    batch = g.Batch(parts)
    if flat or mixed:
        batch = batch.flat()
    if mixed:
        batch, _ = shuffled(batch, 0)
    found = batch.select(torch.tensor(chosen))
    wanted = g.Batch([batch.members[k] for k in chosen])
    assert found.domain.sizes == wanted.sizes and found.domain.starts.equal(wanted.starts)
    assert (found.domain.union is None) == (batch.union is None)
    assert all(map(same, found.domain.members, wanted.members))
    member = batch.member_of()[found.nodes]
    assert member.equal(torch.tensor(chosen)[found.domain.member_of()])
    # The links that were chosen are those of the new union, in its order.
    old, new = batch.links(), found.domain.links()
    shift = found.nodes
    assert old.dst[found.links].equal(shift[new.dst])
    assert old.src[found.links].equal(shift[new.src])


def test_what_cannot_be_selected():
    batch = g.Batch([g.Chain(2), g.Chain(3)])
    for numbers in (
        [0],
        torch.tensor([0.0]),
        torch.tensor(0),
        torch.tensor([2]),
        torch.tensor([-1]),
    ):
        with pytest.raises(g.GeodlError, match=r"give some of 0\.\.1"):
            batch.select(numbers)
    with pytest.raises(g.GeodlError, match="a domain that is not a union"):
        g.Chain(3).select(torch.tensor([0]))


LAYERS = {
    "gcn": lambda: g.Conv(CHANNELS, 2, g.adjacency("sym", self_loops=True)),
    "sage": lambda: g.Conv(CHANNELS, 2, g.adjacency("row")),
    "transposed": lambda: g.Conv(CHANNELS, 2, g.adjacency("row").reverse()),
    "laplacian": lambda: g.Conv(CHANNELS, 2, g.laplacian("sym")),
    "itself": lambda: g.Conv(CHANNELS, 2, g.itself()),
    "sets": lambda: g.Conv(CHANNELS, 2, g.all_pairs("self")),
    "gat": lambda: g.Attention(CHANNELS, g.adjacency(self_loops=True), 1, score="gat"),
    "dot": lambda: g.Attention(CHANNELS, g.adjacency(), 1),
    "transformer": lambda: g.Attention(CHANNELS, g.all_pairs(), 1),
    "either": lambda: g.Attention(CHANNELS, full_or_adjacency(), 1),
    "message": lambda: g.Message(Gated(CHANNELS), g.adjacency(self_loops=True), "max"),
    "pool": lambda: g.Pool(g.adjacency(self_loops=True), "max"),
    "sum": lambda: g.Readout("sum"),
    "mean": lambda: g.Readout("mean"),
    "max": lambda: g.Readout("max"),
    "min": lambda: g.Readout("min"),
    "norm": lambda: g.BatchNorm(CHANNELS).eval(),
}


@pytest.mark.parametrize("name", LAYERS)
@given(
    parts=st.lists(graphs(weighted=False), min_size=1, max_size=6),
    batch=st.sampled_from((0, 1, 3)),
    mixed=st.booleans(),
)
def test_every_layer_answers_as_on_the_members(name, parts, batch, mixed):
    torch.manual_seed(0)
    if name == "laplacian":
        parts = [two_way(part) for part in parts]
    layer, flat = LAYERS[name]().double(), g.Batch(parts).flat()
    if mixed:
        flat, _ = shuffled(flat, 1)
    x = torch.randn(batch, flat.num_nodes, CHANNELS, dtype=torch.float64, requires_grad=True)
    y = layer(g.Signal(x, flat)).x
    alone = [layer(g.Signal(v, m)).x for v, m in zip(flat.split(x), flat.members, strict=True)]
    wanted = torch.cat(alone, 1)
    assert y.shape == wanted.shape and error(y, wanted) < 1e-12
    up, leaves = torch.randn_like(y), [x, *layer.parameters()]
    ours = torch.autograd.grad(y, leaves, up, allow_unused=True)
    theirs = torch.autograd.grad(wanted, leaves, up, allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None and b is None) or error(a, b) < 1e-10


def test_trees_recur_on_a_flat_union():
    parts = [g.Graph([[0, 1], [2, 2]], 3), g.Graph([[0], [1]], 2), g.Graph([[], []], 2)]
    layer, flat = g.Recurrent(CHANNELS, 4, "gru", g.predecessors()).double(), g.Batch(parts).flat()
    x = torch.randn(2, 7, CHANNELS, dtype=torch.float64)
    y = layer(g.Signal(x, flat)).x
    alone = [layer(g.Signal(v, m)).x for v, m in zip(flat.split(x), parts, strict=True)]
    assert error(y, torch.cat(alone, 1)) < 1e-12


def gin() -> g.Sequential:
    """Convolutions, attention, a norm and a summary."""
    return g.Sequential(
        g.Conv(CHANNELS, 8, g.adjacency("sym", self_loops=True)),
        g.BatchNorm(8),
        nn.ReLU(),
        g.Attention(8, g.adjacency(), 2),
        g.Message(lambda x_i, x_j, e_ij: x_j - x_i, g.adjacency(), "max"),
        g.Pool(g.adjacency(), "mean"),
        g.Readout("sum"),
    )


def test_no_layer_asks_for_members(monkeypatch):
    flat = g.Batch(PygBatch.from_data_list(pyg_parts(described=False)))
    monkeypatch.setattr(batch, "members_of", lambda *_: pytest.fail("members are made"))
    model = gin()
    y = model(g.Signal(torch.randn(1, 10, CHANNELS), flat))
    y.x.sum().backward()
    assert y.domain == g.Complete(3)
    assert "spmm" in g.explain(model, g.Signal(torch.randn(1, 10, CHANNELS), flat)).__str__()
    chosen = flat.select(torch.tensor([2, 0])).domain
    assert chosen.sizes == (5, 2) and chosen.to("cpu") is chosen and len(str(chosen)) < 60
    with pytest.raises(pytest.fail.Exception):
        flat.members  # noqa: B018


def test_copies_of_flat_unions():
    flat, _ = shuffled(g.Batch([PAIR, g.Graph([[0, 1], [1, 1]], 3)]).flat(), 3)
    assert flat.members and flat.links()
    for twin in (copy.deepcopy(flat), pickle.loads(pickle.dumps(flat))):
        assert twin.cache == {} and twin.serial != flat.serial and str(twin) == str(flat)
        assert all(map(same, twin.members, flat.members))
    assert flat.with_tensors(flat.tensors()) is flat
    moved = flat.with_tensors(tuple(t.clone() for t in flat.tensors()))
    assert moved is not flat and all(map(same, moved.members, flat.members))
    away = flat.to("meta")
    assert away.sizes == flat.sizes and away.starts.is_meta
    with pytest.raises(g.GeodlError, match="without values"):
        away.members  # noqa: B018


def test_flat_only_where_all_are_graphs():
    mixed = g.Batch([g.Chain(2), PAIR])
    assert mixed.flat() is mixed and mixed.union is None
    heavy = g.Batch([PAIR, g.Graph([[0], [1]], 2, edge_weight=[2.0])]).flat()
    assert heavy.links().weight.tolist() == [1.0, 1.0, 2.0]


def test_signals_of_pyg():
    parts = pyg_parts()
    merged = PygBatch.from_data_list(parts)
    merged.u = torch.randn(3, 4)
    s = g.Signal.from_pyg(merged)
    assert s.x.equal(merged.x[None]) and s.domain.sizes == (2, 3, 5)
    assert s.edges.equal(merged.edge_attr[None]) and s.globals.equal(merged.u[None])
    one = g.Signal.from_pyg(parts[0])
    assert one.x.equal(parts[0].x[None]) and one.edges.equal(parts[0].edge_attr[None])
    assert one.globals is None and one.domain.num_nodes == 2
    parts[0].charge, parts[0].edge_attr = torch.randn(4), torch.randn(3)
    named = g.Signal.from_pyg(parts[0], globals="charge")
    assert named.globals.shape == (1, 1, 4) and named.edges.shape == (1, 3, 1)


PYG = {
    "no x": (lambda d: setattr(d, "x", None), "x of type NoneType; give data.x"),
    "flat x": (lambda d: setattr(d, "x", torch.ones(2)), r"shape \[2\]; give data.x"),
    "whole numbers": (lambda d: setattr(d, "edge_attr", torch.ones(3, 1).long()), "floating point"),
    "another length": (lambda d: setattr(d, "edge_attr", torch.ones(2, 1)), "give edge_attr"),
    "many globals": (lambda d: setattr(d, "u", torch.ones(2, 4)), r"give \[1, C\]"),
    "a word": (lambda d: setattr(d, "u", "heavy"), "u of type str"),
}


@pytest.mark.parametrize("name", PYG)
def test_data_that_are_no_signal(name):
    spoil, words = PYG[name]
    data = pyg_parts()[0]
    spoil(data)
    with pytest.raises(g.GeodlError, match=words):
        g.Signal.from_pyg(data)


def test_globals_by_a_name_that_is_not_there():
    with pytest.raises(g.GeodlError, match="no attribute 'mass'; choose one of .*num_nodes, x"):
        g.Signal.from_pyg(pyg_parts()[0], globals="mass")
    with pytest.raises(g.GeodlError, match="a list; give a torch_geometric"):
        g.Signal.from_pyg([1])


@pytest.mark.parametrize("shape", [(4,), (2, 4)])
def test_weights_that_come_with_each_call(shape):
    """Members, and those that are chosen, keep the weights of their own links."""
    graph = g.Graph([[0, 2, 1, 3], [1, 3, 0, 2]], 4)
    w = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    flat = g.Batch.from_union(graph.with_weights(w), [0, 2, 4])
    layer, x = g.Propagate(g.adjacency("row")), torch.randn(2, 4, 1, dtype=torch.float64)
    wanted = layer(g.Signal(x, graph.with_weights(w))).x
    assert layer(g.Signal(x, flat)).x.equal(wanted)
    second = flat.select(torch.tensor([1])).domain
    for domain in (flat.members[1], second):
        y = layer(g.Signal(x[:, 2:], domain)).x
        assert error(y, wanted[:, 2:]) < 1e-12
        ours, theirs = (torch.autograd.grad(v.sum(), w, retain_graph=True)[0] for v in (y, wanted))
        assert error(ours[..., [1, 3]], theirs[..., [1, 3]]) < 1e-12


def test_what_some_members_lack_reaches_pyg_or_is_refused():
    """PyG merges what its first graph has: the values of all others were dropped, or missed."""
    link = [[0], [1]]
    weighted = g.Graph(link, 2, edge_weight=torch.tensor([2.0]))
    for members, wanted in (
        ((weighted, g.Graph(link)), [2.0, 1.0]),
        ((g.Graph(link), weighted), [1.0, 2.0]),
    ):
        batch = g.Batch(members)
        assert batch.to_pyg().edge_weight.tolist() == wanted
        assert batch.flat().to_pyg().edge_weight.tolist() == wanted
    for name, value in (("edge_attr", torch.ones(1, 2)), ("edge_type", torch.tensor([1]))):
        valued = g.Graph(link, **{name: value})
        for members in ((valued, g.Graph(link)), (g.Graph(link), valued)):
            with pytest.raises(g.GeodlError, match=f"{name} in member 1.* to all members"):
                g.Batch(members).to_pyg()
    wide = [g.Graph(link, edge_attr=torch.ones(1, n)) for n in (1, 2)]
    for call in (g.Batch(wide).to_pyg, g.Batch(wide).flat):
        with pytest.raises(g.GeodlError, match="edge_attr of shape .any, 2. in member 1"):
            call()
