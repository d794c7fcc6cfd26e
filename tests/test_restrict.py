"""Fewer nodes, and nearest ones: signals restricted to some nodes, and neighbors by distance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import geodl as g
from geodl.signal import nearest
from tests.strategies import anywhere, graphs


@st.composite
def kept_nodes(draw: st.DrawFn) -> tuple[g.Domain, list[int]]:
    """A domain, a union among them, and some of its nodes, in some order."""
    parts = draw(st.lists(st.one_of(anywhere(), graphs()), min_size=1, max_size=3))
    nodes, first = [], 0
    for part in parts:
        own = draw(st.permutations(range(part.num_nodes)))
        nodes += [first + i for i in own[: draw(st.integers(1, part.num_nodes))]]
        first += part.num_nodes
    domain = parts[0] if len(parts) == 1 else g.Batch(parts)
    graphs_alone = all(type(part) is g.Graph for part in parts)
    if domain.is_union and graphs_alone and draw(st.booleans()):
        domain = domain.flat()
    return domain, draw(st.permutations(nodes))


@given(kept_nodes(), st.integers(0, 2), st.booleans())
def test_links_between_kept_nodes_stay_with_their_state(drawn, batch, weighs):
    domain, nodes = drawn
    edges = torch.randn(1, domain.num_links, 2)
    state = torch.randn(1, domain.num_members, 3)
    s = g.Signal(torch.randn(batch, domain.num_nodes, 2), domain, edges, state)
    kept, rule = s.restrict(nodes)
    # Where each kept node was, by the relation.
    was, new = rule.edge_index
    assert new.tolist() == list(range(len(nodes))) and sorted(was.tolist()) == sorted(nodes)
    assert domain.num_members > 1 or was.tolist() == list(nodes)
    assert kept.x.equal(s.x[:, was]) and kept.globals is state
    assert kept.domain.num_members == domain.num_members
    links, old = kept.domain.links(), domain.links()
    found = set()
    for e, (i, j) in enumerate(zip(was[links.dst].tolist(), was[links.src].tolist(), strict=True)):
        row = (i, j, *kept.edges[0, e].tolist())
        weight = None if links.weight is None else float(links.weight[e])
        found.add((row, weight))
    wanted = set()
    there = set(nodes)
    for e, (i, j) in enumerate(zip(old.dst.tolist(), old.src.tolist(), strict=True)):
        if i in there and j in there:
            weight = None if old.weight is None else float(old.weight[e])
            wanted.add(((i, j, *edges[0, e].tolist()), weight))
    assert {row for row, _ in found} == {row for row, _ in wanted}
    if domain.num_members == 1:
        assert found == wanted
    # Down by the relation, and up again: what was kept stands where it was, else zeros.
    assert g.Pool(rule, "sum")(kept.with_edges(None), s).x.equal(kept.x)
    up = g.Pool(rule.reverse(), "sum")(s, kept)
    assert up.domain is domain and up.x[:, was].equal(kept.x) and up.edges is edges
    dropped = [i for i in range(domain.num_nodes) if i not in there]
    assert not up.x[:, dropped].any()


def test_kinds_of_domains_that_stay():
    s = g.Signal(torch.randn(1, 4, 1), g.Complete(4))
    kept, _ = s.restrict([2, 0])
    assert kept.domain == g.Complete(2)
    typed = g.Graph([[0, 1, 2], [1, 2, 0]], 4, edge_type=[0, 1, 0], edge_attr=torch.ones(3, 2))
    kept, _ = g.Signal(torch.randn(1, 4, 1), typed).restrict(
        torch.tensor([False, True, True, False])
    )
    assert kept.domain.edge_type.tolist() == [1] and kept.domain.edge_attr.shape == (1, 2)
    assert kept.domain.edge_index.tolist() == [[0], [1]]
    image = g.Signal.image(torch.randn(1, 1, 3, 3))
    kept, _ = image.restrict([0, 1, 3, 8])
    assert kept.domain.links().dst.tolist() == [0, 0, 1, 2]
    # Values have a gradient, on their way down.
    x = torch.randn(1, 4, 1, requires_grad=True)
    kept, _ = g.Signal(x, typed).restrict([1])
    (gradient,) = torch.autograd.grad(kept.x.sum(), x)
    assert gradient.flatten().tolist() == [0, 1, 0, 0]


def test_weights_that_come_with_the_call_stay_and_learn():
    ring = g.Graph([[0, 1, 2, 3], [1, 2, 3, 0]])
    layer = g.Conv(1, 1, g.adjacency("sym", self_loops=True)).double()
    x = torch.randn(2, 4, 1, dtype=torch.float64)
    for shape in ((4,), (2, 4)):
        weight = torch.rand(shape, dtype=torch.float64, requires_grad=True)
        kept, _ = g.Signal(x, ring.with_weights(weight)).restrict([1, 2, 3])
        # Links 1 and 2 join the nodes that stay.
        assert kept.domain.runtime_weight.equal(weight[..., 1:3])
        (gradient,) = torch.autograd.grad(layer(kept).x.square().sum(), weight)
        assert gradient[..., 1:3].abs().min() > 0 and not gradient[..., ::3].any()


UNION = g.Signal(torch.zeros(1, 5, 1), g.Batch([g.Chain(2), g.Chain(3)]))
BAD = {
    "no nodes": (lambda: UNION.restrict([]), "no nodes; keep one at least"),
    "none kept": (lambda: UNION.restrict(torch.zeros(5, dtype=torch.bool)), "no nodes; keep one"),
    "beyond": (lambda: UNION.restrict([0, 5]), "node numbers from 0 to 5; .* 0..4"),
    "negative": (lambda: UNION.restrict([-1]), "from -1 to -1"),
    "twice": (lambda: UNION.restrict([0, 2, 0]), "a node that is kept twice"),
    "a member without": (lambda: UNION.restrict([0, 1]), "none of member 1; keep a node of each"),
    "another mask": (
        lambda: UNION.restrict([True, False]),
        r"give node numbers \[K\], or booleans",
    ),
    "floats": (lambda: UNION.restrict([0.0]), r"booleans \[5\]"),
    "a word": (lambda: UNION.restrict("all"), "nodes that is not a tensor"),
    "sparse": (
        lambda: g.Signal(torch.eye(3).to_sparse_csr(), g.Chain(3)).restrict([0]),
        "sparse values",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_kept_is_refused(name):
    make, words = BAD[name]
    with pytest.raises(g.GeodlError, match=words):
        make()


def by_hand(s: g.Signal, k: int, loops: bool) -> list[list[int]]:
    """Edges (sender, receiver) to the nearest nodes of each node's member, nearest first."""
    member, found = s.domain.member_of(), []
    for i in range(s.domain.num_nodes):
        distance = (s.x[0] - s.x[0, i]).square().sum(-1)
        distance[member != member[i]] = torch.inf
        distance[i] = -1.0 if loops else torch.inf
        order = [j for j in distance.argsort().tolist() if distance[j] < torch.inf]
        found += [[j, i] for j in order[:k]]
    return found


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(1, 4),
    st.booleans(),
    st.integers(1, 40),
    st.integers(0, 100),
)
def test_nearest_neighbors_are_those_by_hand(sizes, k, loops, block, seed):
    domain = g.Batch([g.Complete(n) for n in sizes]) if len(sizes) > 1 else g.Complete(*sizes)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, domain.num_nodes, 3, generator=generator, dtype=torch.float64)
    s = g.Signal(x, domain)
    whole = nearest.MOST_DISTANCES
    try:
        nearest.MOST_DISTANCES = block  # blocks of one receiver or few
        rule = g.knn(s, k, loops=loops)
    finally:
        nearest.MOST_DISTANCES = whole
    assert rule.edge_index.T.tolist() == by_hand(s, k, loops)
    assert rule.one_set and rule.senders == domain.num_nodes
    assert rule.edge_index.equal(g.knn(s, k, loops=loops).edge_index)


