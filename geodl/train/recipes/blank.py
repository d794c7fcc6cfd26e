"""An empty image: the input on which networks on images are explained and certified."""

from collections.abc import Callable

import torch

from geodl.signal import Signal


def blank(*lengths: int, channels: int = 1) -> Callable[[], tuple[Signal, ...]]:
    """A function that makes one image of zeros.

    Args:
        lengths: of the axes, in pixels.
        channels: C.
    """
    return lambda: (Signal.image(torch.zeros(1, channels, *lengths)),)
