"""Any rule with its edges the other way."""

from dataclasses import dataclass

from geodl.domain import Domain
from geodl.neighborhood.base import Edges, Neighborhood, Stencil, Symmetry


@dataclass(frozen=True)
class Reversed(Neighborhood):
    """The edges of `rule` from receivers to senders, made by `rule.reverse(onto)`.

    >>> from geodl.domain import Grid
    >>> from geodl.neighborhood import window
    >>> window(2, stride=2).reverse().target(Grid(3, 3))
    Grid(6, 6)
    """

    rule: Neighborhood
    onto: Domain | None = None

    def __repr__(self) -> str:
        return f"{self.rule}.reverse({'' if self.onto is None else f'onto={self.onto}'})"

    @property
    def num_edge_types(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """T of the rule."""
        return self.rule.num_edge_types

    @property
    def complete(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Completeness has no direction; an order has one."""
        return self.rule.complete and not self.rule.causal

    @property
    def steps(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """The steps backwards."""
        return None if self.rule.steps is None else -self.rule.steps

    @property
    def glorot(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """As the rule."""
        return self.rule.glorot

    @property
    def merged(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """As the rule."""
        return self.rule.merged

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        restored = self.target(domain)
        if reason := self.rule.refuses(restored, typed):
            return reason
        made = self.rule.target(restored)
        return "" if made == domain else f"{self.rule} maps {restored} to {made}, not to {domain}: name another onto="

    def num_types(self, domain: Domain) -> int:
        return self.rule.num_types(self.target(domain))

    def fan_in(self, domain: Domain | None = None) -> int:
        return self.rule.fan_in(domain)

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return self.rule

    def _target(self, domain: Domain) -> Domain:
        return self.rule.restores(domain) if self.onto is None else self.onto

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        e = self.rule._edges(target, domain)
        return Edges(e.src, e.dst, e.type, e.weight)

    def stencil(self, domain: Domain, target: Domain) -> Stencil | None:
        forward = self.rule.stencil(target, domain)
        return None if forward is None else forward._replace(transposed=not forward.transposed)

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        claims = self.rule.symmetries(self.target(domain), typed)
        return [Symmetry(c.name, c.receivers, c.senders, c.leaves) for c in claims]
