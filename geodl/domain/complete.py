"""Complete domains: where sets, and the tokens of a Transformer, live."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.domain.base import Domain, Links, positive


@dataclass(frozen=True)
class Complete(Domain):
    """Nodes without order or place; every node is linked with every other.

    Args:
        size: the number of nodes.

    >>> Complete(3).generators().tolist()
    [[1, 0, 2], [1, 2, 0]]
    """

    size: int

    def __post_init__(self):
        positive(f"Complete({self.size!r})", self.size)

    def __repr__(self) -> str:
        return f"Complete({self.size})"

    @property
    def num_nodes(self) -> int:
        """The size."""
        return self.size

    @property
    def complete(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Every node hears every node."""
        return True

    def generators(self) -> Tensor:
        """An exchange of two nodes and a cycle through all: they generate every permutation."""
        n = self.size
        exchange, cycle = torch.arange(n), torch.arange(1, n + 1) % n
        exchange[:2] = exchange[:2].flip(0)
        return torch.stack((exchange, cycle))

    def links(self) -> Links:
        """All ordered pairs of different nodes."""
        node = torch.arange(self.size)
        pairs = torch.cartesian_prod(node, node)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        return Links(pairs[:, 0], pairs[:, 1])

    def relabel(self, permutation: Tensor) -> Domain:
        """Itself: the nodes of a set have no names."""
        return self

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        return Complete(1), Complete(5)
