"""One list of the modules that act on the last axis, and the promise for one's own."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch_geometric.nn import GCNConv

import geodl as g
from geodl.layer import POINTWISE
from geodl.layer.pointwise import is_pointwise
from geodl.testing import error

GRID = g.Grid(4, 4)


def image(channels: int = 2) -> g.Signal:
    return g.Signal.image(torch.randn(1, channels, 4, 4))


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


class Shifted(g.BatchNorm):
    """A norm whose user computes something else."""

    def compute(self, receiver, sender, rule):
        return receiver.with_x(super().compute(receiver, sender, rule).x + 1)


def one_by_one(net: g.Sequential, s: g.Signal) -> g.Signal:
    for part in net:
        s = part(s) if isinstance(part, g.Layer) else s.map(part)
    return s


@pytest.mark.parametrize("norm", [g.BatchNorm, Shifted])
@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_a_row_is_its_parts_one_by_one(norm, batch, training):
    torch.manual_seed(0)
    last = nn.Softmax(dim=2) if batch == 3 else nn.Softmax(dim=-1)
    net = g.Sequential(nn.Linear(2, 3), norm(3), nn.ReLU(), nn.Linear(3, 2), last).double()
    net.train(training)
    s = g.Signal(torch.randn(batch, 16, 2, dtype=torch.float64, requires_grad=True), GRID)
    if batch == 3:  # nodes first in memory
        s = s.with_x(s.x.transpose(0, 1).contiguous().transpose(0, 1))
    ends = []
    for run in (net, lambda s: one_by_one(net, s)):
        net[1].reset_running_stats()
        y = run(s).x
        leaves = [s.x, *net.parameters()]
        ends.append([y, *torch.autograd.grad(y.square().sum(), leaves), net[1].running_var.clone()])
    assert all(error(a, b) < 1e-12 for a, b in zip(*ends, strict=True))
    assert norm.rowwise == (norm is g.BatchNorm)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_linear_layers_on_nodes_stand_in_rows(batch, bias):
    """Also of one layer, and of layers whose channels change."""
    own = g.Conv(3, 4, g.itself(), bias=bias)
    net = g.Sequential(g.Conv(2, 3, g.itself(), bias=bias), nn.Tanh(), own).double()
    s = g.Signal(torch.randn(batch, 16, 2, dtype=torch.float64, requires_grad=True), GRID)
    for row in (net, g.Sequential(net[0]), g.Network("x", {"a": (net[0], "x"), "b": (own, "a")})):
        ends = []
        for name in ("auto", "edges"):
            g.set_lowering(row, name)
            assert net[0].rowwise == (name == "auto")
            y = row(s).x
            ends.append([y, *torch.autograd.grad(y.sin().sum(), [s.x, *row.parameters()])])
        assert all(error(a, b) < 1e-12 for a, b in zip(*ends, strict=True))


def test_a_row_of_linear_layers_needs_no_plan_and_is_still_named():
    net = g.Sequential(g.Conv(2, 3, g.itself()), nn.ReLU(), g.Conv(3, 2, g.itself()))
    graph = g.Graph([[0, 1], [1, 2]])
    s = g.Signal(torch.randn(1, 3, 2), graph)
    wanted = net(s).x
    assert "plans" not in graph.cache
    with g.trace(net) as events:
        assert error(net(s).x, wanted) < 1e-6
    assert [event.lowering for event in events if event.lowering] == ["lattice"] * 2
    with pytest.raises(g.GeodlError, match="Conv.* 5 channels"):
        net(g.Signal(torch.randn(1, 3, 5), graph))
    sparse = g.Signal(s.x[0].to_sparse_csr(), graph)
    assert error(net(sparse).x, wanted) < 1e-6
    assert not g.Conv(2, 2, g.itself(), groups=2).rowwise
    for rule in (g.window(1), g.adjacency()):
        kind = type("Own", (g.Conv,), {})  # as parametrizations make one
        assert not kind(2, 2, rule).rowwise and kind(2, 2, g.itself()).rowwise


def test_hooks_of_a_norm_in_a_row_are_called():
    net, seen = g.Sequential(nn.Linear(2, 2), g.BatchNorm(2), nn.ReLU()), []
    net[1].register_forward_hook(lambda layer, given, answer: seen.append(answer))
    net(image())
    assert [type(one) for one in seen] == [g.Signal]


def test_modules_of_pyg_are_to_be_converted():
    with pytest.raises(g.GeodlError, match=r"g\.interop\.from_pyg\(GCNConv"):
        g.Sequential(GCNConv(3, 4))


def test_tensors_as_pyg_takes_them_are_told_apart():
    links = torch.tensor([[0], [1]])
    with pytest.raises(g.GeodlError, match="a tensor in place of a second signal"):
        g.models.gcn(3, 4, 2)(torch.zeros(2, 3), links)


@pytest.mark.parametrize("other", [torch.float64, torch.bfloat16])
def test_a_module_of_another_dtype_is_refused_in_words(other):
    """The first parameter of a layer is looked at before; that of a module may stand anywhere."""
    s = g.Signal(torch.ones(1, 3, 2), g.Chain(3))
    layer = g.Pointwise(nn.Sequential(nn.Linear(2, 2))).to(other)
    with pytest.raises(g.GeodlError, match=f"values of torch.float32 .* parameters of {other}"):
        layer(s)
    assert layer(s.to(other)).dtype == other
