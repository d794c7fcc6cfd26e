"""Containers that run as one list of calls: the same numbers as layer by layer, and whatever
changes inside of them afterwards is heard of.
"""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl.errors import GeodlError
from geodl.layer.unfolded import Row, unfolded_calls


def _model() -> g.Sequential:
    """Every container inside another, and a value that two layers read."""
    network = g.Network(
        "x",
        {
            "bent": (nn.Tanh(), "x"),
            "mixed": (nn.Linear(4, 4), "bent"),
            "passed": (g.Propagate(g.adjacency()), "mixed"),
            "sum": ("add", "bent", "passed", "mixed"),
        },
    )
    around = g.Residual(nn.Linear(4, 4), g.BatchNorm(4), shortcut=nn.Linear(4, 4))
    beside = g.Concat(g.Sequential(nn.Linear(4, 2), nn.ReLU()), g.Conv(4, 2, g.adjacency()))
    rows = (g.Conv(4, 4, g.itself()), nn.Softmax(2), nn.Linear(4, 3))
    return g.Sequential(network, around, beside, *rows).double()


def _signal(batch: int = 2, seed: int = 0) -> g.Signal:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 5, 4, dtype=torch.float64, generator=generator)
    return g.Signal(x, g.Graph([[0, 1, 2, 3, 3], [1, 2, 0, 4, 1]], 5))


def _layer_by_layer(model: nn.Module, signal: g.Signal) -> g.Signal:
    """What a listener hears: each layer called by itself."""
    with g.trace(model):
        return model(signal)


def _gradients(model: nn.Module, y: Tensor) -> list[Tensor]:
    upstream = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    return list(torch.autograd.grad(y, list(model.parameters()), upstream, create_graph=True))


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_same_values_and_gradients_as_layer_by_layer(batch: int) -> None:
    model, signal = _model().eval(), _signal(batch)
    assert unfolded_calls(model) is not None
    ours, wanted = model(signal), _layer_by_layer(model, signal)
    assert torch.equal(ours.x, wanted.x)
    assert ours.domain is wanted.domain
    for one, other in zip(_gradients(model, ours.x), _gradients(model, wanted.x), strict=True):
        assert torch.equal(one, other)


def test_second_derivatives_and_transforms() -> None:
    model, signal = _model().eval(), _signal()

    def penalty(x: Tensor) -> Tensor:
        return model(signal.with_x(x)).x.square().sum()

    x = signal.x.requires_grad_()
    (once,) = torch.autograd.grad(penalty(x), x, create_graph=True)
    assert torch.allclose(torch.func.grad(penalty)(signal.x), once)
    (twice,) = torch.autograd.grad(once.square().sum(), x)
    assert twice.abs().max() > 0


def test_under_vmap_as_one_after_another() -> None:
    model, signal = _model().eval(), _signal()
    many = torch.stack((signal.x, -signal.x))
    assert unfolded_calls(model) is not None
    mapped = torch.func.vmap(lambda x: model(signal.with_x(x)).x)(many)
    each = [_layer_by_layer(model, signal.with_x(x)).x for x in many]
    assert torch.allclose(mapped, torch.stack(each))


def test_state_is_carried() -> None:
    signal = _signal().with_edges(torch.ones(1, 5, 1)).with_globals(torch.ones(1, 1, 2))
    y = _model()(signal)
    assert y.edges is signal.edges
    assert y.globals is signal.globals


def test_values_that_several_layers_read_end_a_row() -> None:
    calls = unfolded_calls(_model())
    assert calls is not None
    rows = [step.run for step in calls._steps if isinstance(step.run, Row)]
    first, second, *_, last = rows
    assert [len(row.modules) for row in (first, second, last)] == [1, 1, 3]


def test_hooks_run() -> None:
    model, signal, heard = _model(), _signal(), []
    model(signal)
    handle = model[1].inner[0].register_forward_hook(lambda *_: heard.append("forward"))
    model(signal)
    handle.remove()
    model(signal)
    assert heard == ["forward"]


def test_exchanged_parts_rules_and_lowerings_are_heard_of() -> None:
    model, signal = _model().eval(), _signal()
    before = model(signal).x
    network = model[0]
    network.mixed = nn.Linear(4, 4).double()
    model[1].inner[0].weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.float64))
    network["passed"].rule = g.adjacency("row")
    network["passed"].lowering = "edges"
    after = model(signal)
    assert not torch.allclose(before, after.x)
    assert torch.equal(after.x, _layer_by_layer(model, signal).x)


def test_copies_have_calls_of_their_own() -> None:
    model, signal = _model().eval(), _signal()
    before = model(signal).x
    for twin in (copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(signal).x, before)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[1].inner[0].weight.zero_()
    assert not torch.allclose(twin(signal).x, before)
    assert torch.equal(model(signal).x, before)


class Twice(g.Sequential):
    """A container with code of its own."""

    def compute(self, receiver: g.Signal, sender: g.Signal | None, rule: None) -> g.Signal:
        return super().compute(receiver, sender, rule).map(lambda x: 2 * x)


def test_code_of_ones_own_is_called() -> None:
    signal = _signal()
    inner = nn.Linear(4, 4).double()
    assert torch.equal(g.Sequential(Twice(inner))(signal).x, 2 * inner(signal.x))
    assert torch.equal(Twice(g.Sequential(inner))(signal).x, 2 * inner(signal.x))


def test_a_part_that_does_not_keep_the_nodes_is_named_at_every_call() -> None:
    net = g.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    signal = g.Signal.sequence(torch.randn(2, 5, 4))
    net(signal)
    net[1].forward = lambda x: x[:1]  # type: ignore[method-assign] - as a user may
    for _ in range(2):
        with pytest.raises(g.GeodlError, match="ReLU"):
            net(signal)


def test_refusals_at_every_call() -> None:
    model = _model()
    model(_signal())
    for wrong in (_signal().map(lambda x: x[..., :3]), _signal().to(torch.float32)):
        with pytest.raises(GeodlError, match="Linear|Tanh"):
            model(wrong)
    with pytest.raises(GeodlError, match="give a Signal"):
        model(torch.zeros(1, 5, 4))
