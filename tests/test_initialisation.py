"""How parameters are drawn: as the twin's, by the neighborhood's fan-in, and anew when asked."""

import inspect
import math

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATv2Conv, GCNConv

import geodl as g


def reach(parameters) -> float:
    return max(float(p.detach().abs().max()) for p in parameters)


INIT = {
    "Linear": (lambda: g.Conv(40, 50, g.itself()), lambda: nn.Linear(40, 50)),
    "Conv2d": (lambda: g.Conv(7, 40, g.window(3)), lambda: nn.Conv2d(7, 40, 3)),
    "Conv2d in groups": (
        lambda: g.Conv(12, 120, g.window(3), groups=3),
        lambda: nn.Conv2d(12, 120, 3, groups=3),
    ),
    "ConvTranspose2d in groups": (
        lambda: g.Conv(60, 12, g.window(4, stride=2, padding=1).reverse(), groups=3),
        lambda: nn.ConvTranspose2d(60, 12, 4, stride=2, padding=1, groups=3),
    ),
    "Conv1d": (lambda: g.Conv(7, 90, g.window(5, axes=1)), lambda: nn.Conv1d(7, 90, 5)),
    "GCNConv": (
        lambda: g.Conv(40, 50, g.adjacency("sym", self_loops=True)),
        lambda: GCNConv(40, 50),
    ),
    "LSTM": (lambda: g.Recurrent(10, 16), lambda: nn.LSTM(10, 16)),
    "MultiheadAttention": (
        lambda: g.Attention(48, g.all_pairs()),
        lambda: nn.MultiheadAttention(48, 8),
    ),
}


@pytest.mark.parametrize("name", INIT)
def test_drawn_as_the_twin(name):
    torch.manual_seed(0)
    ours, twins = zip(*([make() for make in INIT[name]] for _ in range(5)), strict=True)
    for key, p in ours[0].named_parameters():
        mine = torch.stack([dict(m.named_parameters())[key].detach().flatten() for m in ours])
        key = {"weight": "lin.weight"}.get(key, key) if name == "GCNConv" else key
        theirs = torch.stack([dict(m.named_parameters())[key].detach().flatten() for m in twins])
        assert mine.shape == theirs.shape, (key, p.shape)
        largest, deviation = float(theirs.abs().max()), float(theirs.std())
        assert abs(float(mine.abs().max()) - largest) <= 0.06 * largest
        assert abs(float(mine.std()) - deviation) <= 0.06 * deviation


def test_gatv2_is_drawn_as_pygs():
    torch.manual_seed(0)
    ours = g.Attention(40, g.adjacency(), 8, "gatv2", channels_out=400, out_proj=False)
    theirs = GATv2Conv(40, 50, 8)
    weights = torch.cat((theirs.lin_r.weight, theirs.lin_l.weight))
    biases = torch.cat((theirs.lin_r.bias, theirs.lin_l.bias))
    pairs = ((ours.in_proj_weight, weights), (ours.in_proj_bias, biases))
    for mine, expected in (*pairs, (ours.score_vectors, theirs.att), (ours.out_bias, theirs.bias)):
        assert reach([mine]) == pytest.approx(reach([expected]), rel=0.05)
        assert float(mine.detach().std()) == pytest.approx(float(expected.detach().std()), rel=0.1)


def test_fan_in_counts_the_neighborhood():
    bounds = {
        g.lift(3, group=g.C(4)): 9,
        g.window(3, group=g.C(4)): 36,
        g.window((2, 3), padding="valid"): 6,
    }
    for rule, fan_in in bounds.items():
        bound = 1 / math.sqrt(8 * fan_in)
        assert 0.95 * bound < reach(g.Conv(8, 64, rule).parameters()) <= bound
    for rule in (g.all_pairs("offset"), g.all_pairs("self"), g.all_pairs()):
        dense = g.Conv(8, 64, rule, on=g.Chain(5))
        assert 0.95 / math.sqrt(40) < reach(dense.parameters()) <= 1 / math.sqrt(40)


@pytest.mark.parametrize("rule", [g.all_pairs("self"), g.all_pairs(), g.fiber(), g.whole()])
def test_where_the_fan_in_depends_on_data_weights_are_glorots(rule):
    layer, bound = g.Conv(8, 40, rule), math.sqrt(6 / 48)
    assert rule.fan_in() is None
    assert 0.95 * bound < reach([layer.weight]) <= bound
    assert torch.equal(layer.bias, torch.zeros(40))


def test_a_reversed_window_is_initialised_as_its_twin():
    layer, twin = g.Conv(64, 2, g.window(3).reverse()), torch.nn.ConvTranspose2d(64, 2, 3)
    assert layer.weight.abs().max().item() == pytest.approx(twin.weight.abs().max().item(), rel=0.1)


OWNERS = {
    g.Conv: lambda: g.Conv(3, 5, g.window(3)),
    g.Attention: lambda: g.Attention(4, g.window(3), 2, relative=True),
    g.Recurrent: lambda: g.Recurrent(3, 5),
    g.Embedding: lambda: g.Embedding(7, 4),
    g.TopK: lambda: g.TopK(3),
    g.LearnedPositions: lambda: g.LearnedPositions((4, 4), 3),
    g.LaplacianPositions: lambda: g.LaplacianPositions(2, 4),
    g.BatchNorm: lambda: g.BatchNorm(3),
    g.GroupNorm: lambda: g.GroupNorm(2, 4),
    g.InstanceNorm: lambda: g.InstanceNorm(3, affine=True, track_running_stats=True),
}
WITHOUT = {
    "Concat",
    "Cross",
    "Dropout",
    "Expected",
    "LocalResponseNorm",
    "EdgeUpdate",
    "EncoderDecoder",
    "Filter",
    "FinalState",
    "FromState",
    "Message",
    "Network",
    "Pointwise",
    "Pool",
    "Propagate",
    "Residual",
    "SelfTerm",
    "Sequential",
    "SinusoidalPositions",
}


def kinds_below(base: type) -> set[type]:
    below = {kind for kind in base.__subclasses__() if kind.__module__.startswith("geodl.layer")}
    return below.union(*map(kinds_below, below))


def test_every_kind_of_layer_has_parameters_of_its_own_or_none():
    kinds = {kind for kind in kinds_below(g.Layer) if not inspect.isabstract(kind)}
    assert {kind.__name__ for kind in kinds - set(OWNERS)} == WITHOUT
    for kind in kinds:
        assert hasattr(kind, "reset_parameters") is (kind in OWNERS), kind


@pytest.mark.parametrize("kind", OWNERS, ids=lambda kind: kind.__name__)
def test_parameters_are_drawn_anew(kind):
    """Whatever was there before, as `to_empty` and sweeps over seeds rely on."""
    fresh, used = OWNERS[kind](), OWNERS[kind]()
    reaches = {name: float(value.abs().max()) for name, value in fresh.state_dict().items()}
    with torch.no_grad():
        for value in used.state_dict().values():
            value.fill_(70)
    for layer in (fresh, used):
        torch.manual_seed(5)
        layer.reset_parameters()
    wanted = fresh.state_dict()
    for name, value in used.state_dict().items():
        assert torch.equal(value, wanted[name]), name
        assert 0.5 * reaches[name] <= float(value.abs().max()) <= 2 * reaches[name], name
