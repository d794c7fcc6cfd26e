"""What a node of an import depends on: lengths alone, or tensors of the model."""

from typing import Any

from torch import Tensor, nn

from geodl.interop.whole.on_tensors import size_of
from geodl.interop.whole.values import Value
from geodl.layer.opaque import Opaque

Nodes = dict[str, tuple[Any, ...]]


def is_fixed(nodes: Nodes, name: str) -> bool:
    """Whether a node gives the same tensor at every call with inputs of these shapes."""
    if name not in nodes:
        return False
    part, *read = nodes[name]
    inner = getattr(part, "function", None)
    function = getattr(inner, "function", None)
    if function in (size_of, getattr):
        return True
    if function in ("to", "type_as"):
        # Of another tensor it takes the type and the place, and no number.
        read = read[:1]
    return isinstance(part, Opaque) and all(is_fixed(nodes, other) for other in read)


def own_tensor(nodes: Nodes, value: Any) -> Tensor | None:
    """The model's own tensor behind a value; None of any other value."""
    if not isinstance(value, Value) or value.name not in nodes:
        return None
    inner = getattr(nodes[value.name][0], "function", None)
    return getattr(inner, "value", None)


# What changes the shape of a tensor and no number of it.
RESHAPES = ("contiguous", "flatten", "getitem", "reshape", "squeeze", "unsqueeze", "view")


def own_tensor_behind(nodes: Nodes, name: str) -> tuple[str, Tensor] | None:
    """The model's own tensor that a node gives in another shape, and the node that reads it."""
    while name in nodes:
        part, *read = nodes[name]
        inner: Any = getattr(part, "function", None)
        tensor = getattr(inner, "value", None)
        if isinstance(tensor, Tensor):
            return name, tensor
        function = getattr(inner, "function", None)
        if getattr(function, "__name__", function) not in RESHAPES or not read:
            return None
        name = read[0]
    return None


def turned_tensor(nodes: Nodes, value: Any) -> Tensor | None:
    """The model's own matrix whose transpose a value is; None of any other value."""
    if not isinstance(value, Value) or value.name not in nodes:
        return None
    part, *read = nodes[value.name]
    inner: Any = getattr(part, "function", None)
    function = getattr(inner, "function", None)
    turns = getattr(function, "__name__", function) in ("t", "transpose", "swapaxes", "getattr")
    found = own_tensor_behind(nodes, read[0]) if turns and len(read) == 1 else None
    if found is None or found[1].dim() != 2 or tuple(found[1].T.shape) != value.tensor.shape:
        return None
    return found[1]


def sources_of(nodes: Nodes, name: str) -> list[Value]:
    """The model's own tensors that a node depends on: those it reads, and the table of an
    embedding.
    """
    sources: list[Value] = []
    waiting = [name]
    while waiting:
        node = waiting.pop()
        if node not in nodes:
            continue
        part, *read = nodes[node]
        waiting += read
        inner: Any = getattr(part, "function", None)
        tensor = getattr(inner, "value", None)
        if isinstance(getattr(inner, "function", None), nn.Embedding):
            tensor = inner.function.weight
        if isinstance(tensor, Tensor):
            sources.append(Value(node, None, tensor))
    return sources
