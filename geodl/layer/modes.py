"""The mode in which a model is looked at."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """A block in evaluation mode and without gradients, after which every module is in the mode it
    was in.

    >>> layer = nn.Dropout(0.5)
    >>> with evaluated(layer):
    ...     layer(torch.ones(2)).tolist(), layer.training
    ([1.0, 1.0], False)
    >>> layer.training
    True
    """
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
