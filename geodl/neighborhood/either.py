"""The rule that leaves it to the domain: everyone, or the links alone."""

from dataclasses import dataclass

from geodl.domain import Domain
from geodl.neighborhood.all_pairs import all_pairs
from geodl.neighborhood.base import Neighborhood, Symmetry
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.graph import adjacency
from geodl.neighborhood.reversed import Reversed


@dataclass(frozen=True, repr=False)
class FullOrAdjacency(Neighborhood):
    """Everyone on a lattice or a complete domain, the links where a domain has nothing else; made
    by :func:`full_or_adjacency`.
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
    """The rule of a Transformer on any domain: `all_pairs()`, but on a graph `adjacency()`.

    A mask is a missing edge. Between two domains (cross-attention) it is
    `all_pairs()`.

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
