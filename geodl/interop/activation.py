"""Activations, dropout, and functions of each number alone, as functions and as modules."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.converters import converts
from geodl.interop.on_tensors import Apply, Slot
from geodl.layer import Dropout, Pointwise

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


def _register(function: Callable[..., Any], kind: type[nn.Module]) -> None:
    """A function of torch as the module of the same options, in a trace."""

    def from_function(*args: Any, inplace: bool = False, **kwargs: Any) -> nn.Module:
        return kind(*args, **kwargs)

    converts(function, reads="each")(from_function)


METHODS = (
    (Tensor.relu, nn.ReLU),
    (Tensor.relu_, nn.ReLU),
    (Tensor.tanh, nn.Tanh),
    (Tensor.sigmoid, nn.Sigmoid),
    (torch.relu_, nn.ReLU),
    (F.relu_, nn.ReLU),
)
for _function, _kind in (*FUNCTIONS, *METHODS):
    _register(_function, _kind)


@converts(F.dropout, torch.dropout, reads="each")
def from_dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> Dropout:
    """`F.dropout(x, p, training=self.training)`, traced in evaluation, as a layer with a mode."""
    if training:
        raise GeodlError("F.dropout(x, training=True)", "a dropout in evaluation too", "leave it")
    return Dropout(p)


@converts(Dropout, back="torch", form="signals")
def to_dropout(layer: Dropout, on: Domain | None) -> nn.Dropout:
    """A dropout of ours as torch's."""
    return nn.Dropout(layer.p).train(layer.training)


@converts(F.softmax, torch.softmax, Tensor.softmax, reads="last")
def from_softmax(dim: int, dtype: Any = None, **_: Any) -> nn.Module:
    """A softmax along the last axis."""
    return _along_last("softmax", nn.Softmax, dim, dtype)


@converts(F.log_softmax, torch.log_softmax, Tensor.log_softmax, reads="last")
def from_log_softmax(dim: int, dtype: Any = None, **_: Any) -> nn.Module:
    """Its logarithm."""
    return _along_last("log_softmax", nn.LogSoftmax, dim, dtype)


def _along_last(name: str, kind: Any, dim: int, dtype: Any) -> nn.Module:
    if dim != -1 or dtype is not None:
        raise GeodlError(name, f"dim={dim} and dtype={dtype}", "name the last axis as dim=-1")
    return kind(dim=-1)


NUMBERWISE = ("abs", "exp", "log", "neg", "pow", "sin", "cos", "sqrt", "rsqrt", "square", "clamp")


def _register_numberwise(name: str) -> None:
    """A function of each number alone, by its name, as a pointwise layer."""

    def from_function(*args: Any, **kwargs: Any) -> Pointwise:
        return Pointwise(Apply(name, (Slot(0), *args), kwargs))

    converts(getattr(torch, name), getattr(Tensor, name), reads="each")(from_function)


for _name in NUMBERWISE:
    _register_numberwise(_name)
