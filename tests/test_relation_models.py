"""What relations are for: sampled graphs, pooling and back at odd sizes, virtual nodes,
recommenders, graphs of several kinds of nodes. Each is compared with another way to say it.
"""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import geodl as g
from geodl.testing import error
from tests.strategies import graphs


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Sage(nn.Module):
    """`y_i = W x_i + V mean over edges (j -> i) of x_j` (Hamilton et al., "Inductive Representation
    Learning on Large Graphs", 2017), on a graph or on sampled blocks.
    """

    def __init__(self, channels: int, hidden: int, classes: int):
        super().__init__()
        sizes = (channels, hidden), (hidden, classes)
        self.own = nn.ModuleList(g.Conv(*size, g.itself()) for size in sizes)
        self.others = nn.ModuleList(nn.Linear(*size) for size in sizes)
        self.mean = g.Pool(g.adjacency(), "mean")

    def forward(self, s: g.Signal, blocks: tuple = (None, None)) -> g.Signal:
        for own, others, block in zip(self.own, self.others, blocks, strict=True):
            if block is None:
                heard, receiver = self.mean(s), s
            else:
                nodes, rule = block
                receiver = g.Signal(s.x[:, nodes], g.Complete(len(nodes)))
                heard = self.mean(receiver, s, rule=rule)
            s = own(receiver) + heard.map(others)
        return s


def sampled(graph: g.Graph, receivers: Tensor, most: int, seed: int) -> tuple:
    """At most so many links into each receiver, and the nodes on both sides.

    Returns:
        The nodes that send, where among them the receivers are, and the relation.
    """
    src, dst = graph.edge_index
    generator = torch.Generator().manual_seed(seed)
    found = []
    for i in receivers.tolist():
        into = (dst == i).nonzero()[:, 0]
        found.append(into[torch.randperm(len(into), generator=generator)[:most]])
    kept = torch.cat(found)
    # The receivers come first, so that they find themselves among the senders.
    fresh = src[kept].unique()
    fresh = fresh[~torch.isin(fresh, receivers)]
    nodes = torch.cat((receivers, fresh))
    place = torch.full((graph.num_nodes,), -1)
    place[nodes] = torch.arange(len(nodes))
    index = torch.stack((place[src[kept]], place[dst[kept]]))
    rule = g.relation(index, senders=len(nodes), receivers=len(receivers))
    return nodes, torch.arange(len(receivers)), rule


@given(graphs(weighted=False, types=False), st.integers(0, 100))
def test_sampled_blocks_of_all_links_are_the_graph(graph, seed):
    model = Sage(3, 4, 2).double()
    x = normal(1, graph.num_nodes, 3, seed=seed)
    seeds = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(seed))[:2]
    outer, at_seeds, second = sampled(graph, seeds, 99, seed)
    nodes, at_outer, first = sampled(graph, outer, 99, seed)
    s = g.Signal(x[:, nodes], g.Complete(len(nodes)))
    y = model(s, ((at_outer, first), (at_seeds, second)))
    assert error(y.x, model(g.Signal(x, graph)).x[:, seeds]) < 1e-12


def test_a_graph_is_learnt_from_samples():
    torch.manual_seed(0)
    ring = torch.arange(40)
    index = torch.cat([torch.stack((ring, (ring + k) % 40)) for k in (1, 2, 38, 39)], 1)
    graph, label = g.Graph(index, 40), (ring >= 20).long()
    x = normal(1, 40, 3) + label[:, None]
    model = Sage(3, 8, 2).double()
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    for step in range(40):
        seeds = torch.randperm(40)[:10]
        outer, at_seeds, second = sampled(graph, seeds, 2, step)
        nodes, at_outer, first = sampled(graph, outer, 2, step)
        s = g.Signal(x[:, nodes], g.Complete(len(nodes)))
        y = model(s, ((at_outer, first), (at_seeds, second)))
        loss = F.cross_entropy(y.x[0], label[seeds])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    right = (model(g.Signal(x, graph)).x[0].argmax(-1) == label).double().mean()
    assert right > 0.8


