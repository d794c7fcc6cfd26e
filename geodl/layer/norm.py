"""Batch normalisation and dropout of signals."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError, positive
from geodl.layer.base import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.signal import Signal

WIDEST = 512


class BatchNorm(Layer):
    """Normalise each channel over batch and nodes: `y = (x - mean) / sqrt(var + eps) * weight +
    bias`.

    The nodes include a group's fiber, so its statistics are shared over the fiber and equivariance
    is kept. A norm for each plane would be faster to write and would break it. (Ioffe and Szegedy,
    "Batch Normalization", 2015.)

    Args:
        channels: C.
        eps: added to the variance.
        momentum: how far running statistics move towards those of a batch.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Buffers and parameters are called as in `nn.BatchNorm1d`.

    Raises:
        GeodlError: training on a single value for each channel.

    >>> from geodl import Grid
    >>> BatchNorm(3)(Signal(torch.randn(2, 25, 3), Grid(5, 5))).x.shape
    torch.Size([2, 25, 3])
    """

    transparent = True
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1, on: Domain | None = None
    ):
        super().__init__()
        channels = positive(f"BatchNorm({channels!r})", channels)
        self.channels_in, self.eps, self.momentum, self.on = channels, eps, momentum, on
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    @property
    def nodewise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """By running statistics, in evaluation, it treats each node alone."""
        return not self.training

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """Normalise a signal, by its own statistics in training and by the running ones in
        evaluation.
        """
        check_no_sender(self, sender)
        x = check_signal(self, receiver).x
        values = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        if self.training:
            if x.shape[0] * x.shape[1] == 1:
                raise GeodlError(
                    f"{self.label} in training",
                    "one value for each channel",
                    "use more nodes or a larger batch",
                )
            y, mean, var = _Normalise.apply(values, self.weight, self.bias, self.eps)
            self._track(mean, var, x.shape[0] * x.shape[1])
            y = y.view(x.shape)
        else:
            scale = self.weight * torch.rsqrt(self.running_var + self.eps)
            y = torch.addcmul(self.bias - self.running_mean * scale, values, scale)
        return Signal(y.to(x.dtype), receiver.domain)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, count: int) -> None:
        if count == 0:
            return
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(
            (var * (count / (count - 1))).to(self.running_var.dtype), self.momentum
        )

    def extra_repr(self) -> str:
        return f"{self.channels_in}"


class _Normalise(torch.autograd.Function):
    """Training-mode normalisation on a view in which a run of nodes stands side by side as planes.

    Few channels are slow to reduce one by one; torch's kernels like some hundred columns. The
    statistics of the planes are folded into those of the channels, so the numbers are the same for
    any width of the run. The planes are returned as they are: a view made in here could not be
    changed in place by what comes next.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        run, channels = _run_of(x.shape[1], x.shape[2]), x.shape[2]
        planes = x.reshape(x.shape[0] * (x.shape[1] // run), run * channels)
        if planes.shape[0] == 0:
            mean, var = torch.zeros_like(weight), torch.ones_like(weight)
        else:
            means, variances = torch.batch_norm_update_stats(planes, None, None, 0.0)
            means, variances = means.view(run, channels), variances.view(run, channels)
            mean = means.mean(0)
            var = (variances + (means - mean).square()).mean(0)
        inverse = torch.rsqrt(var + eps)
        scale = weight * inverse
        y = torch.addcmul((bias - mean * scale).repeat(run), planes, scale.repeat(run))
        ctx.save_for_backward(planes, weight, mean, inverse)
        ctx.mark_non_differentiable(mean, var)
        ctx.run, ctx.shape = run, x.shape
        return y, mean, var

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - decorated
        g = grad_outputs[0]
        planes, weight, mean, inverse = ctx.saved_tensors
        run, channels = ctx.run, len(weight)
        tiled_mean, tiled_inverse = mean.repeat(run), inverse.repeat(run)
        if planes.shape[0] == 0:
            return g.new_zeros(ctx.shape), torch.zeros_like(weight), torch.zeros_like(weight), None
        _, along, total = torch.ops.aten.native_batch_norm_backward(
            g,
            planes,
            torch.ones_like(tiled_mean),
            None,
            None,
            tiled_mean,
            tiled_inverse,
            True,
            0.0,
            [False, True, True],
        )
        along, total = (
            along.view(run, channels).sum(0),
            total.view(run, channels).sum(0),
        )  # sums of g x^ and of g
        count = planes.shape[0] * run
        scale = weight * inverse
        slope = -scale * inverse * along / count
        shift = -scale * total / count - slope * mean
        dx = torch.addcmul(shift.repeat(run), planes, slope.repeat(run)).addcmul_(
            g, scale.repeat(run)
        )
        return dx.view(ctx.shape), along, total, None


def _run_of(nodes: int, channels: int) -> int:
    """The longest run that divides the nodes and stays under WIDEST columns."""
    for run in range(WIDEST // max(1, channels), 1, -1):
        if nodes % run == 0:
            return run
    return 1


class Dropout(Layer):
    """Zero each value with probability p while training and scale the rest by 1 / (1 - p); of a
    sparse signal, its values.

    Args:
        p: probability in [0, 1).
    """

    takes_sparse = True
    nodewise = True
    transparent = True

    def __init__(self, p: float = 0.5):
        super().__init__()
        if not 0 <= p < 1:
            raise GeodlError(f"Dropout({p})", do="give a probability in [0, 1)")
        self.p = p

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """Drop values of a signal."""
        check_no_sender(self, sender)
        x = check_signal(self, receiver).x
        if not self.training or self.p == 0:
            return receiver
        if x.layout == torch.sparse_csr:
            values = nn.functional.dropout(x.values(), self.p)
            kept = torch.sparse_csr_tensor(
                x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False
            )
            return Signal(kept, receiver.domain)
        return Signal(nn.functional.dropout(x, self.p), receiver.domain)

    def extra_repr(self) -> str:
        return f"p={self.p}"
