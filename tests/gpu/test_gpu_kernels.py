"""torch's own kernels on CUDA beneath ours: SDPA's back ends, cuDNN's recurrences, batch norms."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import geodl as g
from geodl.lowering.cells import CELLS
from geodl.testing import assert_lowered_to, error, outcome
from tests.gpu.cuda import BOUNDS, DEVICE, HALF_BOUNDS, NEEDS_CUDA, moved, sent
from tests.precision import relative_error
from tests.test_recurrence import MASK, OF_TORCH, packed, tokens, twin_of

pytestmark = NEEDS_CUDA
HALVES = (torch.bfloat16, torch.float16)
ALL = (torch.float32, *HALVES)
FREE = {"all pairs": (g.all_pairs(), g.Complete(48)), "past": (g.past(), g.Chain(48))}
MASKED = {
    "ragged": (g.past(), g.Batch([g.Chain(48), g.Chain(31), g.Chain(1)])),
    "relative": (g.all_pairs("self"), g.Complete(48)),
    "window": (g.window(5, axes=1), g.Chain(200)),
}
BACKENDS = {  # what each takes: dtypes, and whether it reads a mask
    SDPBackend.MATH: (ALL, True),
    SDPBackend.EFFICIENT_ATTENTION: (ALL, True),
    SDPBackend.FLASH_ATTENTION: (HALVES, False),
    SDPBackend.CUDNN_ATTENTION: (HALVES, False),
}
CALLS = [
    (backend, dtype, name)
    for backend, (dtypes, reads_masks) in BACKENDS.items()
    for dtype in dtypes
    for name in (FREE | MASKED if reads_masks else FREE)
]


@pytest.mark.parametrize(("backend", "dtype", "name"), CALLS, ids=str)
def test_every_back_end_of_attention(backend, dtype, name):
    rule, domain = (FREE | MASKED)[name]
    layer = g.Attention(64, rule, heads=4, relative=name == "relative")
    nn.init.normal_(layer.in_proj_weight, std=0.2)
    signal = g.Signal(torch.randn(2, domain.num_nodes, 64), domain)
    wanted, gradients = outcome(layer.double(), *(g.Signal(signal.x.double(), domain),))
    ours, (there,) = moved(layer, dtype), sent((signal,), dtype)
    with sdpa_kernel(backend):
        found, each = outcome(ours, there)
    bound = BOUNDS[dtype] if dtype == torch.float32 else HALF_BOUNDS[dtype]
    assert relative_error(found.cpu(), wanted) < bound
    if name == "relative":
        # What a typed bias is given sums to zero over all senders of a receiver: in half precision
        # most of its digits cancel, and the kernel's own loss is the bound.
        with sdpa_kernel(SDPBackend.MATH):
            lost = relative_error(bias_gradient(ours, there.x).cpu(), gradients["relative_bias"])
        assert relative_error(each["relative_bias"].cpu(), gradients["relative_bias"]) < max(
            bound, 2 * lost
        )
        del gradients["relative_bias"]
    for key, gradient in gradients.items():
        assert relative_error(each[key].cpu(), gradient) < bound, key


def bias_gradient(layer: g.Attention, x: Tensor) -> Tensor:
    """The gradient of the bias `[2, H]` of self and others, by torch's kernel and a dense mask."""
    projected = F.linear(x, layer.in_proj_weight, layer.in_proj_bias)
    q, k, v = (
        part.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for part in projected.chunk(3, -1)
    )
    bias = layer.relative_bias
    kind = 1 - torch.eye(x.shape[1], dtype=torch.long, device=x.device)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[kind].permute(2, 0, 1)[None])
    y = layer.out_proj(y.transpose(1, 2).flatten(2))
    # The very upstream gradient that `outcome` draws.
    random = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(y, bias, random.to(y))
    return gradient


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("cell", OF_TORCH)
def test_packed_recurrences_are_cudnns(cell, dtype):
    twin = twin_of(cell).to(DEVICE, dtype)
    layer = g.Recurrent(3, 4, cell).to(DEVICE, dtype)
    layer.load_state_dict(twin.state_dict())
    x = tokens().to(DEVICE, dtype).requires_grad_()
    signal = g.Signal.sequence(x, MASK.to(DEVICE))
    assert_lowered_to("rnn", layer, signal)
    wanted, last = packed(twin, x)
    y, after = layer.step(signal)
    assert error(y.to_sequence(), wanted) < BOUNDS[dtype]
    for state, theirs in zip(after, last, strict=True):
        assert error(state.transpose(0, 1), theirs) < BOUNDS[dtype]
    upstream = torch.randn_like(wanted)
    ours = torch.autograd.grad(y.to_sequence(), [x, *layer.parameters()], upstream)
    theirs = torch.autograd.grad(wanted, [x, *twin.parameters()], upstream)
    assert max(error(a, b) for a, b in zip(ours, theirs, strict=True)) < BOUNDS[dtype]


@pytest.mark.parametrize("cell", CELLS)
def test_recurrences_in_half_precision(cell):
    layer = g.Recurrent(3, 4, cell)
    signal = g.Signal.sequence(tokens().float(), MASK)
    wanted, _ = outcome(layer, signal)
    with torch.autocast(DEVICE, torch.bfloat16):
        found, _ = outcome(moved(layer, torch.float32), *sent((signal,), torch.float32))
    assert relative_error(found.cpu(), wanted) < HALF_BOUNDS[torch.bfloat16]


@pytest.mark.parametrize("dtype", [*BOUNDS, *HALVES], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_torchs(training, dtype):
    domain = g.GroupGrid(g.Grid(7, 7), g.C(4))
    ours, twin = g.BatchNorm(10).train(training), nn.BatchNorm1d(10).train(training)
    nn.init.normal_(ours.weight)
    twin.load_state_dict(ours.state_dict())
    x = 3 * torch.randn(4, domain.num_nodes, 10) + 1
    wanted = twin.double()(x.to(dtype).double().transpose(1, 2)).transpose(1, 2)
    ours = ours.to(DEVICE, torch.float32 if dtype in HALVES else dtype)
    with torch.autocast(DEVICE, dtype, enabled=dtype in HALVES):
        found = ours(g.Signal(x.to(DEVICE, dtype), domain.to(DEVICE))).x
    assert found.dtype == dtype
    bound = BOUNDS[dtype] if dtype in BOUNDS else HALF_BOUNDS[dtype]
    assert relative_error(found.detach().cpu(), wanted.detach()) < bound
    for name in ("running_mean", "running_var"):
        assert relative_error(getattr(ours, name).cpu(), getattr(twin, name)) < 1e-4


def test_batch_norm_has_second_derivatives():
    domain = g.Chain(6)
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    norm = g.BatchNorm(3).double()

    def call(module: nn.Module, value: torch.Tensor) -> torch.Tensor:
        return module(g.Signal(value, domain)).x

    there = norm.to(DEVICE)
    assert torch.autograd.gradgradcheck(
        lambda value: call(there, value), x.to(DEVICE).requires_grad_()
    )
