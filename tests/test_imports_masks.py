"""Masks of attention that leave a band: windows, at every length."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from geodl.interop import from_torch, to_torch
from geodl.testing import error
from tests.twins import drawn


class Banded(nn.Module):
    """Attention whose mask is cut out of a larger table."""

    def __init__(self, attend, first, last):
        super().__init__()
        self.qkv, self.out, self.attend = nn.Linear(6, 18), nn.Linear(6, 6), attend
        offsets = torch.arange(20) - torch.arange(20)[:, None]
        self.register_buffer("seen", (offsets >= first) & (offsets <= last))

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = (one.view(b, n, 2, 3).transpose(1, 2) for one in self.qkv(x).chunk(3, -1))
        y = self.attend(q, k, v, self.seen[:n, :n])
        return self.out(y.transpose(1, 2).reshape(b, n, c))


def fused(q, k, v, seen):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)


def written(q, k, v, seen):
    scores = (q @ k.transpose(-2, -1)) / 3**0.5
    return scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v


def added(q, k, v, seen):
    mask = torch.zeros(seen.shape, dtype=q.dtype).masked_fill(~seen, float("-inf"))
    return (q @ k.transpose(-2, -1) + mask).softmax(-1) @ v


class Whole(nn.Module):
    """torch's own attention and encoder, called with a band."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True)
        self.register_buffer("hidden", ~torch.ones(20, 20).triu(-1).tril(1).bool())

    def forward(self, x):
        mask = self.hidden[: x.size(1), : x.size(1)]
        return self.encoder(self.attention(x, x, x, attn_mask=mask)[0], src_mask=mask)


MODELS = {
    "fused": (lambda: Banded(fused, -3, 3), "window(7, boundary='zeros')"),
    "causal": (lambda: Banded(fused, -3, 0), "window(4, padding=(3, 0), boundary='zeros')"),
    "all before": (lambda: Banded(written, -19, 0), "past()"),
    "all": (lambda: Banded(added, -19, 19), "all_pairs()"),
    "written": (lambda: Banded(written, -2, 1), "window(4, padding=(2, 1), boundary='zeros')"),
    "added": (lambda: Banded(added, -2, 2), "window(5, boundary='zeros')"),
    "of torch": (Whole, "window(3, boundary='zeros')"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_band_is_a_window_however_short_the_example(name):
    make, rule = MODELS[name]
    model = drawn(make()).eval()
    network = from_torch(model, torch.randn(2, 3, 6, dtype=torch.float64))
    rules = {str(part.rule) for part in network.modules() if getattr(part, "verb", "") == "attend"}
    assert network.opaque() == {} and rules == {rule}
    for batch, count in ((2, 3), (1, 9), (3, 1)):
        x = torch.randn(batch, count, 6, dtype=torch.float64, requires_grad=True)
        y, wanted = network(x), model(x)
        assert error(y, wanted) <= 1e-12
        slopes = [torch.autograd.grad(one.sin().sum(), x)[0] for one in (y, wanted)]
        assert error(*slopes) <= 1e-12
        assert error(to_torch(network)(x), wanted) <= 1e-12


@pytest.mark.parametrize("change", [lambda seen: seen & seen.flip(1), lambda seen: seen.roll(1, 0)])
def test_any_other_mask_stays(change):
    model = drawn(Banded(lambda q, k, v, seen: written(q, k, v, change(seen)), -4, 2))
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    network = from_torch(model.eval(), x)
    assert network.opaque() and torch.allclose(network(x), model(x), equal_nan=True)
