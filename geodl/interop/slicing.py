"""Entries and slices of tensors: parts of the channels, one node of a sequence, new axes."""

import operator
from typing import Any

import torch
from torch import Tensor

from geodl.interop.borders import cut_nodes
from geodl.interop.converters import converts
from geodl.interop.whole.channel_order import block_of, in_order
from geodl.interop.whole.layout import Atom, Axis, Layout, nodes
from geodl.interop.whole.on_tensors import Narrow
from geodl.interop.whole.rearrange import Select
from geodl.interop.whole.values import Call, Value
from geodl.layer import Pointwise


@converts(operator.getitem, traced=True)
def convert_item(build: Any, call: Call) -> Any:
    """`values[k]` of a tuple; of a tensor new axes and slices of channels."""
    value, index = call.args
    if isinstance(value, tuple | list | dict):
        return value[index]
    if not isinstance(value, Value) or value.layout is None:
        return None
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(part is not None and part != slice(None) and part is not ... for part in parts):
        return _slice(build, call, value, parts)
    return _new_axes(value, parts, call.example)


def _new_axes(value: Value, parts: list[Any], example: Tensor) -> Value:
    """`x[:, None]`, `x[..., None]`."""
    named = sum(part is not None and part is not ... for part in parts)
    if ... not in parts:
        parts = [*parts, ...]
    dims = list(value.kept.dims)
    made: list[Axis] = []
    for part in parts:
        if part is None:
            made.append(())
        elif part is ...:
            left = len(dims) - named
            made += dims[:left]
            dims = dims[left:]
        else:
            named -= 1
            made.append(dims.pop(0))
    return value.read_as(Layout(tuple(made), value.kept.domain), example)


def _slice(build: Any, call: Call, value: Value, parts: list[Any]) -> Value | None:
    """`x[:, a:b]` along the channels, all else whole."""
    if ... in parts:
        at = parts.index(...)
        missing = value.tensor.dim() - len(parts) + 1
        parts = [*parts[:at], *[slice(None)] * missing, *parts[at + 1 :]]
    cut = [k for k, part in enumerate(parts) if part != slice(None)]
    if None not in parts:
        nodes_cut = cut_nodes(build, call, value, parts)
        if nodes_cut is not None:
            return nodes_cut
    if None not in parts and len(cut) == 1 and type(parts[cut[0]]) is int:
        return _select(build, call, value, cut[0], parts[cut[0]])
    if None in parts or len(cut) != 1:
        return None
    part = parts[cut[0]]
    if not isinstance(part, slice) or part.step not in (None, 1):
        return None
    if not all(end is None or isinstance(end, int) for end in (part.start, part.stop)):
        return None
    start, stop, _ = part.indices(value.tensor.shape[cut[0]])
    return cut_channels(build, call.name, value, cut[0], start, stop, call.example)


def cut_channels(
    build: Any, name: str, value: Value, dim: int, start: int, stop: int, example: Tensor
) -> Value | None:
    """`x[:, start:stop]` along an axis of channels, and no other; without the axis where the
    example has one less.
    """
    if not value.kept.dims[dim] or not set(value.kept.dims[dim]) <= set(value.kept.channels):
        return None
    value = in_order(build, value)
    layout = value.kept
    axis = layout.dims[dim]
    block = block_of(layout, axis)
    if block is None:
        return None
    size, inner = block
    cut = Narrow(start, stop, size, inner)
    if layout.channels[0] == axis[0]:
        # All that comes before is nothing: the entries lie side by side.
        cut = Narrow(start * inner, stop * inner)
    kept: list[Axis] = [(Atom("channel", axis[0].place, stop - start),)]
    if example.dim() < value.tensor.dim():
        kept = []
    made = Layout((*layout.dims[:dim], *kept, *layout.dims[dim + 1 :]), layout.domain)
    return build.apply(name, Pointwise(cut), value, example, made)


def _select(build: Any, call: Call, value: Value, dim: int, index: int) -> Value | None:
    """`x[:, index]` of a sequence, or of a lattice in a row."""
    layout = value.kept
    dims = layout.dims
    if dims[dim] and set(dims[dim]) <= set(layout.channels):
        at = index % value.tensor.shape[dim]
        return cut_channels(build, call.name, value, dim, at, at + 1, call.example)
    if dims[dim] != nodes(layout.num_axes) or not layout.num_axes or not layout.batched:
        return None
    made = Layout((*dims[:dim], *dims[dim + 1 :]), layout.domain)
    return build.apply(call.name, Select(index), value, call.example, made)


@converts(torch.chunk, Tensor.chunk, torch.split, Tensor.split, traced=True)
def convert_chunk(build: Any, call: Call) -> Any:
    """Parts of the channels, each a node of its own."""
    value = call.args[0]
    dim = call.kwargs.get("dim", 0)
    if len(call.args) > 2:
        dim = call.args[2]
    if not isinstance(value, Value) or value.layout is None:
        return None
    dim = dim % value.tensor.dim()
    parts = []
    start = 0
    for example in call.example:
        stop = start + example.shape[dim]
        part = cut_channels(build, call.name, value, dim, start, stop, example)
        if part is None:
            return None
        parts.append(part)
        start = stop
    return tuple(parts)


@converts(torch.unbind, Tensor.unbind, traced=True)
def convert_unbind(build: Any, call: Call) -> Any:
    """`q, k, v = x.unbind(0)` of an axis of channels."""
    value, dim = call.given("input", "dim", dim=0)
    if not isinstance(value, Value) or value.layout is None:
        return None
    dim = dim % value.tensor.dim()
    parts = []
    for at, example in enumerate(call.example):
        part = cut_channels(build, call.name, value, dim, at, at + 1, example)
        if part is None:
            return None
        parts.append(part)
    return tuple(parts)
