"""Functions of several values of each node: maximum, minimum, cosine similarity, stack."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.interop.converters import converts
from geodl.interop.joins import aligned
from geodl.interop.whole.channel_order import in_order
from geodl.interop.whole.layout import BATCH, Atom, Layout, nodes, same_numbers
from geodl.interop.whole.on_tensors import OfParts
from geodl.interop.whole.values import Call, Value
from geodl.layer import Pointwise


def cosine(one: Tensor, other: Tensor, eps: float) -> Tensor:
    """The cosine similarity along the channels of two values of a node, as one channel."""
    return F.cosine_similarity(one, other, -1, eps).unsqueeze(-1)


FUNCTIONS: dict[str, Any] = {
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "cosine": cosine,
}


def of_several(
    build: Any,
    call: Call,
    values: list[Any],
    function: str,
    made: Layout | None = None,
    **options: Any,
) -> Value | None:
    """A function of two values of each node, as a pointwise function of one signal in which their
    channels are concatenated.

    Args:
        build: the import.
        call: that is converted.
        values: of one shape, or of shapes that broadcast.
        function: its name.
        made: the layout of the answer; by default that of the first value.
        options: what else it is given.
    """
    if not all(isinstance(value, Value) and value.layout is not None for value in values):
        return None
    pair = aligned(build, *values)
    if pair is None or not pair[0].kept.batched:
        return None
    first = pair[0]
    both = _side_by_side(build, call, pair)
    part = Pointwise(OfParts(FUNCTIONS[function], len(pair), options))
    return build.apply(call.name, part, both, call.example, made or first.kept)


def _side_by_side(build: Any, call: Call, values: Iterable[Value]) -> Value:
    """The values with their channels concatenated."""
    flat = []
    for value in values:
        layout = _by_rows(value)
        flat.append(value.read_as(layout, layout.to_tensor(value.on)))
    example = torch.cat([value.tensor for value in flat], -1)
    return build.join(f"{call.name}_read", "cat", flat, example)


@converts(torch.stack, traced=True)
def convert_stack(build: Any, call: Call) -> Any:
    """`torch.stack(tensors, dim)` of values of one layout; the new axis is one of channels."""
    values, dim = call.given("tensors", "dim", dim=0)
    if not isinstance(values, tuple | list) or not all(isinstance(v, Value) for v in values):
        return None
    if any(value.layout is None for value in values):
        return None
    first, *others = [in_order(build, value) for value in values]
    if not first.kept.batched:
        return None
    for other in others:
        same = same_numbers(first.kept, other.kept) and first.on.domain == other.on.domain
        if not same or first.tensor.shape != other.tensor.shape:
            return None
    together = _side_by_side(build, call, [first, *others])
    dims = [tuple(map(_moved, axis)) for axis in first.kept.dims]
    dims.insert(dim % call.example.dim(), (Atom("channel", 0, len(values)),))
    return together.read_as(Layout(tuple(dims), first.kept.domain), call.example)


def _moved(atom: Atom) -> Atom:
    """An axis of channels, moved behind a new first one."""
    if atom.kind != "channel":
        return atom
    return atom._replace(place=atom.place + 1)


def _by_rows(value: Value) -> Layout:
    """The layout `[B, *lattice, C]` of a value's signal."""
    lattice = [(atom,) for atom in nodes(value.kept.num_axes)]
    channels = Atom("channel", 0, value.on.x.shape[2])
    return Layout(((BATCH,), *lattice, (channels,)), value.kept.domain)


@converts(torch.maximum, Tensor.maximum, traced=True)
def convert_maximum(build: Any, call: Call) -> Any:
    """`torch.maximum(a, b)`; of equal numbers each gets half of the gradient, as in torch."""
    one, other = call.given("input", "other")
    return of_several(build, call, [one, other], "maximum")


@converts(torch.minimum, Tensor.minimum, traced=True)
def convert_minimum(build: Any, call: Call) -> Any:
    """`torch.minimum(a, b)`."""
    one, other = call.given("input", "other")
    return of_several(build, call, [one, other], "minimum")


@converts(F.cosine_similarity, torch.cosine_similarity, nn.CosineSimilarity, traced=True)
def convert_cosine(build: Any, call: Call) -> Any:
    """`F.cosine_similarity(x1, x2, dim)` along the channels of each node."""
    if call.module is not None:
        module: Any = call.module
        (one, other), dim, eps = call.args, module.dim, module.eps
    else:
        one, other, dim, eps = call.given("x1", "x2", "dim", "eps", dim=1, eps=1e-8)
    if not isinstance(one, Value) or one.layout is None or not isinstance(dim, int):
        return None
    at = dim % one.tensor.dim()
    dims = one.kept.dims
    if one.kept.channel_dim() != at or getattr(other, "tensor", None) is None:
        return None
    if one.tensor.shape != other.tensor.shape:
        return None
    made = Layout((*dims[:at], *dims[at + 1 :]), one.kept.domain)
    return of_several(build, call, [one, other], "cosine", made, eps=eps)
