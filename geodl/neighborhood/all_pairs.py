"""The rule over all pairs: Transformers, DeepSets, relative positions, every equivariant map."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import Domain, shift_nodes
from geodl.errors import GeodlError, nearest
from geodl.group import node_orbits, pair_orbits
from geodl.neighborhood.base import (
    Neighborhood,
    Symmetry,
    moved_alike,
    order_free,
    own_moves,
    same_place,
    turns,
)
from geodl.neighborhood.edges import Edges, untyped
from geodl.neighborhood.offsets import (
    count_types,
    pairs_by_sheets,
    refuses_offsets,
    types_of_pairs,
    widest_stencil,
)
from geodl.neighborhood.reversed import Reversed
from geodl.neighborhood.sheets import SheetEdges
from geodl.neighborhood.structure import Everyone, Structure

BY = (None, "self", "offset", "orbit")
TYPES = {None: "one", "self": "self", "offset": "other", "orbit": "other"}


@dataclass(frozen=True, repr=False)
class AllPairs(Neighborhood):
    """Every receiver receives from every sender, made by :func:`all_pairs`."""

    by: str | None

    def __repr__(self) -> str:
        if self.by is None:
            return "all_pairs()"
        return f"all_pairs({self.by!r})"

    @property
    def num_edge_types(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """1, 2 for "self", and None where the domain decides."""
        return {None: 1, "self": 2}.get(self.by)

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        everyone = Everyone(types=TYPES[self.by])
        # Relative offsets are a window, too, so that convolution kernels run them.
        if self.by == "offset" and refuses_offsets(source) == "":
            return everyone, widest_stencil(source)
        return (everyone,)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        if self.by == "offset":
            return refuses_offsets(domain)
        return ""

    def refuses_pair(self, source: Domain, target: Domain, typed: bool = True) -> str:
        for part in source.kinds:
            if reason := self.refuses(part, typed):
                return reason
        if self.by is not None and not same_place(source, target):
            return f"receivers on {target}, another domain: only all_pairs() joins two"
        senders, receivers = source.num_members, target.num_members
        if senders != receivers:
            return f"{senders} members that send and {receivers} that receive"
        return ""

    def num_types(self, domain: Domain) -> int:
        if self.num_edge_types is not None:
            return self.num_edge_types
        # The types of "offset" and "orbit" are numbered on each domain anew: those of one member
        # mean nothing on another.
        if domain.is_union:
            found = "members whose pair types have no common numbering"
            raise GeodlError(f"{self} on {domain}", found, "use equal members")
        if reason := self.refuses(domain):
            raise GeodlError(f"{self} on {domain}", reason, "choose a rule that fits the domain")
        if self.by == "offset":
            return count_types(domain)
        return int(self._types(domain).max()) + 1

    def receiver_types(self, domain: Domain) -> Tensor | None:
        if self.by != "orbit":
            return None
        # An equivariant affine map adds an invariant vector, which is constant on orbits of nodes.
        types = node_orbits(domain.generators())
        if int(types.max()) == 0:
            return None
        return types

    def fan_in(self, domain: Domain | None = None) -> int | None:
        if domain is None:
            return None
        return domain.num_nodes

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        if self.by == "orbit":
            return moved_alike(own_moves(domain))
        if self.by == "offset":
            moves = [shift_nodes(domain, axis, 1) for axis in range(len(domain.lattice or ()))]
            claims = [
                Symmetry(f"shift of axis {axis}", move, move, leaves=True)
                for axis, move in enumerate(moves)
            ]
            if domain.acting is None:
                return claims
            return claims + turns(domain, domain, domain.acting, domain.acting.lattice_generators)
        return moved_alike(order_free(domain))

    def sheets_to_compare(self, domain: Domain, target: Domain) -> SheetEdges | None:
        if self.by != "offset" or domain.fiber is None or not same_place(domain, target):
            return None
        return pairs_by_sheets(domain)

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        dst = torch.arange(target.num_nodes).repeat_interleave(domain.num_nodes)
        src = torch.arange(domain.num_nodes).repeat(target.num_nodes)
        if self.by is None:
            return untyped(dst, src)
        if reason := self.refuses_pair(domain, target):
            raise GeodlError(f"{self} from {domain} to {target}", reason, "use all_pairs()")
        return Edges(dst, src, self._types(domain).reshape(-1))

    @cached_constants()
    def _types(self, domain: Domain) -> Tensor:
        """The type of each pair: `[N, N]`, receivers first."""
        if self.by == "self":
            return 1 - torch.eye(domain.num_nodes, dtype=torch.long)
        if self.by == "orbit":
            return pair_orbits(domain.generators())
        return types_of_pairs(domain)


def all_pairs(by: str | None = None) -> AllPairs:
    """The rule of Transformers and DeepSets: every node receives from every node, itself too.

    Args:
        by: which pairs share a type. None: all; "self": a node with itself, with others (DeepSets,
            Zaheer et al. 2017); "offset": equal offsets on a lattice (relative positions), over a
            fiber equal offsets and group elements as the receiver's element sees them; "orbit":
            pairs that the domain's symmetry carries to each other (every equivariant linear map).
            The last two have as many types as the domain decides, so layers over them take
            `on=domain`.

    >>> from geodl.domain import Grid
    >>> all_pairs("orbit").num_types(Grid(8, periodic=True))
    5
    """
    if by not in BY:
        raise GeodlError(f"all_pairs({by!r})", do=nearest(str(by), [str(b) for b in BY]))
    return AllPairs(by)
