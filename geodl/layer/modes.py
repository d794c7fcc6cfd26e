"""The mode in which a model is looked at."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from geodl.errors import GeodlError


def check_is_module(model: Any) -> nn.Module:
    """A module, and nothing else."""
    if not isinstance(model, nn.Module):
        raise GeodlError(
            "what runs in a model", f"a {type(model).__name__}", "give a module or a layer"
        )
    return model


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
    check_is_module(model)
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """A block after which all buffers have the values that they had: in training, norms track
    statistics at each call.
    """
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
