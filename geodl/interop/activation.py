"""Activations of Transformer layers, which torch keeps as functions or as modules."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.errors import GeodlError

FUNCTIONS: tuple[tuple[Callable[..., Tensor], type[nn.Module]], ...] = (
    (F.relu, nn.ReLU),
    (torch.relu, nn.ReLU),
    (F.gelu, nn.GELU),
    (F.silu, nn.SiLU),
    (F.mish, nn.Mish),
    (F.elu, nn.ELU),
    (F.selu, nn.SELU),
    (torch.selu, nn.SELU),
    (F.celu, nn.CELU),
    (F.relu6, nn.ReLU6),
    (F.leaky_relu, nn.LeakyReLU),
    (torch.tanh, nn.Tanh),
    (F.tanh, nn.Tanh),
    (torch.sigmoid, nn.Sigmoid),
    (F.sigmoid, nn.Sigmoid),
    (F.softplus, nn.Softplus),
    (F.softsign, nn.Softsign),
    (F.hardtanh, nn.Hardtanh),
    (F.hardswish, nn.Hardswish),
    (F.hardsigmoid, nn.Hardsigmoid),
    (F.logsigmoid, nn.LogSigmoid),
)
ACTIVATIONS = tuple(dict.fromkeys(kind for _, kind in FUNCTIONS))


def from_activation(asked: str, given: Any, training: bool) -> nn.Module:
    """A function or module as a module."""
    if type(given) in ACTIVATIONS:
        return copy.deepcopy(given)
    kinds = [kind for function, kind in FUNCTIONS if function is given]
    if kinds:
        return kinds[0]().train(training)
    name = getattr(given, "__name__", type(given).__name__)
    known = ", ".join(sorted(kind.__name__ for kind in ACTIVATIONS))
    raise GeodlError(
        asked,
        f"activation={name}, which may be any function",
        f"use one of {known}, or its function",
    )


def to_activation(module: nn.Module) -> Any:
    """The function of a module; a copy of the module where its options are not the function's own.

    The function is preferred because `copy.deepcopy` of a `nn.TransformerDecoderLayer`, by which
    `nn.TransformerDecoder` makes its layers, replaces an activation module by ReLU.
    """
    for function, kind in FUNCTIONS:
        # The representation of a module holds its options.
        if repr(kind()) == repr(module):
            return function
    return copy.deepcopy(module)
