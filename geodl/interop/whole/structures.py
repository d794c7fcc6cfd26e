"""Arguments of calls: tuples, lists, dicts and slices with values in them."""

from collections.abc import Callable
from typing import Any

from geodl.interop.whole.layout import Atom
from geodl.interop.whole.on_tensors import Slot, sequence_like
from geodl.interop.whole.values import Length, Links, Scalar, Scores, Size, Value

HELD = (Value, Size, Length, Scalar, Links, Scores)


def replace_leaves(structure: Any, change: Callable[[Any], Any]) -> Any:
    """A structure with each leaf changed."""
    if isinstance(structure, Scalar | Links | Slot | Atom):
        return change(structure)
    if isinstance(structure, tuple):
        return sequence_like(structure, [replace_leaves(part, change) for part in structure])
    if isinstance(structure, list):
        return [replace_leaves(part, change) for part in structure]
    if isinstance(structure, dict):
        return {key: replace_leaves(part, change) for key, part in structure.items()}
    if isinstance(structure, slice):
        ends = (structure.start, structure.stop, structure.step)
        return slice(*(replace_leaves(end, change) for end in ends))
    return change(structure)


def leaves(structure: Any) -> list[Any]:
    """The leaves of a structure."""
    found: list[Any] = []
    replace_leaves(structure, found.append)
    return found


def holds_values(structure: Any) -> bool:
    """Whether a structure holds anything that is not known before the call."""
    return any(isinstance(leaf, HELD) for leaf in leaves(structure))
