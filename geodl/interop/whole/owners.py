"""Which nodes of an import keep a copy of a parameter: two copies would train apart."""

from collections.abc import Iterable, Set
from typing import Any

from torch import Tensor

from geodl.errors import GeodlError


class Owners:
    """For each tensor of a model the units that keep a copy of it, and the nodes they are in.

    A unit is a part of the model, a function with some of its tensors, or a tensor that is read by
    itself. Nodes of one unit share their copy.
    """

    def __init__(self):
        self._names: dict[int, dict[Any, set[str]]] = {}
        self._alive: list[Tensor] = []

    def add(self, tensors: Iterable[Tensor], unit: Any, names: Set[str]) -> None:
        """Note that nodes keep copies of tensors."""
        for tensor in tensors:
            self._alive.append(tensor)
            self._names.setdefault(id(tensor), {}).setdefault(unit, set()).update(names)

    def check(self, asked: str, kept: Set[str]) -> None:
        """Refuse a tensor of which two units among the kept nodes have a copy.

        Raises:
            GeodlError: if there is one.
        """
        for units in self._names.values():
            nodes = [sorted(names & kept)[0] for names in units.values() if names & kept]
            if len(nodes) > 1:
                raise GeodlError(
                    asked,
                    f"one parameter in the nodes {nodes[0]} and {nodes[1]}, which would become two",
                    "untie it in the model, and tie the layers again",
                )
