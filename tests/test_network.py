"""Networks of named layers: what they compute, what they record, and what is refused."""

import copy
import pickle

import pytest
import torch
from torch import nn

import geodl as g
from geodl.testing import error


def unet():
    return g.Network(
        "image",
        {
            "down.conv": (g.Conv(1, 4, g.window(3)), "image"),
            "down.act": (nn.ReLU(), "down.conv"),
            "pooled": (g.Pool(g.window(2, stride=2), "mean"), "down.act"),
            "up": (g.Conv(4, 4, g.window(2, stride=2).reverse()), "down.act", "pooled"),
            "both": ("cat", "down.act", "up"),
            "out": (g.Conv(8, 2, g.window(3)), "both"),
        },
    ).double()


def image(*shape):
    return g.Signal.image(torch.randn(2, 1, *(shape or (6, 6)), dtype=torch.float64))


def chain(n, channels=4, batch=2):
    return g.Signal.sequence(torch.randn(batch, n, channels, dtype=torch.float64))


def test_sequential_residual_and_concat_are_shapes_of_it():
    one, two = g.Conv(4, 4, g.window(3, axes=1)), g.Conv(4, 4, g.itself())
    row = g.Sequential(one, nn.Tanh(), two).double()
    s = chain(5)
    as_row = g.Network("x", {"a": (one, "x"), "b": (row[1], "a"), "c": (two, "b")})
    assert torch.equal(as_row(s).x, row(s).x)
    around = g.Network("x", {"f": (row, "x"), "y": ("add", "x", "f")})
    assert torch.equal(around(s).x, g.Residual(row)(s).x)
    beside = g.Network("x", {"a": (one, "x"), "b": (two, "x"), "y": ("cat", "a", "b")})
    assert torch.equal(beside(s).x, g.Concat(one, two)(s).x)


def test_joins():
    a, b, c = chain(3), chain(3), chain(3)

    def joined(how):
        return g.Network(("a", "b", "c"), {"y": (how, "a", "b", "c")})(a, b, c).x

    assert torch.equal(joined("add"), a.x + b.x + c.x)
    assert torch.equal(joined("sub"), a.x - b.x - c.x)
    assert torch.equal(joined("mul"), a.x * b.x * c.x)
    assert torch.equal(joined("max"), torch.maximum(torch.maximum(a.x, b.x), c.x))
    assert torch.equal(joined("cat"), torch.cat((a.x, b.x, c.x), -1))


def test_nodes_in_a_row_are_those_one_by_one():
    """What another node or the answer reads ends a row."""
    linear, tail = g.Conv(4, 4, g.itself()), g.Conv(4, 2, g.window(3, axes=1))
    nodes = {
        "a": (linear, "x"),
        "b": (nn.ReLU(), "a"),
        "c": (g.BatchNorm(4), "b"),
        "d": ("add", "b", "c"),
        "e": (nn.Tanh(), "d"),
        "f": (tail, "e"),
    }
    net, s = g.Network("x", nodes, ("f", "c")).double(), chain(5)
    assert [[node.name for node in row] for row in net._rows] == [
        ["a", "b"],
        ["c"],
        ["d"],
        ["e", "f"],
    ]
    found = net(s)
    net["c"].reset_running_stats()
    with g.trace(net) as events:
        wanted = net(s)
    assert all(error(a.x, b.x) < 1e-12 for a, b in zip(found, wanted, strict=True))
    assert [event.path for event in events] == ["a", "b", "c", "", "e", "f"]


def test_a_network_computes_with_every_lowering():
    net, s = unet(), image()
    fast = net(s).x
    grads = torch.autograd.grad(fast.square().sum(), list(net.parameters()))
    g.set_lowering(net, "edges")
    slow = net(s).x
    assert error(fast, slow) <= 1e-10
    others = torch.autograd.grad(slow.square().sum(), list(net.parameters()))
    assert all(error(x, y) <= 1e-10 for x, y in zip(grads, others, strict=True))


def test_an_odd_size_comes_back():
    assert unet()(image(7, 5)).domain == g.Grid(7, 5)


def test_several_inputs_and_outputs():
    net = g.Network(
        ("target", "memory", "extra"),
        {
            "read": (g.Attention(4, g.all_pairs(), 2), "target", "memory"),
            "sum": ("add", "read", "extra"),
            "head": (g.Readout(), "sum"),
        },
        outputs=("sum", "head"),
    ).double()
    target, memory, extra = chain(3), chain(5), chain(3)
    every, pooled = net(target, memory, extra)
    assert error(every.x, net["read"](target, memory).x + extra.x) <= 1e-12
    assert error(pooled.x, every.x.mean(1, keepdim=True)) <= 1e-12


