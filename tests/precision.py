"""How far numbers of half precision may be from those of single precision."""

import math

import torch
from torch import Tensor

# Twice and more what the paths of tests/table.py are off by: eight and eleven bits of mantissa.
HALF = {torch.bfloat16: 0.05, torch.float16: 0.02}
VANISHES = 1e-6


def relative_error(a: Tensor, b: Tensor) -> float:
    """`max|a - b| / max|b|`: a small gradient is held to its own size.

    A gradient that vanishes (a softmax does not see what is added to all scores) has no size of its
    own; `a` must then be small beside 1.
    """
    assert a.shape == b.shape
    if not b.numel():
        return 0.0
    apart = float((a.double() - b.double()).abs().max())
    largest = float(b.abs().max())
    if not math.isfinite(apart):
        return math.inf
    return apart if largest < VANISHES else apart / largest
