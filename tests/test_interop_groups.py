"""Layers and networks over a group as plain modules of torch: the same numbers, no geodl inside."""

import copy
import pickle

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models
from geodl.interop import from_torch, to_torch
from geodl.testing import error
from tests.test_symmetrize import LeNet, resnet, unet, vgg

P4, P4M = g.C(4), g.D(4)


def planes_of(s: g.Signal) -> torch.Tensor:
    """An image whose plane `c |G| + h` is channel c on sheet h."""
    sheets = s.domain.fiber.order if s.domain.fiber else 1
    x = s.x.unflatten(1, (*s.domain.lattice, sheets))
    return x.movedim((-1, -2), (1, 2)).flatten(1, 2)


def drawn(domain: g.Domain, channels: int) -> g.Signal:
    return g.Signal(torch.randn(2, domain.num_nodes, channels, dtype=torch.float64), domain)


def randomised(model: nn.Module) -> nn.Module:
    """In float64 and evaluation, every parameter and every running statistic drawn."""
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 2)
    return model


def assert_plain(twin: nn.Module) -> None:
    assert not [m for m in twin.modules() if type(m).__module__.startswith("geodl")]
    assert not isinstance(twin, g.Layer)
    copy.deepcopy(twin)
    pickle.loads(pickle.dumps(twin))


