"""What torch does to axes: sizes, views, transpositions, slices of channels.

None of it changes a number, so that most of these calls are no node of a network: they change the
layout in which a node's signal is read as a tensor.
"""

import math
import operator
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from geodl.interop.converters import converts
from geodl.interop.whole.ancestry import own_tensor
from geodl.interop.whole.layout import Atom, Axis, Layout, nodes
from geodl.interop.whole.on_tensors import Narrow
from geodl.interop.whole.rearrange import Select
from geodl.interop.whole.values import Call, Scalar, Size, Value
from geodl.layer import Pointwise
from geodl.signal import Signal


@converts(getattr, traced=True)
def convert_attribute(build: Any, call: Call) -> Any:
    """`x.shape`, attributes that do not change from call to call, and named entries of answers."""
    value, name = call.args
    if isinstance(value, tuple):
        return getattr(value, name, None)
    if not isinstance(value, Value):
        return None
    if name == "shape":
        return _shape(build, value)
    if name == "ndim":
        return value.tensor.dim()
    if name in ("T", "mT") and value.tensor.dim() == 2:
        return _permuted(value, call.example, (1, 0))
    return None


@converts(Tensor.size, traced=True)
def convert_size(build: Any, call: Call) -> Any:
    """`x.size()` and `x.size(dim)`."""
    value, dim = call.given("input", "dim", dim=None)
    if not isinstance(value, Value):
        return None
    if dim is None:
        return _shape(build, value)
    return _shape(build, value)[dim % value.tensor.dim()]


@converts(Tensor.dim, traced=True)
def convert_dim(build: Any, call: Call) -> Any:
    """`x.dim()`."""
    return call.example


def _shape(build: Any, value: Value) -> tuple[Any, ...]:
    """The lengths of a tensor: of the model's own ones numbers."""
    if own_tensor(build.nodes, value) is not None:
        return tuple(value.tensor.shape)
    return tuple(_size(value, dim) for dim in range(value.tensor.dim()))


def _size(value: Value, dim: int) -> Any:
    """A length: a number where it is always the same, as channels are."""
    number = value.tensor.shape[dim]
    if value.layout is None:
        return Size((), number, value, dim)
    axis = value.layout.dims[dim]
    if all(atom.kind == "channel" for atom in axis):
        return number
    return Size(axis, number, value, dim)


@converts(Tensor.view, Tensor.reshape, torch.reshape, traced=True)
def convert_view(build: Any, call: Call) -> Any:
    """`x.view(...)` and `x.reshape(...)`."""
    value, *shape = call.args
    if call.kwargs or not isinstance(value, Value) or value.layout is None:
        return None
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = list(shape[0])
    if not all(isinstance(one, int | Size) for one in shape):
        return None
    layout = viewed(value.layout, value.on, shape, tuple(call.example.shape))
    if layout is None:
        return None
    return value.read_as(layout, call.example)


