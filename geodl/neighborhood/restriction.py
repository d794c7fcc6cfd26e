"""A feature map over a group seen as one over a subgroup."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import Domain, shift_nodes
from geodl.errors import GeodlError
from geodl.group import Group
from geodl.neighborhood.base import Neighborhood, Symmetry, turns
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.reversed import Reversed
from geodl.neighborhood.sheets import OneOfEach
from geodl.neighborhood.structure import Structure


@dataclass(frozen=True, repr=False)
class Restriction(Neighborhood):
    """Each element of a subgroup receives from one element of each of its cosets, made by
    :func:`restriction`.

    Attributes:
        whole: the group G of the senders' fiber.
        group: the subgroup H, the receivers' fiber.
    """

    whole: Group
    group: Group  # pyright: ignore[reportIncompatibleVariableOverride] - narrower: always there

    def __repr__(self) -> str:
        return f"restriction({self.whole}, {self.group})"

    @property
    def num_edge_types(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The index |G| / |H|."""
        return self.whole.order // self.group.order

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        if source.is_union:
            return ()
        return (OneOfEach(self.sheets()),)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        if domain.fiber == self.whole:
            return ""
        if domain.fiber is None:
            return f"a fiber of {self.whole} is missing: use it after lift(..., group={self.whole})"
        return f"a fiber of {self.whole} is restricted, not one of {domain.fiber}"

    def fan_in(self, domain: Domain | None = None) -> int:
        return self.num_edge_types

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        if domain.lattice is None:  # a union
            return []
        target = self.target(domain)
        claims = []
        for axis in range(len(domain.lattice)):
            moves = shift_nodes(domain, axis, 1), shift_nodes(target, axis, 1)
            claims.append(Symmetry(f"shift of axis {axis}", *moves, leaves=True))
        return claims + turns(domain, target, self.group, self.group.lattice_generators)

    def restores(self, domain: Domain) -> Domain:
        if domain.fiber != self.group:
            do = f"use it where {self.group} stands over each point"
            raise GeodlError(f"{self}.reverse() on {domain}", f"no fiber of {self.group}", do)
        return domain.replace(domain.lattice, self.whole, domain.periodic)

    @cached_constants()
    def sheets(self) -> Tensor:
        """The element h t of G for each element h of H and each coset H t: `[|H|, T]`.

        An element of H takes h t to an element of the same coset: from the left it multiplies h
        alone. Each coset is known by its least element t.
        """
        # [|H|, |G|], row h: h g for every element g.
        multiples = self.whole.tables.product[self.whole.numbers_of(self.group)]
        least = multiples.min(0).values
        return multiples[:, least.unique()]

    def _target(self, domain: Domain) -> Domain:
        if reason := self.refuses(domain):
            raise GeodlError(f"{self} on {domain}", reason, "choose a rule that fits the domain")
        return domain.replace(domain.lattice, self.group, domain.periodic)

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        sheets = self.sheets()
        order, types = sheets.shape
        dst = torch.arange(target.num_nodes).repeat_interleave(types)
        kind = torch.arange(types).repeat(target.num_nodes)
        point, h = dst // order, dst % order
        return Edges(dst, point * self.whole.order + sheets[h, kind], kind)


def restriction(group: Group, subgroup: Group) -> Restriction:
    """From a grid over a group G to the grid over a subgroup H: element h receives from the
    elements h t over edges of type t, one from each of the |G| / |H| cosets H t.

    H acts from the left, (h' h) t = h' (h t), and keeps the type t: so what each type carries is a
    feature map over H, and a map over G is as many of them. `Restrict` puts them side by side as
    channels; `Conv` mixes them. From here on a network has the symmetry of H alone (Weiler and
    Cesa, "General E(2)-Equivariant Steerable CNNs", 2019, section 2.7, restrict in the middle of a
    network; escnn's `RestrictionModule`).

    Backwards, `restriction(G, H).reverse()`, element h t receives from h over type t. That commutes
    with H, not with G: maps over G are pooled to cosets by `fiber(H)`.

    Args:
        group: G.
        subgroup: H.

    Raises:
        GeodlError: if either is no group, or H no subgroup of G.

    >>> from geodl.domain import Grid, GroupGrid
    >>> from geodl.group import C, D
    >>> restriction(D(4), C(4)).target(GroupGrid(Grid(5, 5), D(4)))
    GroupGrid(Grid(5, 5), C4)
    """
    asked = f"restriction({group!r}, {subgroup!r})"
    if not isinstance(group, Group) or not isinstance(subgroup, Group):
        kinds = f"a {type(group).__name__} and a {type(subgroup).__name__}"
        raise GeodlError(asked, kinds, "give a group and a part of it, as D(4) and C(4)")
    if group.axes == 0 or not group.contains(subgroup):
        do = f"give a part of {group} that acts on a lattice, as {group}.subgroup(numbers)"
        raise GeodlError(asked, f"{subgroup}, which is no such subgroup of {group}", do)
    return Restriction(group, subgroup)
