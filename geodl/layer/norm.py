"""Batch normalisation and dropout of signals."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from geodl.domain import Domain
from geodl.errors import GeodlError, is_real, nearest, positive
from geodl.layer.base import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.layer.norm_numbers import check_norm_numbers
from geodl.layer.parameters import read_weight_and_bias
from geodl.lowering.differentiable import graph_wanted, transforms_active
from geodl.lowering.draws import draw_ones
from geodl.signal import Signal

WIDEST = 512  # columns of a reduction; torch's kernels are slow on few of them
# Up to so many rows torch's kernel is the faster one, at any number of channels.
FEW_ROWS = 8192
# Beyond them it is where channels fill vectors of the processor, two or more (1.0 to 1.5 times as
# fast as ours at 16 to 64 channels); of 3 to 15 channels it takes up to three times as long (all
# measured, forward and backward).
VECTOR = 8
DRAWS = ("bernoulli", "uniform")


class BatchNorm(Layer, _BatchNorm):  # pyright: ignore[reportIncompatibleMethodOverride] - Layer's forward, for Signals
    """Normalise each channel over batch and nodes: `y = (x - mean) / sqrt(var + eps) * weight +
    bias`.

    Statistics are taken over batch, nodes and group elements: one for each group element would
    break equivariance. (Ioffe and Szegedy, "Batch Normalization", 2015.)

    It is a batch norm of torch, with the attributes, parameters, buffers and state of
    `nn.BatchNorm1d` and the layer's `forward`, so torch's tools for batch norms find it:
    `torch.optim.swa_utils.update_bn`, `torch.func.replace_all_batch_norm_modules_`, and
    `nn.SyncBatchNorm.convert_sync_batchnorm`. A `SyncBatchNorm` that the last one made works only
    inside geodl's containers; called by itself it would take axis 1, the nodes, for channels.

    Args:
        channels: C.
        eps: added to the variance.
        momentum: how far running statistics move towards those of a batch; None for their average
            over all batches.
        affine: whether it has `weight` and `bias`; else they are 1 and 0.
        track_running_stats: whether it keeps running statistics for evaluation; else a batch's own
            serve there too.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Raises:
        GeodlError: if `eps` or `momentum` is not a number; in training, if there is a single value
            for each channel, or if a transform of `torch.func` may not change the running
            statistics.

    >>> from geodl import Grid
    >>> BatchNorm(3)(Signal(torch.randn(2, 25, 3), Grid(5, 5))).x.shape
    torch.Size([2, 25, 3])
    """

    transparent = True
    rowwise = True
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        channels: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        on: Domain | None = None,
    ):
        channels = positive(f"BatchNorm({channels!r})", channels)
        check_norm_numbers("BatchNorm", eps, momentum)
        super().__init__(channels, eps, momentum, affine, track_running_stats)
        self.channels_in = channels
        self.on = on

    @property
    def nodewise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """By running statistics, in evaluation, it treats each node alone."""
        return not self.training and self.running_mean is not None

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """Normalise a signal, by its own statistics in training and by the running ones in
        evaluation.
        """
        check_no_sender(self, sender)
        x = check_signal(self, receiver).x
        return receiver.with_x(self.on_rows(x.flatten(0, 1)).view(x.shape))

    def on_rows(self, x: Tensor) -> Tensor:
        """The same of values `[B N, C]`, a row for each node of each entry of the batch."""
        values = x
        if x.dtype in (torch.bfloat16, torch.float16):
            values = x.float()
        if self.training or self.running_mean is None or self.running_var is None:
            y = self._by_batch(values)
        else:
            weight, bias = self._weight_and_bias(values)
            scale = weight * torch.rsqrt(self.running_var + self.eps)
            y = torch.addcmul(bias - self.running_mean * scale, values, scale)
        if y.dtype != x.dtype:
            y = y.to(x.dtype)
        return y

    def extra_repr(self) -> str:
        return f"{self.channels_in}"

    def _by_batch(self, x: Tensor) -> Tensor:
        """Normalise by the statistics of the values `[B N, C]` themselves."""
        count = x.shape[0]
        if self.training and count == 1:
            raise GeodlError(
                f"{self.label} in training",
                "one value for each channel",
                "use more nodes or a larger batch",
            )
        weight, bias = self._weight_and_bias(x)
        if self._fits_torchs_kernel(x, weight, count):
            return self._by_torchs_kernel(x, weight, bias)
        if x.is_meta or transforms_active():
            y, mean, var = _by_formula(x, weight, bias, self.eps)
        else:
            y, mean, var = _Normalise.apply(x[None], weight, bias, self.eps)
            y = y.view(x.shape)
        if self.training and self.track_running_stats and count > 0:
            self._track(mean, var * (count / (count - 1)))
        return y

    def _fits_torchs_kernel(self, x: Tensor, weight: Tensor, count: int) -> bool:
        """Whether torch's kernel is the faster one, and computes the same on these values."""
        channels = x.shape[1]
        fills_vectors = channels > VECTOR and channels % VECTOR == 0
        if count < 2 or (count > FEW_ROWS and not fills_vectors):
            return False
        if x.is_meta or transforms_active():
            return False
        # An average over all batches has a momentum that is a tensor's value, which compiled code
        # cannot read; and the kernel mixes no dtypes.
        if self.momentum is None or weight.dtype != x.dtype:
            return False
        mean = self._buffers["running_mean"]
        return mean is None or mean.dtype == x.dtype

    def _by_torchs_kernel(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        mean = var = None
        if self.training and self.track_running_stats:
            # Where modules keep them: `getattr` looks there last, as for parameters.
            kept = self._buffers
            mean, var = kept["running_mean"], kept["running_var"]
            count = kept["num_batches_tracked"]
            if count is not None:
                count.add_(1)
        assert self.momentum is not None
        fast = torch.backends.cudnn.enabled
        return torch.batch_norm(x, weight, bias, mean, var, True, self.momentum, self.eps, fast)

    def _weight_and_bias(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.affine:
            return read_weight_and_bias(self)
        return x.new_ones(self.num_features), x.new_zeros(self.num_features)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics towards a batch's, of which var is the unbiased variance."""
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is None:
            return
        step: Any = self.momentum
        if step is None:
            # a lerp by 1 / k in batch k leaves the average of the first k
            step = (self.num_batches_tracked + 1).to(self.running_mean.dtype).reciprocal()
        try:
            # a lerp in two operations: lerp_ itself is a slow loop under torch.func.vmap
            self.running_mean.add_(step * (mean.to(self.running_mean.dtype) - self.running_mean))
            self.running_var.add_(step * (var.to(self.running_var.dtype) - self.running_var))
            self.num_batches_tracked.add_(1)
        except RuntimeError as error:
            if not transforms_active():
                raise
            raise GeodlError(
                f"{self.label} in training under a transform of torch.func",
                "running statistics that the transform may not change",
                "use torch.func.replace_all_batch_norm_modules_(model), or pass the buffers "
                "through torch.func.functional_call",
            ) from error


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
        """The planes of y, and mean and biased variance `[C]`."""
        planes, run = _planes(x)
        if planes.shape[0] == 0:
            mean, var = torch.zeros_like(weight), torch.ones_like(weight)
        else:
            mean, var = _statistics(planes, run)
        inverse = torch.rsqrt(var + eps)
        scale = weight * inverse
        shift = bias - mean * scale
        y = torch.addcmul(_along_run(shift, run), planes, _along_run(scale, run))
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.mark_non_differentiable(mean, var)
        ctx.eps = eps
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Gradients of x, weight and bias: by a kernel, or as a formula that autograd can enter."""
        x, weight, mean, inverse = ctx.saved_tensors
        upstream = grad_outputs[0]
        if graph_wanted():
            gradients = _gradients(upstream.reshape(x.shape), x, weight, ctx.eps)
        else:
            gradients = _fast_gradients(upstream, x, weight, mean, inverse)
        return *gradients, None


def _by_formula(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """y, mean and biased variance in operations that every transform of torch can follow."""
    mean = x.mean(0)
    centered = x - mean
    var = centered.square().mean(0)
    y = centered * (weight * torch.rsqrt(var + eps)) + bias
    return y, mean, var


# The backward. Let s = (var + eps)^(-1/2), u_j = (x_j - mean) s, y_j = w u_j + b over n values of a
# channel, and g_j the gradient of y_j. With d mean / d x_i = 1 / n, d var / d x_i = 2 (x_i - mean)
# / n (the mean's own share vanishes, as the deviations sum to 0) and so d s / d x_i = -s^2 u_i / n,
#
#     d u_j / d x_i = s ([i = j] - 1 / n - u_i u_j / n),
#     d L / d x_i   = w s (g_i - total / n - u_i along / n),
#     d L / d w     = along = sum_j g_j u_j,     d L / d b = total = sum_j g_j.


def _gradients(g: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The backward as a function of g, x and weight that can be differentiated itself.

    The statistics are found anew from x: they depend on it.
    """
    count = max(1, x.shape[0] * x.shape[1])
    centered = x - x.sum((0, 1)) / count
    inverse = torch.rsqrt(centered.square().sum((0, 1)) / count + eps)
    u = centered * inverse
    along = (g * u).sum((0, 1))
    total = g.sum((0, 1))
    dx = (weight * inverse) * (g - total / count - u * (along / count))
    return dx, along, total


def _fast_gradients(
    g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same on planes, with g `[B N / run, run C]`: two sums by one kernel of torch's, and dx
    written as `slope x + scale g + shift`.
    """
    planes, run = _planes(x)
    if planes.shape[0] == 0:
        return g.new_zeros(x.shape), torch.zeros_like(weight), torch.zeros_like(weight)
    # The kernel reads both as they lie in memory: of one channel they come as a view of a number.
    tiled_mean = _along_run(mean, run).contiguous()
    tiled_inverse = _along_run(inverse, run).contiguous()
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
    along = along.view(run, -1).sum(0)
    total = total.view(run, -1).sum(0)
    count = planes.shape[0] * run
    scale = weight * inverse
    slope = -scale * inverse * along / count
    shift = -scale * total / count - slope * mean
    dx = torch.addcmul(_along_run(shift, run), planes, _along_run(slope, run))
    dx.addcmul_(g, _along_run(scale, run))
    return dx.view(x.shape), along, total


def _statistics(planes: Tensor, run: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance `[C]` of channels, folded from those of the columns `[run C]`."""
    means, variances = torch.batch_norm_update_stats(planes, None, None, 0.0)
    means = means.view(run, -1)
    variances = variances.view(run, -1)
    mean = means.mean(0)
    # the variance of a union of equal parts: the mean of theirs, and the variance of their means
    var = (variances + (means - mean).square()).mean(0)
    return mean, var


def _planes(x: Tensor) -> tuple[Tensor, int]:
    """Values `[B, N, C]` as `[B N / run, run C]`, with the longest run that divides N and stays
    under WIDEST columns.
    """
    batch, nodes, channels = x.shape
    for run in range(WIDEST // channels, 1, -1):
        if nodes % run == 0:
            return x.reshape(batch * (nodes // run), run * channels), run
    return x.reshape(batch * nodes, channels), 1


def _along_run(values: Tensor, run: int) -> Tensor:
    """Numbers of the channels `[C]` as those of the columns `[run C]`."""
    # In half the time of `repeat`, which gathers by indices.
    return values.expand(run, -1).flatten()


class Dropout(Layer):
    """Zero each value with probability p while training and scale the rest by 1 / (1 - p); of a
    sparse signal, its values.

    Args:
        p: probability in [0, 1).
        draws: "bernoulli" for the numbers that torch's own dropout draws, so that a seed drops what
            it drops there; "uniform" for numbers that are compared with p, which on CPUs takes a
            fourth of the time. Elsewhere both are torch's own.

    >>> from geodl import Complete
    >>> dropout = Dropout(0.5, draws="uniform")
    >>> sorted(dropout(Signal(torch.ones(1, 99, 4), Complete(99))).x.unique().tolist())
    [0.0, 2.0]
    """

    takes_sparse = True
    nodewise = True
    transparent = True
    rowwise = True

    def __init__(self, p: float = 0.5, *, draws: str = "bernoulli"):
        super().__init__()
        if not (is_real(p) and 0 <= p < 1):
            raise GeodlError(f"Dropout({p!r})", do="give a probability in [0, 1)")
        if draws not in DRAWS:
            raise GeodlError(f"Dropout(draws={draws!r})", do=nearest(draws, DRAWS))
        self.p = p
        self.draws = draws

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """Drop values of a signal."""
        check_no_sender(self, sender)
        x = check_signal(self, receiver).x
        if not self.training or self.p == 0:
            return receiver
        if x.layout == torch.sparse_csr:
            values = self.on_rows(x.values())
            kept = torch.sparse_csr_tensor(
                x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False
            )
            return receiver.with_x(kept)
        return receiver.with_x(self.on_rows(x))

    def on_rows(self, x: Tensor) -> Tensor:
        """The same of values of any shape."""
        if not self.training or self.p == 0:
            return x
        if self.draws == "bernoulli" or x.device.type != "cpu":
            return nn.functional.dropout(x, self.p)
        factors = draw_ones(x.shape, self.p, x.device).mul_(1 / (1 - self.p))
        return x * factors.to(x.dtype)

    def extra_repr(self) -> str:
        if self.draws == "bernoulli":
            return f"p={self.p}"
        return f"p={self.p}, draws={self.draws!r}"
