"""Sums over neighbors plus a self term `c x_i`, as one call of an unfolded list."""

from typing import Any

from torch import Tensor, nn

from geodl.layer.base import MessagePassing
from geodl.layer.check import check_signal
from geodl.layer.pointwise import Pointwise
from geodl.lowering import ConvolveOptions, PoolOptions
from geodl.signal import Signal


class Scaled(nn.Module):
    """`(1 + eps) x`: the self term of a GIN.

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
        return self.factor() * x

    def factor(self) -> Tensor:
        """`1 + eps`: `[1]`."""
        return 1 + self.eps


class SumWithSelfTerm:
    """`c x_i + sum over neighbors`, which containers compute by two layers and a join.

    It runs as one operator where the lowering has one, else layer by layer.

    Args:
        parts: the two layers in the order in which they are added (:func:`is_sum_with_self_term`).
        add: the join.
    """

    def __init__(self, parts: tuple[Any, ...], add: Any):
        self.parts = parts
        self.add = add
        self.layer, self.scaling = parts
        if scales(self.layer):
            self.scaling, self.layer = parts

    def __call__(self, signal: Any) -> Signal:
        """The sum."""
        layer = self.layer
        x = check_signal(layer, signal).x
        plan, members = layer._plan(layer.rule, signal.domain, None, x)
        with_self_term = plan.lowering.with_self_term
        stays = plan.target is None and plan.carried is None and members.num_members == 1
        factor = self.scaling.module.factor()
        if (
            with_self_term is None
            or not stays
            or factor.device != x.device
            or factor.dtype != x.dtype
        ):
            read = [part.compute(signal, None, part.rule) for part in self.parts]
            return self.add(*read)
        return signal.carry_state(with_self_term(plan.data, x, factor), signal.domain)


def is_sum_with_self_term(parts: tuple[Any, ...]) -> bool:
    """Whether one of two parts of a container is a self term and the other a sum over neighbors."""
    one, other = parts
    return (scales(one) and _sums_neighbors(other)) or (scales(other) and _sums_neighbors(one))


def scales(part: Any) -> bool:
    """Whether a part of a container is a self term: it multiplies all values by one factor."""
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
