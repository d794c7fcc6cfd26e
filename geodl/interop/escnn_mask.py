"""A fixed factor at each point of a lattice."""

from typing import Any

from torch import Tensor

from geodl.errors import GeodlError
from geodl.layer import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.signal import Signal


class Mask(Layer):
    """`y_i = m_(point of i) x_i` on a lattice, the same for all group elements over a point:
    escnn's `MaskModule`, which fades an image out beyond the circle inside it.

    Args:
        mask: m, by the lattice's axes.

    Raises:
        GeodlError: at the call, a lattice of other lengths.

    >>> import torch
    >>> image = Signal.image(torch.ones(1, 1, 2, 2))
    >>> Mask(torch.tensor([[1.0, 0.5], [0.5, 0.0]]))(image).x.flatten().tolist()
    [1.0, 0.5, 0.5, 0.0]
    """

    mask: Tensor

    def __init__(self, mask: Tensor):
        super().__init__()
        self.register_buffer("mask", mask)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal, each node by the factor of its point."""
        check_no_sender(self, sender)
        check_signal(self, receiver)
        domain = receiver.domain
        if domain.lattice != tuple(self.mask.shape):
            found = f"{domain}"
            do = f"give a lattice of {'x'.join(map(str, self.mask.shape))}"
            raise GeodlError(self.label, found, do)
        factors = self.mask.flatten().to(receiver.x.dtype)
        if domain.fiber is not None:
            factors = factors.repeat_interleave(domain.fiber.order)
        return receiver.with_x(receiver.x * factors[:, None])

    def extra_repr(self) -> str:
        return "x".join(map(str, self.mask.shape))
