"""GoogLeNet: windows of several sizes side by side."""

from typing import NamedTuple

from torch import nn

from geodl.errors import GeodlError, positive
from geodl.layer import (
    BatchNorm,
    Concat,
    Conv,
    Dropout,
    Layer,
    LocalResponseNorm,
    Pool,
    Readout,
    Sequential,
)
from geodl.models.image_heads import scores
from geodl.neighborhood import window

# Pools whose last window may reach one pixel over the border, so that an odd end is not lost.
REACHING = window(3, stride=2, padding=((0, 1), (0, 1)))
HALVING = window(2, stride=2, padding=((0, 1), (0, 1)))


class Inception(NamedTuple):
    """Channels that the four branches of a block make, and those that 1x1 windows reduce to."""

    alone: int
    reduced: int
    middle: int
    reduced_more: int
    wide: int
    pooled: int

    @property
    def channels(self) -> int:
        """Of the block's answer."""
        return self.alone + self.middle + self.wide + self.pooled


BLOCKS = {  # table 1 of the paper
    "inception3a": Inception(64, 96, 128, 16, 32, 32),
    "inception3b": Inception(128, 128, 192, 32, 96, 64),
    "inception4a": Inception(192, 96, 208, 16, 48, 64),
    "inception4b": Inception(160, 112, 224, 24, 64, 64),
    "inception4c": Inception(128, 128, 256, 24, 64, 64),
    "inception4d": Inception(112, 144, 288, 32, 64, 64),
    "inception4e": Inception(256, 160, 320, 32, 128, 128),
    "inception5a": Inception(256, 160, 320, 32, 128, 128),
    "inception5b": Inception(384, 192, 384, 48, 128, 128),
}


def googlenet(
    classes: int = 1000, *, in_channels: int = 3, batch_norm: bool = True, dropout: float = 0.2
) -> Sequential:
    """GoogLeNet without its auxiliary heads, for 224 x 224 images: `[B, 50176, 3]` to logits
    `[B, 1, classes]`.

    Nine inception blocks: a 1x1 window, which is a self-edge, one of 3x3 and one of 5x5 behind 1x1
    windows that reduce the channels, and a pool, side by side. The mean over all pixels takes the
    place of fully connected layers.

    With batch norms it is the form of torchvision, 6,624,904 parameters, whose state_dict has these
    names; the largest windows of its blocks are 3x3, not 5x5. Without it is that of the paper, with
    local response norms beside the first pools, 6,998,552 parameters.

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        batch_norm: torchvision's form, or the paper's.
        dropout: probability of dropout before the linear layer; 0.4 in the paper.

    Source: Szegedy et al., "Going Deeper with Convolutions", 2015.

    >>> import torch
    >>> with torch.device("meta"):  # counted without memory
    ...     sum(p.numel() for p in googlenet().parameters())
    6624904
    """
    parts: dict[str, nn.Module] = {
        "conv1": _conv(in_channels, 64, 7, batch_norm, stride=2),
        "maxpool1": Pool(REACHING),
    }
    if not batch_norm:
        parts["norm1"] = LocalResponseNorm(5)
    parts["conv2"] = _conv(64, 64, 1, batch_norm)
    parts["conv3"] = _conv(64, 192, 3, batch_norm)
    if not batch_norm:
        parts["norm2"] = LocalResponseNorm(5)
    parts["maxpool2"] = Pool(REACHING)
    before = 192
    for name, block in BLOCKS.items():
        if name == "inception4a":
            parts["maxpool3"] = Pool(REACHING)
        if name == "inception5a":
            parts["maxpool4"] = Pool(HALVING)
        parts[name] = _inception(before, block, batch_norm)
        before = block.channels
    return Sequential(parts | _head(before, classes, dropout))


def small_googlenet(
    classes: int = 10, *, in_channels: int = 3, channels: int = 32, dropout: float = 0.0
) -> Sequential:
    """GoogLeNet scaled down to 32 x 32 images: a convolution, then two inception blocks each at
    full, half and quarter size with batch norms. `[B, 1024, C]` to logits `[B, 1, classes]`.

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        channels: of the first convolution and of the first two blocks; a multiple of 8.
        dropout: probability of dropout before the linear layer.

    Raises:
        GeodlError: if the channels are no multiple of 8.

    >>> import torch, geodl as g
    >>> small_googlenet(channels=8)(g.Signal.image(torch.zeros(2, 3, 32, 32))).x.shape
    torch.Size([2, 1, 10])
    """
    asked = f"small_googlenet(channels={channels!r})"
    channels = positive(asked, channels)
    if channels % 8:
        raise GeodlError(asked, do="give a multiple of 8")
    parts: dict[str, nn.Module] = {"conv1": _conv(in_channels, channels, 3, True)}
    before = channels
    for stage in (1, 2, 4):
        # A quarter of the channels alone, half from the second branch, an eighth each from the
        # third and from pools, as in the paper's block 3a.
        eighth = stage * channels // 8
        block = Inception(2 * eighth, 3 * eighth, 4 * eighth, eighth, eighth, eighth)
        if stage > 1:
            parts[f"maxpool{stage}"] = Pool(window(2, stride=2))
        for letter in "ab":
            parts[f"inception{stage}{letter}"] = _inception(before, block, True)
            before = block.channels
    return Sequential(parts | _head(before, classes, dropout))


def _inception(before: int, block: Inception, batch_norm: bool) -> Concat:
    """A block: four branches on the same maps, their channels side by side."""
    wide = 3 if batch_norm else 5
    middle = [
        _conv(before, block.reduced, 1, batch_norm),
        _conv(block.reduced, block.middle, 3, batch_norm),
    ]
    widest = [
        _conv(before, block.reduced_more, 1, batch_norm),
        _conv(block.reduced_more, block.wide, wide, batch_norm),
    ]
    pooled = [Pool(window(3)), _conv(before, block.pooled, 1, batch_norm)]
    return Concat(
        {
            "branch1": _conv(before, block.alone, 1, batch_norm),
            "branch2": Sequential(*middle),
            "branch3": Sequential(*widest),
            "branch4": Sequential(*pooled),
        }
    )


def _conv(before: int, after: int, size: int, batch_norm: bool, stride: int = 1) -> Layer:
    """A convolution that keeps the image, or halves it, with its norm and its ReLU."""
    rule = window(size, axes=2, stride=stride)
    if not batch_norm:
        return Sequential({"conv": Conv(before, after, rule), "relu": nn.ReLU()})
    return Sequential(
        {
            "conv": Conv(before, after, rule, bias=False),
            "bn": BatchNorm(after, eps=0.001),
            "relu": nn.ReLU(),
        }
    )


def _head(channels: int, classes: int, dropout: float) -> dict[str, nn.Module]:
    return {
        "avgpool": Readout("mean"),
        "dropout": Dropout(dropout),
        "fc": scores(channels, classes),
    }
