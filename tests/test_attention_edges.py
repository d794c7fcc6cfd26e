"""Attention that reads features of edges: the formula, the rules that add edges, unions, and what
is refused.
"""

import math

import pytest
import torch
from torch import Tensor

import geodl as g
from geodl.lowering.scores import SCORES
from geodl.testing import assert_lowered_to, assert_parity, error

GRAPH = g.Graph([[0, 1, 2, 3, 1, 1, 0], [1, 2, 3, 0, 3, 1, 1]], 5)  # a loop, twins, a lonely node
LINKS, CHANNELS = 7, 3
FAST = dict.fromkeys(("dot", "product", "gat", "additive", "gatv2"), "edge_softmax")


def attention(score: str, rule=None, **options) -> g.Attention:
    layer = g.Attention(4, rule or g.adjacency(), 2, score, edge_channels=CHANNELS, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in layer.double().parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / 2)
    return layer


def signal(domain: g.Domain, batch: int = 2, rows: int = 1) -> g.Signal:
    """Random values, and random features of the links: the same for all rows, or of each."""
    generator = torch.Generator().manual_seed(1)
    shape = batch, domain.num_nodes, 4
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    links = len(domain.links()[0])
    edges = torch.randn(rows, links, CHANNELS, generator=generator, dtype=torch.float64)
    return g.Signal(x, domain, edges=edges)


def by_hand(layer: g.Attention, s: g.Signal) -> Tensor:
    """The formula, edge by edge, receiver by receiver and head by head."""
    name, heads, wide = layer.options.score, layer.heads, layer.head_dim
    assert s.edges is not None
    query, key, value = layer._project(s.x, s.x)
    e = (
        (s.edges @ layer.edge_proj_weight.T)
        .unflatten(2, (heads, wide))
        .expand(len(s.x), -1, -1, -1)
    )
    vectors = layer.score_vectors
    dst, src, *_ = s.domain.links()
    y = torch.zeros_like(value)
    for b in range(len(s.x)):
        for h in range(heads):
            for i in range(s.domain.num_nodes):
                edges = (dst == i).nonzero()[:, 0].tolist()
                if not edges:
                    continue
                scores, sent = [], []
                for link in edges:
                    q, k, v = query[b, i, h], key[b, src[link], h], value[b, src[link], h]
                    f = e[b, link, h]
                    if name == "dot":
                        scores.append(q @ (k + f) / math.sqrt(wide))
                    elif name == "product":
                        scores.append(q @ (k + f))
                    elif name == "additive":
                        scores.append(vectors[0, h] @ (q + k + f).tanh())
                    elif name == "gat":
                        a, c, d = vectors[:, h]
                        scores.append(torch.nn.functional.leaky_relu(a @ q + c @ k + d @ f, 0.2))
                    elif name == "gatv2":
                        inner = torch.nn.functional.leaky_relu(q + k + f, 0.2)
                        scores.append(vectors[0, h] @ inner)
                    else:
                        f_q, f_k = (torch.nn.functional.elu(z) + 1 for z in (q, k + f))
                        scores.append((f_q @ f_k).log())
                    carried = name in ("dot", "product", "linear")
                    sent.append(v + f if carried else v)
                shares = torch.stack(scores).softmax(0)
                y[b, i, h] = shares @ torch.stack(sent)
    return layer.out_proj(y.flatten(2))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("score", SCORES)
def test_the_formula(score, rows):
    layer, s = attention(score), signal(GRAPH, rows=rows)
    assert_lowered_to(FAST.get(score, "edges"), layer, s)
    wanted = by_hand(layer, s)
    for lowering in ("auto", "edges"):
        layer.lowering = lowering
        assert error(layer(s).x, wanted) < 1e-10


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("score", FAST)
def test_every_lowering_gives_the_references_gradients(score, batch):
    """The features' own among them; also of a union, and of no links at all."""
    rules = (g.adjacency(), g.adjacency(self_loops=True, fill="mean"), g.predecessors())
    for rule in (*rules, g.adjacency(self_loops="anew", fill=0.5)):
        layer = attention(score, rule)
        for domain in (GRAPH, g.Batch([GRAPH, g.Chain(3)]), g.Graph([[], []], 3)):
            assert set(assert_parity(layer, signal(domain, batch))) == {FAST[score]}


