"""Features of a relation's edges: what they mean, their gradients, and what is refused."""

import copy
import pickle

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

import geodl as g
from geodl.testing import error
from tests.test_relation import INDEX, ITEMS, given_edges, num_plans, senders

WITHIN = g.relation(INDEX, senders=5)


def features(batch: int = 1, channels: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 4, channels, generator=generator, dtype=torch.float64)


def gated(x_i: Tensor, x_j: Tensor, e_ij: Tensor) -> Tensor:
    return x_j * torch.tanh(e_ij.sum(-1, keepdim=True)) + x_i * e_ij[..., :1]


def attention(score: str) -> g.Attention:
    torch.manual_seed(0)
    return g.Attention(4, g.itself(), 2, score, edge_channels=2).double()


LAYERS = {
    "message": (lambda: g.Message(gated, g.itself(), ("max", "sum")), "segment"),
    "message in pieces": (lambda: g.Message(gated, g.itself(), max_edges=2), "segment"),
    "dot": (lambda: attention("dot"), "edge_softmax"),
    "gat": (lambda: attention("gat"), "edge_softmax"),
    "gatv2": (lambda: attention("gatv2"), "edge_softmax"),
    "linear": (lambda: attention("linear"), "edges"),
}
each = pytest.mark.parametrize("name", LAYERS)


@pytest.mark.parametrize("batch", [1, 2])
@each
def test_within_one_set_they_are_the_state_of_a_graphs_links(name, batch):
    layer, s, e = LAYERS[name][0](), senders(), features(batch)
    graph = g.Graph(INDEX, 5)
    wanted = layer.over(g.adjacency())(g.Signal(s.x, graph, e)).x
    assert error(layer(s, rule=WITHIN.with_edges(e)).x, wanted) < 1e-12
    turned = layer.over(g.adjacency().reverse())(g.Signal(s.x, graph, e)).x
    assert error(layer(s, rule=WITHIN.with_edges(e).reverse()).x, turned) < 1e-12


@each
def test_gradients_reach_them(name):
    make, lowering = LAYERS[name]
    layer, s, receiver, rule = make(), senders(), senders(ITEMS), given_edges()

    def answer(e: Tensor) -> Tensor:
        return layer(receiver, s, rule=rule.with_edges(e)).x

    found, slopes = {}, {}
    for chosen in (lowering, "edges"):
        layer.lowering, e = chosen, features(2).requires_grad_()
        found[chosen] = answer(e)
        slopes[chosen] = torch.autograd.grad(found[chosen].sin().sum(), [e, *layer.parameters()])
        assert torch.autograd.gradcheck(answer, e)
    assert error(found[lowering], found["edges"]) < 1e-10
    assert max(map(error, slopes[lowering], slopes["edges"])) < 1e-10
    # Of one edge into a receiver alone the softmax is 1, whatever its features.
    assert slopes["edges"][0][:, 1:3].abs().min() > 1e-5
    if name != "message in pieces":
        layer.lowering = lowering
        assert torch.autograd.gradgradcheck(answer, features().requires_grad_())
        slope = grad(lambda e: answer(e).sin().sum())(features(2))
        assert error(slope, slopes["edges"][0]) < 1e-10
        rows = torch.stack([features(seed=k) for k in range(3)])
        one_by_one = torch.stack([answer(row) for row in rows])
        assert error(vmap(answer)(rows), one_by_one) < 1e-12


def test_twins_share_plans_and_move():
    rule, layer, e = given_edges(type=[0, 1, 0, 1]), LAYERS["message"][0](), features()
    for scale in (1.0, 2.0):
        layer(senders(ITEMS), senders(), rule=rule.with_edges(scale * e))
    assert num_plans(rule) == 1 and rule.edge_state is None
    twin = rule.with_edges(e)
    assert repr(twin).endswith("3 receivers, 4 edges of 2 channels, 2 types)")
    assert twin.cache is rule.cache and twin.with_edges(None).edge_state is None
    both = twin.with_weights(torch.ones(4))
    assert both.edge_state is e and both.runtime_weight is not None
    assert twin.reverse().edge_state is e and twin.to("cpu") is twin
    moved = twin.with_tensors(tuple(tensor.clone() for tensor in twin.tensors()))
    for other in (moved, pickle.loads(pickle.dumps(twin)), copy.copy(twin)):
        assert torch.equal(other.edge_state, e) and torch.equal(other.type, rule.type)
        y = layer(senders(ITEMS), senders(), rule=other).x
        assert error(y, layer(senders(ITEMS), senders(), rule=twin).x) == 0


@pytest.mark.parametrize("layer", [LAYERS["message"][0](), LAYERS["dot"][0]()], ids=str)
def test_no_edges_and_empty_batches(layer):
    empty = g.relation([[], []], senders=5, receivers=3).with_edges(features()[:, :0])
    y = layer(senders(ITEMS), senders(), rule=empty).x
    assert torch.isfinite(y).all()
    none = layer(
        senders(ITEMS, batch=0), senders(batch=0), rule=given_edges().with_edges(features())
    )
    assert none.shape[0] == 0


def test_weights_of_attention_read_them():
    layer = attention("dot").over(given_edges().with_edges(features()))
    s, receiver = senders(), senders(ITEMS)
    a = layer.weights(receiver, s).x
    plain = attention("dot").over(given_edges().with_edges(0 * features())).weights(receiver, s).x
    assert error(a, plain) > 1e-2 and a.shape == (2, 4, 2)


S, R = senders(), senders(ITEMS)
RULE, GRAPH = given_edges(), g.Graph(INDEX, 5)
STATE = g.Signal(S.x, GRAPH, features())
MESSAGE, DOT = LAYERS["message"][0](), attention("dot")
REFUSED = {
    "no tensor": (lambda: RULE.with_edges([1.0]), r"a list; give .* \[1 or B, 4, C\]"),
    "two axes": (lambda: RULE.with_edges(features()[0]), r"shape \[4, 2\]"),
    "too few": (lambda: RULE.with_edges(features()[:, 1:]), r"shape \[1, 3, 2\]"),
    "integers": (lambda: RULE.with_edges(features().long()), "torch.int64"),
    "device": (lambda: RULE.with_edges(features().to("meta")), "features on meta and edges on cpu"),
    "batch": (
        lambda: MESSAGE(R, S, rule=RULE.with_edges(features(3))),
        "features of edges for a batch of 3 and a batch of 2",
    ),
    "dtype": (lambda: MESSAGE(R, S, rule=RULE.with_edges(features().float())), "torch.float32"),
    "dtype of attention": (
        lambda: DOT(R, S, rule=RULE.with_edges(features().float())),
        "edges of torch.float32",
    ),
    "channels": (
        lambda: DOT(R, S, rule=RULE.with_edges(features(channels=3))),
        "edges of 3 channels",
    ),
    # The state of a graph's links says nothing of the edges of a relation.
    "the links' state": (
        lambda: DOT(STATE, rule=WITHIN),
        r"without a state of edges; .*relation.with_edges\(e\)",
    ),
    "an update": (
        lambda: g.EdgeUpdate(gated, WITHIN.with_edges(features()))(STATE),
        "reads no links",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_features_are_refused(name):
    call, words = REFUSED[name]
    with pytest.raises(g.GeodlError, match=words):
        call()


def test_messages_over_a_relation_ignore_the_links_state():
    heard = []
    layer = g.Message(lambda x_i, x_j, e_ij: heard.append(e_ij) or x_j, WITHIN)
    layer(STATE)
    assert heard == [None]
