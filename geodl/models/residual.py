"""ResNet: blocks around shortcuts, for large images and for those of CIFAR."""

import math
from typing import Literal

from torch import nn

from geodl.errors import GeodlError, nearest
from geodl.layer import (
    BatchNorm,
    Concat,
    Conv,
    Layer,
    Network,
    Pool,
    Readout,
    Residual,
    Sequential,
)
from geodl.models.image_heads import scores
from geodl.neighborhood import itself, window

Shortcuts = Literal["projection", "identity", "none"]
SHORTCUTS = ("projection", "identity", "none")
STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


def resnet(
    depth: int = 18,
    classes: int = 1000,
    *,
    in_channels: int = 3,
    channels: int = 64,
    shortcuts: Shortcuts = "projection",
) -> Sequential:
    """ResNet-18, -34 or -50 for 224 x 224 images: `[B, 50176, 3]` to logits `[B, 1, classes]`.
    11,689,512, 21,797,672 and 25,557,032 parameters.

    The blocks of ResNet-50 are bottlenecks: 1x1, 3x3, 1x1 windows; where a block halves the image
    its 3x3 window does, as in torchvision, whose state_dict has these names.

    Args:
        depth: 18, 34 or 50 layers with weights.
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        channels: of the first stage; the next have two, four and eight times as many.
        shortcuts: where a block changes the image's size or its channels: "projection", a 1x1
            convolution and batch norm (the paper's option B); "identity", every second pixel, with
            zeros for new channels (option A); "none", a plain network without any shortcut.

    Raises:
        GeodlError: if there is no network of that depth, or no such shortcut.

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016, table 1.

    >>> import torch
    >>> with torch.device("meta"):  # counted without memory
    ...     [sum(p.numel() for p in resnet(depth).parameters()) for depth in (18, 50)]
    [11689512, 25557032]
    """
    if depth not in tuple(STAGES):
        raise GeodlError(f"resnet({depth!r})", do="give 18, 34 or 50")
    stem: dict[str, nn.Module] = {
        "conv1": Conv(in_channels, channels, window(7, stride=2, padding=3), bias=False),
        "bn1": BatchNorm(channels),
        "relu": nn.ReLU(),
        "maxpool": Pool(window(3, stride=2, padding=1)),
    }
    widths = [channels * 2**k for k in range(4)]
    expansion = 4 if depth == 50 else 1
    return _residual(stem, channels, widths, STAGES[depth], expansion, classes, shortcuts)