def test_nodes_at_one_place_are_neighbors_and_no_loops():
    s = g.Signal(torch.zeros(1, 3, 2), g.Complete(3))
    src, dst = g.knn(s, 2).edge_index
    assert not (src == dst).any() and len(src) == 6
    src, dst = g.knn(s, 1, loops=True).edge_index
    assert src.equal(dst)
    alone = g.knn(g.Signal(torch.zeros(1, 1, 2), g.Complete(1)), 3)
    assert alone.edge_index.shape == (2, 0)


def test_far_from_zero_near_nodes_are_told_apart():
    # Gaps grow by a hundredth: the nearest of each is the one before, to which products are blind.
    gaps = torch.arange(40.0) / 100
    s = g.Signal((1000 + gaps.cumsum(0))[None, :, None].expand(1, 40, 8), g.Complete(40))
    src, dst = g.knn(s, 1).edge_index
    assert src.tolist() == [1, *range(39)] and dst.tolist() == list(range(40))


def test_edge_convolution_follows_its_values():
    torch.manual_seed(0)
    layer = g.Message(lambda x_i, x_j, e_ij: torch.cat((x_i, x_j - x_i), -1), g.itself(), "max")
    s = g.Signal(torch.randn(1, 7, 2), g.Batch([g.Complete(4), g.Complete(3)]))
    y = layer(s, rule=g.knn(s, 2))
    assert y.domain is s.domain and y.shape == (1, 7, 4)
    again = layer(y, rule=g.knn(y, 2))
    assert again.shape == (1, 7, 8)


BAD_CLOUDS = {
    "no signal": (lambda: g.knn(torch.zeros(1, 3, 2), 1), "give a Signal"),
    "no neighbors": (lambda: g.knn(UNION, 0), "the size 0"),
    "several rows": (
        lambda: g.knn(g.Signal(torch.zeros(2, 3, 1), g.Chain(3)), 1),
        "a batch of 2, whose rows have different neighbors",
    ),
    "tokens": (lambda: g.knn(g.Signal.tokens(torch.zeros(1, 3).long()), 1), "give dense numbers"),
    "nan": (
        lambda: g.knn(g.Signal(torch.tensor([[[0.0], [torch.nan], [1.0]]]), g.Complete(3)), 2),
        "no finite numbers",
    ),
    "sparse": (lambda: g.knn(g.Signal(torch.eye(3).to_sparse_csr(), g.Chain(3)), 1), "sparse_csr"),
}


@pytest.mark.parametrize("name", BAD_CLOUDS)
def test_what_has_no_neighbors_is_refused(name):
    make, words = BAD_CLOUDS[name]
    with pytest.raises(g.GeodlError, match=words):
        make()
