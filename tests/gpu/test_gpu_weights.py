"""Weights of recurrences on CUDA: in one chunk, so that cuDNN neither copies nor warns."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize

import geodl as g
from geodl.testing import error, outcome
from tests.gpu.cuda import BOUNDS, DEVICE, HALF_BOUNDS, NEEDS_CUDA, sent
from tests.precision import relative_error
from tests.test_flat_weights import Halved, chunks, values
from tests.test_recurrence import MASK, OF_TORCH, tokens, twin_of

pytestmark = NEEDS_CUDA


def replaced(layer: g.Recurrent) -> g.Recurrent:
    layer.weight_hh_l0 = nn.Parameter(layer.weight_hh_l0.detach().clone())
    return layer


def loaded(layer: g.Recurrent) -> g.Recurrent:
    layer.load_state_dict(values(layer))
    return layer


def assigned(layer: g.Recurrent) -> g.Recurrent:
    layer.load_state_dict(values(layer), assign=True)
    return layer


def built_there(layer: g.Recurrent) -> g.Recurrent:
    with torch.device(DEVICE):
        other = g.Recurrent(layer.channels_in, layer.hidden, layer.options.cell)
    other.load_state_dict(layer.state_dict())
    return other


MOVES = {
    "moved": lambda layer: layer,
    "twice": lambda layer: layer.to(DEVICE),
    "there and back": lambda layer: layer.cpu().to(DEVICE),
    "built there": built_there,
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "load_state_dict": loaded,
    "assign": assigned,
    "replaced": replaced,
    "imported": lambda layer: g.interop.from_torch(g.interop.to_torch(layer)),
}


def strictly(layer: g.Recurrent, signal: g.Signal) -> tuple[Tensor, dict[str, Tensor]]:
    """Values and gradients, where any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return outcome(layer, signal)


@pytest.mark.parametrize("mask", [None, MASK], ids=["equal", "packed"])
@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("cell", OF_TORCH)
def test_no_call_warns(cell, move, mask):
    layer = g.Recurrent(3, 4, cell)
    signal = g.Signal.sequence(tokens().float(), mask)
    wanted, gradients = outcome(layer, signal)
    there = MOVES[move](copy.deepcopy(layer).to(DEVICE))
    assert chunks(there) == 1
    found, ours = strictly(there, *sent((signal,), torch.float32))
    assert error(found.cpu(), wanted) < BOUNDS[torch.float32]
    for key, gradient in gradients.items():
        assert error(ours[key].cpu(), gradient) < BOUNDS[torch.float32], key


@pytest.mark.parametrize("mask", [None, MASK], ids=["equal", "packed"])
@pytest.mark.parametrize("cell", OF_TORCH)
def test_no_call_in_half_precision_warns(cell, mask):
    layer = g.Recurrent(3, 4, cell)
    signal = g.Signal.sequence(tokens().float(), mask)
    wanted, _ = outcome(layer, signal)
    there = copy.deepcopy(layer).to(DEVICE)
    with torch.autocast(DEVICE, torch.float16):
        mixed, _ = strictly(there, *sent((signal,), torch.float32))
    assert relative_error(mixed.cpu(), wanted) < HALF_BOUNDS[torch.float16]
    assert chunks(there.half()) == 1
    half, _ = strictly(there, *sent((signal,), torch.float16))
    assert relative_error(half.cpu(), wanted) < HALF_BOUNDS[torch.float16]


@pytest.mark.parametrize("width", [1, 3, 7, 64])
@pytest.mark.parametrize("cell", OF_TORCH)
def test_parameters_of_a_call_do_not_warn(cell, width):
    """Of any width: the copies lie where cuDNN looks for them."""
    layer = g.Recurrent(3, width, cell).double()
    signal = g.Signal.sequence(tokens())
    given = {name: torch.randn_like(value) / width for name, value in values(layer).items()}
    wanted = functional_call(layer, given, (signal,)).x
    there, (at,) = layer.to(DEVICE), sent((signal,), torch.float64)
    moved = {name: value.to(DEVICE).requires_grad_() for name, value in given.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = functional_call(there, moved, (at,)).x
        torch.autograd.grad(found.sum(), list(moved.values()))
    assert error(found.cpu(), wanted) < BOUNDS[torch.float64]


def test_parametrized_weights_do_not_warn():
    layer = g.Recurrent(3, 4).to(DEVICE)
    parametrize.register_parametrization(layer, "weight_hh_l0", Halved())
    strictly(layer, *sent((g.Signal.sequence(tokens()),), torch.float32))


def test_torch_warns_of_weights_that_lie_apart():
    """The fault that the other tests look for."""
    twin = twin_of("lstm").to(DEVICE)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.set_(weight.clone())
    with pytest.warns(UserWarning, match="single contiguous chunk"):
        twin(tokens().to(DEVICE))
