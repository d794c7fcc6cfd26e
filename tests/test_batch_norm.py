"""Batch norm under what is done to it beyond a training step: derivatives of derivatives, the
transforms of torch.func, autocast, and torch's own tools for batch norms.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim.swa_utils import AveragedModel, update_bn

import geodl as g
from geodl.layer import norm
from geodl.testing import error
from tests.compilation import compiled

GRID = g.Grid(4, 5)
OPTIONS = {
    "plain": {},
    "average": {"momentum": None},
    "without weights": {"affine": False},
    "without statistics": {"track_running_stats": False},
    "nothing": {"affine": False, "track_running_stats": False},
}
Call = Callable[[Tensor], Tensor]


@pytest.fixture(autouse=True, params=["few rows", "many rows"])
def rows(request, monkeypatch):
    """Few rows go to torch's kernel, many to ours: small values here are held on both."""
    if request.param == "many rows":
        monkeypatch.setattr(norm, "FEW_ROWS", 0)


def values(batch: int = 2, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, GRID.num_nodes, channels)
    return 1 + 2 * torch.randn(shape, dtype=torch.float64, generator=generator)


def norms(**options) -> tuple[g.BatchNorm, nn.BatchNorm1d]:
    """Ours and torch's, with the same weights."""
    torch.manual_seed(0)
    ours = g.BatchNorm(3, **options).double()
    for p in ours.parameters():
        nn.init.uniform_(p, 0.5, 2.0)
    twin = nn.BatchNorm1d(3, **options).double()
    twin.load_state_dict(ours.state_dict())
    return ours, twin


def calls(ours: nn.Module, twin: nn.Module) -> tuple[Call, Call]:
    """Both as functions of tensors `[B, N, C]`."""
    return (
        lambda x: ours(g.Signal(x, GRID)).x,
        lambda x: twin(x.flatten(0, 1)).view(x.shape),
    )


def same_state(ours: nn.Module, twin: nn.Module) -> None:
    mine, theirs = ours.state_dict(), twin.state_dict()
    assert list(mine) == list(theirs)
    for name, value in theirs.items():
        assert error(mine[name], value) < 1e-12, name


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_options_of_torch(options):
    ours, twin = norms(**options)
    mine, theirs = calls(ours, twin)
    for k in range(3):
        x = (values() * (k + 1)).requires_grad_()
        y, wanted = mine(x), theirs(x)
        assert error(y, wanted) < 1e-12
        up = torch.randn_like(x)
        found = torch.autograd.grad(y, [x, *ours.parameters()], up)
        expected = torch.autograd.grad(wanted, [x, *twin.parameters()], up)
        for a, b in zip(found, expected, strict=True):
            assert error(a, b) < 1e-11
    same_state(ours, twin)
    ours.eval()
    twin.eval()
    assert error(mine(values()), theirs(values())) < 1e-12
    assert ours.nodewise is (options.get("track_running_stats") is not False)


