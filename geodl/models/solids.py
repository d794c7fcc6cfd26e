"""Networks for solids in a box of voxels."""

from collections.abc import Sequence

from torch import nn

from geodl.group import Group, O
from geodl.layer import BatchNorm, Conv, Pool, Readout, Sequential
from geodl.neighborhood import Neighborhood, fiber, lift, window


def voxel_cnn(classes: int = 8, *, channels: int = 20) -> Sequential:
    """A planar network in three dimensions: four 3x3x3 convolutions without padding, 2x2x2 maxima
    after the first, batch norm and ReLU after each, the maximum over all voxels, a linear layer.
    `[B, 4096, 1]` to logits `[B, 1, classes]`.

    Args:
        classes: channels of the single node at the end.
        channels: of each layer.

    >>> import torch, geodl as g
    >>> voxel_cnn(channels=2)(g.Signal.image(torch.zeros(2, 1, 16, 16, 16))).shape
    torch.Size([2, 1, 8])
    """
    inner = window(3, axes=3, padding="valid")
    return _stack([inner] * 4, channels, classes)


def octahedral_cnn(classes: int = 8, *, channels: int = 4) -> Sequential:
    """The network of :func:`voxel_cnn` over the 24 rotations of the cube. `[B, 4096, 1]` to logits
    `[B, 1, classes]`.

    Exactly invariant under them. 4 channels for each rotation have as many parameters as 20 of the
    planar network, `4 * sqrt(24)`.

    Args:
        classes: channels of the single node at the end.
        channels: of each layer, for each of the 24 rotations.

    Source: Cohen and Welling, "Group Equivariant Convolutional Networks" (2016), in three
    dimensions; Winkels and Cohen, "3D G-CNNs for Pulmonary Nodule Detection" (2018).

    >>> import torch, geodl as g
    >>> octahedral_cnn(channels=1)(g.Signal.image(torch.zeros(2, 1, 16, 16, 16))).shape
    torch.Size([2, 1, 8])
    """
    first, inner = lift(3, group=O(), padding="valid"), window(3, group=O(), padding="valid")
    return _stack([first] + [inner] * 3, channels, classes, group=O())


def _stack(
    rules: Sequence[Neighborhood], channels: int, classes: int, *, group: Group | None = None
) -> Sequential:
    """A convolution, batch norm and ReLU for each rule, and a linear layer on the maxima."""
    layers: list[nn.Module] = []
    before = 1
    for k, rule in enumerate(rules):
        layers += [Conv(before, channels, rule), BatchNorm(channels), nn.ReLU()]
        if k == 0:
            layers.append(Pool(window(2, axes=3, stride=2)))
        before = channels
    if group is not None:
        layers.append(Pool(fiber()))
    return Sequential(*layers, Readout("max"), nn.Linear(channels, classes))
