"""A model that is run on its example, call by call."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from geodl.errors import GeodlError
from geodl.interop.whole.failures import place_of
from geodl.interop.whole.tracing import Trace, run_example


def run_on_example(asked: str, trace: Trace, given: dict[str, Any]) -> dict[fx.Node, Any]:
    """What each call answers on the example.

    Raises:
        GeodlError: if the model fails on it, or if it has no tensor.
    """
    devices = [value.device for value in given.values() if isinstance(value, Tensor)]
    if not devices:
        kinds = ", ".join(f"{name}, a {type(value).__name__}" for name, value in given.items())
        raise GeodlError(asked, f"an example of {kinds}", "give tensors as its arguments")
    try:
        with torch.device(devices[0]), torch.random.fork_rng(devices=[]):
            return run_example(trace, given)
    # A model of somebody else may fail in any way of its own.
    except Exception as error:
        found = f"a model that fails on the example: {_words_of(trace.module, given, error)}"
        do = "give an example of the shapes that the model takes, or mend it"
        raise GeodlError(asked, found, do) from error


def _words_of(module: nn.Module, given: dict[str, Any], error: Exception) -> str:
    """What is said of a failure, and at which line of the model's own code."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            # The model itself says it without what its trace adds; it is a copy of the user's.
            module(**given)
    except Exception as plain:  # it may fail in any way of its own
        error = plain
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place_of(error)}"
