"""Recipes of the classic convolutional networks, each in its small form, side by side."""

from dataclasses import replace

from geodl import models
from geodl.data import Shifts, cifar10, mnist
from geodl.train.options import Optimizer, TrainerOptions
from geodl.train.parts import Parts, image_parts
from geodl.train.recipe import NO_PAPER, NOT_YET, Recipe
from geodl.train.recipes.blank import blank
from geodl.train.recipes.photographs import MOVED, SEEN
from geodl.train.recipes.protocols import LAST_EPOCH
from geodl.train.recipes.reached import Reached

DISTORTED = Shifts(2)  # pixels

LENET = Recipe(
    name="mnist-lenet",
    summary="a LeNet-5 on MNIST",
    task="images",
    parts=lambda: image_parts(mnist(), merge=True, augmentation=DISTORTED),
    protocol=f"60,000 images to learn from (train and validation), 10,000 to test; {DISTORTED}; "
    f"{LAST_EPOCH}",
    paper="0.95 % error, 0.8 % with distorted images (LeCun et al. 1998, figure 9)",
    reached="0.60 % error",
    minutes=5,
    model=models.lenet5,
    sizes={"classes": 10, "in_channels": 1},
    sample=blank(28, 28),
    optimizer=Optimizer(
        lr=5e-3, weight_decay=0.01, decayed="matrices", method="adamw", schedule="one-cycle"
    ),
    trainer=TrainerOptions(16),
    batch_size=128,
)


def _photographs() -> Parts:
    return image_parts(cifar10(official=False), merge=True, learnt_too=True, augmentation=MOVED)


RESNET = Recipe(
    name="cifar10-resnet",
    summary="a ResNet-20 on CIFAR-10, 10k JPEG",
    task="images",
    parts=_photographs,
    protocol=f"{SEEN}; {MOVED}; {LAST_EPOCH}; errors on the images learnt from as they are",
    paper="91.25 % accuracy with all 50,000 images (He et al. 2016, table 6)",
    reached=NOT_YET,
    minutes=36,
    model=models.cifar_resnet,
    sizes={"classes": 10, "in_channels": 3},
    sample=blank(32, 32, channels=3),
    optimizer=Optimizer(
        lr=5e-3, weight_decay=0.05, decayed="matrices", method="adamw", schedule="one-cycle"
    ),
    trainer=TrainerOptions(60),
    batch_size=128,
)
# One optimiser and as many epochs for all, so that the families can be compared; the ResNet is
# trained to its end, and beside them by `--trainer.max_epochs 10`.
BESIDE = replace(RESNET, trainer=TrainerOptions(10))
PLAIN = replace(
    BESIDE,
    name="cifar10-plain20",
    summary="the 20 layers of a ResNet without its shortcuts on CIFAR-10, 10k JPEG",
    paper="about 91 % accuracy with all 50,000 images (He et al. 2016, figure 6)",
    settings={"shortcuts": "none"},
    minutes=6,
)
VGG = replace(
    BESIDE,
    name="cifar10-vgg",
    summary="a small VGG on CIFAR-10, 10k JPEG",
    paper=NO_PAPER,
    model=models.small_vgg,
    minutes=4,
)
# Without batch norms a step has to be smaller.
ALEXNET = replace(
    VGG,
    name="cifar10-alexnet",
    summary="a small AlexNet on CIFAR-10, 10k JPEG",
    model=models.small_alexnet,
    optimizer=replace(RESNET.optimizer, lr=1e-3),
    minutes=5,
)

FAMILIES = (
    ALEXNET,
    replace(
        ALEXNET,
        name="cifar10-zfnet",
        summary="a small ZFNet on CIFAR-10, 10k JPEG",
        model=models.small_zfnet,
        minutes=6,
    ),
    VGG,
    replace(
        VGG,
        name="cifar10-vgg-5x5",
        summary="a small VGG with one window of 5x5 for two of 3x3 on CIFAR-10, 10k JPEG",
        settings={"repeats": 1, "window_size": 5},
        minutes=3,
    ),
    replace(
        VGG,
        name="cifar10-googlenet",
        summary="a small GoogLeNet on CIFAR-10, 10k JPEG",
        model=models.small_googlenet,
        minutes=8,
    ),
    RESNET,
    replace(
        BESIDE,
        name="cifar10-resnet44",
        summary="a ResNet-44 on CIFAR-10, 10k JPEG",
        paper="92.83 % accuracy with all 50,000 images (He et al. 2016, table 6)",
        settings={"depth": 44},
        minutes=15,
    ),
    PLAIN,
    replace(
        PLAIN,
        name="cifar10-plain44",
        summary="the 44 layers of a ResNet without its shortcuts on CIFAR-10, 10k JPEG",
        paper="about 87 % accuracy with all 50,000 images (He et al. 2016, figure 6)",
        settings={"depth": 44, "shortcuts": "none"},
        minutes=15,
    ),
    replace(
        VGG,
        name="cifar10-mobilenet",
        summary="a small MobileNet on CIFAR-10, 10k JPEG",
        model=models.small_mobilenet,
        minutes=6,
    ),
)
# As they were run, beside other work.
REACHED = {
    "cifar10-resnet": Reached("77.42 % accuracy", 77),
    "cifar10-plain20": Reached("49.07 % error", 12),
    "cifar10-resnet44": Reached("32.38 % error", 71),
    "cifar10-plain44": Reached("63.69 % error", 69),
    "cifar10-alexnet": Reached("50.65 % error", 12),
    "cifar10-zfnet": Reached("48.59 % error", 8),
    "cifar10-googlenet": Reached("32.57 % error", 9),
    "cifar10-mobilenet": Reached("31.72 % error", 13),
    "cifar10-vgg": Reached("29.90 % error", 9),
    "cifar10-vgg-5x5": Reached("34.89 % error", 7),
}


def _with_number(recipe: Recipe) -> Recipe:
    """A recipe with what it reached, where it was run."""
    known = REACHED.get(recipe.name, Reached(recipe.reached, recipe.minutes))
    return replace(recipe, reached=known.number, minutes=known.minutes)


CONVOLUTIONAL = (LENET, *map(_with_number, FAMILIES))
