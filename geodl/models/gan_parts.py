"""Parts of GANs: layers from noise to images, and from images to features."""

from typing import Any

from torch import nn

from geodl.errors import GeodlError, positive
from geodl.layer import BatchNorm, Conv, Sequential
from geodl.neighborhood import Neighborhood, window

HALVE = window(4, axes=2, stride=2, padding=1)
DOUBLE = HALVE.reverse()
SLOPE = 0.2  # of leaky ReLUs below zero (Radford et al. 2016)


def generator_layers(read: int, channels: int, in_channels: int, quarter: int) -> Sequential:
    """Layers from one node to an image with values in [-1, 1]: a transposed convolution to a
    quarter of the image's size, and two that double the size.
    """
    return Sequential(
        Conv(read, 2 * channels, whole_map(quarter).reverse(), bias=False),
        BatchNorm(2 * channels),
        nn.ReLU(),
        Conv(2 * channels, channels, DOUBLE, bias=False),
        BatchNorm(channels),
        nn.ReLU(),
        Conv(channels, in_channels, DOUBLE),
        nn.Tanh(),
    )


def features(in_channels: int, channels: int, *, norm: bool = True) -> Sequential:
    """Layers from an image to feature maps of a quarter of its size. The first layer has no batch
    norm (Radford et al. 2016).
    """
    layers: list[nn.Module] = [Conv(in_channels, channels, HALVE), nn.LeakyReLU(SLOPE)]
    layers.append(Conv(channels, 2 * channels, HALVE, bias=not norm))
    if norm:
        layers.append(BatchNorm(2 * channels))
    layers.append(nn.LeakyReLU(SLOPE))
    return Sequential(*layers)


def hidden_layer(channels: int, hidden: int, quarter: int, *, norm: bool = True) -> Sequential:
    """A fully connected layer: from feature maps of a quarter of the image's size to one node."""
    layers: list[nn.Module] = [Conv(channels, hidden, whole_map(quarter), bias=not norm)]
    if norm:
        layers.append(BatchNorm(hidden))
    layers.append(nn.LeakyReLU(SLOPE))
    return Sequential(*layers)


def whole_map(size: int) -> Neighborhood:
    """A window as large as a feature map: one receiver for all of its nodes."""
    return window(size, axes=2, padding="valid")


def quarter_size(size: Any) -> int:
    """A quarter of the side of an image: the smallest feature maps have this size.

    Raises:
        GeodlError: if the size is no multiple of 4.
    """
    size = positive(f"a GAN of images of size={size!r}", size)
    if size % 4:
        raise GeodlError(f"a GAN of images of size={size}", do="give a multiple of 4")
    return size // 4
