"""Digits of toy scenes: bars and squares, so that a box is known without an eye."""

import torch

import geodl as g
from geodl.data import ImageData, Split


def shapes():
    """A full square, an upright bar and a lying one, in images of 28 x 28: classes 0, 1, 2."""
    images = torch.zeros(3, 1, 28, 28)
    images[0, 0, 4:24, 4:24] = 1.0
    images[1, 0, 4:24, 10:18] = 1.0
    images[2, 0, 10:18, 4:24] = 1.0
    return Split(images, torch.arange(3))


def data():
    return ImageData("toy", shapes(), shapes(), shapes(), 3)


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(count=200, seed=0, **options):
    return g.data.scenes(shapes(), count, generator=chance(seed), **options)
