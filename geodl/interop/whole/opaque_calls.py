"""A call of a model that no layer computes, as it is."""

from typing import Any

from torch import Tensor

from geodl.interop.whole.entries import copy_of
from geodl.interop.whole.giving_back import Stand
from geodl.interop.whole.guesses import guess_layout
from geodl.interop.whole.layout import Layout
from geodl.interop.whole.lengths import as_scalar
from geodl.interop.whole.on_tensors import OfDomain, OnTensors, Slot, sequence_like
from geodl.interop.whole.structures import replace_leaves
from geodl.interop.whole.values import Call, Length, Links, Scalar, Scores, Size, Value, role_read
from geodl.layer.opaque import Opaque


def opaque_call(build: Any, call: Call, reason: str) -> Any:
    """A call as it is, on the tensors."""
    found: list[Any] = []

    def slot(leaf: Any) -> Any:
        if isinstance(leaf, Links):
            leaf = _links_read(build, leaf, call.module)
        if isinstance(leaf, Size | Length):
            leaf = as_scalar(build, leaf)
        if not isinstance(leaf, Value | Scalar):
            return leaf
        if leaf not in found:
            found.append(leaf)
        return Slot(found.index(leaf))

    args, kwargs = replace_leaves((call.args, call.kwargs), slot)
    in_training = replace_leaves(call.in_training, slot)
    function: Any = call.function
    if call.module is not None:
        function = build.once(call.module, copy_of)
    is_view = function in ("view", Tensor.view)
    if is_view and type(call.example) is Tensor and _keeps_dtype(call):
        # A tensor that is read from a signal need not lie as the model's own does.
        function = "reshape"
    reads = tuple(getattr(value, "layout", None) for value in found)
    made, like = guess_layout(call.example, found, build.varying)
    made_by = OnTensors(function, args, kwargs, reads, made, like, in_training)
    part = Opaque(made_by, reason)
    name = build.add(call.name, part, [value.name for value in found])
    if call.module is not None:
        build.stands[call.name] = Stand(name, "torch")
    if isinstance(call.example, Tensor):
        return _value(name, made, call.example, found, like)
    if isinstance(call.example, tuple | list):
        entries = [_entry_of(build, name, k, one) for k, one in enumerate(call.example)]
        return sequence_like(call.example, entries)
    return Scalar(name, call.example)


def _keeps_dtype(call: Call) -> bool:
    """Whether a view is one of a shape, and not of another type of numbers."""
    read = call.args[0] if call.args else None
    return isinstance(read, Value) and read.tensor.dtype == call.example.dtype


def read_scores(build: Any, call: Call) -> Call:
    """A call that reads scores of pairs of nodes as the tensors that they are."""

    def read(leaf: Any) -> Any:
        if isinstance(leaf, Scores):
            return tensor_of(build, leaf)
        return leaf

    args, kwargs = replace_leaves((call.args, call.kwargs), read)
    return call._replace(args=args, kwargs=kwargs)


def tensor_of(build: Any, scores: Scores) -> Value:
    """Scores of pairs of nodes as a tensor: the calls that made them, as they are."""
    value: Any = scores.value
    if value is not None:
        return value
    for call in scores.calls:
        latest = value

        def read(leaf: Any, latest: Any = latest) -> Any:
            if isinstance(leaf, Scores):
                return latest
            return leaf

        args, kwargs = replace_leaves((call.args, call.kwargs), read)
        value = opaque_call(build, call._replace(args=args, kwargs=kwargs), PAIRS)
    assert value is not None
    scores.value = value
    return value


PAIRS = "scores of pairs of nodes, which are read by themselves"


def _links_read(build: Any, links: Links, reader: Any) -> Value | Scalar:
    """What the domain holds, as a tensor or a number for an opaque call of a part."""
    role = role_read(links.role, reader)
    if role not in build.links:
        part = Opaque(OfDomain(role), "what the domain holds, as a tensor")
        name = build.add(links.role, part, [links.value.name])
        build.links[role] = Scalar(name, links.example)
        if isinstance(links.example, Tensor):
            build.links[role] = Value(name, None, links.example)
    return build.links[role]


def _entry_of(build: Any, name: str, k: int, example: Any) -> Any:
    """An entry of an opaque node's answer of several."""
    part = Opaque(OnTensors(_item, (Slot(0), k), {}, (None,)), "an entry of an opaque answer")
    entry = build.add(f"{name}_{k}", part, [name])
    if isinstance(example, Tensor):
        return Value(entry, None, example)
    if isinstance(example, tuple | list):
        inner = [_entry_of(build, entry, n, one) for n, one in enumerate(example)]
        return sequence_like(example, inner)
    return Scalar(entry, example)


def _value(
    name: str, made: Layout | None, example: Tensor, found: list[Any], like: int | None
) -> Value:
    if made is None:
        return Value(name, None, example)
    if like is None:
        return Value(name, made, example, made.to_signal(example))
    return Value(name, made, example, made.to_signal(example, found[like].on))


def _item(values: Any, k: int) -> Any:
    return values[k]