def test_second_derivatives_are_torchs():
    """Also where the upstream gradient, a constant, needs none: the statistics depend on x."""
    up = torch.randn(2, 20, 3, dtype=torch.float64)
    found = []
    for call in calls(*norms()):
        x = values().requires_grad_()
        (slope,) = torch.autograd.grad((call(x) * up).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), x)
        found.append(second)
    assert error(found[0], found[1]) < 1e-10
    assert float(found[1].abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("channels", "by_torch"), [(3, False), (12, False), (8, False), (16, True)]
)
def test_the_kernel_of_many_rows_is_chosen_by_the_channels(channels, by_torch, monkeypatch):
    calls_of_torch = []

    def batch_norm(*args):
        calls_of_torch.append(args)
        return kernel(*args)

    kernel = torch.batch_norm
    monkeypatch.setattr(torch, "batch_norm", batch_norm)
    ours, twin = g.BatchNorm(channels).double(), nn.BatchNorm1d(channels).double()
    x = values(channels=channels).requires_grad_()
    y = ours(g.Signal(x, GRID)).x
    assert bool(calls_of_torch) is (norm.FEW_ROWS > 0 or by_torch)
    up = torch.randn_like(x)
    wanted = twin(x.flatten(0, 1)).view(x.shape)
    slopes = [torch.autograd.grad(one, x, up)[0] for one in (y, wanted)]
    assert error(y, wanted) < 1e-12
    assert error(*slopes) < 1e-11
    same_state(ours, twin)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_every_argument_check(training):
    ours = norms()[0].train(training)
    x = values(channels=3)[:, :6].requires_grad_()

    def call(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        named = {"weight": weight, "bias": bias}
        signal = g.Signal(x, g.Chain(6))
        return torch.func.functional_call(ours, named, (signal,)).x

    arguments = (x, *ours.parameters())
    assert gradcheck(call, arguments)
    assert gradgradcheck(call, arguments)


def test_gradients_of_one_channel_are_torchs():
    # Of one channel, statistics along a run of nodes are a view of one number; a kernel that reads
    # past it reads what an earlier tensor left there.
    torch.manual_seed(0)
    left = [torch.full((length,), 7.0, dtype=torch.float64) for length in range(1, 60)]
    del left
    ours, twin = g.BatchNorm(1).double(), nn.BatchNorm1d(1).double()
    x = values(channels=1).requires_grad_()
    upstream = torch.randn_like(x)
    found, wanted = (
        torch.autograd.grad(call(x), [x, *module.parameters()], upstream)
        for call, module in zip(calls(ours, twin), (ours, twin), strict=True)
    )
    for one, other in zip(found, wanted, strict=True):
        assert error(one, other) < 1e-12


def test_gradient_penalty_through_a_stack_is_torchs():
    torch.manual_seed(0)
    conv, norm = g.Conv(2, 3, g.window(3)).double(), g.BatchNorm(3).double()
    twin = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh()).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0)
        # types are numbered row by row, weights are [T, C_in, C_out]
        twin[0].weight.copy_(conv.weight.view(3, 3, 2, 3).permute(3, 2, 0, 1))
        twin[0].bias.copy_(conv.bias)
        twin[1].weight.copy_(norm.weight)
    ours = g.Sequential(conv, norm, nn.Tanh())
    x = values(channels=2).requires_grad_()
    image = x.detach().transpose(1, 2).reshape(2, 2, 4, 5).requires_grad_()
    for y, leaf in ((ours(g.Signal(x, GRID)).x, x), (twin(image), image)):
        (slope,) = torch.autograd.grad(y.sum(), leaf, create_graph=True)
        (slope.flatten(1).norm(dim=1) - 1).square().sum().backward()
    assert error(x.grad, image.grad.flatten(2).transpose(1, 2)) < 1e-10
    filters = twin[0].weight.grad.permute(2, 3, 1, 0).reshape(9, 2, 3)
    assert error(conv.weight.grad, filters) < 1e-10
    assert error(norm.weight.grad, twin[1].weight.grad) < 1e-10
    assert float(norm.weight.grad.abs().max()) > 1e-3


@pytest.mark.parametrize("training", [True, False])
def test_transforms_of_torch_func(training):
    ours, twin = norms()
    mine, theirs = calls(ours, twin)
    if training:
        torch.func.replace_all_batch_norm_modules_(ours)
        torch.func.replace_all_batch_norm_modules_(twin)
    ours.train(training)
    twin.train(training)
    x = values()
    stack = torch.stack((x, 3 * x, x.square()))

    def transformed(call: Call) -> list[Tensor]:
        def loss(x: Tensor) -> Tensor:
            return call(x).sin().sum()

        return [
            torch.func.grad(loss)(x),
            torch.func.vmap(call)(stack),
            torch.func.vmap(torch.func.grad(loss))(stack),
            torch.func.jvp(call, (x,), (x.cos(),))[1],
            torch.func.hessian(loss)(x[:1]),
        ]

    for a, b in zip(transformed(mine), transformed(theirs), strict=True):
        assert error(a, b) < 1e-10


def test_forward_mode_is_torchs():
    tangents = []
    for call in calls(*norms()):
        with forward_ad.dual_level():
            y = call(forward_ad.make_dual(values(), values().cos()))
            tangents.append(forward_ad.unpack_dual(y).tangent)
    assert error(tangents[0], tangents[1]) < 1e-10


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.vmap], ids=["grad", "vmap"])
def test_statistics_that_a_transform_may_not_change(transform):
    """Torch refuses it too; here nothing has changed when the words come."""
    ours, _ = norms()
    before = copy.deepcopy(ours.state_dict())
    x = values() if transform is torch.func.grad else values()[None]
    with pytest.raises(g.GeodlError, match="under a transform.*replace_all_batch_norm_modules_"):
        transform(lambda x: ours(g.Signal(x, GRID)).x.sum())(x)
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_statistics_as_arguments_of_a_transform():
    """Of torch's two ways out of a refusal, the one that keeps the statistics."""
    ours, twin = norms()
    x = values()
    found = []
    for module, given in ((ours, g.Signal(x, GRID)), (twin, x.flatten(0, 1))):
        buffers = {name: value.clone() for name, value in module.named_buffers()}
        weights = dict(module.named_parameters())

        def loss(
            weights: dict[str, Tensor],
            buffers: dict[str, Tensor],
            module: nn.Module = module,
            given: object = given,
        ) -> tuple[Tensor, dict[str, Tensor]]:
            y = torch.func.functional_call(module, weights | buffers, (given,))
            numbers = y.x if isinstance(y, g.Signal) else y
            return numbers.sin().sum(), buffers

        grads, kept = torch.func.grad(loss, has_aux=True)(weights, buffers)
        found.append(grads | kept)
    for name, value in found[1].items():
        assert error(found[0][name], value) < 1e-10, name
    assert int(found[0]["num_batches_tracked"]) == 1


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.usefixtures("fresh_compiler")
def test_options_compile(options):
    ours, _ = norms(**options)
    twin = copy.deepcopy(ours)
    whole = compiled(twin)
    for _ in range(2):
        x, same = values().requires_grad_(), values().requires_grad_()
        y, found = ours(g.Signal(x, GRID)).x, whole(g.Signal(same, GRID)).x
        assert error(found, y) < 1e-10
        y.sin().sum().backward()
        found.sin().sum().backward()
        assert error(same.grad, x.grad) < 1e-10
    same_state(twin, ours)


