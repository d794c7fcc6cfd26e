"""The rule of a Transformer on any domain: all pairs, or on a graph its links."""

from dataclasses import dataclass

from geodl.domain import Domain
from geodl.neighborhood.all_pairs import all_pairs
from geodl.neighborhood.base import Neighborhood, Symmetry
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.graph import adjacency
from geodl.neighborhood.reversed import Reversed


@dataclass(frozen=True, repr=False)
class FullOrAdjacency(Neighborhood):
    """All pairs on a lattice or a complete domain, else the links; made by
    :func:`full_or_adjacency`.
    """

    def __repr__(self) -> str:
        return "full_or_adjacency()"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def resolve(self, domain: Domain, target: Domain | None = None) -> Neighborhood:
        if target is not None and target is not domain and target != domain:
            return all_pairs()
        # A union of lattices and graphs keeps the choice open, member by member.
        rules = {_of(member) for member in domain.kinds}
        if len(rules) == 1:
            return rules.pop()
        return self

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        rule = self.resolve(domain)
        if rule == self:
            return []
        return rule.symmetries(domain, typed)

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        return self.resolve(domain, target)._edges(domain, target)


def full_or_adjacency() -> FullOrAdjacency:
    """`all_pairs()` on grids, chains and complete domains, `adjacency()` on `Graph` and `GSet`,
    member by member on a Batch; `all_pairs()` between two domains.

    It is what `interop.from_torch` gives attention, so that one set of weights runs on a sequence
    and on a graph.

    >>> from geodl.domain import Chain, Graph
    >>> [full_or_adjacency().edges(domain).src.tolist() for domain in (Chain(2), Graph([[0], [1]]))]
    [[0, 1, 0, 1], [0]]
    """
    return FullOrAdjacency()


def _of(domain: Domain) -> Neighborhood:
    everyone = domain.complete or domain.lattice is not None
    if everyone:
        return all_pairs()
    return adjacency()
