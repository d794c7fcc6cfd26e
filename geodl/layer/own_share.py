"""Sums over neighbors to which each node adds a share of itself, as one call of a list."""

from typing import Any

from torch import Tensor, nn

from geodl.layer.base import MessagePassing
from geodl.layer.check import check_signal
from geodl.layer.pointwise import Pointwise
from geodl.lowering import ConvolveOptions, PoolOptions
from geodl.signal import Signal


class Scaled(nn.Module):
    """`(1 + eps) x`: the share of the node itself in GIN.

    Args:
        eps: `[1]`, trained or not.
    """

    def __init__(self, eps: Tensor):
        super().__init__()
        if isinstance(eps, nn.Parameter):
            self.eps = eps
        else:
            self.register_buffer("eps", eps)

    def forward(self, x: Tensor) -> Tensor:
        """The scaled values."""
        return self.share() * x

    def share(self) -> Tensor:
        """`1 + eps`: `[1]`."""
        return 1 + self.eps


class SumWithOwn:
    """`c x_i + sum over neighbors`: what a Network or a Residual computes by two layers and a join.

    Where the lowering has one operator for all of it, it runs; else the layers, one by one.

    Args:
        parts: the two layers in the order in which they are added, as :func:`is_sum_with_own` asks.
        add: the join.
    """

    def __init__(self, parts: tuple[Any, ...], add: Any):
        self.parts = parts
        self.add = add
        self.layer, self.own = parts
        if scales(self.layer):
            self.own, self.layer = parts

    def __call__(self, signal: Any) -> Signal:
        """The sum."""
        layer = self.layer
        x = check_signal(layer, signal).x
        plan, members = layer._plan(layer.rule, signal.domain, None, x)
        with_own = plan.lowering.with_own
        stays = plan.target is None and plan.carried is None and members.num_members == 1
        share = self.own.module.share()
        if with_own is None or not stays or share.device != x.device or share.dtype != x.dtype:
            read = [part.compute(signal, None, part.rule) for part in self.parts]
            return self.add(*read)
        return signal.carry_state(with_own(plan.data, x, share), signal.domain)


def is_sum_with_own(parts: tuple[Any, ...]) -> bool:
    """Whether one of two parts of a container scales what the other one sums over neighbors."""
    one, other = parts
    return (scales(one) and _sums_neighbors(other)) or (scales(other) and _sums_neighbors(one))


def scales(part: Any) -> bool:
    """Whether a part of a container multiplies each number by one and the same."""
    return type(part) is Pointwise and type(part.module) is Scaled


def _sums_neighbors(part: Any) -> bool:
    """Whether a part of a container is `S x`, a sum over neighbors without weights to learn."""
    # A subclass that computes otherwise promises nothing.
    if not isinstance(part, MessagePassing) or not part.transparent:
        return False
    options = part.options
    if isinstance(options, PoolOptions):
        return options.reduction == "sum"
    if isinstance(options, ConvolveOptions):
        return options.channels_in is None and options.edge_types is None
    return False