@given(st.integers(2, 9), st.integers(2, 9), st.sampled_from((2, 3)))
def test_up_again_at_odd_sizes(height, width, stride):
    if min(height, width) < stride:
        return
    rule = g.window(stride, stride=stride, padding="valid")
    skip = g.Signal.image(normal(2, 3, height, width))
    down, up = g.Pool(rule), g.Conv(3, 3, rule.reverse()).double()
    coarse = down(skip)
    y = up(skip, coarse)
    assert y.domain == skip.domain
    rest = [n - n // stride * stride for n in (height, width)]
    bank = up.weight.unflatten(0, (stride, stride)).permute(2, 3, 0, 1)
    wanted = F.conv_transpose2d(coarse.to_image(), bank, up.bias, stride)
    # What no window reached has the bias alone.
    wanted = F.pad(wanted - up.bias[:, None, None], (0, rest[1], 0, rest[0]))
    assert error(y.to_image(), wanted + up.bias[:, None, None]) < 1e-12
    assert error((y + skip).x, y.x + skip.x) == 0


def test_a_receiver_of_another_size_is_refused():
    rule = g.window(2, stride=2)
    up = g.Conv(3, 3, rule.reverse())
    coarse = g.Signal.image(torch.zeros(1, 3, 3, 3))
    for side in (6, 7):
        skip = g.Signal.image(torch.zeros(1, 1, side, side))
        assert up(skip, coarse).domain == g.Grid(side, side)
    with pytest.raises(
        g.GeodlError, match=r"maps Grid\(8, 8\) to Grid\(4, 4\), not to Grid\(3, 3\)"
    ):
        up(g.Signal.image(torch.zeros(1, 1, 8, 8)), coarse)


@given(st.lists(graphs(weighted=False, types=False), min_size=1, max_size=4), st.integers(0, 2))
def test_a_virtual_node_broadcasts(parts, batch):
    domain = g.Batch(parts)
    s = g.Signal(normal(batch, domain.num_nodes, 3), domain)
    whole = g.Readout("sum")(s)
    assert whole.domain == g.Complete(len(parts))
    update = g.Conv(3, 3, g.whole().reverse(), bias=False).double()
    y = s + update(s, whole.map(torch.tanh))
    wanted = s.x + (whole.x.tanh() @ update.weight[0])[:, domain.member_of()]
    assert y.domain is domain and error(y.x, wanted) < 1e-12
    spread = g.Pool(g.whole().reverse(), "sum")(s, whole)
    assert error(spread.x, whole.x[:, domain.member_of()]) < 1e-12


def test_a_recommender_is_one_relation():
    # LightGCN (He et al. 2020): factors are propagated with 1 / sqrt(d_user d_item), no weights.
    generator = torch.Generator().manual_seed(0)
    users, items = 6, 4
    rated = torch.rand(items, users, generator=generator) < 0.5
    dst, src = rated.nonzero().T
    degree = rated.sum(0).double(), rated.sum(1).double()
    weight = (degree[0][src] * degree[1][dst]).rsqrt()
    likes = g.relation([src, dst], senders=users, receivers=items, weight=weight)
    liked_by = likes.reverse()
    hop = g.Conv(3, 3, likes, bias=False).double()
    with torch.no_grad():
        hop.weight.copy_(torch.eye(3)[None])
    user, item = normal(1, users, 3), normal(1, items, 3, seed=1)
    people, things = g.Signal(user, g.Complete(users)), g.Signal(item, g.Complete(items))
    people, things = hop(people, things, rule=liked_by), hop(things, people)
    dense = rated.double() / (degree[1][:, None] * degree[0]).clamp(min=1).sqrt()
    assert error(things.x, dense @ user) < 1e-12 and error(people.x, dense.T @ item) < 1e-12
    scores = people.x @ things.x.mT
    assert scores.shape == (1, users, items)


class TwoKinds(nn.Module):
    """Papers and authors: one convolution for each kind of link, summed where they arrive (R-GCN
    over kinds of nodes).
    """

    def __init__(self, relations: dict[str, g.Neighborhood], channels: dict[str, int], out: int):
        super().__init__()
        self.relations = relations
        sends = {"writes": "author", "written": "paper", "cites": "paper"}
        self.convs = nn.ModuleDict(
            {
                name: g.Conv(channels[sends[name]], out, rule, bias=False)
                for name, rule in relations.items()
            }
        )
        self.own = nn.ModuleDict(
            {kind: g.Conv(count, out, g.itself()) for kind, count in channels.items()}
        )

    def forward(self, paper: g.Signal, author: g.Signal) -> tuple[g.Signal, g.Signal]:
        papers = self.own["paper"](paper)
        papers = papers + self.convs["writes"](paper, author) + self.convs["cites"](paper, paper)
        return papers, self.own["author"](author) + self.convs["written"](author, paper)


def test_a_graph_of_two_kinds_of_nodes():
    writes = g.relation([[0, 0, 1, 2], [0, 1, 1, 3]], senders=3, receivers=5)
    cites = g.relation([[0, 1, 4], [1, 2, 2]], senders=5)
    relations = {"writes": writes, "written": writes.reverse(), "cites": cites}
    model = TwoKinds(relations, {"paper": 3, "author": 2}, 4).double()
    paper = g.Signal(normal(2, 5, 3), g.Graph(cites.edge_index, 5))
    author = g.Signal(normal(2, 3, 2, seed=1), g.Complete(3))
    papers, authors = model(paper, author)
    assert papers.domain is paper.domain and authors.domain == g.Complete(3)

    def dense(index: Tensor, m: int, n: int) -> Tensor:
        return torch.zeros(m, n, dtype=torch.float64).index_put(
            (index[1], index[0]), torch.ones((), dtype=torch.float64), accumulate=True
        )

    wrote, cited = dense(writes.edge_index, 5, 3), dense(cites.edge_index, 5, 5)
    convs, own = model.convs, model.own
    wanted = paper.x @ own["paper"].weight[0] + own["paper"].bias
    wanted = wanted + wrote @ author.x @ convs["writes"].weight[0]
    wanted = wanted + cited @ paper.x @ convs["cites"].weight[0]
    assert error(papers.x, wanted) < 1e-12
    back = author.x @ own["author"].weight[0] + own["author"].bias
    assert error(authors.x, back + wrote.T @ paper.x @ convs["written"].weight[0]) < 1e-12
    assert len(list(model.parameters())) == len(model.state_dict()) == 7


def test_pooling_by_scores_and_back():
    # Graph U-Net (Gao and Ji 2019): keep the nodes of the largest scores, scaled by them.
    graph = g.Graph([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]], 6)
    s = g.Signal(normal(1, 6, 3), graph, normal(1, 6, 2))
    project = nn.Linear(3, 1).double()
    score = project(s.x)[0, :, 0]
    top = score.topk(4).indices
    kept, rule = s.map(lambda x: x * score.sigmoid()[:, None]).restrict(top)
    inner = g.Conv(3, 3, g.adjacency("sym", self_loops=True)).double()(kept)
    up = g.Pool(rule.reverse(), "sum")(s, inner)
    assert up.domain is graph and up.edges is s.edges
    (s + up).x.sum().backward()
    assert project.weight.grad.abs().sum() > 0
    wanted = torch.zeros(1, 6, 3, dtype=torch.float64).index_copy(1, top, inner.x)
    assert up.x.equal(wanted)


