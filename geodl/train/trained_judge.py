"""The judge of a data set, from a run that is kept beside the data sets."""

import torch

from geodl.data import ImageData
from geodl.train.experiment import kept_run
from geodl.train.judge import Judge
from geodl.train.recipe import Recipe
from geodl.train.restored import restored


def trained_judge(recipe: Recipe, data: ImageData) -> Judge:
    """The network of a recipe's run that is kept beside the data sets, trained where there is none.

    Args:
        recipe: of a classifier that is trained on the training and the validation images.
        data: those images.
    """
    network = restored(kept_run(recipe), recipe).model
    return Judge(network, torch.cat([data.train.images, data.val.images]))
