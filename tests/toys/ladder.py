"""Ladders: two rails of nodes joined by rungs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.domain import Domain, Links


@dataclass(frozen=True)
class Ladder(Domain):
    """Two rails of `rungs` nodes; node `2 k + r` stands on rung k and rail r, linked along its rail
    and across its rung.
    """

    rungs: int

    @property
    def num_nodes(self) -> int:
        return 2 * self.rungs

    def generators(self) -> Tensor:
        """The rails exchanged, and the ladder turned upside down."""
        node = torch.arange(self.num_nodes)
        return torch.stack((node ^ 1, self.num_nodes - 2 - 2 * (node // 2) + node % 2))

    def links(self) -> Links:
        node = torch.arange(self.num_nodes)
        return Links(
            torch.cat((node, node[2:], node[:-2])), torch.cat((node ^ 1, node[:-2], node[2:]))
        )

    @classmethod
    def small(cls) -> tuple[Domain, ...]:
        return cls(1), cls(4)
