"""What torch does to axes: sizes, views, transpositions.

None of it changes a number, so that most of these calls are no node of a network: they change the
layout in which a node's signal is read as a tensor.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from geodl.interop.converters import converts
from geodl.interop.whole import layout as layouts
from geodl.interop.whole.ancestry import own_tensor
from geodl.interop.whole.layout import Atom, Axis, Layout
from geodl.interop.whole.values import Call, Length, Size, Value
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
    count = value.tensor.dim()
    if name == "mT" or (name == "T" and count == 2):
        return _permuted(value, call.example, (*range(count - 2), count - 1, count - 2))
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


@converts(len, traced=True)
def convert_length(build: Any, call: Call) -> Any:
    """`len(x)`."""
    (value,) = call.args
    if not isinstance(value, Value):
        return None
    return _shape(build, value)[0]


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
    computed = [k for k, one in enumerate(shape) if isinstance(one, Length)]
    if len(computed) > 1:
        return None
    for k in computed:
        # One length follows from all others, however a model computes it.
        shape[k] = -1
    if not all(isinstance(one, int | Size) for one in shape):
        return None
    layout = viewed(value.layout, value.on, shape, tuple(call.example.shape))
    if layout is None or any(atom.kind != "node" for k in computed for atom in layout.dims[k]):
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
    return Layout(tuple(map(_counted, dims)), layout.domain)


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
    merged = _counted(tuple(atom for dim in dims[first:behind] for atom in dim))
    layout = Layout((*dims[:first], merged, *dims[behind:]), value.layout.domain)
    return value.read_as(layout, example)


def _counted(axis: Axis) -> Axis:
    """An axis of nodes without the single channel that each of them has: it is the nodes alone."""
    if all(atom.kind == "channel" for atom in axis):
        return axis
    return tuple(atom for atom in axis if atom.kind != "channel" or atom.size != 1)


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
    rows = layouts.last(1, 0)
    on_nodes = any(atom.kind == "node" for k in gone for atom in dims[k])
    if on_nodes and gone == [1] and tuple(value.tensor.shape[1:]) == (1,):
        # One channel on a lattice of one node, which at another size would be more of them.
        value = build.rearrange(value, rows)
        dims = rows.dims
    if any(atom != Atom("channel", atom.place, 1) for k in gone for atom in dims[k]):
        return None
    kept = tuple(axis for k, axis in enumerate(dims) if k not in gone)
    if len(kept) != call.example.dim():
        return None
    return value.read_as(Layout(kept, value.kept.domain), call.example)


@converts(Tensor.contiguous, Tensor.clone, torch.clone, nn.Identity, traced=True)
def convert_same(build: Any, call: Call) -> Any:
    """Copies, which change nothing; of a tensor that is no signal how it lies may matter."""
    value = call.args[0]
    if isinstance(value, Value) and value.layout is None and call.module is None:
        return None
    return value
