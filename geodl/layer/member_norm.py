"""Normalisation of each graph, image or sequence by itself: over the nodes of a member."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.constants import cached_constants
from geodl.domain import Domain, memo
from geodl.errors import GeodlError, positive
from geodl.layer.base import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.layer.folding import members_to_batch
from geodl.layer.norm_numbers import check_norm_numbers
from geodl.lowering.differentiable import transforms_active
from geodl.signal import Signal


class GroupNorm(Layer):
    """Normalise groups of channels over the nodes of each member of each batch entry: `y = (x -
    mean) / sqrt(var + eps) * weight + bias`.

    On an image these are all pixels, in a Batch of graphs the nodes of one graph, in a Batch of
    sequences the tokens without padding; a group's fiber counts among the nodes, so its
    equivariance is kept. (Wu and He, "Group Normalization", 2018; of one group and one graph it is
    the graph-wise LayerNorm of PyG.)

    Args:
        groups: G, which divides C.
        channels: C.
        eps: added to the variance.
        affine: whether it has `weight` and `bias`; else they are 1 and 0.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Raises:
        GeodlError: if the groups do not divide the channels, or `eps` is not a number; at the call,
            if no member has more than one value for each mean.

    >>> from geodl import Grid
    >>> GroupNorm(2, 4)(Signal(torch.randn(2, 25, 4), Grid(5, 5))).x.shape
    torch.Size([2, 25, 4])
    """

    transparent = True
    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        groups: int,
        channels: int,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        on: Domain | None = None,
    ):
        super().__init__()
        asked = f"GroupNorm({groups!r}, {channels!r})"
        groups, channels = positive(asked, groups), positive(asked, channels)
        if channels % groups:
            raise GeodlError(asked, "groups that do not divide the channels", "choose a divisor")
        check_norm_numbers("GroupNorm", eps)
        self.num_groups, self.channels_in, self.eps, self.on = groups, channels, eps, on
        _make_affine(self, affine)

    def reset_parameters(self) -> None:
        """Weights of one, biases of zero."""
        _reset_affine(self)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal, each member normalised by itself."""
        check_no_sender(self, sender)
        x = check_signal(self, receiver).x
        _check_several(self, receiver.domain, self.channels_in // self.num_groups)
        values = _wide(x)
        groups, weight, bias = self.num_groups, self.weight, self.bias
        y = by_members(values, receiver.domain, groups, weight, bias, self.eps)
        return receiver.with_x(y.to(x.dtype))

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.channels_in}"


class InstanceNorm(Layer):
    """Normalise each channel over the nodes of each member of each batch entry: `y = (x - mean) /
    sqrt(var + eps) * weight + bias`.

    It is :class:`GroupNorm` with a group for each channel, and may keep running statistics as
    `nn.InstanceNorm2d` does. (Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016.)

    Args:
        channels: C.
        eps: added to the variance.
        momentum: how far running statistics move towards those of a batch; None for not at all.
        affine: whether it has `weight` and `bias`; else they are 1 and 0.
        track_running_stats: whether it keeps running statistics, the means of the members' own, and
            uses them in evaluation.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Raises:
        GeodlError: if `eps` or `momentum` is not a number; at the call, if every member has one
            node alone and its own statistics serve.

    >>> from geodl import Batch, Chain
    >>> s = Signal(torch.randn(1, 7, 4), Batch([Chain(3), Chain(4)]))
    >>> InstanceNorm(4)(s).x[:, :3].mean(1).abs().max() < 1e-6
    tensor(True)
    """

    transparent = True
    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        channels: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        on: Domain | None = None,
    ):
        super().__init__()
        self.channels_in = channels = positive(f"InstanceNorm({channels!r})", channels)
        check_norm_numbers("InstanceNorm", eps, momentum)
        self.eps, self.momentum, self.on = eps, momentum, on
        _make_affine(self, affine)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, None)
        if track_running_stats:
            self.running_mean = torch.zeros(channels)
            self.running_var = torch.ones(channels)
            # Never counted, as torch's is not; it stands in a state_dict all the same.
            self.num_batches_tracked = torch.tensor(0, dtype=torch.long)

    @property
    def nodewise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """By running statistics, in evaluation, it treats each node alone."""
        return not self.training and self.running_mean is not None

    def reset_parameters(self) -> None:
        """Weights of one, biases of zero, running statistics of nothing seen."""
        _reset_affine(self)
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal, each member normalised by itself, or by the running statistics."""
        check_no_sender(self, sender)
        x, domain = check_signal(self, receiver).x, receiver.domain
        values = _wide(x)
        if self.nodewise and self.running_mean is not None and self.running_var is not None:
            mean, var = self.running_mean[None, None], self.running_var[None, None]
            y = normalise(values, domain, mean, var + self.eps, self.weight, self.bias)
        else:
            _check_several(self, domain, 1)
            channels, weight, bias = self.channels_in, self.weight, self.bias
            y = by_members(values, domain, channels, weight, bias, self.eps)
            if self.training:
                self._track(values, domain)
        return receiver.with_x(y.to(x.dtype))

    @torch.no_grad()
    def _track(self, x: Tensor, domain: Domain) -> None:
        """Move the running statistics towards the means of the members' own."""
        if self.running_mean is None or self.running_var is None or x.shape[0] == 0:
            return
        mean, var = statistics(x, domain, self.channels_in)
        sizes = _sizes(domain, var)
        unbiased = var * (sizes / (sizes - 1).clamp(min=1))[:, None]
        step = self.momentum or 0.0
        try:
            for running, found in ((self.running_mean, mean), (self.running_var, unbiased)):
                running.lerp_(found.mean((0, 1)).to(running.dtype), step)
        except RuntimeError as error:
            if not transforms_active():
                raise
            raise GeodlError(
                f"{self.label} in training under a transform of torch.func",
                "running statistics that the transform may not change",
                "call eval(), build it without track_running_stats, or pass the buffers through "
                "torch.func.functional_call",
            ) from error

    def extra_repr(self) -> str:
        return f"{self.channels_in}"


