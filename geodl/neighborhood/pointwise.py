"""The self-edge: the rule of linear layers and 1x1 convolutions."""

from dataclasses import dataclass

import torch

from geodl.domain import Domain
from geodl.neighborhood.base import Neighborhood, Symmetry, moved_alike, order_free
from geodl.neighborhood.edges import Edges, untyped
from geodl.neighborhood.reversed import Reversed
from geodl.neighborhood.structure import Blocks, Stencil, Structure


@dataclass(frozen=True, repr=False)
class Itself(Neighborhood):
    """Each node receives only from itself, made by :func:`itself`."""

    writes_unions = True
    is_pointwise = True

    def __repr__(self) -> str:
        return "itself()"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        # On any domain the nodes may be taken for one axis: a window of size 1 sees no neighbor.
        row, one = (source.num_nodes,), (1,)
        only = torch.zeros(1, 1, 1, dtype=torch.long)
        return Stencil(row, row, (False,), one, one, ((0, 0),), only), Blocks(1)

    def fan_in(self, domain: Domain | None = None) -> int | None:
        return 1

    def target(self, domain: Domain) -> Domain:
        return domain

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        return moved_alike(order_free(domain))

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        node = torch.arange(domain.num_nodes)
        return untyped(node, node)


def itself() -> Itself:
    """Each node receives only from itself (pointwise): the linear layer, a 1x1 convolution on any
    domain.
    """
    return Itself()
