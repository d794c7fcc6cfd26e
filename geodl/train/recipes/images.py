"""Recipes on images."""

from collections.abc import Callable
from dataclasses import replace

import torch

from geodl import models
from geodl.data import digits, mnist, rotated_mnist
from geodl.signal import Signal
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import image_parts
from geodl.train.recipe import Recipe
from geodl.train.text_parts import caption_parts


def _blank(size: int) -> Callable[[], tuple[Signal, ...]]:
    """Makes one empty image of a size."""
    return lambda: (Signal.image(torch.zeros(1, 1, size, size)),)


def _caption_of_a_blank() -> tuple[Signal, Signal]:
    letters = torch.zeros(1, 6, dtype=torch.long)
    return Signal.tokens(letters), Signal.image(torch.zeros(1, 1, 28, 28))


ROTATED = (
    "12,000 images to learn from (train and validation), 50,000 to test; no augmentation; "
    "weights of the last epoch, nothing selected on the test images"
)
MNIST = (
    "50,000 images to learn from, 10,000 to validate, 10,000 to test; no augmentation; "
    "weights of the last epoch, nothing selected on the test images"
)

P4CNN = Recipe(
    name="rotated-mnist-p4cnn",
    summary="the P4CNN of Cohen and Welling on rotated MNIST",
    task="images",
    parts=lambda: image_parts(rotated_mnist(), merge=True),
    protocol=ROTATED,
    paper="2.28 % error on the official rotated MNIST (Cohen and Welling 2016, table 1)",
    reached="2.15 ± 0.04 % error",
    minutes=5,
    model=models.p4cnn,
    sizes={"classes": 10},
    sample=_blank(28),
    optimizer=Optimizer(lr=1e-2, schedule="one-cycle"),
    trainer=TrainerOptions(20),
    batch_size=128,
)

IMAGES = (
    P4CNN,
    replace(
        P4CNN,
        name="rotated-mnist-z2cnn",
        summary="the planar baseline of Cohen and Welling on rotated MNIST",
        paper="5.03 % error on the official rotated MNIST (Cohen and Welling 2016, table 1)",
        reached="5.63 ± 0.03 % error",
        minutes=8,
        model=models.z2cnn,
        optimizer=Optimizer(lr=None, schedule="one-cycle"),
        trainer=TrainerOptions(50),
        search=(1e-3, 3e-3, 1e-2),
        search_parts=lambda: image_parts(rotated_mnist()),
    ),
    Recipe(
        name="digits-p4cnn",
        summary="a small P4CNN on the embedded 8x8 digits, learnt upright, tested turned",
        task="images",
        parts=lambda: image_parts(digits(), turned=True),
        protocol="997 upright images to learn from, 300 to validate, 500 to test upright and "
        "turned by 90, 180 and 270 degrees; weights of the last epoch, nothing selected on the "
        "test images",
        reached="97.73 ± 0.23 % accuracy, upright and turned",
        minutes=0.1,
        model=models.digits_p4cnn,
        sizes={"classes": 10},
        sample=_blank(8),
        optimizer=Optimizer(lr=1e-2, schedule="one-cycle"),
        trainer=TrainerOptions(20),
        batch_size=64,
    ),
    Recipe(
        name="mnist-vit",
        summary="a small vision Transformer on MNIST",
        task="images",
        parts=lambda: image_parts(mnist()),
        protocol=MNIST,
        reached="98.24 % accuracy",
        minutes=4,
        model=models.vit,
        sizes={"classes": 10, "size": 28, "in_channels": 1},
        sample=_blank(28),
        optimizer=Optimizer(lr=2e-3, schedule="one-cycle"),
        trainer=TrainerOptions(10),
        batch_size=128,
    ),
    Recipe(
        name="digit-name",
        summary="a GRU that spells the names of MNIST digits, letter by letter (1 to n)",
        task="captions",
        parts=lambda: caption_parts(mnist()),
        protocol=f"{MNIST}; exact: the whole name is right, the most likely letter taken each time",
        reached="97.83 ± 0.22 % of the names",
        minutes=1,
        model=models.captioner,
        sizes={"symbols": 18, "in_channels": 1},
        settings={"channels": 16, "hidden": 64},
        sample=_caption_of_a_blank,
        optimizer=Optimizer(lr=3e-3, schedule="one-cycle"),
        trainer=TrainerOptions(3),
        batch_size=128,
    ),
)
