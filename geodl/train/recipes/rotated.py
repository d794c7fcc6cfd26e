"""Recipes on rotated images and solids: planar networks beside those over a group, without and with
augmentation.
"""

from dataclasses import replace

from geodl import models
from geodl.data import Augmentation, Rotations, digits, rotated_mnist, solid_voxels
from geodl.group import C
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import Parts, image_parts
from geodl.train.recipe import NO_PAPER, NOT_YET, Recipe
from geodl.train.recipes.blank import blank
from geodl.train.recipes.protocols import LAST_EPOCH

SEEN = "12,000 images to learn from (train and validation), 50,000 to test"
PROTOCOL = f"{SEEN}; no augmentation; {LAST_EPOCH}"
TURNS = Rotations()


def _digits(augmentation: Augmentation | None = None) -> Parts:
    return image_parts(rotated_mnist(), merge=True, augmentation=augmentation)


def _small_digits(augmentation: Augmentation | None = None) -> Parts:
    return image_parts(digits(), turned=True, augmentation=augmentation)


P4CNN = Recipe(
    name="rotated-mnist-p4cnn",
    summary="the P4CNN of Cohen and Welling on rotated MNIST",
    task="images",
    parts=_digits,
    protocol=PROTOCOL,
    paper="2.28 % error on the official rotated MNIST (Cohen and Welling 2016, table 1)",
    reached="2.15 ± 0.04 % error",
    minutes=5,
    model=models.p4cnn,
    sizes={"classes": 10},
    sample=blank(28, 28),
    optimizer=Optimizer(lr=1e-2, schedule="one-cycle"),
    trainer=TrainerOptions(20),
    batch_size=128,
)
Z2CNN = replace(
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
)
P4MCNN = replace(
    P4CNN,
    name="rotated-mnist-p4mcnn",
    summary="the P4CNN's shape with mirrors, over D(4), on rotated MNIST",
    paper=NO_PAPER,
    reached="3.73 % error",
    minutes=8,
    model=models.p4mcnn,
    trainer=TrainerOptions(12),
)
SFCNN = replace(
    P4CNN,
    name="rotated-mnist-sfcnn-c4",
    summary="a small network of the SFCNN's shape over C(4) on rotated MNIST",
    paper="0.714 % error on the official rotated MNIST, of the whole SFCNN over C(16), with "
    "augmentation (Weiler, Hamprecht, Storath 2018, table 1)",
    reached=NOT_YET,
    minutes=8,
    model=models.sfcnn,
    sizes={
        "classes": 10,
        "group": C(4),
        "channels": (12, 24, 24, 32, 48),
        "sizes": (5, 3, 3, 3, 3),
        "halved_after": (1, 3),
    },
    trainer=TrainerOptions(14),
)
C8 = replace(
    SFCNN,
    name="rotated-mnist-c8",
    summary="a small network of the SFCNN's shape over C(8), of harmonics, on rotated MNIST",
    reached="1.38 % error",
    minutes=12,
    sizes={
        "classes": 10,
        "group": C(8),
        "channels": (8, 12, 16, 24),
        "sizes": (9, 5, 5, 5),
        "halved_after": (1, 2),
    },
    settings={"dropout": 0.1},  # of so few channels more is too much: the training loss stays high
    trainer=TrainerOptions(24),
)
SFCNN16 = replace(
    SFCNN,
    name="rotated-mnist-sfcnn",
    summary="the SFCNN over C(16), for a GPU, on rotated MNIST",
    minutes=1500,
    sizes={
        "classes": 10,
        "group": C(16),
        "channels": (24, 32, 36, 36, 64, 96),
        "sizes": (9, 7, 7, 7, 7, 5),
        "halved_after": (2, 4),
    },
    optimizer=Optimizer(lr=3e-3, schedule="one-cycle"),
    trainer=TrainerOptions(20, precision="bf16-mixed"),
    batch_size=64,
)
DIGITS = Recipe(
    name="digits-p4cnn",
    summary="a small P4CNN on the embedded 8x8 digits, learnt upright, tested turned",
    task="images",
    parts=_small_digits,
    protocol="997 upright images to learn from, 300 to validate, 500 to test upright and "
    f"turned by 90, 180 and 270 degrees; {LAST_EPOCH}",
    reached="97.73 ± 0.23 % accuracy, upright and turned",
    minutes=0.1,
    model=models.digits_p4cnn,
    sizes={"classes": 10},
    sample=blank(8, 8),
    optimizer=Optimizer(lr=1e-2, schedule="one-cycle"),
    trainer=TrainerOptions(20),
    batch_size=64,
)
SOLIDS = Recipe(
    name="solids-octahedral",
    summary="a network over the 24 rotations of the cube on voxels of generated solids",
    task="images",
    parts=lambda: image_parts(solid_voxels()),
    protocol="800 solids of 16 x 16 x 16 voxels to learn from, 200 to validate, 400 to test, as "
    "many of each of eight kinds, stretched, turned in any direction and off by noise; weights of "
    "the last epoch, nothing selected on the test solids",
    reached="99.50 % accuracy",
    minutes=2,
    model=models.octahedral_cnn,
    sizes={"classes": 8},
    sample=blank(16, 16, 16),
    optimizer=Optimizer(lr=1e-2, schedule="one-cycle"),
    trainer=TrainerOptions(12),
    batch_size=32,
)


