"""Ways of calling and of answering: flags, dictionaries, shapes that are put together."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import _pytree as pytree

import geodl as g
from geodl.errors import GeodlError
from geodl.interop import from_torch, to_torch
from geodl.testing import error
from tests.twins import drawn


class SplitHeads(nn.Module):
    """Attention with heads as a library of language models writes it."""

    def __init__(self, channels, heads):
        super().__init__()
        self.heads, self.width, self.channels = heads, channels // heads, channels
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.register_buffer("position_ids", torch.arange(16).expand((1, -1)))
        self.position = nn.Embedding(16, channels)

    def split(self, x):
        shape = x.size()[:-1] + (self.heads, self.width)  # noqa: RUF005 - as people write it
        return x.view(shape).permute(0, 2, 1, 3)

    def forward(self, hidden, attention_mask=None):
        hidden = hidden + self.position(self.position_ids[:, : hidden.size(1)])
        query, key = self.split(self.query(hidden)), self.split(self.key(hidden))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(self.width)
        if attention_mask is not None:
            scores = scores + attention_mask
        context = torch.matmul(F.softmax(scores, dim=-1), self.split(self.value(hidden)))
        context = context.permute(0, 2, 1, 3).contiguous()
        shape = context.size()[:-2] + (self.channels,)  # noqa: RUF005
        context = context.view(shape)
        return {"hidden": context, "pooled": torch.tanh(context[:, 0])}


class Coder(nn.Module):
    """An autoencoder that is asked by a flag for its code."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(6, 3), nn.Linear(3, 6)

    def forward(self, x, with_code=False, scale=1.0):
        code = self.down(x) * scale
        if with_code:
            return self.up(code), code
        return self.up(code)


def image(*shape):
    return torch.randn(shape, dtype=torch.float64)


CALLS = {
    "heads": (lambda: SplitHeads(8, 2), (image(2, 5, 8),)),
    "heads, masked": (lambda: SplitHeads(8, 2), (image(2, 5, 8), image(2, 1, 1, 5))),
    "no flag": (Coder, (image(2, 6),)),
    "a flag": (Coder, (image(2, 6), True)),
    "a flag and a number": (Coder, (image(2, 6), True, 0.5)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_model_is_called_as_it_was(name):
    make, args = CALLS[name]
    model = drawn(make())
    network = from_torch(model, args)
    assert (network.opaque() == {}) == ("masked" not in name)
    wanted, form = pytree.tree_flatten(model(*args))
    for twin in (network, to_torch(network)):
        found, same = pytree.tree_flatten(twin(*args))
        assert same == form
        assert max(map(error, found, wanted)) <= 1e-10


def test_another_flag_than_that_of_the_example_is_refused():
    network = from_torch(Coder().double(), (image(2, 6), True))
    with pytest.raises(GeodlError, match="with_code=False of an imported network"):
        network(image(2, 6), False)


def test_scores_that_are_read_by_themselves_keep_their_calls():
    class Sorted(nn.Module):
        def forward(self, x):
            return (x @ x.transpose(1, 2)).sort().values

    x = image(2, 4, 3)
    network = from_torch(nn.Sequential(Sorted()), x)
    assert error(network(x), Sorted()(x)) <= 1e-12


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 5, 2, 2), (2, 12, 1, 1)])
def test_images_of_another_size_are_refused(shape):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(16, 2))
    network = from_torch(model, torch.randn(1, 3, 2, 2))
    with pytest.raises(GeodlError, match="channels, and as many nodes as the example had"):
        network(torch.randn(shape))


class Parts(nn.Module):
    def forward(self, x):
        return x.reshape(len(x), 2, 3).transpose(1, 2).flatten(1)


def test_channels_cut_in_parts_are_not_read_in_another_order():
    network = from_torch(Parts(), torch.randn(1, 6))
    for channels in (5, 12):
        with pytest.raises(GeodlError, match=f"{channels} channels"):
            network(torch.randn(1, channels))


class Turning(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


def test_a_model_that_looks_at_numbers_says_nothing_beside(capfd):
    x = torch.randn(2, 3)
    network = from_torch(Turning(), x)
    assert capfd.readouterr() == ("", "")
    assert "Opaque(Turning) is torch's own" in str(g.explain(network, x))
    for given in (x.abs(), -x.abs()):
        assert torch.equal(network(given), x.abs())
