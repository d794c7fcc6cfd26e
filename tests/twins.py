"""A module and the layer it is converted to, side by side."""

import copy

import torch
from torch import Tensor, nn

import geodl as g
from geodl.interop import from_torch
from geodl.testing import error

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def drawn(module):
    """A module in float64 with every parameter drawn at random, zero biases too."""
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, dtype=torch.float64) / 3)
    return module


def gradients(y: Tensor, x: Tensor, module: nn.Module) -> dict[str, Tensor]:
    """Of the input and of each trained parameter, for one upstream gradient."""
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(y, [x, *trained.values()], upstream, allow_unused=True)
    known = (
        torch.zeros_like(of) if grad is None else grad
        for of, grad in zip([x, *trained.values()], found, strict=True)
    )
    return dict(zip(["input", *trained], known, strict=True))


def assert_twins(twin, layer, x, call, hear, convert=from_torch, bound=1e-10):
    """`call(twin, x)` and `hear(layer, x)` agree, and so do their gradients, carried over by the
    conversion itself.
    """
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    theirs, ours = call(twin, a), hear(layer, b)
    assert error(ours, theirs) <= bound
    wanted, found = gradients(theirs, a, twin), gradients(ours, b, layer)
    assert error(found.pop("input"), wanted.pop("input")) <= bound
    carrier = copy.deepcopy(twin)
    with torch.no_grad():
        for name, p in carrier.named_parameters():
            p.copy_(wanted.get(name, torch.zeros_like(p)))
    carried = dict(convert(carrier).named_parameters())
    assert found
    assert {
        name: error(grad, carried[name]) <= bound for name, grad in found.items()
    } == dict.fromkeys(found, True)


def assert_same_state(twin, back):
    a, b = twin.state_dict(), back.state_dict()
    assert type(back) is type(twin)
    assert list(a) == list(b)
    assert all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


def as_image(periodic=False):
    def call(layer, x):
        return layer(g.Signal.image(x, axes=x.dim() - 2, periodic=periodic)).to_image()

    return call


def as_sequence(layer, x):
    return layer(g.Signal.sequence(x)).x


def plainly(twin, x):
    return twin(x)


def of_rnn(twin, x):
    return twin(x)[0] if twin.batch_first else twin(x.transpose(0, 1))[0].transpose(0, 1)


def of_attention(mask=None):
    def call(twin, x):
        rows = x if twin.batch_first else x.transpose(0, 1)
        y = twin(rows, rows, rows, attn_mask=mask, need_weights=False)[0]
        return y if twin.batch_first else y.transpose(0, 1)

    return call