def viewed(
    layout: Layout, signal: Signal, shape: Iterable[Any], lengths: tuple[int, ...]
) -> Layout | None:
    """The layout of a view, None where atoms would have to be cut that are no channels.

    Args:
        layout: of the tensor.
        signal: the example.
        shape: the view's lengths: numbers, -1, or sizes that are known by their atoms.
        lengths: the same as numbers.
    """
    lengths_of = layout.lengths(signal)
    rest = list(layout.atoms)
    dims: list[Axis] = []
    for wanted, length in zip(shape, lengths, strict=True):
        axis: list[Atom] = []
        if isinstance(wanted, Size) and wanted.axis:
            axis = rest[: len(wanted.axis)]
            if tuple(axis) != wanted.axis:
                return None
            del rest[: len(axis)]
            dims.append(tuple(axis))
            continue
        need = length
        # -1 that comes out as 1 names an axis; a plain 1 makes a new one.
        if need == 1 and wanted == -1 and rest and lengths_of[rest[0]] == 1:
            axis.append(rest.pop(0))
        while need > 1:
            if not rest:
                return None
            atom = rest[0]
            size = lengths_of[atom]
            if need % size == 0:
                axis.append(rest.pop(0))
                need //= size
                continue
            if atom.kind != "channel" or size % need:
                return None
            cut = layout.with_split(atom, (need, size // need))
            return viewed(cut, signal, shape, lengths)
        dims.append(tuple(axis))
    if any(lengths_of[atom] != 1 for atom in rest):
        return None
    if rest:
        if not dims:
            return None
        dims[-1] = (*dims[-1], *rest)
    return Layout(tuple(dims), layout.domain)


@converts(torch.flatten, Tensor.flatten, traced=True)
def convert_flatten(build: Any, call: Call) -> Any:
    """`x.flatten(start, end)`."""
    value, start, end = call.given("input", "start_dim", "end_dim", start_dim=0, end_dim=-1)
    return _flattened(value, start, end, call.example)


@converts(nn.Flatten, traced=True)
def convert_flatten_module(build: Any, call: Call) -> Any:
    """`nn.Flatten`."""
    module: Any = call.module
    return _flattened(call.args[0], module.start_dim, module.end_dim, call.example)


def _flattened(value: Any, start: int, end: int, example: Tensor) -> Any:
    if not isinstance(value, Value) or value.layout is None:
        return None
    count = value.tensor.dim()
    first, behind = start % count, end % count + 1
    dims = value.layout.dims
    merged = tuple(atom for dim in dims[first:behind] for atom in dim)
    layout = Layout((*dims[:first], merged, *dims[behind:]), value.layout.domain)
    return value.read_as(layout, example)


@converts(torch.unflatten, Tensor.unflatten, traced=True)
def convert_unflatten(build: Any, call: Call) -> Any:
    """`x.unflatten(dim, sizes)`."""
    value, dim, sizes = call.given("input", "dim", "sizes")
    return _unflattened(value, dim, sizes, call.example)


@converts(nn.Unflatten, traced=True)
def convert_unflatten_module(build: Any, call: Call) -> Any:
    """`nn.Unflatten`."""
    module: Any = call.module
    return _unflattened(call.args[0], module.dim, module.unflattened_size, call.example)


def _unflattened(value: Any, dim: int, sizes: Any, example: Tensor) -> Any:
    if not isinstance(value, Value) or value.layout is None:
        return None
    if not all(isinstance(size, int) for size in sizes):
        return None
    dim = dim % value.tensor.dim()
    axes = [_size(value, k) for k in range(value.tensor.dim())]
    shape = [*axes[:dim], *sizes, *axes[dim + 1 :]]
    layout = viewed(value.layout, value.on, shape, tuple(example.shape))
    if layout is None:
        return None
    return value.read_as(layout, example)


@converts(torch.permute, Tensor.permute, traced=True)
def convert_permute(build: Any, call: Call) -> Any:
    """`x.permute(...)`."""
    value, *order = call.args
    if len(order) == 1 and isinstance(order[0], tuple | list):
        order = list(order[0])
    if call.kwargs or not isinstance(value, Value):
        return None
    return _permuted(value, call.example, order)


@converts(torch.transpose, torch.swapaxes, Tensor.transpose, Tensor.swapaxes, traced=True)
def convert_transpose(build: Any, call: Call) -> Any:
    """`x.transpose(a, b)`."""
    value, one, other = call.given("input", "dim0", "dim1")
    if not isinstance(value, Value):
        return None
    order = list(range(value.tensor.dim()))
    order[one], order[other] = order[other], order[one]
    return _permuted(value, call.example, order)


@converts(torch.t, Tensor.t, traced=True)
def convert_t(build: Any, call: Call) -> Any:
    """`x.t()`."""
    return _permuted(call.args[0], call.example, (1, 0))


def _permuted(value: Any, example: Tensor, order: Iterable[int]) -> Any:
    if not isinstance(value, Value) or value.layout is None:
        return None
    dims = value.layout.dims
    layout = Layout(tuple(dims[k] for k in order), value.layout.domain)
    return value.read_as(layout, example)


@converts(torch.unsqueeze, Tensor.unsqueeze, traced=True)
def convert_unsqueeze(build: Any, call: Call) -> Any:
    """`x.unsqueeze(dim)`."""
    value, dim = call.given("input", "dim")
    if not isinstance(value, Value) or value.layout is None:
        return None
    dims = list(value.layout.dims)
    dims.insert(dim % (len(dims) + 1), ())
    return value.read_as(Layout(tuple(dims), value.layout.domain), call.example)


@converts(torch.squeeze, Tensor.squeeze, traced=True)
def convert_squeeze(build: Any, call: Call) -> Any:
    """`x.squeeze(dim)` of axes that are always of length 1."""
    value, dim = call.given("input", "dim", dim=None)
    if not isinstance(value, Value) or value.layout is None:
        return None
    dims = value.layout.dims
    gone = [k for k, axis in enumerate(dims) if not axis]
    if dim is not None:
        named = [dim] if isinstance(dim, int) else dim
        gone = [k % len(dims) for k in named]
    if any(dims[k] for k in gone):
        return None
    kept = tuple(axis for k, axis in enumerate(dims) if k not in gone)
    if len(kept) != call.example.dim():
        return None
    return value.read_as(Layout(kept, value.layout.domain), call.example)


@converts(Tensor.contiguous, Tensor.clone, torch.clone, nn.Identity, traced=True)
def convert_same(build: Any, call: Call) -> Any:
    """Copies, which change nothing."""
    return call.args[0]


@converts(operator.getitem, traced=True)
def convert_item(build: Any, call: Call) -> Any:
    """`values[k]` of a tuple; of a tensor new axes and slices of channels."""
    value, index = call.args
    if isinstance(value, tuple | list | dict) and not isinstance(value, Scalar):
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
    layout = value.kept
    axis = layout.dims[dim]
    channels = layout.channels
    if not axis or not set(axis) <= set(channels):
        return None
    first = channels.index(axis[0])
    if channels[first : first + len(axis)] != axis:
        return None
    size = math.prod(atom.size for atom in axis)
    inner = math.prod(atom.size for atom in channels[first + len(axis) :])
    cut = Narrow(start, stop, size, inner)
    if first == 0:
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
