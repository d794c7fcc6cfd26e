"""What an import must not get wrong: views, lengths that coincide, modes, shared parameters."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import geodl as g
from geodl.interop import from_torch, to_torch
from geodl.testing import error
from tests.twins import drawn


def test_a_view_that_only_looks_like_one_stays_as_it_is():
    class Mixed(nn.Module):
        def forward(self, x):
            # Rows of the batch and channels change places; both are four long.
            x = x.transpose(0, 1).reshape(4, 4, 3)
            return x.transpose(0, 1) * 2, x.transpose(0, 2).reshape(x.shape[1], -1)

    model = Mixed()
    x = torch.randn(4, 4, 3)
    network = from_torch(model, x)
    for ours, theirs in zip(network(x), model(x), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_lengths_that_coincide_are_told_apart(size):
    """Every length is the same number on the example, and others later."""

    class Same(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(size, size)
            self.conv = nn.Conv2d(size, size, 1)

        def forward(self, x):
            x = self.conv(x)
            b, c, h, w = x.shape
            y = self.lin(x.permute(0, 2, 3, 1).reshape(b, h * w, c))
            y = y.view(b, h, w, -1).permute(0, 3, 1, 2)
            return (x + y).flatten(2).transpose(1, 2).mean(1)

    model = drawn(Same())
    network = from_torch(model, torch.randn(size, size, size, size, dtype=torch.float64))
    assert network.opaque() == {}
    x = torch.randn(4, size, 5, 7, dtype=torch.float64)
    assert error(network(x), model(x)) <= 1e-10


def test_tied_parameters_are_refused():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(5, 4)

        def forward(self, ids):
            return F.linear(self.embed(ids), self.embed.weight)

    with pytest.raises(g.GeodlError, match="one parameter in the nodes embed and linear"):
        from_torch(Tied(), torch.zeros(1, 3, dtype=torch.long))
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    with pytest.raises(g.GeodlError, match="one parameter called 0.weight and 1.weight"):
        from_torch(tied, torch.zeros(1, 3))


def test_a_dropout_of_a_mode_has_one():
    class Drops(nn.Module):
        def forward(self, x):
            x = F.dropout(x, 0.5, training=self.training)
            return F.dropout(x, 0.9, training=False)

    network = from_torch(Drops(), torch.ones(2, 3))
    assert [type(part).__name__ for part in network.children()] == ["Dropout"]
    for one in (network, to_torch(network)):
        x = torch.ones(400, 3)
        assert torch.equal(one.eval()(x), x)
        assert 400 < int((one.train()(x) == 0).sum()) < 800


def test_a_model_that_goes_another_way_in_training_stays_whole():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(2, 2)

        def forward(self, x):
            if self.training:
                return self.lin(x) + 1
            return self.lin(x)

    model = nn.Sequential(nn.Linear(2, 2), Inner())
    x = torch.randn(3, 2)
    network = from_torch(model, x)
    assert network.opaque() == {"1": "its forward makes other calls in training"}
    for training in (True, False):
        assert error(network.train(training)(x), model.train(training)(x)) <= 1e-6
