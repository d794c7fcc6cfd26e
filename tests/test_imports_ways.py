"""What an import must not get wrong: views, lengths that coincide, modes, shared parameters."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import _pytree as pytree

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


def test_tied_parameters_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(5, 4)

        def forward(self, ids):
            return F.linear(self.embed(ids), self.embed.weight)

    ids, model = torch.arange(5)[None], drawn(Tied())
    rows = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    rows[2].weight = rows[0].weight
    x = torch.randn(2, 3, dtype=torch.float64)
    for one, example, names in ((model, ids, 2), (drawn(rows), x, 4)):
        network = from_torch(one, example)
        assert network.opaque() == {}
        assert len(network.state_dict()) == names
        assert len(list(network.parameters())) == len(list(one.parameters())) < names
        for twin in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
            # One step of training moves both places.
            torch.optim.SGD(twin.parameters(), 1.0).zero_grad()
            twin(example).square().sum().backward()
            torch.optim.SGD(twin.parameters(), 0.1).step()
            back = to_torch(twin)
            assert error(twin(example), back(example)) <= 1e-12
            assert len(list(back.parameters())) == len(list(one.parameters()))
    one = copy.deepcopy(model)
    one(ids).square().sum().backward()
    torch.optim.SGD(one.parameters(), 0.1).step()
    learnt = from_torch(model, ids)
    learnt(ids).square().sum().backward()
    torch.optim.SGD(learnt.parameters(), 0.1).step()
    assert error(learnt(ids), one(ids)) <= 1e-12


def test_parameters_tied_in_two_forms_are_refused():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))

        def forward(self, x):
            return F.linear(x, self.weight).relu() @ self.weight

    with pytest.raises(g.GeodlError, match="one parameter in the nodes linear and matmul"):
        from_torch(Turned(), torch.zeros(1, 3))


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


class Sampler(nn.Module):
    """Other calls in training, and several answers: it stays whole."""

    def __init__(self):
        super().__init__()
        self.mean, self.width = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x):
        mean, width = self.mean(x), self.width(x)
        if self.training:
            return mean + 0 * width.exp(), mean, {"width": width}
        return mean, mean, {"width": width}


def test_a_model_that_stays_whole_answers_all_that_it_answers():
    model, x = Sampler().double(), torch.randn(4, 3, dtype=torch.float64)
    network = from_torch(model, x)
    assert len(network.opaque()) == 1
    for mode in (True, False):
        ours, theirs = network.train(mode)(x), model.train(mode)(x)
        assert isinstance(ours, tuple) and ours[2].keys() == {"width"}
        pairs = zip(pytree.tree_leaves(ours), pytree.tree_leaves(theirs), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


class Unsaved(nn.Module):
    """Tables of which one is no part of the state."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.ones(3, dtype=torch.float64))
        self.register_buffer("made", torch.full((3,), 2.0, dtype=torch.float64), persistent=False)
        self.inner = nn.Linear(3, 3)

    def forward(self, x):
        return (self.inner(x) * self.made + x.sort(1).values * self.made).cumsum(1) + self.kept


def test_buffers_that_are_not_saved_are_not_saved_afterwards():
    model, x = drawn(Unsaved()), torch.randn(2, 3, dtype=torch.float64)
    back = to_torch(from_torch(model, x))
    assert set(back.state_dict()) == set(model.state_dict())
    assert error(back(x), model(x)) <= 1e-12
    model.load_state_dict(back.state_dict())
