"""Models that write their layers as `torch.einsum`."""

import pytest
import torch
from torch import einsum, nn

from geodl.interop import from_torch, to_torch
from geodl.layer import Conv
from geodl.testing import error


class Written(nn.Module):
    """A function of a linear layer's answer and of parameters."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.lin = nn.Linear(6, 8)
        self.function = function
        self.own = nn.ParameterList([nn.Parameter(torch.randn(shape)) for shape in shapes])
        for k, parameter in enumerate(self.own):
            self.register_parameter(f"own{k}", parameter)
        del self.own
        self.count = len(shapes)

    def forward(self, x):
        own = [getattr(self, f"own{k}") for k in range(self.count)]
        return self.function(self.lin(x), *own)


def attention(x, queries, keys, values):
    query, key, value = (einsum("bnc,chd->bhnd", x, w) for w in (queries, keys, values))
    weights = (einsum("bhid,bhjd->bhij", query, key) * 3**-0.5).softmax(-1)
    return einsum("bhij,bhjd->bhid", weights, value).transpose(1, 2).flatten(2)


def heads_last(x, w):
    shape = (x.shape[0], x.shape[1], 2, 4)
    query, key, value = (part.view(shape) for part in (x @ w).chunk(3, -1))
    weights = torch.softmax(einsum("bqhd,bkhd->bhqk", query, key) / 2, dim=-1)
    return einsum("bkhd,bhqk->bqhd", value, weights).reshape(x.shape)


def keys_first(x, w):
    weights = einsum("bjc,bic->bij", x @ w, x).softmax(-1)
    return einsum("bij,bjc->bic", weights, x)


LAYERS = {
    "linear": (lambda x, w: einsum("bnc,cd->bnd", x, w), (8, 3)),
    "turned": (lambda x, w: einsum("dc,bnc->bnd", w, x), (3, 8)),
    "dots": (lambda x, w: einsum("...c,cd->...d", [x, w]), (8, 3)),
    "implicit": (lambda x, w: einsum("bnc, cd", x, w), (8, 3)),
    "heads": (lambda x, w: einsum("bnc,chd->bhnd", x, w).transpose(1, 2).flatten(2), (8, 2, 3)),
    "heads first": (lambda x, w: einsum("bnc,hcd->bnhd", x, w).flatten(2), (2, 8, 3)),
    "blocks": (lambda x, w: einsum("bnhd,hde->bnhe", x.unflatten(2, (2, 4)), w), (2, 4, 3)),
    "of blocks": (lambda x, w: einsum("bnhd,hdc->bnc", x.unflatten(2, (2, 4)), w), (2, 4, 5)),
    "gate": (lambda x, w: einsum("bnc,c->bcn", x, w), (8,)),
    "attention": (attention, (8, 2, 3), (8, 2, 3), (8, 2, 3)),
    "heads last": (heads_last, (8, 24)),
    "keys first": (keys_first, (8, 8)),
    "bilinear": (lambda x, w: einsum("bic,cd,bjd->bij", x, w, x).softmax(-1) @ x, (8, 8)),
    "sum": (lambda x: einsum("bnc->cb", x),),
    "inner product": (lambda x: einsum("bnc,bnc->bn", x, x.tanh()),),
}


def stepped(model, x):
    """The answer before and after a step along the gradient."""
    y = model(x)
    (y.sin() * torch.arange(y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
    with torch.no_grad():
        for p in model.parameters():
            p -= 1e-4 * p.grad
            p.grad = None
    return [y.detach(), model(x).detach()]


@pytest.mark.parametrize("name", LAYERS)
def test_an_equation_becomes_layers(name):
    model = Written(*LAYERS[name]).double()
    network = from_torch(model, torch.randn(2, 5, 6, dtype=torch.float64))
    assert network.opaque() == {}
    back = to_torch(network)
    names = {path for path, _ in model.named_parameters()}
    assert {path for path, _ in back.named_parameters()} == names
    x = torch.randn(3, 4, 6, dtype=torch.float64)
    wanted = stepped(model, x)
    assert max(map(error, stepped(network, x), wanted)) <= 1e-10
    assert max(map(error, stepped(back, x), wanted)) <= 1e-10
    assert error(to_torch(network)(x), wanted[1]) <= 1e-10


def test_what_no_layer_computes_stays_as_it_is():
    for function in (
        lambda x: einsum("bnc,bmd->bnmcd", x, x).sum(2),
        lambda x: einsum("bnn->bn", x @ x.transpose(1, 2)),
        lambda x: einsum("bnc,bnc,bmc->bm", x, x, x),
    ):
        model = Written(function).double()
        x = torch.randn(2, 5, 6, dtype=torch.float64)
        network = from_torch(model, x)
        assert any("einsum" in path for path in network.opaque())
        assert error(network(x), model(x)) <= 1e-10


def test_a_linear_layer_in_blocks_is_one():
    network = from_torch(Written(*LAYERS["blocks"]), torch.ones(1, 5, 6))
    assert {part.groups for part in network.modules() if isinstance(part, Conv)} == {1, 2}
