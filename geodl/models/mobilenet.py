"""MobileNet: each channel by a window of its own, then all channels of a pixel."""

import math

from torch import nn

from geodl.errors import GeodlError, is_real
from geodl.layer import BatchNorm, Conv, Readout, Sequential
from geodl.models.image_heads import scores
from geodl.neighborhood import itself, window

# Channels and stride of each depthwise separable block: table 1 of the paper.
BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)
SMALL = ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1))  # in units of the first convolution's channels


def mobilenet(classes: int = 1000, *, in_channels: int = 3, width: float = 1.0) -> Sequential:
    """MobileNet (version 1) for 224 x 224 images: `[B, 50176, 3]` to logits `[B, 1, classes]`.
    4,231,976 parameters.

    A block is a 3x3 convolution of each channel by itself, `Conv(c, c, window(3), groups=c)`, and a
    1x1 convolution of all channels, each with batch norm and ReLU: about a ninth of the
    multiplications of a full 3x3 convolution.

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        width: all numbers of channels are multiplied by it.

    Raises:
        GeodlError: if the width leaves no channels.

    Source: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
    Applications", 2017.

    >>> import torch
    >>> with torch.device("meta"):  # counted without memory
    ...     sum(p.numel() for p in mobilenet().parameters())
    4231976
    """
    if not is_real(width) or not 1 / 32 <= width < math.inf:
        raise GeodlError(f"mobilenet(width={width!r})", do="give at least 1/32")
    first = int(32 * width)
    blocks = [(int(channels * width), stride) for channels, stride in BLOCKS]
    return _separable(classes, in_channels, first, 2, blocks)


def small_mobilenet(classes: int = 10, *, in_channels: int = 3, channels: int = 32) -> Sequential:
    """MobileNet scaled down to 32 x 32 images: a convolution and five depthwise separable blocks,
    which halve the image twice. `[B, 1024, C]` to logits `[B, 1, classes]`.

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        channels: of the first convolution; the last block has eight times as many.

    >>> import torch, geodl as g
    >>> small_mobilenet(channels=4)(g.Signal.image(torch.zeros(2, 3, 32, 32))).x.shape
    torch.Size([2, 1, 10])
    """
    blocks = [(times * channels, stride) for times, stride in SMALL]
    return _separable(classes, in_channels, channels, 1, blocks)


def _separable(
    classes: int, in_channels: int, first: int, stride: int, blocks: list[tuple[int, int]]
) -> Sequential:
    """A full convolution, the blocks, the mean over all pixels and a linear layer."""
    rule = window(3, stride=stride, padding=1)
    parts: list[nn.Module] = [Conv(in_channels, first, rule, bias=False)]
    parts += [BatchNorm(first), nn.ReLU()]
    before = first
    for channels, stride in blocks:
        parts.append(_block(before, channels, stride))
        before = channels
    return Sequential(*parts, Readout("mean"), scores(before, classes))


def _block(before: int, channels: int, stride: int) -> Sequential:
    rule = window(3, stride=stride, padding=1)
    return Sequential(
        Conv(before, before, rule, bias=False, groups=before),
        BatchNorm(before),
        nn.ReLU(),
        Conv(before, channels, itself(), bias=False),
        BatchNorm(channels),
        nn.ReLU(),
    )