def test_names_are_paths():
    net = unet()
    assert list(net.state_dict()) == [
        "down.conv.weight",
        "down.conv.bias",
        "up.weight",
        "up.bias",
        "out.weight",
        "out.bias",
    ]
    assert list(net) == ["down.conv", "down.act", "pooled", "up", "both", "out"]
    assert len(net) == 6
    assert isinstance(net["down.conv"], g.Conv)
    assert repr(net).splitlines()[:2] == [
        "Network(image -> out)",
        "  down.conv: Conv(1, 4, window(3x3)) <- image",
    ]
    assert "  both: cat <- down.act, up" in repr(net)
    with pytest.raises(g.GeodlError, match=r"network\['dwn.conv'\]; did you mean 'down.conv'"):
        net["dwn.conv"]


def test_events_carry_the_names():
    net, s = unet(), image()
    with g.trace(net) as events:
        net(s)
    assert [event.path for event in events] == ["down.conv", "down.act", "pooled", "up", "", "out"]
    assert [choice.path for choice in g.explain(net, s).choices] == [
        "down.conv",
        "pooled",
        "up",
        "out",
    ]


def test_a_network_of_group_layers_is_exact():
    group = g.C(4)
    net = g.Network(
        "x",
        {
            "lift": (g.Conv(1, 2, g.lift(3, group=group)), "x"),
            "turn": (g.Conv(2, 2, g.window(3, group=group)), "lift"),
            "sum": ("add", "lift", "turn"),
            "pool": (g.Pool(g.fiber()), "sum"),
        },
    )
    assert g.certify(net, g.Grid(5, 5), group).exact
    net = g.Network(
        "x",
        {
            "lift": (g.Conv(1, 2, g.lift(3, group=group)), "x"),
            "pool": (g.Pool(g.fiber()), "lift"),
            "plain": (g.Conv(2, 2, g.window(3)), "pool"),
        },
    )
    assert not g.certify(net, g.Grid(5, 5), group).exact


def test_two_signals_are_certified():
    net = g.Network(
        ("a", "b"),
        {
            "first": (g.Conv(3, 4, g.itself()), "a"),
            "second": (g.Conv(2, 4, g.itself()), "b"),
            "y": (g.Attention(4, g.all_pairs(), 2), "first", "second"),
        },
    )
    assert g.certify(net, (g.Complete(3), g.Complete(4))).exact
    with pytest.raises(g.GeodlError, match="a model of two signals"):
        g.certify(net, g.Complete(3))


