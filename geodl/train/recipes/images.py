"""Recipes on images."""

from collections.abc import Callable

import torch
from torch import nn

from geodl import models
from geodl.data import digits, mnist, rotated_mnist
from geodl.signal import Signal
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import image_parts
from geodl.train.recipe import Recipe
from geodl.train.text_parts import caption_parts


def p4cnn(*, channels: int = 10) -> nn.Module:
    """The p4 network of Cohen and Welling.

    Args:
        channels: channels of each layer, over each of the four rotations.
    """
    return models.p4cnn(channels=channels)


def z2cnn(*, channels: int = 20, dropout: float = 0.3) -> nn.Module:
    """The planar network of Cohen and Welling.

    Args:
        channels: channels of each layer.
        dropout: after the layers but the second, where the pooling is, and the last.
    """
    return models.z2cnn(channels=channels, dropout=dropout)


def digits_p4cnn(*, channels: int = 10) -> nn.Module:
    """The p4 network scaled down to 8x8 images.

    Args:
        channels: channels of each layer, over each of the four rotations.
    """
    return models.digits_p4cnn(channels=channels)


def vit(
    *, channels: int = 64, heads: int = 4, depth: int = 4, patch: int = 7, dropout: float = 0.0
) -> nn.Module:
    """A vision Transformer: patches are a strided window, and each of them hears all.

    Args:
        channels: channels of each patch.
        heads: heads of each attention.
        depth: blocks.
        patch: pixels on the side of a patch, a divisor of 28.
        dropout: after attention and inside the feed-forward layers.
    """
    return models.vit(
        10, size=28, patch=patch, channels=channels, heads=heads, depth=depth, dropout=dropout
    )


def captioner(*, channels: int = 16, hidden: int = 64) -> nn.Module:
    """Convolutions see the image, a GRU that begins with what they saw spells its name.

    Args:
        channels: channels of the convolutions.
        hidden: channels of the GRU.
    """
    return models.captioner(18, channels=channels, hidden=hidden)


def _blank(size: int) -> Callable[[], tuple[Signal, ...]]:
    return lambda: (Signal.image(torch.zeros(1, 1, size, size)),)


ROTATED = (
    "12,000 images to learn from (train and validation), 50,000 to test; no augmentation; "
    "weights of the last epoch, nothing selected on the test images"
)
MNIST = (
    "50,000 images to learn from, 10,000 to validate, 10,000 to test; no augmentation; "
    "weights of the last epoch, nothing selected on the test images"
)

IMAGES = (
    Recipe(
        "rotated-mnist-p4cnn",
        "the P4CNN of Cohen and Welling on rotated MNIST",
        "images",
        lambda: image_parts(rotated_mnist(), merge=True),
        ROTATED,
        "2.28 % error on the official rotated MNIST (Cohen and Welling 2016, table 1)",
        p4cnn,
        _blank(28),
        Optimizer(lr=1e-2, schedule="one-cycle"),
        TrainerOptions(20),
        batch_size=128,
    ),
    Recipe(
        "rotated-mnist-z2cnn",
        "the planar baseline of Cohen and Welling on rotated MNIST",
        "images",
        lambda: image_parts(rotated_mnist(), merge=True),
        ROTATED,
        "5.03 % error on the official rotated MNIST (Cohen and Welling 2016, table 1)",
        z2cnn,
        _blank(28),
        Optimizer(lr=None, schedule="one-cycle"),
        TrainerOptions(50),
        batch_size=128,
        search=(1e-3, 3e-3, 1e-2),
        search_parts=lambda: image_parts(rotated_mnist()),
    ),
    Recipe(
        "digits-p4cnn",
        "a small P4CNN on the embedded 8x8 digits, learnt upright, tested turned",
        "images",
        lambda: image_parts(digits(), turned=True),
        "997 upright images to learn from, 300 to validate, 500 to test "
        "upright and turned by 90, 180 and 270 degrees; "
        "weights of the last epoch, nothing selected on the test images",
        "no published number under this protocol",
        digits_p4cnn,
        _blank(8),
        Optimizer(lr=1e-2, schedule="one-cycle"),
        TrainerOptions(20),
        batch_size=64,
    ),
    Recipe(
        "mnist-vit",
        "a small vision Transformer on MNIST",
        "images",
        lambda: image_parts(mnist()),
        MNIST,
        "no published number under this protocol",
        vit,
        _blank(28),
        Optimizer(lr=2e-3, schedule="one-cycle"),
        TrainerOptions(10),
        batch_size=128,
    ),
    Recipe(
        "digit-name",
        "an MNIST digit spelled out in letters (1 to n)",
        "captions",
        lambda: caption_parts(mnist()),
        f"{MNIST}; exact: the whole name is right, the most likely letter taken each time",
        "no published number under this protocol",
        captioner,
        lambda: (Signal.tokens(torch.zeros(1, 6, dtype=torch.long)), *_blank(28)()),
        Optimizer(lr=3e-3, schedule="one-cycle"),
        TrainerOptions(3),
        batch_size=128,
    ),
)
