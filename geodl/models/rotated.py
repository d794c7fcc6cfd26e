"""The networks for rotated digits of Cohen and Welling, "Group Equivariant Convolutional Networks"
(2016).
"""

from collections.abc import Sequence

from torch import nn

from geodl.group import C
from geodl.layer import BatchNorm, Conv, Dropout, Pool, Sequential
from geodl.neighborhood import Neighborhood, fiber, lift, window


def z2cnn(classes: int = 10, *, channels: int = 20, dropout: float = 0.3) -> Sequential:
    """The planar baseline for 28 x 28 images: six 3x3 convolutions and one of 4x4, without padding.
    `[B, 784, 1]` to logits `[B, 1, classes]`.

    Batch norm and ReLU follow each convolution but the last, 2x2 max pooling the second, dropout
    the others, as in the authors' code. 21,750 parameters.

    Args:
        classes: channels of the single node at the end.
        channels: channels of each hidden layer.
        dropout: probability of dropout after each layer but the second and the last.

    >>> import torch, geodl as g
    >>> z2cnn()(g.Signal.image(torch.zeros(2, 1, 28, 28))).x.shape
    torch.Size([2, 1, 10])
    """
    inner, last = window(3, padding="valid"), window(4, padding="valid")
    return _stack([inner] * 6 + [last], channels, classes, pool_after=2, dropout=dropout)


def p4cnn(classes: int = 10, *, channels: int = 10) -> Sequential:
    """The network of :func:`z2cnn` over the rotations by 90 degrees, with half the channels, no
    dropout, and the maximum over the group at the end. `[B, 784, 1]` to logits `[B, 1, classes]`.

    Exactly invariant under those rotations: `certify(p4cnn(), Grid(28, 28))` proves it. 24,680
    parameters.

    Args:
        classes: channels of the single node at the end.
        channels: channels of each hidden layer, for each of the four rotations.

    >>> import geodl as g
    >>> g.certify(p4cnn(), g.Grid(28, 28)).exact
    True
    """
    group = C(4)
    first, inner = lift(3, group=group, padding="valid"), window(3, group=group, padding="valid")
    last = window(4, group=group, padding="valid")
    planes = _stack([first] + [inner] * 5 + [last], channels, classes, pool_after=2)
    return Sequential(*planes, Pool(fiber()))


def digits_cnn(classes: int = 10, *, channels: int = 20) -> Sequential:
    """The planar network scaled down to 8 x 8 images: two 3x3 convolutions and one of 4x4.
    `[B, 64, 1]` to logits `[B, 1, classes]`.

    Args:
        classes: channels of the single node at the end.
        channels: channels of each hidden layer.

    >>> import torch, geodl as g
    >>> digits_cnn()(g.Signal.image(torch.zeros(2, 1, 8, 8))).x.shape
    torch.Size([2, 1, 10])
    """
    inner, last = window(3, padding="valid"), window(4, padding="valid")
    return _stack([inner, inner, last], channels, classes)


def digits_p4cnn(classes: int = 10, *, channels: int = 10) -> Sequential:
    """The p4 network scaled down to 8 x 8 images: two 3x3 convolutions and one of 4x4. `[B, 64, 1]`
    to logits `[B, 1, classes]`, exactly invariant under rotations by 90 degrees.

    Args:
        classes: channels of the single node at the end.
        channels: channels of each hidden layer, for each of the four rotations.

    >>> import geodl as g
    >>> g.certify(digits_p4cnn(), g.Grid(8, 8)).exact
    True
    """
    group = C(4)
    first, inner = lift(3, group=group, padding="valid"), window(3, group=group, padding="valid")
    last = window(4, group=group, padding="valid")
    planes = _stack([first, inner, last], channels, classes)
    return Sequential(*planes, Pool(fiber()))


def _stack(
    rules: Sequence[Neighborhood],
    channels: int,
    classes: int,
    *,
    pool_after: int = 0,
    dropout: float = 0.0,
) -> Sequential:
    """A convolution for each rule, batch norm and ReLU after each but the last; 2x2 max pooling
    after layer `pool_after`, counted from 1, and dropout after the others.
    """
    layers: list[nn.Module] = []
    before = 1
    for k, rule in enumerate(rules[:-1], start=1):
        layers += [Conv(before, channels, rule), BatchNorm(channels), nn.ReLU()]
        if k == pool_after:
            layers.append(Pool(window(2, stride=2)))
        elif dropout:
            layers.append(Dropout(dropout))
        before = channels
    return Sequential(*layers, Conv(channels, classes, rules[-1]))
