"""The networks for rotated digits of Cohen and Welling, "Group Equivariant Convolutional Networks"
(2016).
"""

from collections.abc import Sequence

from torch import nn

from geodl.group import C
from geodl.layer import BatchNorm, Conv, Dropout, Pool, Sequential
from geodl.neighborhood import Neighborhood, fiber, lift, window


def z2cnn(classes: int = 10, *, channels: int = 20, dropout: float = 0.3) -> Sequential:
    """The planar baseline for 28 x 28 images: six 3x3 convolutions and one of 4x4, nothing padded.

    Batch norm and ReLU after each but the last, 2x2 max pooling after the second, dropout after the
    others, as in the authors' code.

    Args:
        classes: channels of the single node at the end.
        channels: channels of each layer.
        dropout: after the layers but the second and the last.
    """
    inner, last = window(3, padding="valid"), window(4, padding="valid")
    return _stack([inner] * 6 + [last], channels, classes, pool_after=2, dropout=dropout)


def p4cnn(classes: int = 10, *, channels: int = 10) -> Sequential:
    """The same network over the rotations by 90 degrees, with half the channels and the maximum
    over the group at the end.

    Exactly invariant under those rotations: `certify(p4cnn(), Grid(28, 28))` proves it.

    Args:
        classes: channels of the single node at the end.
        channels: channels of each layer, over each of the four rotations.
    """
    group = C(4)
    first, inner = lift(3, group=group, padding="valid"), window(3, group=group, padding="valid")
    last = window(4, group=group, padding="valid")
    return Sequential(
        *_stack([first] + [inner] * 5 + [last], channels, classes, pool_after=2), Pool(fiber())
    )


def digits_cnn(classes: int = 10, *, channels: int = 20) -> Sequential:
    """The planar network scaled down to 8 x 8 images: two 3x3 convolutions and one of 4x4."""
    inner, last = window(3, padding="valid"), window(4, padding="valid")
    return _stack([inner, inner, last], channels, classes)


def digits_p4cnn(classes: int = 10, *, channels: int = 10) -> Sequential:
    """The p4 network scaled down to 8 x 8 images: two 3x3 convolutions and one of 4x4."""
    group = C(4)
    first, inner = lift(3, group=group, padding="valid"), window(3, group=group, padding="valid")
    last = window(4, group=group, padding="valid")
    return Sequential(*_stack([first, inner, last], channels, classes), Pool(fiber()))


def _stack(
    rules: Sequence[Neighborhood],
    channels: int,
    classes: int,
    *,
    pool_after: int = 0,
    dropout: float = 0.0,
) -> Sequential:
    layers: list[nn.Module] = []
    for k, rule in enumerate(rules[:-1], start=1):
        layers += [Conv(1 if k == 1 else channels, channels, rule), BatchNorm(channels), nn.ReLU()]
        if k == pool_after:
            layers += [Pool(window(2, stride=2))]
        elif dropout:
            layers += [Dropout(dropout)]
    return Sequential(*layers, Conv(channels, classes, rules[-1]))
