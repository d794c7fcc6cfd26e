"""Functions of torch that are given the model's own parameters, as layers."""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.interop.conv import from_conv
from geodl.interop.converters import converts
from geodl.interop.embedding import from_embedding
from geodl.interop.linear import from_linear
from geodl.interop.transposed import from_transposed
from geodl.interop.whole.ancestry import own_tensor, turned_tensor
from geodl.interop.whole.layout import Atom
from geodl.interop.whole.values import Call, Value

CONVOLUTIONS: dict[Any, tuple[Any, ...]] = {
    nn.Conv1d: (F.conv1d, torch.conv1d),
    nn.Conv2d: (F.conv2d, torch.conv2d),
    nn.Conv3d: (F.conv3d, torch.conv3d),
}
TRANSPOSED: dict[Any, tuple[Any, ...]] = {
    nn.ConvTranspose1d: (F.conv_transpose1d, torch.conv_transpose1d),
    nn.ConvTranspose2d: (F.conv_transpose2d, torch.conv_transpose2d),
    nn.ConvTranspose3d: (F.conv_transpose3d, torch.conv_transpose3d),
}


def held(build: Any, *values: Any) -> list[Any] | None:
    """The model's own tensors behind some values, None for None; None if one is another value."""
    tensors = []
    for value in values:
        if value is None:
            tensors.append(None)
            continue
        tensor = own_tensor(build.nodes, value)
        if tensor is None:
            return None
        tensors.append(tensor)
    return tensors


def filled(module: Any, **tensors: Tensor | None) -> Any:
    """A module with tensors of a model in place of its own; what is no parameter is frozen."""
    for name, tensor in tensors.items():
        if tensor is not None and not isinstance(tensor, nn.Parameter):
            tensor = nn.Parameter(tensor.detach(), requires_grad=False)
        setattr(module, name, tensor)
    return module


@converts(F.linear, traced=True)
def convert_linear(build: Any, call: Call) -> Any:
    """`F.linear(x, weight, bias)`."""
    value, weight, bias = call.given("input", "weight", "bias", bias=None)
    tensors = held(build, weight, bias)
    if tensors is None or not isinstance(value, Value):
        return None
    return _linear(build, call, value, {"weight": tensors[0], "bias": tensors[1]})


@converts(torch.matmul, operator.matmul, Tensor.matmul, traced=True)
def convert_matmul(build: Any, call: Call) -> Any:
    """`x @ weight`, `x @ weight.T`."""
    value, weight = call.args
    turned = turned_tensor(build.nodes, weight)
    if turned is not None and isinstance(value, Value):
        return _linear(build, call, value, {"weight": turned})
    tensors = held(build, weight)
    if tensors is None or not isinstance(value, Value) or tensors[0].dim() != 2:
        return None
    return _linear(build, call, value, {"weight.T": tensors[0]})


def _linear(build: Any, call: Call, value: Value, tensors: dict[str, Any]) -> Value:
    weight, bias = tensors.get("weight"), tensors.get("bias")
    if weight is None:
        given = tensors["weight.T"]
        weight = given.detach().T
        if isinstance(given, nn.Parameter):
            weight = nn.Parameter(weight, requires_grad=given.requires_grad)

    def make() -> Any:
        twin = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
        return from_linear(filled(twin, weight=weight, bias=bias), None)

    layer = build.shared(tensors, "linear", make)
    return build.apply(call.name, layer, build.read(value, "last"), call.example)


def _register_convolution(kind: Any, functions: tuple[Any, ...], names: tuple[str, ...]) -> None:
    def convert(build: Any, call: Call) -> Any:
        defaults = {"bias": None, "stride": 1, "padding": 0, "output_padding": 0}
        given = call.given(*names, **defaults, dilation=1, groups=1)
        options = dict(zip(names, given, strict=True))
        value = options.pop("input")
        tensors = held(build, options.pop("weight"), options.pop("bias"))
        if tensors is None or not isinstance(value, Value):
            return None
        weight, bias = tensors
        channels = (weight.shape[1] * options["groups"], weight.shape[0])
        convert_module: Callable[..., Any] = from_conv
        if kind in TRANSPOSED:
            channels = (weight.shape[0], weight.shape[1] * options["groups"])
            convert_module = from_transposed
        size = tuple(weight.shape[2:])

        def make() -> Any:
            twin = nn.utils.skip_init(kind, *channels, size, **options)
            return convert_module(filled(twin, weight=weight, bias=bias), None)

        named = {"weight": weight, "bias": bias}
        layer = build.shared(named, (kind, options), make)
        return build.apply(call.name, layer, build.read(value, "planes"), call.example)

    converts(*functions, traced=True)(convert)


PLAIN = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
OF_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups")
for _kind, _functions in CONVOLUTIONS.items():
    _register_convolution(_kind, _functions, PLAIN)
for _kind, _functions in TRANSPOSED.items():
    _register_convolution(_kind, _functions, (*OF_TRANSPOSED, "dilation"))


@converts(F.embedding, traced=True)
def convert_embedding(build: Any, call: Call) -> Any:
    """`F.embedding(ids, weight)`."""
    names = ("input", "weight", "padding_idx")
    ids, weight, padding = call.given(*names, padding_idx=None)
    tensors = held(build, weight)
    if padding is not None and padding < 0:
        padding = None
    if tensors is None or not isinstance(ids, Value) or ids.layout is None:
        return None

    def make() -> Any:
        twin = nn.utils.skip_init(nn.Embedding, *tensors[0].shape, padding)
        return from_embedding(filled(twin, weight=tensors[0]))

    layer = build.shared({"weight": tensors[0]}, ("embedding", padding), make)
    layout = ids.layout
    made = type(layout)((*layout.dims, (Atom("channel", 0, layer.channels),)), layout.domain)
    return build.apply(call.name, layer, ids, call.example, made)
