"""Sums over neighbors plus a self term `c x_i`, as one call of an unfolded list."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.layer.base import Layer, MessagePassing
from geodl.layer.check import check_no_sender, check_signal
from geodl.layer.program import OnTensors
from geodl.layer.replaced import computes_as
from geodl.lowering import ConvolveOptions, Plan, PoolOptions
from geodl.signal import Signal


class SelfTerm(Layer):
    """`y_i = (1 + eps) x_i`: the self term of a GIN, `[B, N, C]` to the same (Xu et al., "How
    Powerful are Graph Neural Networks?", 2019, equation 4.1).

    Args:
        eps: `[1]`; a parameter where it is trained.

    >>> from geodl import Chain
    >>> SelfTerm(torch.tensor([0.5]))(Signal(torch.ones(1, 2, 1), Chain(2))).x.flatten().tolist()
    [1.5, 1.5]
    """

    nodewise = True
    transparent = True
    eps: Tensor

    def __init__(self, eps: Tensor):
        super().__init__()
        if isinstance(eps, nn.Parameter):
            self.eps = eps
        else:
            self.register_buffer("eps", eps)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The scaled values."""
        check_no_sender(self, sender)
        x = check_signal(self, receiver).x
        return receiver.with_x(self.factor() * x)

    def factor(self) -> Tensor:
        """`1 + eps`: `[1]`."""
        return 1 + self.eps

    def extra_repr(self) -> str:
        if self.eps.is_meta:
            return ""
        return f"eps={self.eps.item():.4g}"


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
        self._known: tuple[Any, int, Any] = (None, 0, None)

    def __call__(self, signal: Any) -> Signal:
        """The sum."""
        layer = self.layer
        x = check_signal(layer, signal).x
        plan, members = layer._plan(layer.rule, signal.domain, None, x)
        with_self_term = plan.lowering.with_self_term
        stays = plan.target is None and plan.carried is None and members.num_members == 1
        factor = self.scaling.factor()
        if (
            with_self_term is None
            or not stays
            or factor.device != x.device
            or factor.dtype != x.dtype
        ):
            read = [part.compute(signal, None, part.rule) for part in self.parts]
            return self.add(*read)
        return signal.carry_state(with_self_term(plan.data, x, factor), signal.domain)

    def on_tensors(self) -> OnTensors:
        """The sum as a function of tensors."""
        return OnTensors(self._answer, self.layer, stays=True)

    def _answer(self, plan: Plan, x: Tensor) -> Tensor | None:
        factor, with_self_term = self._factor(), plan.lowering.with_self_term
        if with_self_term is None or factor.dtype != x.dtype:
            return None
        return with_self_term(plan.data, x, factor)

    def _factor(self) -> Tensor:
        """`1 + eps`, which is computed anew where eps was changed: on small graphs a sum of two
        numbers takes as long as a sum over neighbors.
        """
        # A module's tables are what `getattr` asks last.
        eps = self.scaling._buffers.get("eps")
        if eps is None or torch.is_inference_mode_enabled() or eps.is_inference():
            return self.scaling.factor()
        known, version, factor = self._known
        if known is not eps or version != eps._version:
            factor = 1 + eps
            self._known = (eps, eps._version, factor)
        return factor


def is_sum_with_self_term(parts: tuple[Any, ...]) -> bool:
    """Whether one of two parts of a container is a self term and the other a sum over neighbors."""
    one, other = parts
    return (scales(one) and _sums_neighbors(other)) or (scales(other) and _sums_neighbors(one))


def scales(part: Any) -> bool:
    """Whether a part of a container is a self term: it multiplies all values by one factor."""
    return isinstance(part, SelfTerm) and part.transparent and computes_as(part, SelfTerm)


def _sums_neighbors(part: Any) -> bool:
    """Whether a part of a container is `S x`, a sum over neighbors without weights to learn."""
    # A subclass that computes otherwise promises nothing; one may say so of what comes across
    # nodes, and still compute more.
    if not isinstance(part, MessagePassing) or not part.transparent:
        return False
    if not computes_as(part, MessagePassing):
        return False
    options = part.options
    if isinstance(options, PoolOptions):
        return options.reduction == "sum"
    if isinstance(options, ConvolveOptions):
        return options.channels_in is None and options.edge_types is None
    return False
