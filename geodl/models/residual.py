"""A small ResNet for 32 x 32 images."""

from torch import nn

from geodl.layer import BatchNorm, Conv, Pool, Readout, Residual, Sequential
from geodl.neighborhood import itself, window


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
        layers += [_block(before, width), nn.ReLU()]
        before = width
    return Sequential(*layers, Readout("mean"), nn.Linear(before, classes))


def _block(before: int, width: int) -> Residual:
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
