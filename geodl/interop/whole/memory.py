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
        self._asked: dict[int, weakref.ref[Tensor]] = {}

    def find(self, tensors: Sequence[Tensor | None]) -> Any:
        """What was made of these tensors; None where nothing was."""
        marks, value = self._kept.get(tuple(map(id, tensors)), ([], None))
        if all(map(_is_marked, marks, tensors)):
            return value
        return None

    def has_seen(self, tensor: Tensor) -> bool:
        """Whether a tensor is among the last few that this was asked about."""
        name, asked = id(tensor), self._asked
        reference = asked.get(name)
        # An address may be given out again.
        if reference is not None and reference() is tensor:
            return True
        asked = asked.copy()
        asked.pop(name, None)
        if len(asked) == self.count:
            del asked[next(iter(asked))]
        asked[name] = weakref.ref(tensor)
        self._asked = asked
        return False

    def keep(self, tensors: Sequence[Tensor | None], value: Any) -> None:
        """Remember what was made of these tensors, in the place of what was made of them before."""
        marks: list[Any] = []
        # A plain loop: new graphs come at every step.
        for tensor in tensors:
            if tensor is None:
                marks.append(None)
                continue
            if tensor.is_inference():
                # Tensors of inference mode do not count their changes.
                return
            marks.append((weakref.ref(tensor), tensor._version))
        names = tuple(map(id, tensors))
        # A new table, because other threads may read the old one.
        kept = self._kept.copy()
        kept.pop(names, None)
        if len(kept) == self.count:
            del kept[next(iter(kept))]
        kept[names] = (marks, value)
        self._kept = kept

    def __getstate__(self) -> dict[str, Any]:
        return {"count": self.count}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["count"])


def _is_marked(mark: Any, tensor: Tensor | None) -> bool:
    """Whether a tensor is the very one that was marked, and was not changed since."""
    if mark is None or tensor is None:
        return mark is None and tensor is None
    reference, version = mark
    return reference() is tensor and tensor._version == version
