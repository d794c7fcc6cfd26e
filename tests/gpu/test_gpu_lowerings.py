"""Every lowering of the registry on CUDA: the reference's values and gradients, in every dtype."""

import copy

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import geodl as g
from geodl.lowering import LOWERINGS
from geodl.testing import accepting, assert_lowered_to, assert_parity, error, outcome
from tests.cases import CASES
from tests.gpu.cuda import BOUNDS, DEVICE, HALF_BOUNDS, NEEDS_CUDA, moved, sent
from tests.precision import relative_error
from tests.strategies import Case
from tests.table import Row, rows

pytestmark = NEEDS_CUDA
ROWS = rows()


def reference(row: Row) -> tuple[Tensor, dict[str, Tensor]]:
    """What the reference gives on the CPU in double precision, on the device."""
    layer = copy.deepcopy(row.layer).double()
    layer.lowering = "edges"
    y, gradients = outcome(layer, *row.signals(torch.float64))
    return y.to(DEVICE), {name: gradient.to(DEVICE) for name, gradient in gradients.items()}


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_values_and_gradients_are_the_references(name, dtype):
    row = ROWS[name]
    wanted, gradients = reference(row)
    layer, signals = moved(row.layer, dtype), sent(row.signals(), dtype)
    for lowering in (*accepting(layer, *signals), "edges"):
        layer.lowering = lowering
        found, ours = outcome(layer, *signals)
        assert found.dtype == dtype and found.device.type == DEVICE
        assert error(found.double(), wanted) < BOUNDS[dtype], lowering
        for key, gradient in gradients.items():
            assert error(ours[key].double(), gradient) < BOUNDS[dtype], f"{lowering}, {key}"


@pytest.mark.parametrize("name", ROWS)
def test_the_same_lowering_runs_as_on_the_cpu(name):
    row = ROWS[name]
    layer = moved(row.layer, torch.float32)
    assert_lowered_to(row.lowering, layer, *sent(row.signals(), torch.float32))


@pytest.mark.parametrize("dtype", HALF_BOUNDS, ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_mixed_precision(name, dtype):
    row = ROWS[name]
    wanted, gradients = reference(row)
    layer, signals = moved(row.layer, torch.float32), sent(row.signals(), torch.float32)
    for lowering in (row.lowering, "edges"):
        layer.lowering = lowering
        with torch.autocast(DEVICE, dtype):
            found, ours = outcome(layer, *signals)
        assert relative_error(found, wanted) < HALF_BOUNDS[dtype], lowering
        for key, gradient in gradients.items():
            assert relative_error(ours[key], gradient) < HALF_BOUNDS[dtype], f"{lowering}, {key}"


@pytest.mark.parametrize(("verb", "name"), CASES)
def test_parity_on_random_calls(verb, name):
    """Empty batches, isolated nodes, one-node domains, memory in any order."""

    @settings(max_examples=20, derandomize=True, deadline=None)
    @given(CASES[verb, name])
    def each(case: Case) -> None:
        dtype = case.signals[0].x.dtype
        layer, signals = moved(case.layer, dtype), sent(case.signals, dtype)
        accepted = accepting(layer, *signals)
        if accepted:
            assert_parity(layer, *signals, bound=BOUNDS[dtype])
        layer.lowering = name if name in accepted else "edges"
        found, ours = outcome(layer, *signals)
        case.layer.lowering = "edges"
        wanted, gradients = outcome(case.layer.to(dtype), *case.signals)
        assert error(found.cpu(), wanted) < BOUNDS[dtype]
        for key, gradient in gradients.items():
            assert error(ours[key].cpu(), gradient) < BOUNDS[dtype], key

    each()


def test_every_lowering_is_compared():
    compared = {(row.layer.verb, row.lowering) for row in ROWS.values()} | set(CASES)
    assert compared >= {(verb, low.name) for verb, entries in LOWERINGS.items() for low in entries}


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.layer.verb == "attend"])
def test_attention_has_second_derivatives(name):
    """The gradient of a gradient penalty, as the reference on the CPU has it."""
    row = ROWS[name]
    found = penalised(moved(row.layer, torch.float64), sent(row.signals(), torch.float64))
    layer = copy.deepcopy(row.layer).double()
    layer.lowering = "edges"
    wanted = penalised(layer, row.signals(torch.float64))
    assert max(error(a.cpu(), b) for a, b in zip(found, wanted, strict=True)) < 1e-8


def penalised(layer: g.Layer, signals: tuple[g.Signal, ...]) -> list[Tensor]:
    """The gradients of the squared norm of a gradient, by every input."""
    inputs = [s.with_x(s.x.detach().requires_grad_()) for s in signals]
    leaves = [s.x for s in inputs]
    y = layer(*inputs).x if layer.on is None else layer(*leaves)
    upstream = torch.linspace(-1, 1, y.numel(), dtype=y.dtype, device=y.device).view_as(y)
    first = torch.autograd.grad((y * y.tanh() * upstream).sum(), leaves, create_graph=True)
    penalty = torch.stack([gradient.square().sum() for gradient in first]).sum()
    return list(torch.autograd.grad(penalty, leaves))