def by_members(
    x: Tensor, domain: Domain, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """`(x - mean) / sqrt(var + eps) * weight + bias`, with mean and biased variance of each group
    of channels over each member's nodes: `[B, N, C]`.
    """
    # torch's kernel for channels that stand last has no forward mode, and no vmap.
    if len(set(domain.sizes)) > 1 or transforms_active():
        mean, var = statistics(x, domain, groups)
        return normalise(x, domain, mean, var + eps, weight, bias)
    # Members of one size are entries of a batch, of whatever kind: only sums are taken. To torch
    # they are images of one column whose channels stand last, for which it has a kernel.
    entries = members_to_batch(x, domain.num_members)
    images = entries.unsqueeze(2).permute(0, 3, 1, 2)
    # Weight and bias apart: where they alone want a gradient, the backward of this kernel reads a
    # gradient of x that was never made, and the process dies (seen in torch 2.13).
    y = F.group_norm(images, groups, None, None, eps).permute(0, 2, 3, 1).reshape(x.shape)
    if weight is None or bias is None:
        return y
    return torch.addcmul(bias, y, weight)


def statistics(x: Tensor, domain: Domain, groups: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each group of channels over each member's nodes.

    Args:
        x: `[B, N, C]`.
        domain: of D members.
        groups: G.

    Returns:
        Two tensors `[B, D, G]`.
    """
    # Two passes, the mean first: a sum of squares less the square of the sum loses all digits of a
    # variance that is small beside the mean.
    split = x.unflatten(2, (groups, -1))
    mean = _mean_by_member(split.mean(3), domain)
    centered = split - mean.index_select(1, _member_of(domain))[..., None]
    return mean, _mean_by_member(centered.square().mean(3), domain)


def normalise(
    x: Tensor,
    domain: Domain,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """`(x - mean) / sqrt(var) * weight + bias`, with statistics `[B or 1, D or 1, G]` of a node's
    own member: `[B, N, C]`, written as `slope x + shift`.
    """
    width = x.shape[2] // mean.shape[2]
    slope = torch.rsqrt(var).repeat_interleave(width, 2)
    shift = -mean.repeat_interleave(width, 2) * slope
    if weight is not None and bias is not None:
        slope, shift = slope * weight, shift * weight + bias
    if slope.shape[1] > 1:
        member = _member_of(domain)
        slope, shift = slope.index_select(1, member), shift.index_select(1, member)
    return torch.addcmul(shift, x, slope)


def _mean_by_member(x: Tensor, domain: Domain) -> Tensor:
    """The mean over each member's nodes: `[B, N, G]` to `[B, D, G]`."""
    total = x.new_zeros(x.shape[0], domain.num_members, x.shape[2])
    total = total.index_add(1, _member_of(domain), x)
    return total / _sizes(domain, x)[:, None]


def _member_of(domain: Domain) -> Tensor:
    """The member of each node `[N]`, found once for each union."""
    return memo(domain, "member", cached_constants()(domain.member_of))


def _sizes(domain: Domain, like: Tensor) -> Tensor:
    """The number of nodes of each member `[D]`."""
    return torch.tensor(domain.sizes, dtype=like.dtype, device=like.device)


def _wide(x: Tensor) -> Tensor:
    """Values in single precision at least: sums of many in half precision would lose them."""
    if x.dtype in (torch.bfloat16, torch.float16):
        return x.float()
    return x


def _check_several(layer: Any, domain: Domain, width: int) -> None:
    if max(domain.sizes) * width == 1:
        found = "one value for each mean"
        raise GeodlError(f"{layer.label} on {domain}", found, "use members of more nodes")


def _make_affine(layer: Any, affine: bool) -> None:
    layer.register_parameter("weight", None)
    layer.register_parameter("bias", None)
    if affine:
        layer.weight = nn.Parameter(torch.ones(layer.channels_in))
        layer.bias = nn.Parameter(torch.zeros(layer.channels_in))


def _reset_affine(layer: Any) -> None:
    if layer.weight is not None:
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
