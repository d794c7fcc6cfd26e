"""What weights do to channels: dense, in blocks, or nothing at all."""

import torch
from torch import Tensor

from geodl.lowering.product import multiply_rows


def mix_channels(x: Tensor, weight: Tensor) -> Tensor:
    """`x W` for a block diagonal W, given by its blocks.

    Args:
        x: `[..., C_in]`.
        weight: `[C_in / groups, C_out]`, the blocks side by side; C_in says how many there are.

    Returns:
        `[..., C_out]`.
    """
    channels_in, channels_out = x.shape[-1], weight.shape[1]
    groups = channels_in // weight.shape[0]
    if groups == 1:
        return multiply_rows(x, weight)
    if groups == channels_in == channels_out:  # depthwise: one number for each channel
        return x * weight[0]
    blocks = weight.unflatten(1, (groups, -1))
    y = torch.einsum("...gi,igo->...go", x.unflatten(-1, (groups, -1)), blocks)
    return y.flatten(-2)
