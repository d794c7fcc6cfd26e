"""Norms of each member: torch's and PyG's as twins, on images, unions and fibers; derivatives."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch_geometric.nn import LayerNorm as GraphwiseNorm

import geodl as g
from geodl.testing import error
from tests.twins import as_image, assert_same_state, assert_twins, plainly

RAGGED = g.Batch([g.Chain(3), g.Chain(5), g.Chain(2)])
EQUAL = g.Batch([g.Chain(4)] * 3)


def values(domain: g.Domain, channels: int = 4, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = batch, domain.num_nodes, channels
    return 3 * torch.randn(shape, generator=generator, dtype=torch.float64) + 1


def drawn(layer):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in layer.double().parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return layer


TWINS = {
    "groups": (lambda: g.GroupNorm(2, 4), lambda: nn.GroupNorm(2, 4)),
    "one group": (lambda: g.GroupNorm(1, 4), lambda: nn.GroupNorm(1, 4)),
    "eps": (lambda: g.GroupNorm(4, 4, eps=0.5), lambda: nn.GroupNorm(4, 4, eps=0.5)),
    "plain groups": (
        lambda: g.GroupNorm(2, 4, affine=False),
        lambda: nn.GroupNorm(2, 4, affine=False),
    ),
    "instances": (lambda: g.InstanceNorm(4), lambda: nn.InstanceNorm2d(4)),
    "instances, affine": (
        lambda: g.InstanceNorm(4, affine=True, eps=0.1),
        lambda: nn.InstanceNorm2d(4, affine=True, eps=0.1),
    ),
    "instances, tracked": (
        lambda: g.InstanceNorm(4, affine=True, track_running_stats=True, momentum=0.3),
        lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True, momentum=0.3),
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_on_images_they_are_torchs(name):
    ours, twin = (make() for make in TWINS[name])
    drawn(twin)
    ours.double().load_state_dict(twin.state_dict())
    x = values(g.Grid(3, 5)).mT.unflatten(2, (3, 5))
    for training in (True, True, False):
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        y = ours.train(training)(g.Signal.image(a)).to_image()
        wanted = twin.train(training)(b)
        assert error(y, wanted) < 1e-10
        found = torch.autograd.grad(y.sin().sum(), [a, *ours.parameters()])
        theirs = torch.autograd.grad(wanted.sin().sum(), [b, *twin.parameters()])
        assert max(error(p, q) for p, q in zip(found, theirs, strict=True)) < 1e-10
        mine = ours.state_dict()
        assert mine.keys() == twin.state_dict().keys()
        assert all(error(mine[key], t) < 1e-12 for key, t in twin.state_dict().items())
        x = x.flip(0) * 2
    nn.Module.load_state_dict(twin, ours.state_dict())


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_instance_norms_come_back_on_a_domain(axes):
    kind = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[axes - 1]
    twin = drawn(kind(3, eps=0.1, momentum=0.3, affine=True, track_running_stats=True))
    twin(torch.randn(4, 3, *[2] * axes, dtype=torch.float64))
    for module in (twin, twin.eval()):
        layer = g.interop.from_torch(module)
        x = torch.randn(2, 3, *[4] * axes, dtype=torch.float64)
        assert_twins(copy.deepcopy(module), layer, x, plainly, as_image())
        back = g.interop.to_torch(g.interop.from_torch(module), on=g.Grid(*[4] * axes))
        assert_same_state(module, back)
        assert (back.eps, back.momentum, back.training) == (0.1, 0.3, module.training)


class Small(nn.Module):
    """A network with norms of each image."""

    def __init__(self):
        super().__init__()
        self.conv, self.groups = nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4)
        self.instances, self.last = nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(4, 4)

    def forward(self, x):
        return self.last(self.instances(self.groups(self.conv(x)).relu()))


def test_a_model_with_norms_is_imported_whole():
    model = drawn(Small())
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    network = g.interop.from_torch(model, x)
    assert network.opaque() == {}
    for training in (True, False):
        assert error(network.train(training)(x), model.train(training)(x)) < 1e-10


LAYERS = {
    "groups": lambda: g.GroupNorm(2, 4),
    "instances": lambda: g.InstanceNorm(4, affine=True),
    "plain": lambda: g.InstanceNorm(4),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("domain", [RAGGED, EQUAL], ids=str)
def test_each_member_is_normalised_alone(name, domain):
    layer, x = drawn(LAYERS[name]()), values(domain)
    parts = [
        layer(g.Signal(part, member)).x
        for part, member in zip(domain.split(x), domain.members, strict=True)
    ]
    assert error(layer(g.Signal(x, domain)).x, torch.cat(parts, 1)) < 1e-12


def test_one_group_of_graphs_is_pygs_graph_wise_norm():
    twin = drawn(GraphwiseNorm(4))
    layer = g.GroupNorm(1, 4).double()
    layer.load_state_dict(twin.state_dict())
    x = values(RAGGED, batch=1)
    member = RAGGED.member_of()
    assert error(layer(g.Signal(x, RAGGED)).x[0], twin(x[0], member)) < 1e-10


@pytest.mark.parametrize("name", LAYERS)
def test_a_fiber_counts_among_the_nodes(name):
    domain = g.GroupGrid(g.Grid(4, 4), g.C(4))
    scale = torch.rand(64, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    s = g.Signal(values(domain) * scale, domain)
    layer = drawn(LAYERS[name]())
    assert max(g.equivariance_error(layer, s, g.C(4)).values()) < 1e-12
    net = g.Sequential(g.Conv(4, 4, g.window(3, group=g.C(4))), LAYERS[name](), nn.ReLU())
    assert g.certify(net, domain).exact


@pytest.mark.parametrize("name", ["groups", "instances"])
@pytest.mark.parametrize("domain", [RAGGED, EQUAL, g.Chain(6)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parameters_alone_get_their_gradients(name, domain, dtype):
    # torch's own backward for channels that stand last ends the process where only they want one
    layer, x = drawn(LAYERS[name]()).to(dtype), values(domain).to(dtype)
    loss = layer(g.Signal(x, domain)).x.sin().sum()
    found = torch.autograd.grad(loss, tuple(layer.parameters()))
    leaf = x.clone().requires_grad_()
    loss = layer(g.Signal(leaf, domain)).x.sin().sum()
    assert all(map(torch.equal, found, torch.autograd.grad(loss, tuple(layer.parameters()))))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("domain", [RAGGED, EQUAL, g.Grid(2, 3)], ids=str)
def test_every_derivative(name, domain):
    layer, x = drawn(LAYERS[name]()), values(domain, batch=1).requires_grad_()

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        given = dict(zip(dict(layer.named_parameters()), parameters, strict=True))
        return functional_call(layer, given, (g.Signal(x, domain),)).x

    inputs = (x, *layer.parameters())
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)
    parameters = tuple(p.detach() for p in layer.parameters())
    stack = torch.stack((x.detach(), 2 * x.detach() + x.detach().square()))

    def loss(x: Tensor) -> Tensor:
        return run(x, *parameters).sin().sum()

    each = vmap(grad(loss))(stack)
    for one, found in zip(stack, each, strict=True):
        leaf = one.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(loss(leaf), leaf)
        assert error(found, wanted) < 1e-10


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("domain", [RAGGED, EQUAL, g.Grid(2, 3)], ids=str)
def test_compiled_whole(name, domain):
    layer, s = drawn(LAYERS[name]()), g.Signal(values(domain), domain)
    wanted = layer(s).x
    torch.compiler.reset()
    fast = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert error(fast(s).x, wanted) < 1e-12


@pytest.mark.parametrize("name", LAYERS)
def test_no_rows_and_half_precision(name):
    layer = LAYERS[name]()
    assert layer(g.Signal(torch.zeros(0, 10, 4), RAGGED)).x.shape == (0, 10, 4)
    s = g.Signal(values(RAGGED).float(), RAGGED)
    wanted = layer(s).x
    y = layer.bfloat16()(s.with_x(s.x.bfloat16())).x
    assert y.dtype == torch.bfloat16 and error(y.float(), wanted) < 0.05


def test_first_caller_in_inference_mode_leaves_nothing_behind():
    domain = g.Batch([g.Chain(3), g.Chain(4)])
    layer, x = g.InstanceNorm(4).double(), values(domain)
    with torch.inference_mode():
        layer(g.Signal(x, domain))
    leaf = x.clone().requires_grad_()
    layer(g.Signal(leaf, domain)).x.sin().sum().backward()
    assert leaf.grad is not None


def test_no_step_but_by_running_statistics():
    s = g.Signal(values(g.Chain(4)), g.Chain(4))
    for layer in (g.GroupNorm(2, 4).double(), g.InstanceNorm(4).double()):
        with pytest.raises(g.GeodlError, match="reads all nodes at once"):
            layer.eval().step(s)
    tracked = g.InstanceNorm(4, track_running_stats=True).double().eval()
    assert error(tracked.step(s)[0].x, tracked(s).x) == 0


def test_running_statistics_under_a_transform_are_refused_in_words():
    layer, x = g.InstanceNorm(4, track_running_stats=True).double(), values(RAGGED)

    def loss(x: Tensor) -> Tensor:
        return layer(g.Signal(x, RAGGED)).x.sin().sum()

    with pytest.raises(g.GeodlError, match="running statistics that the transform may not change"):
        vmap(grad(loss))(x[:, None])
    layer.eval()
    assert vmap(grad(loss))(x[:, None]).shape == (2, 1, 10, 4)


def test_the_state_of_a_graph_stays():
    s = g.Signal(values(g.Chain(4)), g.Chain(4), edges=torch.ones(1, 3, 2))
    assert g.InstanceNorm(4).double()(s).edges is s.edges


BAD = {
    "groups": (lambda: g.GroupNorm(3, 4), r"GroupNorm\(3, 4\).*do not divide"),
    "no groups": (lambda: g.GroupNorm(0, 4), "the size 0"),
    "no channels": (lambda: g.InstanceNorm(-1), "the size -1"),
    "channels": (
        lambda: g.GroupNorm(2, 4)(g.Signal(torch.zeros(1, 4, 3), g.Chain(4))),
        "3 channels; give 4",
    ),
    "one node": (
        lambda: g.InstanceNorm(4)(g.Signal(torch.zeros(2, 1, 4), g.Chain(1))),
        "one value for each mean; use members of more nodes",
    ),
    "one channel of one node": (
        lambda: g.GroupNorm(4, 4)(g.Signal(torch.zeros(2, 2, 4), g.Batch([g.Chain(1)] * 2))),
        "one value for each mean",
    ),
    "in a row": (lambda: g.Sequential(nn.GroupNorm(2, 4)), r"use g.GroupNorm\(groups, channels\)"),
    "instances in a row": (
        lambda: g.Sequential(nn.InstanceNorm1d(4)),
        r"use g.InstanceNorm\(channels\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name):
    call, words = BAD[name]
    with pytest.raises(g.GeodlError, match=words):
        call()
