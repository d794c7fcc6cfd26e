"""One door into every layer: what it wraps, which rule and which signals it lets in."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

import geodl as g
from geodl.testing import error

GRID = g.Grid(4, 4)


def image(channels: int = 2) -> g.Signal:
    return g.Signal.image(torch.randn(1, channels, 4, 4))


def test_a_forward_of_its_own_is_refused_when_the_class_is_made():
    with pytest.raises(g.GeodlError, match=r"class Mine\(Layer\).*define compute"):
        type("Mine", (g.Layer,), {"forward": lambda self, receiver: receiver})
    with pytest.raises(g.GeodlError, match="a forward of its own"):
        type("Mixed", (nn.Linear, g.Conv), {})
    closed = type("Open", (g.Layer,), {})
    with pytest.raises(TypeError, match="compute"):
        closed()


class Doubled(g.Layer):
    """A layer of one's own: its hook takes and gives signals, wherever it was built."""

    def __init__(self, on=None):
        super().__init__()
        self.on = on

    def compute(self, receiver, sender, rule):
        assert isinstance(receiver, g.Signal) and sender is None and rule is None
        return g.Signal(2 * receiver.x, receiver.domain)


def test_the_door_wraps_and_unwraps():
    s = image()
    assert torch.equal(Doubled()(s).x, 2 * s.x)
    assert torch.equal(Doubled(GRID)(s.x), 2 * s.x)
    assert torch.equal(Doubled(GRID)(s).x, 2 * s.x)
    with pytest.raises(g.GeodlError, match=r"built with on=Grid\(4, 4\): found a Signal on Chain"):
        Doubled(GRID)(g.Signal(s.x, g.Chain(16)))