def test_clusters_are_pooled_and_unpooled():
    cluster = torch.tensor([0, 0, 1, 2, 2])
    rule = g.relation(torch.stack((torch.arange(5), cluster)), senders=5, receivers=3)
    s = g.Signal(normal(2, 5, 3), g.Graph([[0], [1]], 5))
    coarse = g.Pool(rule, "mean")(s)
    assert coarse.domain == g.Complete(3)
    assert coarse.x[:, 2].allclose(s.x[:, 3:].mean(1))
    fine = g.Pool(rule.reverse(), "sum")(s, coarse)
    assert fine.domain is s.domain and fine.x.equal(coarse.x[:, cluster])


def test_a_call_by_another_rule_is_explained_and_prepared():
    s = g.Signal(normal(1, 3, 2), g.Graph([[0, 1], [1, 2]], 3))
    rule = g.relation(torch.tensor([[2, 1], [0, 0]]), senders=3, receivers=3)
    layer = g.Conv(2, 2, g.adjacency()).double()
    (own,), (named,) = g.explain(layer, s).choices, g.explain(layer, s, rule=rule).choices
    assert (own.neighborhood, named.neighborhood) == (str(layer.rule), str(rule))
    fresh = g.relation(torch.tensor([[2, 1], [0, 0]]), senders=3, receivers=3)
    assert "plans" not in fresh.cache
    g.prepare(layer, s, rule=fresh)
    kept = fresh.cache["plans"].entries()
    plans = [entry for entry in kept if hasattr(entry.value, "lowering")]
    assert [entry.value.lowering.name for entry in plans] == [named.lowering]
    assert all(entry.usage.pinned for entry in plans)
