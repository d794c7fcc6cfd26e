"""What a network on images is explained and certified on."""

from collections.abc import Callable

import torch

from geodl.signal import Signal


def blank(*lengths: int, channels: int = 1) -> Callable[[], tuple[Signal, ...]]:
    """Makes one empty image of so many channels, with axes of these lengths."""
    return lambda: (Signal.image(torch.zeros(1, channels, *lengths)),)
