"""Every norm under `torch.func`: vmap, forward mode, forward over reverse, and nested in each
other, held to what reverse mode finds of the samples one by one.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import functional
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

import geodl as g
from geodl.layer import LocalResponseNorm
from geodl.testing import error

NORMS = {
    "groups": lambda: g.GroupNorm(2, 4),
    "one group": lambda: g.GroupNorm(1, 4),
    "groups without parameters": lambda: g.GroupNorm(4, 4, affine=False),
    "instances": lambda: g.InstanceNorm(4, affine=True),
    "instances without parameters": lambda: g.InstanceNorm(4),
    "instances, tracked": lambda: g.InstanceNorm(4, track_running_stats=True).eval(),
    "batches": lambda: g.BatchNorm(4, track_running_stats=False),
    "batches, tracked": lambda: g.BatchNorm(4).eval(),
    "responses": lambda: LocalResponseNorm(3, alpha=1.0),
    "channels": lambda: g.Sequential(nn.LayerNorm(4), nn.RMSNorm(4)),
    "channels and nodes": lambda: joint(nn.LayerNorm((6, 4))),
    "nodes, by their size": lambda: joint(nn.RMSNorm((6, 4))),
}
DOMAINS = [g.Chain(6), g.Grid(2, 3), g.GroupGrid(g.Grid(2, 2), g.C(4))]
DOMAINS += [g.Batch([g.Chain(3)] * 2), g.Batch([g.Chain(2), g.Chain(4)])]
OF_A_ROW = "channels and nodes", "nodes, by their size"
CASES = [(name, domain) for name in NORMS for domain in DOMAINS if name not in OF_A_ROW]
CASES += [(name, g.Chain(6)) for name in OF_A_ROW]
every = pytest.mark.parametrize("name", NORMS)
everywhere = pytest.mark.parametrize(("name", "domain"), CASES, ids=str)


def joint(module: nn.Module) -> Any:
    """A norm of a whole row, which an import makes."""
    return g.interop.from_torch(module, torch.zeros(2, 6, 4))


def run(name: str, domain: g.Domain) -> Any:
    """The norm as a function of values `[B, N, C]`, with parameters that are not 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    layer = NORMS[name]().double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return lambda x: layer(g.Signal(x, domain)).x


def pair(domain: g.Domain, batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = 2, batch, domain.num_nodes, 4
    x, tangent = 3 * torch.randn(shape, generator=generator, dtype=torch.float64) + 1
    return x, tangent


@everywhere
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_over_samples(name, domain, batch):
    call, (x, _) = run(name, domain), pair(domain, batch)
    one_by_one = torch.cat([call(one[None]) for one in x])
    assert error(vmap(lambda one: call(one[None])[0])(x), one_by_one) < 1e-12
    stack = torch.stack((x, x.square()))
    assert error(vmap(call)(stack), torch.stack([call(one) for one in stack])) < 1e-12


@everywhere
@pytest.mark.parametrize("batch", [1, 3])
def test_forward_mode(name, domain, batch):
    call, (x, tangent) = run(name, domain), pair(domain, batch)
    values, found = jvp(call, (x,), (tangent,))[:2]
    _, wanted = functional.jvp(call, x, tangent)  # by reverse mode, twice
    assert error(values, call(x)) < 1e-12 and error(found, wanted) < 1e-10


@everywhere
def test_forward_over_reverse(name, domain):
    call, (x, tangent) = run(name, domain), pair(domain, 2)

    def loss(x: Tensor) -> Tensor:
        return call(x).sin().sum()

    gradient, found = jvp(grad(loss), (x,), (tangent,))[:2]
    _, wanted = functional.hvp(loss, x, tangent)
    assert error(found, wanted) < 1e-10
    assert error(gradient, functional.vjp(loss, x)[1]) < 1e-10
    again = grad(lambda x: (grad(loss)(x) * tangent).sum())(x)
    assert error(again, wanted) < 1e-10


@every
def test_nested_in_each_other(name):
    domain = g.Chain(6)
    call, (x, tangent) = run(name, domain), pair(domain, 1)
    stack, tangents = torch.stack((x, tangent)), torch.stack((tangent, x))
    found = vmap(lambda x, t: jvp(call, (x,), (t,))[1])(stack, tangents)
    for one, x_k, t_k in zip(found, stack, tangents, strict=True):
        assert error(one, functional.jvp(call, x_k, t_k)[1]) < 1e-10
    wanted = functional.jacobian(call, x)
    assert error(jacfwd(call)(x), wanted) < 1e-10
    assert error(jacrev(call)(x), wanted) < 1e-10
    curvature = hessian(lambda x: call(x).sin().sum())(x)
    assert error(curvature, functional.hessian(lambda x: call(x).sin().sum(), x)) < 1e-10


def test_group_norm_is_torchs_under_transforms():
    ours, twin = g.GroupNorm(2, 4).double(), nn.GroupNorm(2, 4).double()
    x, tangent = pair(g.Chain(6), 2)
    with torch.no_grad():
        twin.weight.normal_()
        ours.load_state_dict(twin.state_dict())

    def call(x: Tensor) -> Tensor:
        return ours(g.Signal(x, g.Chain(6))).x

    def wanted(x: Tensor) -> Tensor:
        return twin(x.mT).mT

    assert error(vmap(call)(x[:, None]), vmap(wanted)(x[:, None])) < 1e-12
    assert error(jvp(call, (x,), (tangent,))[1], jvp(wanted, (x,), (tangent,))[1]) < 1e-12