@pytest.mark.parametrize("score", ["dot", "gat", "gatv2"])
def test_edges_that_the_rule_adds_have_what_it_says(score):
    """A number, or the mean of those that arrive: as if the graph had the loops itself."""
    s = signal(g.Graph([[0, 1, 2, 0], [1, 2, 1, 2]], 4))
    loops = torch.arange(4)
    index = torch.cat((s.domain.edge_index, torch.stack((loops, loops))), 1)
    own = g.Graph(index, 4)
    arriving = torch.stack(
        [s.edges[:, s.domain.edge_index[1] == i].sum(1) for i in range(4)], dim=1
    )
    count = s.domain.edge_index[1].bincount(minlength=4).clamp(min=1)[:, None]
    for fill, state in (
        (0.5, torch.full_like(arriving, 0.5)),
        ("mean", arriving / count),
        (0, torch.zeros_like(arriving)),
    ):
        layer = attention(score, g.adjacency(self_loops=True, fill=fill))
        plain = attention(score)
        wanted = plain(g.Signal(s.x, own, edges=torch.cat((s.edges, state), 1))).x
        for lowering in ("auto", "edges"):
            layer.lowering = lowering
            assert error(layer(s).x, wanted) < 1e-10


@pytest.mark.parametrize("score", ["dot", "gat", "gatv2"])
def test_members_are_as_each_alone(score):
    layer = attention(score, g.adjacency(self_loops=True, fill="mean"))
    other = g.Graph([[0, 1], [1, 2]], 3)
    for members in ([GRAPH, other], [GRAPH, GRAPH]):
        alone = [signal(member, rows=2) for member in members]
        alone[1] = alone[1].with_edges(2 * alone[1].edges)
        union = g.Signal(
            torch.cat([s.x for s in alone], 1),
            g.Batch(members),
            edges=torch.cat([s.edges for s in alone], 1),
        )
        wanted = torch.cat([layer(s).x for s in alone], 1)
        for lowering in ("auto", "edges"):
            layer.lowering = lowering
            assert error(layer(union).x, wanted) < 1e-10
        layer.lowering = "auto"


def test_weights_read_the_edges():
    layer, s = attention("dot"), signal(GRAPH)
    a = layer.weights(s).x
    assert a.shape == (2, LINKS, 2)
    changed = layer.weights(s.with_edges(torch.zeros_like(s.edges))).x
    assert error(a, changed) > 1e-3
    totals = torch.zeros(2, 5, 2, dtype=torch.float64).index_add(1, GRAPH.links()[0], a)
    assert error(totals[:, :4], torch.ones(2, 4, 2)) < 1e-12


def test_mixed_precision():
    for score in ("dot", "gat"):
        layer, s = attention(score).float(), signal(GRAPH).to(torch.float32)
        wanted = layer(s).x
        with torch.autocast("cpu", torch.bfloat16):
            found = layer(s).x
        assert error(found.float(), wanted) < 0.1


def test_the_state_stays_with_the_answer():
    s = signal(GRAPH)
    net = g.Sequential(attention("gat"), torch.nn.Tanh(), attention("dot"))
    assert net(s).edges is s.edges


BAD = {
    "no edges": (lambda: attention("dot")(signal(GRAPH).with_edges(None)), "without .*edges"),
    "other channels": (
        lambda: attention("dot")(signal(GRAPH).with_edges(torch.zeros(1, LINKS, 2).double())),
        "edges of 2 channels; give 3",
    ),
    "another dtype": (
        lambda: attention("gat")(signal(GRAPH).with_edges(torch.zeros(1, LINKS, 3))),
        "edges of torch.float32",
    ),
    "a rule without links": (
        lambda: attention("gat", g.window(3, axes=1))(signal(g.Chain(4))),
        "reads no links.*adjacency",
    ),
    "a step": (lambda: attention("dot", g.past()).step(signal(g.Chain(4))), "a state of edges"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name):
    call, words = BAD[name]
    with pytest.raises(g.GeodlError, match=words):
        call()


@pytest.mark.parametrize(
    ("lowering", "score", "words"),
    [
        ("sdpa", "dot", "features of edges"),
        ("banded", "dot", "no window"),
        ("linear", "linear", "features of edges"),
        ("edge_softmax", "linear", "features of edges inside the feature map"),
    ],
)
def test_lowerings_refuse_by_name(lowering, score, words):
    rule = g.all_pairs() if lowering in ("sdpa", "linear") else g.adjacency()
    layer = attention(score, rule)
    layer.lowering = lowering
    with pytest.raises(g.GeodlError, match=words):
        layer(signal(GRAPH))
