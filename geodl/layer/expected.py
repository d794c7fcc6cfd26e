"""A model that takes images of one size says so before its first layer."""

from typing import Any

from geodl.errors import GeodlError, positive
from geodl.layer.base import Layer
from geodl.layer.check import check_is_signal, check_no_sender
from geodl.signal import Signal


class Expected(Layer):
    """Signals on a lattice of the given lengths, as they are; all others are refused.

    A fully connected layer is a window as large as the maps it reads, which would slide over larger
    ones, and say of smaller ones what they are inside of the model.

    Args:
        lengths: of each axis.
        instead: what to do with other images, added to the advice; "" where there is nothing.

    Raises:
        GeodlError: if a length is not a positive integer; at the call, a signal on another lattice.

    >>> import torch
    >>> Expected(4, 4)(Signal.image(torch.zeros(1, 1, 6, 6)))
    Traceback (most recent call last):
    geodl.errors.GeodlError: a model of 4 x 4 images called: found Grid(6, 6); give 4 x 4 nodes
    """

    nodewise = True
    transparent = True

    def __init__(self, *lengths: int, instead: str = ""):
        super().__init__()
        self.lengths = tuple(positive(f"Expected{lengths}", length) for length in lengths)
        self.instead = instead

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal itself."""
        check_no_sender(self, sender)
        check_is_signal(self, receiver)
        if receiver.domain.lattice != self.lengths:
            size = " x ".join(map(str, self.lengths))
            do = f"give {size} nodes"
            if self.instead:
                do = f"{do}, or {self.instead}"
            raise GeodlError(f"a model of {size} images called", f"{receiver.domain}", do)
        return receiver

    def extra_repr(self) -> str:
        return " x ".join(map(str, self.lengths))
