"""Recipes on photographs: one ResNet, planar, over C(4) and over D(4), at equal parameters."""

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from geodl import models
from geodl.data import FlipsAndShifts, cifar10
from geodl.group import C, D, Group
from geodl.symmetry import symmetrize
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import image_parts
from geodl.train.recipe import NOT_YET, Recipe
from geodl.train.recipes.blank import blank
from geodl.train.recipes.protocols import LAST_EPOCH

SEEN = "10,000 images to learn from (train and validation), 10,000 to test"
MOVED = FlipsAndShifts(4)  # pixels

GROUPS: Mapping[str, Group | None] = {"z2": None, "p4": C(4), "p4m": D(4)}
MINUTES = {"z2": 12, "p4": 40, "p4m": 80}  # of a seed on one core: ten times 4 epochs; p4m guessed
REACHED = {"z2": 71.21, "p4": 67.38, "p4m": 70.47}  # % accuracy
REACHED_AUGMENTED = {"z2": 75.32, "p4": 71.53, "p4m": 70.04}


def resnet8(
    classes: int, in_channels: int, group: Group | None, *, channels: int = 16
) -> nn.Module:
    """ResNet-8, planar or over a group at equal parameters.

    Args:
        classes: channels of the answer.
        in_channels: channels of the images.
        group: None for the planar network.
        channels: of the first block of the planar network.
    """
    planar = models.resnet8(classes, in_channels=in_channels, channels=channels)
    if group is None:
        return planar
    return symmetrize(planar, group, pool="mean")


RESNET8 = Recipe(
    name="cifar10-resnet8",
    summary="a ResNet-8 on CIFAR-10, 10k JPEG",
    task="images",
    parts=lambda: image_parts(cifar10(official=False), merge=True),
    protocol=f"{SEEN}; no augmentation; {LAST_EPOCH}",
    reached=NOT_YET,
    model=resnet8,
    sample=blank(32, 32, channels=3),
    optimizer=Optimizer(lr=1e-2, schedule="one-cycle"),
    trainer=TrainerOptions(40),
    batch_size=128,
)


def _over(name: str, group: Group | None, *, augmented: bool) -> Recipe:
    """The recipe over a group, without or with augmentation.

    Args:
        name: of the group in names of recipes, as "p4".
        group: None for the planar network.
        augmented: whether training images are mirrored and moved.
    """
    recipe = replace(
        RESNET8,
        name=f"{RESNET8.name}-{name}",
        summary=f"a ResNet-8 over {name} on CIFAR-10, 10k JPEG",
        sizes={"classes": 10, "in_channels": 3, "group": group},
        minutes=MINUTES[name],
        reached=f"{REACHED[name]} % accuracy",
    )
    if not augmented:
        return recipe
    return replace(
        recipe,
        name=f"{recipe.name}-augmented",
        reached=f"{REACHED_AUGMENTED[name]} % accuracy",
        summary=f"{recipe.summary}, with augmentation",
        parts=lambda: image_parts(cifar10(official=False), merge=True, augmentation=MOVED),
        protocol=f"{SEEN}; {MOVED}; {LAST_EPOCH}",
    )


PHOTOGRAPHS = tuple(
    _over(name, group, augmented=augmented)
    for augmented in (False, True)
    for name, group in GROUPS.items()
)
