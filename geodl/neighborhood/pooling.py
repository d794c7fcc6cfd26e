"""The two rules that pool: over the group at a lattice point, and over all nodes of a member."""

from dataclasses import dataclass

import torch

from geodl.constants import cached_constants
from geodl.domain import Complete, Domain, shift_nodes
from geodl.errors import GeodlError
from geodl.neighborhood.base import Neighborhood, Symmetry, turns
from geodl.neighborhood.edges import Edges, untyped
from geodl.neighborhood.reversed import Reversed
from geodl.neighborhood.structure import Blocks, Segments, Structure


@dataclass(frozen=True, repr=False)
class Fiber(Neighborhood):
    """Each lattice point receives from the group elements above it, made by :func:`fiber`."""

    def __repr__(self) -> str:
        return "fiber()"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        orders = {part.fiber.order for part in source.kinds if part.fiber}
        # Members of different groups have runs of different lengths: then there are plain edges
        # only.
        if len(orders) == 1:
            return tuple(Blocks(order) for order in orders)
        return ()

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        if domain.fiber is None:
            return "a fiber to pool over is missing: use it after lift(...)"
        return ""

    def fan_in(self, domain: Domain | None = None) -> int | None:
        if domain is None or domain.fiber is None:
            return None
        return domain.fiber.order

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        target, group = self.target(domain), domain.fiber
        if group is None or domain.lattice is None:  # a union
            return []
        claims = []
        for axis in range(len(domain.lattice)):
            moves = shift_nodes(domain, axis, 1), shift_nodes(target, axis, 1)
            claims.append(Symmetry(f"shift of axis {axis}", *moves, leaves=True))
        return claims + turns(domain, target, group, group.lattice_generators)

    def restores(self, domain: Domain) -> Domain:
        asked = f"{self}.reverse() on {domain}"
        do = "name the fibered domain: reverse(onto=...), or give a receiver"
        raise GeodlError(asked, "no group named", do)

    def _target(self, domain: Domain) -> Domain:
        if reason := self.refuses(domain):
            raise GeodlError(f"{self} on {domain}", "no fiber", reason)
        return domain.replace(domain.lattice)

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        node = torch.arange(domain.num_nodes)
        return untyped(node // (domain.num_nodes // target.num_nodes), node)


@dataclass(frozen=True, repr=False)
class Whole(Neighborhood):
    """One receiver for each member receives from all its nodes, made by :func:`whole`."""

    writes_unions = True

    def __repr__(self) -> str:
        return "whole()"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        sizes = set(source.sizes)
        if len(sizes) == 1:
            return tuple(Blocks(size) for size in sizes)
        return (Segments(source.sizes),)

    def fan_in(self, domain: Domain | None = None) -> int | None:
        if domain is None:
            return None
        return domain.num_nodes

    def target(self, domain: Domain) -> Domain:
        return Complete(domain.num_members)

    @cached_constants()
    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        # A pool over all nodes is blind to their order.
        everyone = domain
        if not domain.is_union:
            everyone = Complete(domain.num_nodes)
        still = torch.arange(domain.num_members)
        claims = [
            Symmetry(f"exchange or cycle {k + 1}", move, still)
            for k, move in enumerate(everyone.generators())
        ]
        # Shifts of a torus are such permutations, named as windows before the pool name them.
        for axis, wraps in enumerate(domain.periodic):
            if wraps:
                move = shift_nodes(domain, axis, 1)
                claims.append(Symmetry(f"shift of axis {axis}", move, still))
        return claims

    def restores(self, domain: Domain) -> Domain:
        asked = f"{self}.reverse() on {domain}"
        do = "name the domain it spreads over: reverse(onto=...), or give a receiver"
        raise GeodlError(asked, "no domain named", do)

    def _target(self, domain: Domain) -> Domain:
        return Complete(1)

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        member = torch.repeat_interleave(torch.tensor(domain.sizes))
        return untyped(member, torch.arange(domain.num_nodes))


def fiber() -> Fiber:
    """From a `GroupGrid` to its grid: each lattice point receives from its |G| group elements. A
    maximum or mean over it makes features that only move with the image: escnn's `GroupPooling`.

    >>> from geodl.domain import Grid, GroupGrid
    >>> from geodl.group import C
    >>> fiber().target(GroupGrid(Grid(5, 5), C(4)))
    Grid(5, 5)
    """
    return Fiber()


def whole() -> Whole:
    """From any domain to one node that receives from all (one for each of the D members of a Batch,
    on `Complete(D)`); `Readout` uses it.

    >>> from geodl.domain import Grid
    >>> whole().target(Grid(5, 5))
    Complete(1)
    """
    return Whole()
