"""One value for all nodes, or one channel for all of them, as often as another value has some."""

from typing import Any

import torch
from torch import Tensor

from geodl.interop.converters import converts
from geodl.interop.whole.layout import Layout
from geodl.interop.whole.on_tensors import Spread
from geodl.interop.whole.values import Call, Size, Value
from geodl.layer import Pointwise, Pool
from geodl.neighborhood import whole


def spread(build: Any, one: Value, other: Value) -> tuple[Value, Value] | None:
    """One of two values spread over the nodes, or over the channels, of the other."""
    if one.tensor.numel() < other.tensor.numel():
        turned = spread(build, other, one)
        return None if turned is None else (turned[1], turned[0])
    wide, narrow = one.kept, other.kept
    dims = list(zip(wide.dims, narrow.dims, one.tensor.shape, other.tensor.shape, strict=True))
    over = {k for k, (_, _, a, b) in enumerate(dims) if a != b}
    if any(other.tensor.shape[k] != 1 for k in over):
        return None
    channel = wide.channel_dim()
    if channel is not None and over == {channel} and has_one_channel(wide, narrow, channel):
        # One channel for all of the other's: the nodes are the same.
        if one.on.domain != other.on.domain:
            return None
        count = wide.num_channels
        example = other.tensor.expand_as(one.tensor)
        made = wide.with_channels(count)
        part = Pointwise(Spread(count))
        return one, build.apply(f"{other.name}_spread", part, other, example, made)
    if channel in over or narrow.num_axes or not wide.num_axes:
        return None
    if narrow.channel_dim() != channel or narrow.num_channels != wide.num_channels:
        return None
    # One node for all: each node of the other receives from it.
    pool = Pool(whole().reverse(), "sum")
    example = other.tensor.expand_as(one.tensor)
    made = build.apply(f"{other.name}_spread", pool, one, example, wide, sender=other)
    return one, made


def has_one_channel(wide: Layout, narrow: Layout, channel: int) -> bool:
    """Whether two layouts differ in the channels alone, of which the second has one."""
    if narrow.num_channels > 1 or len(narrow.dims[channel]) > 1:
        return False
    others = range(len(wide.dims))
    return all(wide.dims[k] == narrow.dims[k] for k in others if k != channel)


@converts(Tensor.expand_as, traced=True)
def convert_expand_as(build: Any, call: Call) -> Any:
    """`gate.expand_as(x)`: what one node has on all nodes of another value."""
    value, other = call.given("input", "other")
    return _expanded(build, call, value, [other])


@converts(Tensor.expand, torch.broadcast_to, Tensor.broadcast_to, traced=True)
def convert_expand(build: Any, call: Call) -> Any:
    """`gate.expand(-1, -1, h, w)`, of lengths that another value has."""
    value, *sizes = call.args
    if call.kwargs or not sizes:
        return None
    if isinstance(sizes[0], tuple | list):
        (sizes,) = sizes
    return _expanded(build, call, value, [one.value for one in sizes if isinstance(one, Size)])


def _expanded(build: Any, call: Call, value: Any, others: list[Any]) -> Value | None:
    """A value spread over the nodes of the first of some others that has the answer's shape."""
    if not isinstance(value, Value) or value.layout is None:
        return None
    shape = call.example.shape
    if value.tensor.shape == shape:
        return value
    for other in others:
        if not isinstance(other, Value) or other.layout is None or other.tensor.shape != shape:
            continue
        if value.tensor.dim() == other.tensor.dim():
            found = spread(build, other, value)
            if found is not None:
                return found[1]
    return None
