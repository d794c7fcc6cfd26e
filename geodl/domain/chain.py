"""Chains: where sequences live."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain.base import Domain, Lengths, Links, Wraps
from geodl.errors import GeodlError, positive
from geodl.group import Cosets, Group


@dataclass(frozen=True)
class Chain(Domain):
    """Nodes in a row, in order of time; each is linked from the one before.

    Args:
        length: the number of nodes.

    >>> Chain(4).links().src.tolist()
    [0, 1, 2]
    """

    length: int
    linked_to_nearest = True

    def __post_init__(self):
        length = positive(f"Chain({self.length!r})", self.length)
        object.__setattr__(self, "length", length)

    def __repr__(self) -> str:
        return f"Chain({self.length})"

    @property
    def num_nodes(self) -> int:
        """The length."""
        return self.length

    @property
    def lattice(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """One axis."""
        return (self.length,)

    @property
    def periodic(self) -> tuple[bool, ...]:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """A chain has ends."""
        return (False,)

    @property
    def ordered(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Node 0 is first."""
        return True

    @cached_constants()
    def generators(self) -> Tensor:
        """`[0, N]`, no generators: an order has no symmetry."""
        return torch.zeros(0, self.length, dtype=torch.long)

    @property
    def num_links(self) -> int:
        """One fewer than nodes."""
        return self.length - 1

    @cached_constants()
    def links(self) -> Links:
        """Each node from the one before."""
        return Links(torch.arange(1, self.length), torch.arange(self.length - 1))

    def replace(
        self, lattice: Lengths = None, fiber: Group | Cosets | None = None, periodic: Wraps = None
    ) -> Domain:
        """A chain of another length."""
        asked = f"a chain with lattice={lattice}, fiber={fiber}, periodic={periodic}"
        # What a chain cannot be is a grid, whose nodes have no order.
        is_ring = periodic is not None and any(periodic)
        several_axes = lattice is not None and len(lattice) != 1
        if fiber is not None or is_ring or several_axes:
            raise GeodlError(asked, do="use a Grid")
        if lattice is None:
            return self
        return Chain(lattice[0])

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        return Chain(1), Chain(6)
