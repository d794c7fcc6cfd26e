"""Where the weights of a recurrence lie for cuDNN, tried on the CPU with its operator planted."""

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize

import geodl as g
from geodl.layer.recurrent import PARAMETERS
from geodl.lowering import flat_weights
from geodl.lowering.cells import CELLS
from tests.test_recurrence import MASK, OF_TORCH, tokens

OTHERS = [name for name in CELLS if name not in OF_TORCH]


@pytest.fixture
def flattened(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What cuDNN's operator was asked for; the planted one lays out weights as cuDNN does."""
    asked = []

    def flatten(weights: list[Tensor], *form: object) -> None:
        asked.append(form)
        chunk = torch.cat([weight.flatten() for weight in weights])
        pieces = chunk.split([weight.numel() for weight in weights])
        for weight, piece in zip(weights, pieces, strict=True):
            weight.set_(piece.view(weight.shape))

    monkeypatch.setattr(flat_weights, "_cudnn_takes", lambda weight: weight.dtype != torch.bfloat16)
    monkeypatch.setattr(torch, "_use_cudnn_rnn_flatten_weight", lambda: True)
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", flatten)
    monkeypatch.setattr(torch.backends.cudnn.rnn, "get_cudnn_mode", lambda mode: mode)
    return asked


def chunks(layer: nn.Module) -> int:
    """In how many pieces of memory the weights lie."""
    return len({weight.untyped_storage().data_ptr() for weight in layer.parameters()})


def values(layer: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in layer.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def read_again(layer: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


MOVES = {
    "double": lambda layer: layer.double(),
    "half": lambda layer: layer.half(),
    "nothing": lambda layer: layer.to("cpu"),
    "in a container": lambda layer: g.Sequential(layer).double()[0],
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "file": read_again,
}


@pytest.mark.parametrize("cell", OF_TORCH)
def test_the_operator_is_asked_for_one_layer_in_one_direction(cell, flattened):
    layer = g.Recurrent(3, 4, cell)
    assert flattened == [(4, 3, cell.upper(), 4, 0, 1, True, False)]
    assert chunks(layer) == 1
    torch.manual_seed(0)
    drawn = values(g.Recurrent(3, 4, cell))
    torch.manual_seed(0)
    layer.reset_parameters()
    assert same(values(layer), drawn)


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("cell", OF_TORCH)
def test_moved_and_copied_weights_are_flattened(cell, move, flattened):
    layer = g.Recurrent(3, 4, cell)
    layer.bias_hh_l0.requires_grad_(False)
    before = values(layer)
    flattened.clear()
    after = MOVES[move](layer)
    assert flattened and chunks(after) == 1
    dtype = after.weight_ih_l0.dtype
    assert same(values(after), {name: value.to(dtype) for name, value in before.items()})
    assert [weight.requires_grad for weight in after.parameters()] == [True, True, True, False]


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("cell", OTHERS)
def test_cells_that_cudnn_does_not_have_stay(cell, move, flattened):
    assert chunks(MOVES[move](g.Recurrent(3, 4, cell))) == 4
    assert not flattened


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("cell", CELLS)
def test_nothing_changes_on_the_cpu(cell, move, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("asked on the CPU")

    monkeypatch.setattr(torch, "_use_cudnn_rnn_flatten_weight", lambda: True)
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", never)
    layer = g.Recurrent(3, 4, cell)
    before = values(layer)
    after = MOVES[move](layer)
    assert chunks(after) == 4
    dtype = after.weight_ih_l0.dtype
    assert same(values(after), {name: value.to(dtype) for name, value in before.items()})


def test_other_parameters_in_their_place_are_flattened(flattened):
    layer, other = g.Recurrent(3, 4), g.Recurrent(3, 4)
    layer.weight_hh_l0 = nn.Parameter(torch.zeros(16, 4))
    assert chunks(layer) == 1 and not layer.weight_hh_l0.any()
    layer.load_state_dict(other.state_dict())
    assert chunks(layer) == 1 and same(values(layer), values(other))
    flattened.clear()
    layer.load_state_dict(values(other), assign=True)
    assert flattened and chunks(layer) == 1
    twin = nn.LSTM(3, 4)
    assert chunks(g.interop.from_torch(twin)) == 1


def in_bfloat16(layer: g.Recurrent) -> None:
    layer.bfloat16()


def of_two_dtypes(layer: g.Recurrent) -> None:
    layer.bias_hh_l0 = nn.Parameter(torch.zeros(16, dtype=torch.float64))


def tied(layer: g.Recurrent) -> None:
    layer.bias_hh_l0 = layer.bias_ih_l0


def absent(layer: g.Recurrent) -> None:
    layer.bias_hh_l0 = None


def of_another_width(layer: g.Recurrent) -> None:
    layer.weight_ih_l0 = nn.Parameter(torch.zeros(20, 3))


@pytest.mark.parametrize("change", [in_bfloat16, of_two_dtypes, tied, absent, of_another_width])
def test_weights_that_cudnn_cannot_take_stay(change, flattened):
    layer = g.Recurrent(3, 4)
    assert len(flattened) == 1
    change(layer)
    assert len(flattened) == 1


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def test_computed_weights_are_left_to_their_module(flattened):
    layer = g.Recurrent(3, 4)
    flattened.clear()
    parametrize.register_parametrization(layer, "weight_hh_l0", Halved())
    assert not flattened
    wanted = layer.weight_hh_l0.clone()
    parametrize.remove_parametrizations(layer, "weight_hh_l0")
    assert flattened and chunks(layer) == 1
    assert torch.equal(layer.weight_hh_l0, wanted)


def on_cuda(monkeypatch: pytest.MonkeyPatch) -> list[list[Tensor]]:
    """Plans believe that they run on CUDA; what their calls hand to the kernel is kept."""
    from geodl.lowering import rnn

    run, handed = rnn._run_kernel, []

    def copying(weights: list[Tensor]) -> list[Tensor]:
        handed.append(flat_weights.with_one_chunk(weights))
        return handed[-1]

    monkeypatch.setattr(
        rnn, "_run_kernel", lambda plan, *call: run(plan._replace(cuda=True), *call)
    )
    monkeypatch.setattr(rnn, "with_one_chunk", copying)
    return handed


@pytest.mark.parametrize("mask", [None, MASK], ids=["equal", "packed"])
@pytest.mark.parametrize("cell", OF_TORCH)
def test_weights_of_a_call_get_a_chunk_of_their_own(cell, mask, flattened, monkeypatch):
    layer, s = g.Recurrent(3, 4, cell).double(), g.Signal.sequence(tokens(), mask)
    given = {
        name: torch.randn_like(value).requires_grad_() for name, value in values(layer).items()
    }
    wanted = functional_call(layer, given, (s,)).x
    handed = on_cuda(monkeypatch)
    found = functional_call(layer, given, (s,)).x
    assert torch.equal(found, wanted)
    assert len({weight.untyped_storage().data_ptr() for weight in handed[0]}) == 1
    offsets = [weight.storage_offset() for weight in handed[0]]
    assert offsets == sorted(offsets) and offsets[0] == 0
    ours = torch.autograd.grad(found.tanh().sum(), list(given.values()))
    theirs = torch.autograd.grad(wanted.tanh().sum(), list(given.values()))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("mask", [None, MASK], ids=["equal", "packed"])
def test_flattened_parameters_are_not_copied(mask, flattened, monkeypatch):
    layer, s = g.Recurrent(3, 4).double(), g.Signal.sequence(tokens(), mask)
    handed = on_cuda(monkeypatch)
    layer(s)
    own = [getattr(layer, name) for name in PARAMETERS]
    assert all(a is b for a, b in zip(handed[0], own, strict=True))


def test_transforms_and_autocast_see_the_weights_as_they_are(flattened, monkeypatch):
    weights = [torch.randn(4, 3), torch.randn(4, 4), torch.randn(4), torch.randn(4)]
    assert flat_weights.with_one_chunk(weights) is not weights
    with monkeypatch.context() as patch:
        patch.setattr(torch, "is_autocast_enabled", lambda kind: kind == "cuda")
        assert flat_weights.with_one_chunk(weights) is weights

    def same_inside(x: Tensor) -> Tensor:
        assert flat_weights.with_one_chunk(weights) is weights
        return x.sum()

    torch.func.grad(same_inside)(torch.ones(2))
    halves = [weight.bfloat16() for weight in weights]
    assert flat_weights.with_one_chunk(halves) is halves
