"""Sums, means and extremes over all nodes, or over the channels of each."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.interop.channels import reduce_channels
from geodl.interop.converters import converts
from geodl.interop.pooling import adaptive
from geodl.interop.several import of_several
from geodl.interop.whole.layout import Layout
from geodl.interop.whole.values import Call, Size, Value
from geodl.layer import Readout


class Extremes(NamedTuple):
    """What `x.max(dim)` answers."""

    values: Any
    indices: Any


@converts(torch.max, Tensor.max, torch.min, Tensor.min, traced=True)
def convert_extremes(build: Any, call: Call) -> Any:
    """`x.max(dim)` of which the indices are not read."""
    value, dim, keepdim = call.given("input", "dim", "keepdim", dim=None, keepdim=False)
    if isinstance(dim, Value):
        return of_several(build, call, [value, dim], f"{_name_of(call)}imum")
    if not isinstance(value, Value) or value.layout is None or not isinstance(dim, int):
        return None
    if call.used is None or not call.used <= {0}:
        return None
    made = call._replace(example=call.example[0])
    found = reduce_nodes(build, made, value, dim, keepdim, _name_of(call))
    if found is None:
        return None
    return Extremes(found, None)


def _name_of(call: Call) -> str:
    """ "max" or "min"."""
    return getattr(call.function, "__name__", call.function)


@converts(*(F.avg_pool1d, F.avg_pool2d, F.avg_pool3d), traced=True)
def convert_pool_of_all(build: Any, call: Call) -> Any:
    """`F.avg_pool2d(x, x.shape[2:])`, which pools everything; None of any other call."""
    if len(call.args) + len(call.kwargs) != 2:
        # With a stride or a padding.
        return None
    value, size = call.given("input", "kernel_size")
    whole = isinstance(value, Value) and isinstance(size, tuple | list) and value.layout is not None
    if not whole or not all(isinstance(one, Size) for one in size):
        return None
    if [one.axis for one in size] != list(value.kept.dims[2:]) or not all(value.kept.dims[2:]):
        return None
    if any(one.value.on.domain != value.on.domain for one in size):
        return None
    return adaptive(build, call, value, (1,) * len(size), "mean")


REDUCTIONS = {"mean": "mean", "sum": "sum", "amax": "max", "amin": "min"}
TORCH_NAMES = {how: name for name, how in REDUCTIONS.items()}


def _register_reduction(name: str, how: str) -> None:
    def convert(build: Any, call: Call) -> Any:
        given = call.given(
            "input", "dim", "keepdim", "dtype", "out", dim=None, keepdim=False, dtype=None, out=None
        )
        value, dim, keepdim, dtype, _ = given
        if dtype is not None or not isinstance(value, Value) or value.layout is None:
            return None
        return reduce_nodes(build, call, value, dim, keepdim, how)

    converts(getattr(torch, name), getattr(Tensor, name), traced=True)(convert)


for _name, _how in REDUCTIONS.items():
    _register_reduction(_name, _how)


def reduce_nodes(
    build: Any, call: Call, value: Value, dim: Any, keepdim: bool, how: str
) -> Value | None:
    """A reduction over all axes of nodes and no other, as a `Readout`."""
    count = value.tensor.dim()
    dims = dim
    if dim is None:
        dims = range(count)
    elif isinstance(dim, int):
        dims = (dim,)
    reduced = {d % count for d in dims}
    of_channels = reduce_channels(build, call, value, reduced, keepdim, TORCH_NAMES[how])
    if of_channels is not None:
        return of_channels
    made = layout_after(value, reduced, keepdim)
    if made is None:
        return None
    return build.apply(call.name, Readout(how), value, call.example, made)


def layout_after(value: Value, reduced: set[int], keepdim: bool) -> Layout | None:
    """The layout of a tensor after a reduction over all axes of nodes; None where it leaves some,
    or reduces others, too.
    """
    layout = value.kept
    axes = {k for k, axis in enumerate(layout.dims) if any(atom.kind == "node" for atom in axis)}
    mixed = any(atom.kind != "node" for k in axes for atom in layout.dims[k])
    if not axes or mixed or not axes <= reduced or any(layout.dims[k] for k in reduced - axes):
        return None
    kept = []
    for k, axis in enumerate(layout.dims):
        if k not in reduced:
            kept.append(axis)
        elif keepdim:
            kept.append(())
    return Layout(tuple(kept), layout.domain)
