"""Activations, dropout, and functions of each number alone, as functions and as modules."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.along_nodes import along
from geodl.interop.converters import converts
from geodl.interop.whole.on_tensors import Apply, Slot
from geodl.interop.whole.values import Call, Value
from geodl.layer import Dropout, Expected, Pointwise

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


@converts(F.dropout, torch.dropout, traced=True, modes=True)
def convert_dropout(build: Any, call: Call) -> Any:
    """`F.dropout(x, p, training=self.training)` as a layer, which has a mode; what never drops is
    nothing, and what drops in evaluation stays as it is.
    """
    p, value = dropped_share(call), call.args[0]
    if p is None or not isinstance(value, Value):
        return None
    if p == 0:
        return value
    return build.apply(call.name, Dropout(p), build.read(value, "each"), call.example)


def dropped_share(call: Call) -> float | None:
    """How much a function of dropout drops in training, 0 where it never does; None where it drops
    in evaluation, too, or everything.
    """
    shares = []
    for one in (call, call.while_training()):
        names = ("input", "p", "training", "inplace")
        _, p, training, _ = one.given(*names, p=0.5, training=True, inplace=False)
        if not isinstance(p, float | int) or not isinstance(training, bool):
            return None
        share = 0.0
        if training:
            share = float(p)
        shares.append(share)
    if shares[0] != 0 or not 0 <= shares[1] < 1:
        return None
    return shares[1]


@converts(Dropout, back="torch", form="signals")
def to_dropout(layer: Dropout, on: Domain | None) -> nn.Dropout:
    """A dropout of ours as torch's."""
    return nn.Dropout(layer.p).train(layer.training)


@converts(Expected, back="torch", form="lattices")
def to_identity(layer: Expected, on: Domain | None) -> nn.Identity:
    """A check of the images' size, which torch's modules do not make."""
    return nn.Identity().train(layer.training)


SOFTMAXES: dict[Any, tuple[Any, ...]] = {
    nn.Softmax: (F.softmax, torch.softmax, Tensor.softmax),
    nn.LogSoftmax: (F.log_softmax, torch.log_softmax, Tensor.log_softmax),
    nn.Softmin: (F.softmin,),
}


def _register_softmax(kind: Any, functions: tuple[Any, ...]) -> None:
    """A softmax along the channels, on whichever axis they are, or along all nodes."""
    name = functions[0].__name__

    def convert(build: Any, call: Call) -> Any:
        value = call.args[0]
        if call.module is not None:
            dim = getattr(call.module, "dim", None)
        else:
            names = ("input", "dim", "_stacklevel", "dtype")
            _, dim, _, dtype = call.given(*names, dim=None, _stacklevel=3, dtype=None)
            if dtype is not None:
                return None
        found = along(build, call, value, dim, name, {}, kind(dim=-1))
        if found is not None:
            return found
        value = along_channels(build, value, dim)
        if value is None:
            return None
        return build.apply(call.name, kind(dim=-1), value, call.example)

    converts(kind, *functions, traced=True)(convert)


def along_channels(build: Any, value: Any, dim: Any) -> Value | None:
    """A value whose channels are what a function along an axis of its tensor reads; None where
    they are not.
    """
    if not isinstance(value, Value) or not isinstance(dim, int):
        return None
    dim = dim % value.tensor.dim()
    value = build.read(value, "each")
    if value.kept.channel_dim() == dim:
        return value
    if dim != value.tensor.dim() - 1:
        return None
    return build.read(value, "last")


@converts(nn.Softmax2d, traced=True)
def convert_softmax2d(build: Any, call: Call) -> Any:
    """`nn.Softmax2d`, along the channels of images."""
    value = along_channels(build, call.args[0], -3)
    if value is None:
        return None
    return build.apply(call.name, nn.Softmax(-1), value, call.example)


@converts(nn.GLU, F.glu, traced=True)
def convert_glu(build: Any, call: Call) -> Any:
    """Half of the channels times the sigmoid of the other half."""
    if call.module is not None:
        value, dim = call.args[0], getattr(call.module, "dim", None)
    else:
        value, dim = call.given("input", "dim", dim=-1)
    value = along_channels(build, value, dim)
    if value is None:
        return None
    return build.apply(call.name, nn.GLU(), value, call.example)


for _softmax, _functions in SOFTMAXES.items():
    _register_softmax(_softmax, _functions)


NUMBERWISE = (
    *("abs", "sign", "neg", "reciprocal", "square", "pow", "sqrt", "rsqrt"),
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "erf", "logit"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh"),
    *("floor", "ceil", "round", "trunc", "frac", "nan_to_num"),
    *("clamp", "clip", "clamp_min", "clamp_max"),
)


def _register_numberwise(name: str) -> None:
    """A function of each number alone, by its name, as a pointwise layer."""

    def from_function(*args: Any, **kwargs: Any) -> Pointwise:
        return Pointwise(Apply(name, (Slot(0), *args), kwargs))

    converts(getattr(torch, name), getattr(Tensor, name), reads="each")(from_function)


for _name in NUMBERWISE:
    _register_numberwise(_name)