def cifar_resnet(
    depth: int = 20,
    classes: int = 10,
    *,
    in_channels: int = 3,
    channels: int = 16,
    shortcuts: Shortcuts = "identity",
) -> Sequential:
    """The ResNets for CIFAR's 32 x 32 images, of 6n + 2 layers: `[B, 1024, C]` to logits
    `[B, 1, classes]`. ResNet-20, -32 and -44 have 269,722, 464,154 and 658,586 parameters.

    A 3x3 convolution, three stages of n blocks at full, half and quarter size, the mean over all
    pixels, a linear layer.

    Args:
        depth: layers with weights on the way without shortcuts, 6n + 2.
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        channels: of the first stage; the next have two and four times as many.
        shortcuts: as for :func:`resnet`; the paper's for CIFAR are "identity", and its plain
            networks are "none".

    Raises:
        GeodlError: if the depth is not 6n + 2, or there is no such shortcut.

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016, section 4.2.

    >>> sum(p.numel() for p in cifar_resnet(20).parameters())
    269722
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 8 or (depth - 2) % 6:
        raise GeodlError(f"cifar_resnet({depth!r})", do="give 8, 14, 20, 32, 44 or another 6n + 2")
    stem: dict[str, nn.Module] = {
        "conv1": Conv(in_channels, channels, window(3), bias=False),
        "bn1": BatchNorm(channels),
        "relu": nn.ReLU(),
    }
    widths = [channels, 2 * channels, 4 * channels]
    counts = ((depth - 2) // 6,) * 3
    return _residual(stem, channels, widths, counts, 1, classes, shortcuts)


def resnet8(classes: int = 10, *, in_channels: int = 3, channels: int = 16) -> Sequential:
    """ResNet-8: a 3x3 convolution, three residual blocks of two at full, half and quarter size,
    with once, twice and four times the channels, the mean over all pixels, a linear layer.
    `[B, 1024, in_channels]` to logits `[B, 1, classes]`. 78,042 parameters.

    `symmetrize(resnet8(), C(4))` is the same network over the quarter turns, exactly: images are
    halved by 2x2 means before both paths, because the positions of a 3x3 window with stride 2 on 32
    pixels are not symmetric about the centre.

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        channels: of the first block.

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2016), section 4.2,
    with n = 1 ("6n + 2" layers), and its projections as shortcuts.

    >>> import geodl as g
    >>> over_turns = g.symmetrize(resnet8(channels=4), g.C(4))
    >>> g.certify(over_turns, g.Grid(8, 8)).exact
    True
    """
    layers: list[nn.Module] = [Conv(in_channels, channels, window(3), bias=False)]
    layers += [BatchNorm(channels), nn.ReLU()]
    before = channels
    for width in (channels, 2 * channels, 4 * channels):
        if width != before:
            layers.append(Pool(window(2, stride=2), "mean"))
        layers += [_pooled_block(before, width), nn.ReLU()]
        before = width
    return Sequential(*layers, Readout("mean"), scores(before, classes))


def _residual(
    stem: dict[str, nn.Module],
    before: int,
    widths: list[int],
    counts: tuple[int, ...],
    expansion: int,
    classes: int,
    shortcuts: Shortcuts,
) -> Sequential:
    """The stem, the stages, the mean over all pixels and a linear layer."""
    if shortcuts not in SHORTCUTS:
        raise GeodlError(
            f"a ResNet with shortcuts={shortcuts!r}", do=nearest(str(shortcuts), SHORTCUTS)
        )
    parts = dict(stem)
    for number, (width, count) in enumerate(zip(widths, counts, strict=True), 1):
        blocks: list[nn.Module] = []
        for k in range(count):
            # All stages but the first begin with a step to half the size.
            stride = 2 if number > 1 and k == 0 else 1
            blocks.append(_block(before, width, stride, expansion, shortcuts))
            before = width * expansion
        parts[f"layer{number}"] = Sequential(*blocks)
    parts["avgpool"] = Readout("mean")
    parts["fc"] = scores(before, classes)
    return Sequential(parts)


def _block(before: int, width: int, stride: int, expansion: int, shortcuts: Shortcuts) -> Network:
    """Convolutions with batch norms, added to the signal itself or to what a shortcut makes of it,
    and ReLU behind the sum.
    """
    after = width * expansion
    sizes: tuple[tuple[int, int, int], ...] = ((3, stride, width), (3, 1, width))
    if expansion > 1:
        sizes = ((1, 1, width), (3, stride, width), (1, 1, after))
    nodes: dict[str, tuple[nn.Module | str, ...]] = {}
    last, channels = "x", before
    for number, (size, step, wide) in enumerate(sizes, 1):
        rule = window(size, axes=2, stride=step)
        nodes[f"conv{number}"] = (Conv(channels, wide, rule, bias=False), last)
        nodes[f"bn{number}"] = (BatchNorm(wide), f"conv{number}")
        last, channels = f"bn{number}", wide
        if number < len(sizes):
            nodes[f"relu{number}"] = (nn.ReLU(), last)
            last = f"relu{number}"
    if shortcuts != "none":
        kept = "x"
        if stride > 1 or before != after:
            kept = "downsample"
            nodes[kept] = (_shortcut(before, after, stride, shortcuts), "x")
        nodes["sum"] = ("add", last, kept)
        last = "sum"
    nodes["relu"] = (nn.ReLU(), last)
    return Network("x", nodes)


def _shortcut(before: int, after: int, stride: int, shortcuts: Shortcuts) -> Layer:
    """What takes a signal to another size or to more channels beside a block."""
    step = window(1, axes=2, stride=stride)
    if shortcuts == "projection":
        return Sequential(Conv(before, after, step, bias=False), BatchNorm(after))
    # A pool over one pixel is every second pixel; new channels are zeros, what no number exceeds.
    zeros = nn.Threshold(math.inf, 0.0)
    copies = after // before - 1
    return Sequential(Pool(step), Concat(nn.Identity(), *(zeros,) * copies))


def _pooled_block(before: int, width: int) -> Residual:
    """Two convolutions beside the signal itself, or beside its projection to `width` channels."""
    shortcut = None
    if width != before:
        projection = Conv(before, width, itself(), bias=False)
        shortcut = Sequential(projection, BatchNorm(width))
    return Residual(
        Conv(before, width, window(3), bias=False),
        BatchNorm(width),
        nn.ReLU(),
        Conv(width, width, window(3), bias=False),
        BatchNorm(width),
        shortcut=shortcut,
    )
