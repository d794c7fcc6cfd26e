"""Models whose weights are computed of other parameters: they come in, learn, and go back."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils import spectral_norm as older_spectral_norm
from torch.nn.utils import weight_norm as older_weight_norm

import geodl as g
from geodl.interop import from_torch, to_torch
from geodl.testing import error


class Symmetric(nn.Module):
    """A user's own parametrization."""

    def forward(self, weight):
        return weight.triu() + weight.triu(1).T


def own(module):
    parametrize.register_parametrization(module, "weight", Symmetric())
    return module


def with_older_hook(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return older_weight_norm(module)


def transposed(norm):
    return norm(nn.ConvTranspose2d(2, 4, 3, stride=2, output_padding=1, groups=2), dim=1)


WEIGHTS = {
    "weight_norm": lambda: parametrizations.weight_norm(nn.Conv2d(2, 4, 3, padding=1)),
    "spectral_norm": lambda: parametrizations.spectral_norm(nn.Conv2d(2, 4, 3, groups=2)),
    "transposed": lambda: transposed(parametrizations.weight_norm),
    "older weight_norm": lambda: with_older_hook(nn.Conv2d(2, 4, 3, padding_mode="reflect")),
    "older spectral_norm": lambda: older_spectral_norm(nn.Conv2d(2, 4, 3)),
    "older, transposed": lambda: transposed(older_spectral_norm),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(7, 4)),
    "own": lambda: own(nn.Linear(7, 7)),
}


def trained_alike(model, x):
    """Answers of three steps in training and one in evaluation, and the gradients of the last
    step by size.
    """
    model.train()
    answers, slopes = [], {}
    for _ in range(3):
        y = model(x)
        model.zero_grad()
        (y.sin() * torch.arange(y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
        slopes = {name: p.grad.clone() for name, p in model.named_parameters()}
        with torch.no_grad():
            for p in model.parameters():
                p -= 1e-4 * p.grad
        answers.append(y.detach())
    return [*answers, model.eval()(x).detach()], slopes


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_computed_weight_goes_on_learning(name):
    torch.manual_seed(4)
    model = nn.Sequential(WEIGHTS[name](), nn.Tanh()).double()
    x = torch.randn(2, 2, 6, 7, dtype=torch.float64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    network = from_torch(model, x)
    assert network.opaque() == {}
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    back = to_torch(network)
    twice = to_torch(copy.deepcopy(network))
    wanted, slopes = trained_alike(model, x)
    for twin in (network, back, twice):
        found, theirs = trained_alike(twin, x)
        assert max(map(error, found, wanted)) <= 1e-10
        parts = {key.rpartition("original")[2] or key for key in slopes}
        assert len(theirs) == len(slopes) == len(parts) or "older" in name
        assert sorted(float(s.norm()) for s in theirs.values()) == pytest.approx(
            sorted(float(s.norm()) for s in slopes.values()), rel=1e-10
        )
    # What was learnt goes back.
    assert error(to_torch(network)(x), wanted[-1]) <= 1e-10


def test_parts_of_a_computed_weight_have_the_names_of_the_model():
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2)))
    network = from_torch(model, torch.ones(1, 3))
    assert dict(network.named_parameters()).keys() == dict(model.named_parameters()).keys()
    assert to_torch(network).state_dict().keys() == model.state_dict().keys()
    network.load_state_dict(model.state_dict())


def test_a_layer_has_the_parametrizations_of_its_twin():
    twin = parametrizations.weight_norm(nn.Conv2d(2, 3, 3, padding=1)).double()
    layer = from_torch(twin)
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64)
    assert error(layer(g.Signal.image(x)).to_image(), twin(x)) <= 1e-12
    assert error(to_torch(layer)(x), twin(x)) <= 1e-12
    assert g.certify(layer.over(g.window(3)), g.Grid(5, 5, periodic=True)).exact
    lstm = parametrizations.weight_norm(nn.LSTM(2, 3), "weight_hh_l0")
    with pytest.raises(g.GeodlError, match="parametrizations of weight_hh_l0"):
        from_torch(lstm)
    assert "0" in from_torch(nn.Sequential(lstm), torch.ones(1, 4, 2)).opaque()