TORUS = g.GroupGrid(g.Grid(6, 6, periodic=True), P4)
BLOCKED = g.window(3, group=P4)
LAYERS = {
    "lift": (g.Conv(2, 3, g.lift(3, group=P4)), g.Grid(5, 6)),
    "even lift": (g.Conv(2, 3, g.lift(2, group=P4M, padding="valid"), False), g.Grid(5, 6)),
    "p4": (g.Conv(2, 3, g.window(3, group=P4, stride=2)), g.GroupGrid(g.Grid(5, 7), P4)),
    "p4m": (g.Conv(2, 3, g.window(3, group=P4M, dilation=2)), g.GroupGrid(g.Grid(5, 5), P4M)),
    "blocks": (g.Conv(4, 6, BLOCKED, groups=2), g.GroupGrid(g.Grid(4, 4), P4)),
    "a torus": (g.Conv(2, 3, BLOCKED), TORUS),
    "isotropic": (g.Conv(2, 3, g.isotropic(3, group=P4M)), g.Grid(4, 5)),
    "harmonics": (g.Conv(2, 3, g.window(5, group=P4, basis=g.harmonics())), TORUS),
    "a volume": (g.Conv(1, 2, g.lift(2, group=g.O(), padding="valid")), g.Grid(3, 3, 4)),
    "reversed": (
        g.Conv(4, 2, g.window(3, group=P4, stride=2, padding=1).reverse(), groups=2),
        g.GroupGrid(g.Grid(3, 4), P4),
    ),
    "a batch norm": (g.BatchNorm(3), g.GroupGrid(g.Grid(4, 4), P4)),
    "a group norm": (g.GroupNorm(2, 4), g.GroupGrid(g.Grid(4, 4), P4)),
    "an instance norm": (g.InstanceNorm(3, affine=True), g.GroupGrid(g.Grid(4, 4), P4)),
    "a maximum": (g.Pool(g.fiber()), g.GroupGrid(g.Grid(4, 4), P4)),
    "a maximum over cosets": (g.Pool(g.fiber(g.C(2))), g.GroupGrid(g.Grid(3, 4), P4M)),
    "a mean over cosets": (g.Pool(g.fiber(g.D(1)), "mean"), g.GroupGrid(g.Grid(3, 4), P4M)),
    "p4m as p4": (g.Restrict(P4M, P4), g.GroupGrid(g.Grid(3, 4), P4M)),
    "p4m as a mirror": (g.Restrict(P4M, g.D(1)), g.GroupGrid(g.Grid(3, 4), P4M)),
    "a mean": (g.Pool(g.fiber(), "mean"), g.GroupGrid(g.Grid(2, 2, 2), g.O())),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer(name):
    layer, domain = LAYERS[name]
    layer = randomised(copy.deepcopy(layer))
    channels = getattr(layer, "channels_in", 3)
    s = drawn(domain, channels)
    twin = to_torch(layer, on=domain)
    assert_plain(twin)
    image = planes_of(s)
    assert error(twin(image), planes_of(layer(s))) < 1e-12
    assert_same_gradients(layer, s, twin, image)


def assert_same_gradients(layer: nn.Module, s: g.Signal, twin: nn.Module, image: torch.Tensor):
    """Of the input."""
    x, image = s.x.clone().requires_grad_(), image.clone().requires_grad_()
    ours, theirs = layer(g.Signal(x, s.domain)), twin(image)
    upstream = torch.randn(ours.x.shape, dtype=torch.float64)
    if theirs.dim() == 2:
        (there,) = torch.autograd.grad(theirs, image, upstream[:, 0])
    else:
        (there,) = torch.autograd.grad(theirs, image, planes_of(g.Signal(upstream, ours.domain)))
    (here,) = torch.autograd.grad(ours.x, x, upstream)
    assert error(there, planes_of(g.Signal(here, s.domain))) < 1e-12


NETWORKS = {
    "the p4 network": (lambda: models.digits_p4cnn(3, channels=2), (8, 8), 1),
    "a residual network": (lambda: g.symmetrize(resnet(), P4), (5, 9), 2),
    "a planar residual network": (resnet, (6, 7), 2),
    "concatenated": (lambda: g.symmetrize(vgg(), P4M), (6, 8), 2),
    "a U": (lambda: g.symmetrize(unet(), P4), (6, 10), 2),
    "a U of volumes": (lambda: g.symmetrize(voxels(), g.O()), (2, 4, 4), 1),
    "invariants": (lambda: g.Sequential(g.Conv(2, 3, g.lift(3, group=P4)), g.Readout()), (4, 5), 2),
    "p4m, then p4": (lambda: restricted(), (4, 5), 2),
    "p4m to cosets": (
        lambda: g.Sequential(
            g.Conv(2, 3, g.lift(3, group=P4M)),
            g.Pool(g.fiber(P4)),
            g.BatchNorm(3),
            g.Pool(g.fiber()),
        ),
        (4, 5),
        2,
    ),
    "sheets by themselves": (
        lambda: g.Sequential(
            g.Conv(2, 4, g.lift(3, group=P4)),
            g.Conv(4, 6, g.itself(), groups=2),
            g.Conv(6, 2, g.itself()),
            g.Pool(g.fiber(), "sum"),
        ),
        (4, 5),
        2,
    ),
}


def restricted() -> g.Sequential:
    return g.Sequential(
        g.Conv(2, 3, g.lift(3, group=P4M)),
        g.Restrict(P4M, P4),
        g.BatchNorm(6),
        nn.ReLU(),
        g.Conv(6, 2, g.window(3, group=P4)),
        g.Pool(g.fiber(), "mean"),
    )


def voxels() -> g.Network:
    halves = g.window(2, axes=3, stride=2)
    nodes = {
        "wide": (g.Conv(1, 5, g.window(2, axes=3, stride=2)), "x"),
        "up": (g.Propagate(halves.reverse()), "wide"),
        "answer": (g.Conv(5, 2, g.itself()), "up"),
    }
    return g.Network("x", nodes)


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks(name):
    make, lengths, channels = NETWORKS[name]
    model = randomised(make())
    twin = to_torch(model)
    assert_plain(twin)
    s = drawn(g.Grid(*lengths), channels)
    answer, image = model(s), planes_of(s)
    theirs = twin(image)
    wanted = answer.x[:, 0] if theirs.dim() == 2 else planes_of(answer)
    assert error(theirs, wanted) < 1e-12
    assert_same_gradients(model, s, twin, image)
    ours, others = dict(model.named_parameters()), dict(twin.named_parameters())
    assert ours.keys() == others.keys(), "names stay"
    assert not any(part.training for part in twin.modules())


class VGG(nn.Module):
    """Parts of an `nn.Sequential`, an adaptive pool, a head with dropout."""

    def __init__(self):
        super().__init__()
        first, second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.features = nn.Sequential(
            first, nn.BatchNorm2d(4), nn.ReLU(True), nn.MaxPool2d(2), second, nn.ReLU(True)
        )
        self.pool = nn.AdaptiveAvgPool2d((3, 3))
        self.head = nn.Sequential(nn.Linear(36, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 5))

    def forward(self, x):
        return self.head(torch.flatten(self.pool(self.features(x)), 1))


@pytest.mark.parametrize("group", [P4, P4M], ids=str)
@pytest.mark.parametrize("make", [LeNet, VGG])
def test_there_and_back(make, group):
    side = 12 if make is VGG else 10
    net = from_torch(make(), torch.randn(1, 1, side, side))
    over = randomised(g.symmetrize(net, group))
    twin = to_torch(over)
    assert_plain(twin)
    assert g.certify(over, g.Grid(side, side)).exact
    x = torch.randn(2, 1, side, side, dtype=torch.float64, requires_grad=True)
    assert error(twin(x), over(x)) < 1e-12 and twin(x).shape == (2, 5)
    (there,) = torch.autograd.grad(twin(x).square().sum(), x)
    (here,) = torch.autograd.grad(over(x).square().sum(), x)
    assert error(there, here) < 1e-12


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize(("lengths", "group"), [((4, 5), P4M), ((2, 2, 3), g.O())])
def test_a_batch_norm_in_training_takes_all_sheets_of_a_channel(lengths, group, tracked):
    norm = g.BatchNorm(3, track_running_stats=tracked)
    model = g.Sequential(g.Conv(2, 3, g.lift(2, group=group, padding="valid")), norm)
    model = randomised(model).train()
    twin = to_torch(model)
    s = drawn(g.Grid(*lengths), 2)
    assert error(twin(planes_of(s)), planes_of(model(s))) < 1e-12
    assert_same_gradients(model, s, twin, planes_of(s))
    # Both have seen the batch twice: what evaluation reads is the same.
    model.eval()
    twin.eval()
    assert error(twin(planes_of(s)), planes_of(model(s))) < 1e-12


def test_periodic_images_and_modes():
    model = g.Sequential(g.Conv(1, 2, g.lift(3, group=P4)), g.Dropout(0.3), g.Pool(g.fiber()))
    domain = g.Grid(4, 6, periodic=True)
    twin = to_torch(model.double(), on=domain)
    assert dict(twin.named_modules())["0"].padding_mode == "circular"
    assert all(part.training for part in twin.modules()) and twin.get_submodule("1").p == 0.3
    s = drawn(domain, 1)
    assert error(twin.eval()(planes_of(s)), planes_of(model.eval()(s))) < 1e-12
    frozen = randomised(g.Conv(1, 2, g.lift(3, group=P4))).requires_grad_(False)
    assert not any(p.requires_grad for p in to_torch(frozen).parameters())


def test_what_no_module_of_torch_computes_is_refused():
    uneven = g.lift(2, group=P4, padding=((1, 0), (1, 0)), exact=False, stride=2)
    kept = g.InstanceNorm(2, track_running_stats=True)
    for model, words in (
        (g.Conv(1, 2, uneven), "differs between the two sides"),
        (g.Pool(g.fiber()), "on=GroupGrid"),
        (
            g.Sequential(g.Conv(1, 2, g.lift(3, group=P4)), g.Propagate(g.window(3))),
            "Propagate.*which no torch",
        ),
        (g.Sequential(g.Conv(1, 2, g.lift(3, group=P4)), kept), "running statistics"),
    ):
        with pytest.raises(g.GeodlError, match=words):
            to_torch(model)
