"""Which values a dropout keeps, by numbers of torch's generator."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from geodl.lowering.differentiable import called_plainly, transforms_active


def draw_ones(
    shape: Sequence[int], dropout: float, device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """1 for what a dropout keeps and 0 for the rest.

    Args:
        shape: of what is dropped.
        dropout: the probability that a value is dropped.
        device: of the answer.
        dtype: of the answer.

    On CPUs it takes a fifth of the time of torch's `bernoulli_` (measured): 64 bits are drawn at
    once, for two values. A value is kept where its 32 bits, as an integer from -2^31, are at least
    `dropout 2^32 - 2^31`. Transforms and compilers know uniform numbers only; of those, the integer
    part of `u + 1 - dropout` is 1 where `u >= dropout`.
    """
    if device.type != "cpu" or transforms_active() or not called_plainly():
        uniform = torch.rand(shape, dtype=torch.float32, device=device)
        return uniform.add_(1 - dropout).floor_().to(dtype)
    count = math.prod(shape)
    pairs = torch.empty((count + 1) // 2, dtype=torch.int64, device=device)
    bits = pairs.random_(-(2**63), None).view(torch.int32)[:count]
    least = min(round(dropout * 2**32), 2**32 - 1) - 2**31
    return bits.ge_(least).to(dtype).view(tuple(shape))
