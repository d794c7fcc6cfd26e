"""The judge of a data set, trained where there is none yet."""

import torch

from geodl.data import ImageData
from geodl.data.cards import root
from geodl.train.experiment import run
from geodl.train.folder import ABOUT, RESULT
from geodl.train.judge import Judge
from geodl.train.recipe import Recipe
from geodl.train.restored import restored

JUDGES = "judges"  # a folder beside the data sets


def trained_judge(recipe: Recipe, data: ImageData) -> Judge:
    """The network of seed 0 of a recipe. Where the data folder has no run of it, it is trained
    first; where that was interrupted, to its end.

    Args:
        recipe: of a network that learns the training and the validation images.
        data: those images.
    """
    folder = root() / JUDGES / recipe.name
    if not (folder / RESULT).exists():
        if (folder / ABOUT).exists():
            run(recipe, resume=folder)
        else:
            run(recipe, folder=folder)
    network = restored(folder, recipe).model
    return Judge(network, torch.cat([data.train.images, data.val.images]))
