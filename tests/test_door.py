"""One door into every layer, and one list of the modules that act on the last axis."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

import geodl as g
from geodl.layer import POINTWISE
from geodl.layer.pointwise import is_pointwise
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
    with pytest.raises(g.GeodlError, match="a Signal; give a tensor"):
        Doubled(GRID)(s)


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


class Swish(nn.Module):
    def forward(self, x):
        return x * x.sigmoid()


class Mix(nn.Module):
    """It averages over nodes."""

    def forward(self, x):
        return x - x.mean(1, keepdim=True)


UNKNOWN = {
    "a module of one's own": (Swish, r"Swish inside .*promise it: g.Pointwise\(Swish"),
    "one that mixes nodes": (Mix, r"g.Pointwise\(Mix"),
    "a subclass": (type("MyLinear", (nn.Linear,), {}), r"g.Pointwise\(MyLinear"),
    "a convolution": (lambda *_: nn.Conv2d(2, 2, 3), r"nn.Conv2d .*use g.Conv .*from_torch"),
    "a transposed one": (lambda *_: nn.ConvTranspose1d(2, 2, 3), r"use g.Conv .*reverse"),
    "a batch norm": (lambda *_: nn.BatchNorm2d(2), r"nn.BatchNorm2d .*use g.BatchNorm"),
    "max pooling": (lambda *_: nn.MaxPool2d(2), r"nn.MaxPool2d .*use g.Pool\(window"),
    "mean pooling": (lambda *_: nn.AvgPool2d(2), r'use g.Pool\(window.*"mean"'),
    "a recurrence": (lambda *_: nn.LSTM(2, 2), r"nn.LSTM .*use g.Recurrent"),
    "attention": (lambda *_: nn.MultiheadAttention(2, 1), r"use g.Attention"),
    "a softmax of nodes": (lambda *_: nn.Softmax(1), r"nn.Softmax .*nn.Softmax\(dim=-1\)"),
    "a softmax of who knows": (lambda *_: nn.Softmax(), r"nn.Softmax\(dim=-1\)"),
    "a norm of nodes": (lambda *_: nn.LayerNorm([4, 2]), r"nn.LayerNorm\(channels\)"),
    "a slope a node": (lambda *_: nn.PReLU(16), r"nn.PReLU\(\)"),
    "response norm": (lambda *_: nn.LocalResponseNorm(2), r"nn.LocalResponseNorm .*geodl's own"),
    "map response norm": (lambda *_: nn.CrossMapLRN2d(2), r"nn.CrossMapLRN2d .*geodl's own"),
    "bags": (lambda *_: nn.EmbeddingBag(2, 2), r"nn.EmbeddingBag"),
    "two inputs": (lambda *_: nn.Bilinear(2, 2, 2), r"nn.Bilinear"),
    "a row with one of them": (
        lambda *_: nn.Sequential(nn.ReLU(), nn.BatchNorm1d(2)),
        r"nn.BatchNorm1d .*use g.BatchNorm",
    ),
    "a layer in a plain row": (
        lambda *_: nn.Sequential(g.Conv(2, 2, g.itself())),
        "Conv inside a plain Sequential",
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("container", [g.Sequential, g.Residual, g.Concat])
def test_what_is_not_on_the_list_is_refused_when_it_is_built(container, name):
    make, words = UNKNOWN[name]
    with pytest.raises(g.GeodlError, match=words):
        container(make(2, 2) if name == "a subclass" else make())


@pytest.mark.parametrize("kind", sorted(POINTWISE, key=lambda kind: kind.__name__))
def test_the_list_acts_on_the_last_axis(kind):
    options = {
        nn.Threshold: (0.1, 2.0),
        nn.Linear: (4, 3),
        nn.LazyLinear: (3,),
        nn.LayerNorm: (4,),
        nn.RMSNorm: (4,),
        nn.Softmax: (-1,),
        nn.LogSoftmax: (2,),
        nn.Softmin: (-1,),
    }
    module = kind(*options.get(kind, ())).double().eval()
    assert is_pointwise(module)
    net = g.Sequential(module)
    x = torch.randn(2, 16, 4, dtype=torch.float64)
    order = torch.randperm(16)
    y = net(g.Signal(x, GRID)).x
    assert y.shape[:2] == (2, 16)
    assert torch.equal(net(g.Signal(x[:, order], GRID)).x, y[:, order])
    alone = net(g.Signal(x[:1, :1], g.Complete(1))).x
    assert error(alone, y[:1, :1]) < 1e-12


def test_parametrized_modules_and_rows_of_the_list_are_on_it():
    plain = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 2)))
    for module in (plain, parametrizations.weight_norm(nn.Linear(2, 2)), nn.Sequential()):
        y = g.Sequential(module)(image())
        assert y.domain == GRID and y.x.shape == (1, 16, 2)


def test_a_promise_is_a_layer():
    s, swish = image(), g.Pointwise(Swish())
    net = g.Sequential(g.Conv(2, 2, g.isotropic(3, group=g.C(4))), swish)
    assert torch.equal(swish(s).x, s.x * s.x.sigmoid())
    assert g.certify(net, GRID).exact
    assert "Swish" in repr(swish) and swish.label == "Pointwise(Swish)"
    causal = g.Sequential(g.Recurrent(2, 2), g.Pointwise(Swish()))
    x = torch.randn(1, 4, 2)
    whole, state, parts = causal(g.Signal.sequence(x)).x, None, []
    for piece in x.split(1, 1):
        y, state = causal.step(g.Signal.sequence(piece), state)
        parts.append(y.x)
    assert error(torch.cat(parts, 1), whole) < 1e-6


class Widens(nn.Module):
    def forward(self, x):
        return x.repeat(1, 2, 1)


class Answers(nn.Module):
    def forward(self, x):
        return x.tolist()


@pytest.mark.parametrize("module", [Widens(), Answers()], ids=["shape", "list"])
def test_a_broken_promise_that_changes_the_shape_is_refused(module):
    with pytest.raises(g.GeodlError, match=r"shape \[1, 16, 2\] turned into"):
        g.Sequential(g.Pointwise(module))(image())


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.BatchNorm1d(2), "use g.BatchNorm"),
        (nn.Sequential(Swish(), nn.Conv1d(2, 2, 1)), "use g.Conv"),
        (g.Conv(2, 2, g.itself()), "a layer, which takes signals"),
        (torch.relu, "give a module"),
    ],
    ids=["norm", "row", "layer", "function"],
)
def test_what_cannot_be_promised(module, words):
    with pytest.raises(g.GeodlError, match=words):
        g.Pointwise(module)


@pytest.mark.parametrize(
    ("module", "channels"),
    [(nn.Linear(3, 2), 3), (nn.LayerNorm(4), 4), (nn.RMSNorm(5), 5)],
    ids=["linear", "norm", "rms"],
)
def test_another_number_of_channels_is_said_in_words(module, channels):
    with pytest.raises(g.GeodlError, match=f"2 channels; give {channels} channels"):
        g.Sequential(module)(image())


def test_a_module_put_in_later_is_held_to_the_list():
    net = g.Sequential(nn.Identity())
    net.add_module("0", Mix())
    with pytest.raises(g.GeodlError, match=r"g.Pointwise\(Mix"):
        net(image())


def test_batch_norm_in_evaluation_is_node_by_node():
    net = g.Sequential(g.Recurrent(2, 3), g.BatchNorm(3), nn.ReLU())
    x = torch.randn(2, 5, 2)
    net(g.Signal.sequence(x))
    with pytest.raises(g.GeodlError, match=r"a step of BatchNorm\(3\).*eval"):
        net.step(g.Signal.sequence(x))
    net.eval()
    whole, state, parts = net(g.Signal.sequence(x)).x, None, []
    for piece in x.split([1, 3, 1], 1):
        y, state = net.step(g.Signal.sequence(piece), state)
        parts.append(y.x)
    assert error(torch.cat(parts, 1), whole) < 1e-6


def test_a_converted_sync_batch_norm_runs_on_all_nodes():
    plain, synced = nn.BatchNorm1d(2), g.Sequential(g.Recurrent(2, 2), nn.Identity())
    synced.add_module("1", nn.SyncBatchNorm(2))
    s = g.Signal.sequence(torch.randn(3, 5, 2))
    wanted = plain(synced[0](s).x.transpose(1, 2)).transpose(1, 2)
    assert error(synced(s).x, wanted) < 1e-6
    assert error(synced[1].running_var, plain.running_var) < 1e-6
    with pytest.raises(g.GeodlError, match=r"a step of SyncBatchNorm.*eval"):
        synced.step(s)
    assert synced.eval().step(s)[0].x.shape == (3, 5, 2)


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
