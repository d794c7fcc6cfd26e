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

    On CPUs 64 bits are drawn at once, for four values, because torch draws one number after the
    other. With k the integer part of `dropout 2^16` and r the rest, a value is kept where its 16
    bits, as an integer from -2^15, are at least `k - 2^15`, or in a share r of all calls at least
    `k + 1 - 2^15`: it is dropped with probability `(k + r) / 2^16 = dropout`. Transforms and
    compilers know uniform numbers only; of those, the integer part of `u + 1 - dropout` is 1 where
    `u >= dropout`.
    """
    if device.type != "cpu" or transforms_active() or not called_plainly():
        uniform = torch.rand(shape, dtype=torch.float32, device=device)
        return uniform.add_(1 - dropout).floor_().to(dtype)
    count = math.prod(shape)
    # One more, which says of the whole call on which side of the threshold it falls.
    drawn = torch.empty((count + 3) // 4 + 1, dtype=torch.int64, device=device)
    bits = drawn.random_(-(2**63), None).view(torch.int16)
    least, rest = divmod(dropout * 2**16, 1)
    above = int(drawn[-1]) / 2**64 + 0.5 < rest  # in a share `rest` of all calls
    least = int(least) + above - 2**15
    if least == 2**15:  # above the largest of 16 bits
        return torch.zeros(tuple(shape), dtype=dtype, device=device)
    return bits[:count].ge_(least).to(dtype).view(tuple(shape))