def _turned(recipe: Recipe, reached: str = NOT_YET, minutes: float = 0.0) -> Recipe:
    """The same recipe with each training image turned at random. A recipe that searches for its
    learning rate takes that of the P4CNN instead.

    Args:
        recipe: without augmentation.
        reached: the number that was measured.
        minutes: of one seed; 0 for those of the recipe.
    """
    optimizer = recipe.optimizer
    if optimizer.lr is None:
        optimizer = replace(optimizer, lr=1e-2)
    return replace(
        recipe,
        name=f"{recipe.name}-augmented",
        summary=f"{recipe.summary}, with augmentation",
        parts=lambda: _digits(TURNS),
        protocol=f"{SEEN}; {TURNS}; {LAST_EPOCH}",
        reached=reached,
        minutes=minutes or recipe.minutes,
        optimizer=optimizer,
        search=(),
        search_parts=None,
    )


ROTATED = (
    P4CNN,
    Z2CNN,
    P4MCNN,
    replace(
        P4CNN,
        name="rotated-mnist-p4cnn-rotation-pooling",
        summary="the P4CNN with the maximum over rotations after each layer on rotated MNIST",
        paper="3.21 % error on the official rotated MNIST (Cohen and Welling 2016, table 1)",
        reached="2.85 % error",
        minutes=12,
        model=models.p4cnn_rotation_pooling,
    ),
    _turned(P4CNN, "1.71 ± 0.04 % error"),
    _turned(Z2CNN, "4.89 ± 0.13 % error"),
    _turned(P4MCNN, "3.24 % error"),
    _turned(SFCNN, "1.74 % error"),
    C8,
    _turned(C8, "1.13 % error"),
    _turned(SFCNN16, "0.89 % error"),
    DIGITS,
    replace(
        DIGITS,
        name="digits-cnn",
        summary="a planar CNN on the embedded 8x8 digits, learnt upright, tested turned",
        reached="22.02 ± 0.83 % accuracy, turned",
        model=models.digits_cnn,
        settings={"channels": 25},
    ),
    replace(
        DIGITS,
        name="digits-cnn-augmented",
        summary="a planar CNN on the embedded 8x8 digits, learnt turned by any angle",
        parts=lambda: _small_digits(TURNS),
        protocol=f"{DIGITS.protocol}; {TURNS}",
        reached="87.84 ± 0.23 % accuracy, turned",
        model=models.digits_cnn,
        settings={"channels": 25},
    ),
    SOLIDS,
    replace(
        SOLIDS,
        name="solids-cnn",
        summary="a plain CNN of three dimensions on voxels of generated solids",
        reached="90.75 % accuracy",
        minutes=1,
        model=models.voxel_cnn,
    ),
)
