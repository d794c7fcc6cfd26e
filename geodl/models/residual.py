"""A small ResNet for 32 x 32 images, planar or over a group."""

import math

from torch import nn

from geodl.group import Group
from geodl.layer import BatchNorm, Conv, Pool, Readout, Residual, Sequential
from geodl.neighborhood import Neighborhood, fiber, itself, lift, window


def resnet8(
    classes: int = 10,
    *,
    in_channels: int = 3,
    channels: int = 16,
    group: Group | None = None,
) -> Sequential:
    """ResNet-8: a 3x3 convolution, three residual blocks of two at full, half and quarter size,
    with once, twice and four times the channels, the mean over all pixels, a linear layer.
    `[B, 1024, in_channels]` to logits `[B, 1, classes]`.

    With a group the same network over the group: the first layer lifts, the mean at the end goes
    over the group too. Where an image is halved, 2x2 means go before both paths: a 3x3 window with
    stride 2 does not see 32 pixels alike from both sides, so that with it quarter turns would be
    approximate. Certified exact under C(4) and D(4).

    Args:
        classes: channels of the single node at the end.
        in_channels: channels of the images.
        channels: of the first block of the planar network. Over a group each width is divided by
            sqrt(|G|), for each element of the group, so that there are as many parameters: 8, 16,
            32 over C(4), 6, 11, 23 over D(4).
        group: C(n) or D(n); None for the planar network.

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2016), section 4.2,
    with n = 1 and three stages ("6n + 2" layers), and its projections as shortcuts.

    >>> import geodl as g
    >>> model = resnet8(channels=4, group=g.C(4))
    >>> g.certify(model, g.Grid(8, 8)).exact
    True
    """
    first: Neighborhood = window(3)
    inner: Neighborhood = window(3)
    widths = [channels, 2 * channels, 4 * channels]
    if group is not None:
        first, inner = lift(3, group=group), window(3, group=group)
        # A layer has |G| C^2 weights for each offset where the planar one has C^2.
        widths = [round(width / math.sqrt(group.order)) for width in widths]
    before = widths[0]
    layers = [Conv(in_channels, before, first, bias=False), BatchNorm(before), nn.ReLU()]
    for width in widths:
        if width != before:
            layers.append(Pool(window(2, stride=2), "mean"))
        layers += [_block(before, width, inner, group), nn.ReLU()]
        before = width
    if group is not None:
        layers.append(Pool(fiber(), "mean"))
    return Sequential(*layers, Readout("mean"), nn.Linear(before, classes))


def _block(before: int, width: int, rule: Neighborhood, group: Group | None) -> Residual:
    """Two convolutions beside the signal itself, or beside its projection to `width` channels."""
    shortcut = None
    if width != before:
        to_width: Neighborhood = itself()
        if group is not None:
            to_width = window(1, group=group)
        shortcut = Sequential(Conv(before, width, to_width, bias=False), BatchNorm(width))
    return Residual(
        Conv(before, width, rule, bias=False),
        BatchNorm(width),
        nn.ReLU(),
        Conv(width, width, rule, bias=False),
        BatchNorm(width),
        shortcut=shortcut,
    )
