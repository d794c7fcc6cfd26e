"""Broadcasting: the value of one node to all nodes, or of one channel to all channels."""

from typing import Any

import torch
from torch import Tensor

from geodl.interop.converters import converts
from geodl.interop.whole.channel_order import block_of
from geodl.interop.whole.layout import Layout
from geodl.interop.whole.on_tensors import Spread
from geodl.interop.whole.values import Call, Size, Value
from geodl.layer import Pointwise, Pool
from geodl.neighborhood import whole


def spread(build: Any, one: Value, other: Value) -> tuple[Value, Value] | None:
    """Two values, one of them broadcast to the nodes or to the channels of the other; None where no
    layer does what torch would.
    """
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
        # One channel is repeated; the nodes are the same.
        if one.on.domain != other.on.domain:
            return None
        made = wide.with_channels(wide.num_channels)
        return one, _repeated(build, other, Spread(wide.num_channels), one.tensor, made)
    if len(over) == 1 and one.on.domain == other.on.domain:
        (at,) = over
        block = block_of(wide, wide.dims[at])
        if block is not None and narrow.dims == wide.with_dim(at, ()).dims:
            return one, _repeated(build, other, Spread(*block), one.tensor, wide)
    if channel in over or narrow.num_channels != wide.num_channels:
        return None
    found = over_nodes(build, one, other)
    return None if found is None else (one, found)


def _repeated(build: Any, value: Value, part: Spread, like: Tensor, made: Layout) -> Value:
    """Channels repeated to the shape of another tensor."""
    example = value.tensor.expand_as(like)
    return build.apply(f"{value.name}_spread", Pointwise(part), value, example, made)


def over_nodes(build: Any, one: Value, other: Value) -> Value | None:
    """The value of one node broadcast to all nodes of a first value, which receive from it."""
    wide, narrow = one.kept, other.kept
    channel = narrow.channel_dim()
    if narrow.num_axes or not wide.num_axes or channel is None or channel != wide.channel_dim():
        return None
    made = wide.with_channels(narrow.num_channels)
    shape = [*one.tensor.shape]
    shape[channel] = narrow.num_channels
    pool = Pool(whole().reverse(), "sum")
    name = f"{other.name}_spread"
    return build.apply(name, pool, one, other.tensor.expand(shape), made, sender=other)


def has_one_channel(wide: Layout, narrow: Layout, channel: int) -> bool:
    """Whether two layouts differ in the channels alone, of which the second has one."""
    if narrow.num_channels > 1 or len(narrow.dims[channel]) > 1:
        return False
    others = range(len(wide.dims))
    return all(wide.dims[k] == narrow.dims[k] for k in others if k != channel)


@converts(Tensor.expand_as, traced=True)
def convert_expand_as(build: Any, call: Call) -> Any:
    """`gate.expand_as(x)`: the value of one node on all nodes of another value."""
    value, other = call.given("input", "other")
    return _expanded(build, call, value, [other])


@converts(Tensor.expand, torch.broadcast_to, Tensor.broadcast_to, traced=True)
def convert_expand(build: Any, call: Call) -> Any:
    """`gate.expand(-1, -1, h, w)`, with lengths h and w of another value."""
    value, *sizes = call.args
    if call.kwargs or not sizes:
        return None
    if isinstance(sizes[0], tuple | list):
        (sizes,) = sizes
    return _expanded(build, call, value, _named_by(value, sizes))


@converts(Tensor.repeat, traced=True)
def convert_repeat(build: Any, call: Call) -> Any:
    """`largest.repeat(1, 1, n)` along axes of length 1, with n the length of another value."""
    value, *counts = call.args
    if call.kwargs or not counts or not isinstance(value, Value):
        return None
    if isinstance(counts[0], tuple | list):
        (counts,) = counts
    lengths = zip(value.tensor.shape, counts, strict=False)
    if len(counts) != value.tensor.dim() or any(n != 1 and one != 1 for n, one in lengths):
        return None
    return _expanded(build, call, value, _named_by(value, counts))


def _named_by(value: Any, sizes: list[Any]) -> list[Any]:
    """The values whose lengths are asked for, each along the same axis: a batch size that happens
    to equal a length of the lattice does not count.
    """
    if not isinstance(value, Value) or len(sizes) != value.tensor.dim():
        return []
    others = [one.value for one in sizes if isinstance(one, Size)]
    named = []
    for other in others:
        if other.layout is None or other.tensor.dim() != len(sizes):
            continue
        pairs = zip(sizes, other.kept.dims, value.tensor.shape, strict=True)
        grown = [(one, axis) for one, axis, n in pairs if n == 1 and axis and _grows(one)]
        if all(getattr(one, "axis", axis) == axis for one, axis in grown):
            named.append(other)
    return named


def _grows(size: Any) -> bool:
    """Whether a length asked for may be another one than 1."""
    return isinstance(size, Size) or size not in (1, -1)


def _expanded(build: Any, call: Call, value: Any, others: list[Any]) -> Value | None:
    """A value broadcast to the first of some other values with which this gives the shape that
    torch returned; None if there is no such value.
    """
    if not isinstance(value, Value) or value.layout is None:
        return None
    shape = call.example.shape
    if value.tensor.shape == shape:
        return value
    for other in others:
        if not isinstance(other, Value) or other.layout is None:
            continue
        if value.tensor.dim() != other.tensor.dim():
            continue
        found = over_nodes(build, other, value)
        if found is None and other.tensor.shape == shape:
            pair = spread(build, other, value)
            found = None if pair is None else pair[1]
        if found is not None and found.tensor.shape == shape:
            return found
    return None
