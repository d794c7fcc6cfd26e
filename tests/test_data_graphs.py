"""Sets of graphs, hidden links, folds, generated solids; and labels and masks that are none."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import geodl as g
from geodl import data
from geodl.data.solids import SOLIDS, SURFACES
from geodl.errors import GeodlError

KARATE = data.karate()


def refused(*words, act):
    with pytest.raises(GeodlError) as error:
        act()
    assert all(word in str(error.value) for word in words), str(error.value)


def pairs_of(index):
    """The pairs of nodes that links join, whichever comes first."""
    return {(min(pair), max(pair)) for pair in index.T.tolist()}


def test_proteins(data_root):
    found = data.proteins(lengths=True)
    domain = found.signal.domain
    assert (found.name, found.num_classes) == ("proteins", 2)
    assert (domain.num_members, domain.num_nodes, domain.num_links) == (1113, 43471, 162088)
    assert found.labels.bincount().tolist() == [663, 450]
    assert found.signal.x[0, :, :3].sum(0).tolist() == [21151, 20931, 1389]
    assert found.signal.x[0, :3, 3].tolist() == [23, 10, 25]
    assert max(domain.sizes) == 620 and min(domain.sizes) == 4
    assert torch.equal(data.proteins().signal.x, found.signal.x[:, :, :3])


def test_hidden_links_are_in_no_graph():
    split = data.split_links(KARATE.signal, val=0.1, test=0.2, name="club")
    graph = split.signal.domain
    known = pairs_of(graph.edge_index)
    everything = pairs_of(KARATE.signal.domain.edge_index)
    assert split.name == "club" and pairs_of(split.train) == known
    hidden = []
    for part in (split.val, split.test):
        joined, apart = (part.pairs[:, part.labels == label] for label in (1, 0))
        assert joined.shape == apart.shape
        assert pairs_of(joined) <= everything - known
        assert not pairs_of(apart) & everything
        hidden.append(pairs_of(joined))
    assert hidden[0] | hidden[1] | known == everything and not hidden[0] & hidden[1]
    assert set(map(tuple, graph.edge_index.T.tolist())) == {*known, *((b, a) for a, b in known)}
    again = data.split_links(KARATE.signal, val=0.1, test=0.2)
    assert torch.equal(again.test.pairs, split.test.pairs)
    other = data.split_links(KARATE.signal, val=0.1, test=0.2, seed=1)
    assert not torch.equal(other.train, split.train)
    assert split.to("cpu").test.labels.tolist() == split.test.labels.tolist()


def test_what_links_carry_stays_with_those_that_are_left():
    ends = torch.combinations(torch.arange(8)).T
    index = torch.cat([ends, ends.flip(0), torch.tensor([[3], [3]])], 1)
    number = torch.arange(index.shape[1], dtype=torch.float32)
    graph = g.Graph(index[:, number != 0], 8, edge_weight=number[1:] + 1)
    assert graph.num_links == 56
    refused(
        "1 links of one direction",
        act=lambda: data.split_links(g.Signal(number[:8, None][None], graph)),
    )
    graph = g.Graph(index, 8, edge_weight=number + 1)
    signal = g.Signal(torch.zeros(1, 8, 2), graph, number[None, :, None])
    # A complete graph has no pair to stand beside the hidden ones.
    refused("0 such pairs", act=lambda: data.split_links(signal, val=0.2, test=0.2))
    roomy = g.Graph(index, 20, edge_weight=number + 1)
    signal = g.Signal(torch.zeros(1, 20, 2), roomy, number[None, :, None])
    left = data.split_links(signal, val=0.2, test=0.2).signal
    kept = left.edges[0, :, 0].long()
    assert torch.equal(left.domain.edge_index, index[:, kept])
    assert torch.equal(left.domain.edge_weight, number[kept] + 1)
    assert 56 in kept.tolist() and left.domain.num_nodes == 20


@given(st.integers(2, 9), st.data())
def test_unlinked_pairs_are_all_of_them_and_no_others(nodes, drawn):
    ends = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    links = drawn.draw(st.lists(ends, max_size=20))
    graph = g.Graph(torch.tensor(links, dtype=torch.long).reshape(-1, 2).T, nodes)
    linked = {(min(pair), max(pair)) for pair in links}
    everyone = {(a, b) for b in range(nodes) for a in range(b)}
    free = everyone - linked
    if free:
        found = data.unlinked(graph, len(free))
        assert found.shape == (2, len(free)) and pairs_of(found) == free
        assert (found[0] < found[1]).all()
    refused(f"{len(free)} such pairs", act=lambda: data.unlinked(graph, len(free) + 1))


def test_unlinked_pairs_are_drawn_evenly_and_follow_from_the_generator():
    graph = g.Graph([[0, 1], [1, 0]], 4)
    count = torch.zeros(4, 4)
    chance = torch.Generator().manual_seed(0)
    for _ in range(1000):
        a, b = data.unlinked(graph, 1, generator=chance)
        count[a, b] += 1
    # Five pairs, each of probability 1/5: a deviation of 13 in 1000.
    assert count.sum() == 1000 and (count[count > 0] - 200).abs().max() < 60
    first, again = (
        data.unlinked(graph, 3, generator=torch.Generator().manual_seed(5)) for _ in "ab"
    )
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    ("shares", "said"),
    [({"val": 1.0}, "shares"), ({"test": "a"}, "shares"), ({"val": 0.001}, "0 to validate")],
)
def test_shares_that_are_none(shares, said):
    refused(said, act=lambda: data.split_links(KARATE.signal, **shares))


def test_links_of_what_has_none():
    union = g.Batch([KARATE.signal.domain] * 2)
    refused("several graphs", act=lambda: data.split_links(g.Signal(torch.zeros(1, 68, 1), union)))
    refused("a list", act=lambda: data.split_links([1]))
    refused("another domain", act=lambda: data.unlinked([1], 1))
    refused("0 pairs", act=lambda: data.unlinked(KARATE.signal.domain, 0))


def test_links_of_a_grid():
    split = data.split_links(g.Signal(torch.zeros(1, 25, 1), g.Grid(5, 5)), val=0.2, test=0.2)
    assert split.signal.domain.num_links == 2 * split.train.shape[1] == 2 * (40 - 8 - 8)


def test_folds():
    labels = torch.tensor([0] * 23 + [1] * 47)
    fold = data.folds(labels, 5)
    for number in range(5):
        counts = labels[fold == number].bincount()
        assert 4 <= counts[0] <= 5 and 9 <= counts[1] <= 10
    assert torch.equal(fold, data.folds(labels, 5))
    assert not torch.equal(fold, data.folds(labels, 5, seed=1))
    refused("a class of 23 examples", act=lambda: data.folds(labels, 24))
    refused("1 folds", act=lambda: data.folds(labels, 1))
    refused("a list", act=lambda: data.folds([0, 1], 2))
    refused("no labels", act=lambda: data.folds(labels[:0], 2))


@pytest.mark.parametrize("name", SOLIDS)
def test_points_lie_on_their_solid(name):
    """Each solid by an equation of its own, and its mean in the middle."""
    x, y, z = SURFACES[name](3, 2000, torch.Generator().manual_seed(0)).unbind(-1)
    around = (x * x + y * y).sqrt()
    off = {
        "sphere": (around.square() + z * z) - 1,
        "cube": torch.stack((x, y, z)).abs().amax(0) - 1,
        "cylinder": torch.maximum(around, z.abs()) - 1,
        "cone": torch.where(z > -1, around - (1 - z) / 2, torch.relu(around - 1)),
        "torus": ((around - 1).square() + z * z).sqrt() - 0.4,
        "ring": ((around - 1).square() + z * z).sqrt() - 0.1,
        "tetrahedron": torch.stack((x + y - z, x - y + z, y + z - x, -x - y - z)).amax(0) - 1,
        "octahedron": x.abs() + y.abs() + z.abs() - 1,
    }[name]
    assert off.abs().max() < 1e-9
    assert max(abs(float(x.mean())), abs(float(y.mean()))) < 0.05


def test_points_are_spread_evenly():
    chance = torch.Generator().manual_seed(0)
    cylinder = SURFACES["cylinder"](1, 30000, chance)[0]
    ends = cylinder[:, 2].abs() == 1
    assert abs(float(ends.double().mean()) - 1 / 3) < 0.01
    assert abs(float((cylinder[ends][:, :2].norm(dim=1) < 0.5).double().mean()) - 1 / 4) < 0.02
    cone = SURFACES["cone"](1, 30000, chance)[0]
    assert abs(float((cone[:, 2] == -1).double().mean()) - 1 / (1 + 5**0.5)) < 0.01
    torus = SURFACES["torus"](1, 30000, chance)[0]
    # Of the surface (2 pi)^2 R r the outer half has 2 pi r (pi R + 2 r).
    outside = (torus[:, :2].norm(dim=1) > 1).double().mean()
    assert abs(float(outside) - (torch.pi + 0.8) / (2 * torch.pi)) < 0.01


def test_solids():
    found = data.solids(16)
    parts = (found.train, found.val, found.test)
    assert [len(part.labels) for part in parts] == [800, 200, 400]
    assert all(part.labels.bincount().unique().numel() == 1 for part in parts)
    assert found.train.points.dtype == torch.float32
    radius = found.train.points.norm(dim=2).amax(1)
    assert radius.min() > 0.85 and radius.max() < 1.2
    assert torch.equal(found.test.points, data.solids(16).test.points)
    assert not torch.equal(found.test.points, data.solids(16, seed=1).test.points)
    assert found.to("cpu").classes == found.classes
    refused("0 points", act=lambda: data.solids(0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": KARATE.labels + 1}, "labels from 1 to 2"),
        ({"labels": KARATE.labels - 1}, "labels from -1 to 0"),
        ({"labels": KARATE.labels.int()}, "labels.long()"),
        ({"labels": KARATE.labels[:33]}, "33 labels"),
        ({"labels": KARATE.labels.float()}, "torch.float32"),
        ({"train": torch.zeros(34, dtype=torch.bool)}, "nobody"),
        ({"val": KARATE.val[:33]}, "34 booleans"),
        ({"test": torch.arange(34)}, "34 booleans"),
    ],
)
def test_labels_and_masks_of_nodes_that_are_none(change, said):
    refused(said, act=lambda: replace(KARATE, **change))


def test_labels_of_graphs_that_are_none(data_root):
    graphs = data.mutag()
    refused("187 labels", act=lambda: replace(graphs, labels=graphs.labels[1:]))
    refused("classes from 0 to 1", act=lambda: replace(graphs, labels=graphs.labels + 1))
