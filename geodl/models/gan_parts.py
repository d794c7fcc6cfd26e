"""What the adversarial networks are made of: noise becomes an image, an image becomes features."""

from typing import Any

from torch import nn

from geodl.errors import GeodlError, positive
from geodl.layer import BatchNorm, Conv, Sequential
from geodl.neighborhood import Neighborhood, window

HALVE = window(4, axes=2, stride=2, padding=1)
DOUBLE = HALVE.reverse()
SLOPE = 0.2  # of a leaky ReLU below zero, as in all of these papers


def painter(read: int, channels: int, in_channels: int, quarter: int) -> Sequential:
    """From one node to an image in [-1, 1]: a quarter of its size, half of it, all of it."""
    return Sequential(
        Conv(read, 2 * channels, all_of(quarter).reverse(), bias=False),
        BatchNorm(2 * channels),
        nn.ReLU(),
        Conv(2 * channels, channels, DOUBLE, bias=False),
        BatchNorm(channels),
        nn.ReLU(),
        Conv(channels, in_channels, DOUBLE),
        nn.Tanh(),
    )


def features(in_channels: int, channels: int, *, norm: bool = True) -> Sequential:
    """From an image to the maps of a quarter of its size. The first layer has no norm: what it
    reads is as it was drawn (Radford et al. 2016).
    """
    layers: list[nn.Module] = [Conv(in_channels, channels, HALVE), nn.LeakyReLU(SLOPE)]
    layers.append(Conv(channels, 2 * channels, HALVE, bias=not norm))
    if norm:
        layers.append(BatchNorm(2 * channels))
    layers.append(nn.LeakyReLU(SLOPE))
    return Sequential(*layers)


def hidden_layer(channels: int, hidden: int, quarter: int, *, norm: bool = True) -> Sequential:
    """From all of those maps to the channels of one node."""
    layers: list[nn.Module] = [Conv(channels, hidden, all_of(quarter), bias=not norm)]
    if norm:
        layers.append(BatchNorm(hidden))
    layers.append(nn.LeakyReLU(SLOPE))
    return Sequential(*layers)


def all_of(size: int) -> Neighborhood:
    """The window as large as a map: all of it becomes one node."""
    return window(size, axes=2, padding="valid")


def quarter_of(size: Any) -> int:
    """A fourth of the side of an image: where painting begins and seeing ends.

    Raises:
        GeodlError: if the size is no multiple of 4.
    """
    size = positive(f"a GAN of images of size={size!r}", size)
    if size % 4:
        raise GeodlError(f"a GAN of images of size={size}", do="give a multiple of 4")
    return size // 4
