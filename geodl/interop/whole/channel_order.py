"""The order of channels: in a signal as in the tensor, as after a channel shuffle or `F.unfold`."""

import math
from typing import Any

from geodl.interop.whole.layout import Atom, Axis, Layout
from geodl.interop.whole.on_tensors import Reordered
from geodl.interop.whole.values import Value
from geodl.layer import Pointwise


def in_order(build: Any, value: Value) -> Value:
    """A value whose signal stores its channels as the axes of its tensor name them, the first one
    slowest: itself, or the same with its channels in another order.
    """
    layout = value.kept
    stored = layout.channels
    wanted = [atom for atom in layout.atoms if atom.kind == "channel"]
    if list(stored) == wanted:
        return value
    sizes = tuple(atom.size for atom in stored)
    order = tuple(stored.index(atom) for atom in wanted)
    renamed = {atom: Atom("channel", k, atom.size) for k, atom in enumerate(wanted)}
    dims = [tuple(renamed.get(atom, atom) for atom in dim) for dim in layout.dims]
    made = Layout(tuple(dims), layout.domain).merged()
    part = Pointwise(Reordered(sizes, order))
    return build.apply(f"{value.name}_in_order", part, value, value.tensor, made)


def block_of(layout: Layout, axis: Axis) -> tuple[int, int] | None:
    """The length of an axis of channels that stand side by side, and how many channels stand at
    each place of it; None of any other axis.
    """
    channels = layout.channels
    if not axis or axis[0] not in channels:
        return None
    first = channels.index(axis[0])
    behind = first + len(axis)
    if channels[first:behind] != axis:
        return None
    size = math.prod(atom.size for atom in axis)
    return size, math.prod(atom.size for atom in channels[behind:])