@pytest.mark.parametrize("how", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_compute_the_same(how):
    net, s = unet(), image()
    twin = how(net)
    assert torch.equal(twin(s).x, net(s).x)
    with torch.no_grad():
        twin["out"].weight.zero_()
    assert not torch.equal(twin(s).x, net(s).x)


def test_a_layer_of_two_nodes_is_one_layer():
    conv = g.Conv(4, 4, g.itself()).double()
    net = g.Network("x", {"one": (conv, "x"), "two": (conv, "one"), "y": ("add", "one", "two")})
    assert list(net.state_dict()) == ["one.weight", "one.bias"]
    twin = copy.deepcopy(net)
    assert twin["one"] is not net["one"]
    with torch.no_grad():
        twin["one"].weight.zero_()
        twin["one"].bias.zero_()
    assert not twin(chain(3)).x.any()


def test_modes_and_dtypes_reach_every_part():
    net = unet()
    assert not any(part.training for part in net.eval().modules())
    assert {p.dtype for p in net.float().parameters()} == {torch.float32}


def decoder():
    return g.Network(
        ("x", "memory"),
        {
            "before": (g.Conv(4, 4, g.window(3, axes=1, padding="causal")), "x"),
            "act": (nn.ReLU(), "before"),
            "self": (g.Attention(4, g.past(), 2), "act"),
            "sum": ("add", "act", "self"),
            "cross": (g.Attention(4, g.all_pairs(), 2), "sum", "memory"),
            "y": ("cat", "sum", "cross"),
        },
    ).double()


def test_steps_agree_with_the_whole():
    net, s, memory = decoder(), chain(5), chain(3)
    whole = net(s, memory).x
    state, pieces = None, []
    for begin, end in ((0, 1), (1, 2), (2, 5)):
        piece = g.Signal(s.x[:, begin:end], g.Chain(end - begin))
        y, state = net.step(piece, state, memory)
        pieces.append(y.x)
    assert error(torch.cat(pieces, 1), whole) <= 1e-10


def test_a_step_of_what_reads_everything_is_refused():
    net = g.Network("x", {"mean": (g.Readout(), "x")})
    with pytest.raises(g.GeodlError, match="step"):
        net.step(chain(3))


def test_the_state_of_the_first_is_kept_by_joins():
    graph = g.Graph([[0, 1], [1, 0]], 2)
    s = g.Signal(torch.randn(1, 2, 3), graph)
    net = g.Network(("a", "b"), {"y": ("add", "a", "b")})
    assert net(s, s).domain is graph


def test_compiled_networks_agree():
    net, s = unet(), image()
    g.prepare(net, s)
    torch.compiler.reset()
    fast = torch.compile(net, fullgraph=True, backend="aot_eager")
    assert error(fast(s).x, net(s).x) <= 1e-10


def test_prepared_plans_are_kept():
    net, s = unet(), image()
    g.prepare(net, s)
    assert net(s).domain == s.domain


CONV = g.Conv(4, 4, g.itself())
REFUSED = [
    (lambda: g.Network("x", {}), "no nodes"),
    (lambda: g.Network((), {"y": (CONV, "x")}), "give at least one name"),
    (lambda: g.Network(("x", "x"), {"y": ("add", "x", "x")}), "none twice"),
    (lambda: g.Network(5, {"y": (CONV, "x")}), "found a int; give a name"),
    (lambda: g.Network("x", {"x": (CONV, "x")}), "'x', the name of an input and of a node"),
    (lambda: g.Network("x", {"y": (CONV, "z")}), "node 'y' .*the unknown input 'z'"),
    (lambda: g.Network("image", {"y": (CONV, "imag")}), "did you mean 'image'"),
    (
        lambda: g.Network("x", {"a": ("add", "x", "c"), "b": (CONV, "a"), "c": (CONV, "b")}),
        "the circle a <- c <- b <- a; break it",
    ),
    (lambda: g.Network("x", {"y": (CONV, "y")}), "the circle y <- y"),
    (lambda: g.Network("x", {"a": (CONV, "x"), "b": (CONV, "x")}), "'a', which no output needs"),
    (lambda: g.Network(("x", "z"), {"b": (CONV, "x")}), "'z', which no output needs"),
    (lambda: g.Network("x", {"y": (CONV, "x")}, "z"), "'z', which no node makes"),
    (lambda: g.Network("x", {"y": (CONV,)}), "0 inputs of a Conv; name 1 or 2"),
    (lambda: g.Network("x", {"y": (nn.ReLU(), "x", "x")}), "2 inputs of a ReLU; name 1"),
    (lambda: g.Network("x", {"y": ("add", "x")}), "1 inputs; a join reads two or more"),
    (lambda: g.Network("x", {"y": ("ad", "x", "x")}), "the join 'ad'.*did you mean 'add'"),
    (lambda: g.Network("x", {"y": (nn.Conv2d(1, 1, 1), "x")}), "another axis than the last"),
    (lambda: g.Network("x", {"y": CONV}), r"found a Conv; give a tuple \(layer, input"),
    (lambda: g.Network("x", {"y": (CONV, 3)}), r"the inputs \[3\]"),
    (lambda: g.Network("x", {"train": (CONV, "x")}), "'train', which a module of torch uses"),
    (lambda: g.Network("x", {"a..b": (CONV, "x")}), "no name"),
    (
        lambda: g.Network("x", {"a": (CONV, "x"), "a.b": (g.Conv(4, 4, g.itself()), "a")}),
        "the node 'a', which is a layer itself",
    ),
]


@pytest.mark.parametrize(("make", "why"), REFUSED)
def test_what_is_no_network_is_refused(make, why):
    with pytest.raises(g.GeodlError, match=why):
        make()


def test_calls_are_refused_in_words():
    net = decoder()
    with pytest.raises(g.GeodlError, match="1 values: Signal; give one Signal for each of x, mem"):
        net(chain(3))
    with pytest.raises(g.GeodlError, match="2 values: Tensor, Tensor; give one Signal"):
        net(torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))
    with pytest.raises(g.GeodlError, match="by name"):
        net(x=chain(3))
    join = g.Network(("a", "b"), {"y": ("add", "a", "b")})
    for other, why in (
        (chain(4), "signals on Chain.3. and on Chain.4."),
        (chain(3, 5), r"shapes \[2, 3, 4\] and \[2, 3, 5\]; give equal shapes"),
        (chain(3, batch=1), "nothing is broadcast"),
        (g.Signal(torch.zeros(2, 3, 4), g.Chain(3)), "torch.float64 on cpu and torch.float32"),
    ):
        with pytest.raises(g.GeodlError, match=why):
            join(chain(3), other)
