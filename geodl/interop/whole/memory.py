"""What was made of some tensors, found again by the very same tensors."""

import weakref
from collections.abc import Sequence
from typing import Any

from torch import Tensor


class Memory:
    """The last few values that were made of tensors.

    A tensor that was changed in place since is another one, as far as torch counts changes: writes
    into a numpy array that shares its memory, or through `tensor.data`, are not seen. None stands
    for a tensor that was not given. Copies begin empty, since they share no tensor with the
    original.

    Args:
        count: how many values are kept.
    """

    def __init__(self, count: int):
        self.count = count
        self._kept: dict[tuple[int, ...], tuple[list[Any], Any]] = {}

    def find(self, tensors: Sequence[Tensor | None]) -> Any:
        """What was made of these tensors; None where nothing was."""
        marks, value = self._kept.get(tuple(map(id, tensors)), ([], None))
        if all(map(_is_marked, marks, tensors)):
            return value
        return None

    def keep(self, tensors: Sequence[Tensor | None], value: Any) -> None:
        """Remember what was made of these tensors, in the place of what was made of them before."""
        if any(tensor is not None and tensor.is_inference() for tensor in tensors):
            # Tensors of inference mode do not count their changes.
            return
        names = tuple(map(id, tensors))
        others = [entry for entry in self._kept.items() if entry[0] != names]
        if len(others) == self.count:
            others = others[1:]
        newest = (names, ([_mark(tensor) for tensor in tensors], value))
        # A new table, because other threads may read the old one.
        self._kept = dict([*others, newest])

    def __getstate__(self) -> dict[str, Any]:
        return {"count": self.count, "_kept": {}}


def _mark(tensor: Tensor | None) -> Any:
    """What tells a tensor from every other one, and from itself once it is changed."""
    if tensor is None:
        return None
    return weakref.ref(tensor), tensor._version


def _is_marked(mark: Any, tensor: Tensor | None) -> bool:
    if mark is None or tensor is None:
        return mark is None and tensor is None
    reference, version = mark
    return reference() is tensor and tensor._version == version
