"""Complete domains: where sets, tokens without order and edge states live."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain.base import Domain, Links
from geodl.errors import positive


@dataclass(frozen=True)
class Complete(Domain):
    """A set: nodes without order or coordinates; every node is linked with every other.

    Args:
        size: the number of nodes.

    >>> Complete(3).generators().tolist()
    [[1, 0, 2], [1, 2, 0]]
    """

    size: int

    def __post_init__(self):
        size = positive(f"Complete({self.size!r})", self.size)
        object.__setattr__(self, "size", size)

    def __repr__(self) -> str:
        return f"Complete({self.size})"

    @property
    def num_nodes(self) -> int:
        """The size."""
        return self.size

    @property
    def complete(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Every node is linked with every node."""
        return True

    @cached_constants()
    def generators(self) -> Tensor:
        """An exchange of two nodes and a cycle through all: they generate every permutation."""
        n = self.size
        exchange = torch.arange(n)
        exchange[:2] = exchange[:2].flip(0)
        cycle = torch.arange(1, n + 1) % n
        return torch.stack((exchange, cycle))

    @property
    def num_links(self) -> int:
        """All ordered pairs of different nodes."""
        return self.size * (self.size - 1)

    @cached_constants()
    def links(self) -> Links:
        """All ordered pairs of different nodes."""
        node = torch.arange(self.size)
        pairs = torch.cartesian_prod(node, node)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        return Links(pairs[:, 0], pairs[:, 1])

    def relabel(self, permutation: Tensor) -> Domain:
        """Itself: renumbering the nodes of a set gives the same set."""
        return self

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        return Complete(1), Complete(5)


Domain.set_of = Complete  # here, because base.py cannot import what is made of it
