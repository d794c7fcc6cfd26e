"""A rule whose edges run the other way: transposed convolution, unpooling, broadcasting."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geodl.domain import Domain, same_place, told_apart
from geodl.errors import GeodlError
from geodl.group import Group
from geodl.neighborhood.base import Neighborhood, Symmetry
from geodl.neighborhood.edges import Edges, turned_around
from geodl.neighborhood.entries import ENTRIES_OF_FORWARD, Carried
from geodl.neighborhood.sheets import SheetEdges
from geodl.neighborhood.structure import Structure


@dataclass(frozen=True)
class Reversed(Neighborhood):
    """The edges of `rule` from receivers to senders, made by `rule.reverse(onto)`.

    A call that names its receivers asks only whether the rule maps them to the senders; a call that
    does not ends on `onto`, or on the smallest domain that the rule maps to the senders'. With
    `wraps` that is a lattice all of whose axes wrap: the edges of a window without padding are the
    same there.

    >>> from geodl.domain import Grid
    >>> from geodl.neighborhood import window
    >>> window(2, stride=2).reverse().target(Grid(3, 3))
    Grid(6, 6)
    """

    rule: Neighborhood
    onto: Domain | None = None
    wraps: bool = False

    # The rule itself knows which members belong together.
    writes_unions = True

    def __post_init__(self):
        if self.onto is not None and not isinstance(self.onto, Domain):
            asked = f"{self.rule}.reverse(onto={self.onto!r})"
            raise GeodlError(asked, f"a {type(self.onto).__name__}", "give a domain, as Grid(6, 6)")

    def __repr__(self) -> str:
        if self.onto is None:
            onto = " onto a torus" if self.wraps else ""
            return f"{self.rule}.reverse(){onto}"
        return f"{self.rule}.reverse(onto={self.onto})"

    @property
    def num_edge_types(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """T of the rule."""
        return self.rule.num_edge_types

    @property
    def reads_weights(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """As the rule."""
        return self.rule.reads_weights

    @property
    def is_laplacian(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """As the rule: a transposed matrix has the same eigenvalues."""
        return self.rule.is_laplacian

    @property
    def group(self) -> Group | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The group of the rule."""
        return self.rule.group

    @property
    def by_member(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """Whether the rule is one for each member."""
        return self.rule.by_member

    @property
    def owner(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The owner of the rule's tensors."""
        return self.rule.owner

    @property
    def runtime_weight(self) -> Tensor | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The weights that come with each call, of a rule that owns its edges."""
        return self.rule.runtime_weight

    @property
    def edge_state(self) -> Tensor | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The features of the edges, of a rule that owns them."""
        return self.rule.edge_state

    @property
    def key(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The rule's name among the plans of its owner, the other way."""
        onto = self.onto
        # Named by its number, a domain with tensors is not kept alive by a plan's key.
        if onto is not None and onto.serial is not None:
            return "reversed", self.rule.key, onto.serial
        return "reversed", self.rule.key, onto

    @property
    def fill(self) -> float | str:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The state of added edges, as the rule has it."""
        return self.rule.fill

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return self.rule

    def with_receivers(self, target: Domain) -> Neighborhood:
        # By itself `whole().reverse()` does not know over which nodes it spreads. A union is told
        # member by member, for which a rule names one domain.
        if target.is_union:
            return self
        return Reversed(self.rule, target, self.wraps)

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        forward = self.rule.structures(target, source)
        # Not every promise has a converse: a causal order reversed is none that a record names.
        backward = [structure.reverse() for structure in forward]
        return tuple(structure for structure in backward if structure is not None)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        return self.refuses_pair(domain, self.target(domain), typed)

    def refuses_senders(self, source: Domain, typed: bool = True) -> str:
        if self.by_member:
            return super().refuses_senders(source, typed)
        return self.rule.refuses_receivers(source)

    def refuses_pair(self, source: Domain, target: Domain, typed: bool = True) -> str:
        if reason := self.rule.refuses_senders(target, typed):
            return reason
        # Edges that are given join any two domains of as many nodes.
        if not self.by_member:
            return self.rule.refuses_pair(target, source, typed)
        made = self.rule.target(target)
        if same_place(made, source):
            return ""
        return f"{self.rule} maps {target} to {made}, not to {told_apart(source, made)}: name onto="

    def num_types(self, domain: Domain) -> int:
        if self.num_edge_types is not None:
            return self.num_edge_types
        return self.rule.num_types(self.target(domain))

    def receiver_types(self, domain: Domain) -> Tensor | None:
        # Rules that know some lead from a domain to itself.
        return self.rule.receiver_types(domain)

    def fan_in(self, domain: Domain | None = None) -> float | None:
        return self.rule.fan_in(domain)

    def weight_fan_in(
        self, channels_in: int, channels_out: int, domain: Domain | None = None
    ) -> float | None:
        # torch's transposed convolutions start as the convolutions that they transpose.
        return self.rule.weight_fan_in(channels_out, channels_in, domain)

    def stays_on(self, domain: Domain) -> bool:
        if self.by_member:
            return super().stays_on(domain)
        return self.rule.stays_on(domain)

    def to(self, device: torch.device | str) -> Neighborhood:
        return Reversed(self.rule.to(device), self.onto, self.wraps)

    def target(self, domain: Domain) -> Domain:
        # What is not a rule for each member restores the whole union.
        if self.by_member:
            return super().target(domain)
        return self._target(domain)

    def carry(self, source: Domain, target: Domain) -> Carried:
        forward = self.rule.carry(target, source)
        edges = turned_around(forward.edges)
        return Carried(ENTRIES_OF_FORWARD, edges, source.num_nodes, (forward,))

    def edges_to_compare(self, domain: Domain, target: Domain) -> Edges:
        return turned_around(self.rule.edges_to_compare(target, domain))

    def sheets_to_compare(self, domain: Domain, target: Domain) -> SheetEdges | None:
        forward = self.rule.sheets_to_compare(target, domain)
        if forward is None:
            return None
        return forward.turned_around()

    def largest_eigenvalues(self, domain: Domain) -> Tensor:
        return self.rule.largest_eigenvalues(domain)

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        claims = self.rule.symmetries(self.target(domain), typed)
        return [
            Symmetry(c.name, c.receivers, c.senders, c.leaves, c.target, c.source) for c in claims
        ]

    def _target(self, domain: Domain) -> Domain:
        if self.onto is not None:
            return self.onto
        made = self.rule.restores(domain)
        if self.wraps and made.lattice is not None:
            return made.replace(made.lattice, made.fiber, (True,) * len(made.lattice))
        return made

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        return turned_around(self.rule.edges(target, domain))
