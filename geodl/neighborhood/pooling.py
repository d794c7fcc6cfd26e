"""The two rules that pool: over the group at a lattice point, and over all nodes of a member."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import Complete, Domain, shift_nodes
from geodl.errors import GeodlError
from geodl.group import Cosets, Group
from geodl.neighborhood.base import Neighborhood, Symmetry, order_free, turns
from geodl.neighborhood.edges import Edges, untyped
from geodl.neighborhood.reversed import Reversed
from geodl.neighborhood.structure import Blocks, Segments, Structure


@dataclass(frozen=True, repr=False)
class Fiber(Neighborhood):
    """Each lattice point, or each coset over it, receives from its group elements, made by
    :func:`fiber`.

    Attributes:
        subgroup: whose cosets receive; None where the point does.
    """

    subgroup: Group | None = None

    def __repr__(self) -> str:
        if self.subgroup is None:
            return "fiber()"
        return f"fiber({self.subgroup})"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        fitting = [part for part in source.kinds if not self.refuses(part)]
        labels = [self._receiving_sheets(part).tolist() for part in fitting]
        orders = {label.count(0) for label in labels}
        # Members of different groups have runs of different lengths: then there are plain edges
        # only. So there are where a coset's elements do not stand one after another.
        in_runs = all(label == sorted(label) for label in labels)
        if len(orders) == 1 and in_runs:
            return tuple(Blocks(order) for order in orders)
        return ()

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        if domain.fiber is None:
            return "a fiber to pool over is missing: use it after lift(...)"
        if self.subgroup is None:
            return ""
        if domain.fiber.acting != domain.fiber:
            return f"the fiber {domain.fiber} was pooled before: fiber() pools the rest"
        if not domain.fiber.acting.contains(self.subgroup):
            return f"{self.subgroup} is no subgroup of {domain.fiber}"
        return ""

    def fan_in(self, domain: Domain | None = None) -> int | None:
        if self.subgroup is not None:
            return self.subgroup.order
        if domain is None or domain.fiber is None:
            return None
        return domain.fiber.order

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        target, fiber = self.target(domain), domain.fiber
        if fiber is None or domain.lattice is None:  # a union
            return []
        claims = []
        for axis in range(len(domain.lattice)):
            moves = shift_nodes(domain, axis, 1), shift_nodes(target, axis, 1)
            claims.append(Symmetry(f"shift of axis {axis}", *moves, leaves=True))
        return claims + turns(domain, target, fiber.acting, fiber.lattice_generators)

    def restores(self, domain: Domain) -> Domain:
        # Cosets say which group they are of.
        fiber = domain.fiber
        if self.subgroup is not None and fiber is not None:
            group = fiber.acting
            if group.contains(self.subgroup) and fiber == Cosets(group, self.subgroup):
                return domain.replace(domain.lattice, group)
        asked = f"{self}.reverse() on {domain}"
        do = "name the fibered domain: reverse(onto=...), or give a receiver"
        raise GeodlError(asked, "no group named", do)

    def _target(self, domain: Domain) -> Domain:
        if reason := self.refuses(domain):
            raise GeodlError(f"{self} on {domain}", "no fiber to pool", reason)
        fiber = domain.fiber
        if self.subgroup is None or fiber is None or self.subgroup == fiber:
            return domain.replace(domain.lattice)
        return domain.replace(domain.lattice, Cosets(fiber.acting, self.subgroup))

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        receiving = self._receiving_sheets(domain)
        node = torch.arange(domain.num_nodes)
        point, sheet = node // len(receiving), node % len(receiving)
        sheets_out = target.num_nodes * len(receiving) // domain.num_nodes
        return untyped(point * sheets_out + receiving[sheet], node)

    def _receiving_sheets(self, domain: Domain) -> Tensor:
        """For each sheet of a fiber the coset that receives from it; 0 where the point does."""
        fiber = domain.fiber
        assert fiber is not None
        if self.subgroup is None or self.subgroup == fiber:
            return torch.zeros(fiber.order, dtype=torch.long)
        return fiber.acting.cosets(self.subgroup)


@dataclass(frozen=True, repr=False)
class Whole(Neighborhood):
    """One receiver for each member receives from all its nodes, made by :func:`whole`."""

    writes_unions = True
    sorted_matrix = "members"

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
        still = torch.arange(domain.num_members)
        return [Symmetry(name, move, still) for name, move in order_free(domain)]

    def restores(self, domain: Domain) -> Domain:
        asked = f"{self}.reverse() on {domain}"
        do = "name the domain it spreads over: reverse(onto=...), or give a receiver"
        raise GeodlError(asked, "no domain named", do)

    def _target(self, domain: Domain) -> Domain:
        return Complete(1)

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        member = torch.repeat_interleave(torch.tensor(domain.sizes))
        return untyped(member, torch.arange(domain.num_nodes))


def fiber(subgroup: Group | None = None) -> Fiber:
    """From a `GroupGrid` to its grid: each lattice point receives from its |G| group elements. A
    maximum or mean over it makes features that only move with the image: escnn's `GroupPooling`.

    With a subgroup H each coset hH receives from its |H| elements, and an element g of the group
    still takes node `(x, hH)` to `(g x, g hH)`: coset pooling (Cohen and Welling, "Group
    Equivariant Convolutional Networks", 2016, section 6.3). Backwards, `fiber(H).reverse()`, what a
    coset has goes to its elements.

    Args:
        subgroup: of the fiber's group; None for the whole group.

    Raises:
        GeodlError: if it is no group.

    >>> from geodl.domain import Grid, GroupGrid
    >>> from geodl.group import C, D
    >>> fiber().target(GroupGrid(Grid(5, 5), C(4)))
    Grid(5, 5)
    >>> fiber(C(4)).target(GroupGrid(Grid(5, 5), D(4)))
    GroupGrid(Grid(5, 5), D4/C4)
    """
    if subgroup is not None and not isinstance(subgroup, Group):
        found = f"a {type(subgroup).__name__}"
        raise GeodlError(f"fiber({subgroup!r})", found, "give a subgroup, as C(2), or none")
    return Fiber(subgroup)


def whole() -> Whole:
    """From any domain to one node that receives from all (one for each of the D members of a Batch,
    on `Complete(D)`); `Readout` uses it.

    >>> from geodl.domain import Grid
    >>> whole().target(Grid(5, 5))
    Complete(1)
    """
    return Whole()