TWO = g.Chain(5)
NAMED = {
    "convolution": (g.Conv(2, 3, g.window(3, axes=1)), g.window(3, axes=1, dilation=2)),
    "attention": (g.Attention(2, g.all_pairs(), 1), g.past()),
    "relative attention": (
        g.Attention(2, g.window(3, axes=1), 1, relative=True),
        g.window(3, axes=1, padding="causal"),
    ),
    "pool": (g.Pool(g.whole()), g.window(2, axes=1, stride=2, padding="valid")),
    "message": (g.Message(lambda x_i, x_j, e_ij: x_j - x_i, g.past()), g.all_pairs()),
    "recurrence": (g.Recurrent(2, 3), g.previous().reverse()),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_call_may_name_the_rule(name):
    layer, rule = NAMED[name]
    own = layer.rule
    for domain in (TWO, g.Batch([TWO, TWO]), g.Batch([TWO, g.Chain(3)])):
        s = g.Signal(torch.randn(2, domain.num_nodes, 2), domain)
        y, wanted = layer(s, rule=rule), layer.over(rule)(s)
        assert torch.equal(y.x, wanted.x)
        assert (y.domain.members or y.domain) == (wanted.domain.members or wanted.domain)
        assert layer(s).x.shape != y.x.shape or error(layer(s).x, y.x) > 1e-6
    assert layer.rule is own


def test_a_named_rule_beside_on_and_beside_a_sender():
    layer, wide = g.Conv(2, 2, g.window(3), on=GRID), g.window(3, dilation=2)
    x = torch.randn(1, 16, 2)
    assert torch.equal(layer(x, rule=wide), layer.over(wide)(x))
    attention = g.Attention(2, g.past(), 1)
    receiver, sender = (g.Signal.sequence(torch.randn(1, n, 2)) for n in (3, 4))
    wanted = attention.over(g.all_pairs())(receiver, sender)
    assert torch.equal(attention(receiver, sender, rule=g.all_pairs()).x, wanted.x)


RING = g.Grid(5, periodic=True)


@pytest.mark.parametrize(
    "domain", [RING, g.GSet([[1, 2, 0, 3, 4]]), g.Batch([RING, RING])], ids=str
)
def test_a_layer_built_for_a_domain_takes_signals_there(domain):
    """Alone and in a container, which calls its layers with signals; a tensor answers a tensor."""
    rule = g.itself() if domain.is_union else g.all_pairs("orbit")
    layer = g.Conv(2, 2, rule, on=domain)
    x = torch.randn(3, domain.num_nodes, 2)
    s = g.Signal(x, domain, globals=torch.ones(1, domain.num_members, 2))
    y = layer(s)
    assert y.x.equal(layer(x)) and y.domain == domain and y.globals is s.globals
    row = g.Sequential(layer, nn.ReLU(), g.Residual(layer))
    wanted = layer(x).relu()
    wanted = wanted + layer(wanted)
    assert error(row(s).x, wanted) < 1e-6
    assert g.certify(row, domain).exact or domain.is_union
    assert max(g.equivariance_error(layer, s.with_globals(None)).values(), default=0) < 1e-5


def test_a_layer_built_for_a_domain_takes_unions_of_it_and_other_weights():
    layer = g.Conv(2, 3, g.all_pairs("orbit"), on=RING)
    x = torch.randn(3, 10, 2)
    several = layer(g.Signal(x, g.Batch([RING, RING])))
    assert error(several.x, torch.cat((layer(x[:, :5]), layer(x[:, 5:])), 1)) < 1e-6
    graph = g.Graph([[0, 1], [1, 2]], 3)
    placed = g.Conv(2, 3, g.adjacency(), on=graph)
    weighted = g.Signal(x[:, :3], graph.with_weights(torch.tensor([2.0, 3.0])))
    layer = g.Conv(2, 3, g.adjacency())
    layer.load_state_dict(placed.state_dict())
    assert placed(weighted).x.equal(layer(weighted).x)
    same_edges = g.Graph([[0, 1], [1, 2]], 3)
    for other in (g.Grid(3), same_edges, g.Batch([graph, same_edges])):
        with pytest.raises(
            g.GeodlError, match="built with on=.*found a Signal on .*give one there"
        ):
            placed(g.Signal(torch.randn(1, other.num_nodes, 2), other))


REFUSED = {
    "another number of types": (
        lambda s: g.Conv(2, 3, g.window(3))(s, rule=g.window(5)),
        "25 edge types in place of 9",
    ),
    "no rule": (lambda s: g.Conv(2, 3, g.window(3))(s, rule=3), "a int; give a rule"),
    "a container": (
        lambda s: g.Sequential(g.Conv(2, 3, g.window(3)))(s, rule=g.window(3)),
        "a layer without a rule of its own",
    ),
    "a shortcut": (lambda s: g.Residual(nn.ReLU())(s, rule=g.window(3)), "without a rule"),
    "a cross": (
        lambda s: g.Cross(g.Attention(2, g.all_pairs(), 1))(s, s, rule=g.past()),
        "without a rule",
    ),
    "a norm": (lambda s: g.BatchNorm(2)(s, rule=g.window(3)), "without a rule"),
    "a dropout": (lambda s: g.Dropout()(s, rule=g.window(3)), "without a rule"),
    "an embedding": (
        lambda s: g.Embedding(2, 2)(g.Signal.tokens(torch.zeros(1, 2).long()), rule=g.past()),
        "without a rule",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_rule_that_a_layer_cannot_take_is_refused(name):
    call, words = REFUSED[name]
    with pytest.raises(g.GeodlError, match=words):
        call(image())


CONTAINERS = {
    "row": lambda: g.Sequential(g.Conv(2, 2, g.all_pairs())),
    "row of modules": lambda: g.Sequential(nn.ReLU()),
    "shortcut": lambda: g.Residual(g.Attention(2, g.all_pairs(), 1)),
    "side by side": lambda: g.Concat(g.Attention(2, g.all_pairs(), 1), nn.Identity()),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_second_signal_that_no_cross_takes_is_refused(name):
    s, other = (g.Signal.sequence(torch.randn(1, n, 2)) for n in (3, 5))
    with pytest.raises(g.GeodlError, match=r"no layer in it takes.*Cross\(layer\)"):
        CONTAINERS[name]()(s, other)
    with pytest.raises(g.GeodlError, match=r"no layer in it takes"):
        CONTAINERS[name]().step(s, None, other)


def test_a_cross_changes_nothing_for_the_layers_before_it():
    """Only `Cross` receives the second signal: what stands first in a row never does."""
    first, crossed = g.Attention(2, g.all_pairs(), 1), g.Attention(2, g.all_pairs(), 1)
    s, other = (g.Signal.sequence(torch.randn(1, n, 2)) for n in (3, 5))
    alone = first(s)
    assert torch.equal(g.Sequential(first, g.Cross(crossed))(s, other).x, crossed(alone, other).x)
    beside = g.Concat(first, g.Cross(crossed))(s, other)
    assert torch.equal(beside.x, torch.cat((alone.x, crossed(s, other).x), -1))


def test_a_union_of_one_is_its_member_beside_a_domain_that_is_none():
    attention = g.Attention(2, g.all_pairs(), 1)
    three, five = torch.randn(1, 3, 2), torch.randn(1, 5, 2)
    for score in ("dot", "linear", "additive"):
        attention = g.Attention(2, g.all_pairs(), 1, score)
        wanted = attention(g.Signal(three, g.Chain(3)), g.Signal(five, g.Chain(5)))
        for receivers in (g.Chain(3), g.Batch([g.Chain(3)])):
            for senders in (g.Chain(5), g.Batch([g.Chain(5)])):
                y = attention(g.Signal(three, receivers), g.Signal(five, senders))
                assert y.domain is receivers and error(y.x, wanted.x) < 1e-6


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_parametrized_layer_goes_over_another_rule(norm):
    layer = norm(g.Conv(2, 3, g.window(3)), "weight")
    twin = layer.over(g.window(3, dilation=2))
    assert twin.weight.shape == layer.weight.shape and str(layer.rule) == "window(3x3)"
    assert all(a is b for a, b in zip(twin.parameters(), layer.parameters(), strict=True))
    assert twin(image()).domain == GRID


def test_the_twin_of_a_compiled_layer_runs_its_own_rule():
    torch.compiler.reset()
    layer, s = g.Conv(2, 3, g.window(3)), image()
    wanted = layer.over(g.window(3, dilation=2))(s).x
    layer(s)
    layer.compile(backend="eager")
    assert error(layer.over(g.window(3, dilation=2))(s).x, wanted) < 1e-6
    assert error(layer(s).x, wanted) > 1e-3
    torch.compiler.reset()


def test_a_layer_on_one_graph_is_copied_and_pickled_with_it():
    graph = g.Graph([[0, 1], [1, 2]])
    layer = g.Conv(2, 3, g.adjacency(), on=graph)
    x = torch.randn(1, 3, 2)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))


def test_a_copy_of_a_layer_knows_the_domains_of_its_rule():
    graph = g.Graph([[0, 1], [1, 2]])
    layer = g.Conv(2, 3, g.adjacency().reverse(onto=graph))
    s = g.Signal(torch.randn(1, 3, 2), graph)
    assert torch.equal(copy.deepcopy(layer)(s).x, layer(s).x)
    together, same = pickle.loads(pickle.dumps((layer, s)))
    assert torch.equal(together(same).x, layer(s).x)
    with pytest.raises(g.GeodlError, match=r"not to another Graph\(3 nodes.*by identity"):
        pickle.loads(pickle.dumps(layer))(s)


def test_domains_that_look_alike_are_told_apart():
    one, two = (g.Graph([[0, 1], [1, 2]]) for _ in range(2))
    s = g.Signal(torch.randn(1, 3, 2), one)
    away, onto = g.Conv(2, 2, g.whole()), g.Conv(2, 2, g.whole().reverse(onto=two))
    with pytest.raises(g.GeodlError, match=r"on another Graph\(3 nodes.*by identity"):
        g.Residual(away, onto)(s)
    with pytest.raises(g.GeodlError, match=r"and on another Graph\(3 nodes.*by identity"):
        g.Concat(nn.Identity(), g.Sequential(away, onto))(s)
    with pytest.raises(g.GeodlError, match=r"receivers on another Graph\(3 nodes.*in place of"):
        g.Conv(2, 2, g.adjacency())(g.Signal(s.x, two), s)
    with pytest.raises(g.GeodlError, match=r"on=another Graph.*certify it there"):
        g.certify(g.Conv(2, 2, g.adjacency(), on=one), two)


def test_checkpoints_keep_every_gradient():
    layer, x = g.Conv(2, 3, g.window(3)), torch.randn(1, 16, 2, requires_grad=True)
    up = torch.randn(1, 16, 3)
    y = checkpoint(layer, g.Signal(x, GRID), use_reentrant=False).x
    wanted = torch.autograd.grad(layer(g.Signal(x, GRID)).x, [x, layer.weight], up)
    found = torch.autograd.grad(y, [x, layer.weight], up)
    assert max(map(error, found, wanted)) < 1e-6


JUDGED = {
    "attention over weights": (g.Attention(4, g.adjacency(), 2), "weighted edges"),
    "pool over weights": (g.Pool(g.adjacency()), "weighted edges"),
    "recurrence over a cycle": (g.Recurrent(4, 4, "lstm", g.predecessors()), "the cycle"),
    "a window": (g.Conv(4, 4, g.window(3)), "a lattice of 2 axes"),
    "a forced lowering": (g.Conv(4, 4, g.adjacency()), "no window on a lattice"),
}


@pytest.mark.parametrize("name", JUDGED)
def test_explain_and_the_call_share_one_judgement(name):
    layer, words = JUDGED[name]
    if name == "a forced lowering":
        layer.lowering = "lattice"
    graph = g.Graph([[0, 1], [1, 0]], edge_weight=[1.0, 2.0])
    s = g.Signal(torch.zeros(1, 2, 4), graph)
    refusals = []
    for call in (lambda: layer(s), lambda: layer.explain(graph), lambda: layer.explain(s)):
        with pytest.raises(g.GeodlError, match=words) as refusal:
            call()
        refusals.append(str(refusal.value))
    assert len(set(refusals)) == 1


def test_what_is_no_domain_is_not_explained():
    layer = g.Conv(2, 3, g.window(3))
    for wrong in ((5, 5), "grid", torch.zeros(1, 16, 2), None):
        with pytest.raises(g.GeodlError, match=f"a {type(wrong).__name__}; give a domain"):
            layer.explain(wrong)
    with pytest.raises(g.GeodlError, match="5 channels; give 2 channels"):
        layer.explain(image(5))
    with pytest.raises(g.GeodlError, match="a Tensor; give a Signal"):
        g.explain(layer, torch.zeros(1, 2, 4, 4))
    with pytest.raises(g.GeodlError, match="a str; give a layer"):
        g.explain("layer", image())