def test_autocast_keeps_the_dtype_of_the_values():
    ours, twin = (module.float() for module in norms())
    mine, theirs = calls(ours, twin)
    x = values().to(torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = mine(x)
    wanted = theirs(x.detach().float())
    assert y.dtype == torch.bfloat16
    assert error(y.float(), wanted) < 2e-2
    (slope,) = torch.autograd.grad(y.float().sin().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.float().square().sum(), x)
    assert second.dtype == torch.bfloat16
    assert second.isfinite().all()
    for name, value in twin.named_buffers():
        assert error(ours.get_buffer(name), value) < 1e-6


@pytest.mark.parametrize("graph", [True, False])
def test_an_empty_batch_has_gradients_of_zero(graph):
    ours, _ = norms()
    x = values()[:0].requires_grad_()
    y = ours(g.Signal(x, GRID)).x
    grads = torch.autograd.grad(y.sum(), [x, *ours.parameters()], create_graph=graph)
    assert [grad.shape for grad in grads] == [(0, 20, 3), (3,), (3,)]
    assert all(grad.eq(0).all() for grad in grads)
    assert int(ours.num_batches_tracked) == 0


def test_update_bn_finds_it():
    batches = [values() * scale + scale for scale in (1.0, 2.0, 5.0)]
    signals = [g.Signal(batch, GRID) for batch in batches]
    ours, twin = norms()
    averaged = AveragedModel(g.Sequential(ours, nn.ReLU()))
    alone = g.BatchNorm(3, on=GRID).double()
    update_bn([batch.flatten(0, 1) for batch in batches], twin)
    update_bn(signals, averaged)
    update_bn(batches, alone)
    updated = averaged.module[0]
    same_state(updated, twin)
    assert int(updated.num_batches_tracked) == 3
    assert updated.momentum == 0.1
    assert error(alone.running_var, twin.running_var) < 1e-12


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_converted_norm_runs_in_containers(options):
    ours, twin = norms(**options)
    inside = g.Sequential(g.Residual(ours, nn.Tanh()))
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(inside))
    kinds = [type(module) for module in synced.modules()]
    assert nn.SyncBatchNorm in kinds
    assert g.BatchNorm not in kinds
    _, theirs = calls(ours, twin)
    for mode in (True, True, False):
        for module in (inside, synced, twin):
            module.train(mode)
        x = values()
        s = g.Signal(x, GRID)
        wanted = x + theirs(x).tanh()
        assert error(inside(s).x, wanted) < 1e-12
        assert error(synced(s).x, wanted) < 1e-12
    same_state(synced, inside)
    same_state(ours, twin)


def test_a_synced_norm_without_statistics_is_never_node_by_node():
    net = g.Sequential(g.Recurrent(3, 3), g.BatchNorm(3, track_running_stats=False)).eval()
    s = g.Signal.sequence(torch.randn(2, 4, 3))
    for model in (net, nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(net))):
        with pytest.raises(g.GeodlError, match="a step of"):
            model.step(s)


def test_torchs_fusion_folds_it_into_torchs_convolution():
    norm, _ = norms()
    with torch.no_grad():
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(1, 2)
    norm.eval()
    conv = nn.Conv1d(2, 3, 1).double().eval()
    x = values(channels=2)
    y = conv(x.transpose(1, 2)).transpose(1, 2)
    fused = fuse_conv_bn_eval(conv, norm)(x.transpose(1, 2)).transpose(1, 2)
    assert error(fused, norm(g.Signal(y, GRID)).x) < 1e-12
