"""What a model's functions do otherwise in training: kept by its import, and on the way back."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from geodl.interop import from_torch, to_torch
from geodl.testing import error


def attended(model, x):
    """Attention by its function, whose share of dropout says the mode."""
    heads = x.unflatten(-1, (2, -1)).transpose(1, 2)
    share = 0.5 if model.training else 0
    return F.scaled_dot_product_attention(heads, heads, heads, dropout_p=share).flatten(2)


def attended_by_lengths(model, x):
    """The same with a length that torch.fx cannot follow."""
    heads = x.view(len(x), int(x.shape[1]), 2, 4).transpose(1, 2)
    share = 0.5 if model.training else 0.0
    return F.scaled_dot_product_attention(heads, heads, heads, dropout_p=share)


FUNCTIONS = {
    "numbers": lambda model, x: F.dropout(x, 0.5, model.training),
    "a share": lambda model, x: F.dropout(x, 0.5 if model.training else 0.0),
    "channels": lambda model, x: F.dropout1d(x.transpose(1, 2), 0.5, model.training),
    "a module": lambda model, x: model.drop(x.transpose(1, 2)),
    "alpha": lambda model, x: F.alpha_dropout(x, 0.5, model.training),
    "attention": attended,
    "lengths": attended_by_lengths,
    "a factor": lambda model, x: x * (2.0 if model.training else 3.0),
    "always": lambda model, x: F.dropout(x, 0.5),
    "noise": lambda model, x: x + model.training * torch.randn_like(x),
}


class Calls(nn.Module):
    """A linear layer, and a function of what it answers."""

    def __init__(self, function):
        super().__init__()
        self.lin = nn.Linear(6, 8)
        self.drop = nn.Dropout1d(0.5)
        self.function = function

    def forward(self, x):
        return self.function(self, self.lin(x))


def drawn_alike(model, x):
    torch.manual_seed(3)
    return model(x)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("imported_in_training", [True, False])
def test_an_import_has_both_modes_of_its_model(name, imported_in_training):
    if name == "lengths" and imported_in_training:
        pytest.skip("one export is enough: it takes a second")
    model = Calls(FUNCTIONS[name]).double().train(imported_in_training)
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    network = from_torch(model, x)
    for training in (True, False):
        wanted = drawn_alike(model.train(training), x)
        for twin in (network.train(training), to_torch(network).train(training)):
            assert error(drawn_alike(twin, x), wanted) <= 1e-12


def test_a_tensor_that_differs_in_training_is_no_constant():
    """As a tensor that torch.export finds under one name in both modes."""
    model = Calls(lambda model, x: x * torch.tensor(2.0 if model.training else 3.0))
    x = torch.randn(2, 5, 6)
    network = from_torch(model, x)
    for training in (True, False):
        assert error(network.train(training)(x), model.train(training)(x)) <= 1e-6
