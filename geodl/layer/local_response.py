"""Normalisation of each number by its neighbors among the channels."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import positive
from geodl.layer.base import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.layer.norm_numbers import check_norm_numbers
from geodl.signal import Signal


class LocalResponseNorm(Layer):
    """Each number divided by the strength of the channels beside it at its own node:
    `y_c = x_c (k + alpha / n * sum of x_d^2)^(-beta)`, the sum over the n channels d from
    `c - n // 2` to `c + (n - 1) // 2` that exist.

    It has no parameters and treats each node alone. (Krizhevsky, Sutskever, Hinton, "ImageNet
    Classification with Deep Convolutional Neural Networks", 2012, section 3.3; there alpha is not
    divided by n, so that its 1e-4 with n = 5 is `alpha=5e-4` here and in torch.)

    Args:
        size: n, how many channels count.
        alpha: weight of their mean square.
        beta: the exponent.
        k: added to it.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Raises:
        GeodlError: if the size is not a positive integer, or another one no number.

    >>> import torch
    >>> from geodl import Complete
    >>> norm = LocalResponseNorm(1, alpha=1.0, beta=1.0, k=0.0)
    >>> norm(Signal(torch.tensor([[[2.0, 4.0]]]), Complete(1))).x.tolist()
    [[[0.5, 0.25]]]
    """

    nodewise = True
    rowwise = True
    transparent = True

    def __init__(
        self,
        size: int,
        *,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
        on: Domain | None = None,
    ):
        super().__init__()
        self.size = positive(f"LocalResponseNorm({size!r})", size)
        for number in (alpha, beta, k):
            check_norm_numbers("LocalResponseNorm", number)
        self.alpha, self.beta, self.k, self.on = alpha, beta, k, on

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """Normalise a signal."""
        check_no_sender(self, sender)
        x = check_signal(self, receiver).x
        return receiver.with_x(self.on_rows(x))

    def on_rows(self, x: Tensor) -> Tensor:
        """The same of values with the channels on their last axis."""
        channels = x.shape[-1]
        squares = F.pad(x.square(), (self.size // 2, (self.size - 1) // 2))
        strength = squares[..., :channels]
        for shift in range(1, self.size):
            strength = strength + squares[..., shift : shift + channels]
        return x * (self.k + self.alpha / self.size * strength) ** -self.beta

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}"
