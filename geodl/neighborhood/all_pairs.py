"""The rule over all pairs: Transformers, DeepSets, relative positions, every equivariant map."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import Complete, Domain, coordinates, shift_nodes
from geodl.errors import GeodlError, nearest
from geodl.group import node_orbits, pair_orbits
from geodl.neighborhood.base import Neighborhood, Symmetry, permutations, same_place
from geodl.neighborhood.edges import Edges, untyped
from geodl.neighborhood.reversed import Reversed
from geodl.neighborhood.structure import Everyone, Stencil, Structure

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
        if self.by == "offset" and source.lattice is not None:
            return everyone, _widest_stencil(source)
        return (everyone,)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        if self.by == "offset" and (domain.lattice is None or domain.fiber is not None):
            return "relative offsets need a lattice without a fiber"
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
        # mean
        # nothing on another.
        if domain.is_union:
            found = "members whose pair types have no common numbering"
            raise GeodlError(f"{self} on {domain}", found, "use equal members")
        if reason := self.refuses(domain):
            raise GeodlError(f"{self} on {domain}", reason, "choose a rule that fits the domain")
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
            return permutations("generator", domain.generators())
        if self.by == "offset":
            moves = [shift_nodes(domain, axis, 1) for axis in range(len(domain.lattice or ()))]
            return [
                Symmetry(f"shift of axis {axis}", move, move, leaves=True)
                for axis, move in enumerate(moves)
            ]
        # Any permutation of the nodes keeps all pairs; of a union, any that keeps its members.
        everyone = domain
        if not domain.is_union:
            everyone = Complete(domain.num_nodes)
        claims = permutations("exchange or cycle", everyone.generators())
        # Shifts of a torus are such permutations, named as windows name them.
        for axis, wraps in enumerate(domain.periodic):
            if wraps:
                move = shift_nodes(domain, axis, 1)
                claims.append(Symmetry(f"shift of axis {axis}", move, move))
        return claims

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
        return _offsets(domain)


def all_pairs(by: str | None = None) -> AllPairs:
    """The rule of Transformers and DeepSets: every node receives from every node, itself too.

    Args:
        by: which pairs share a type. None: all; "self": a node with itself, with others (DeepSets,
            Zaheer et al. 2017); "offset": equal offsets on a lattice (relative positions); "orbit":
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


def _offsets(domain: Domain) -> Tensor:
    """The number of the offset from each receiver to each sender: `[N, N]`, last axis fastest.

    An axis of n nodes has the offsets -(n-1) to n-1; one that wraps has 0 to n-1.
    """
    assert domain.lattice is not None
    points = coordinates(domain.lattice)
    lengths = torch.tensor(domain.lattice)
    wraps = torch.tensor(domain.periodic)
    # apart[i, j] leads from receiver i to sender j; counted from 0 on each axis, it is a digit of
    # the
    # offset's number, with as many values as the axis has offsets.
    apart = points[None, :] - points[:, None]
    apart = torch.where(wraps, apart % lengths, apart + lengths - 1)
    spans = torch.where(wraps, lengths, 2 * lengths - 1)
    number = torch.zeros_like(apart[..., 0])
    for axis, span in enumerate(spans.tolist()):
        number = number * span + apart[..., axis]
    return number


def _widest_stencil(domain: Domain) -> Stencil:
    """All pairs by offset as a window as wide as the lattice, types as :func:`_offsets` counts
    them.

    On an axis of n nodes the window has size 2n-1 and begins n-1 before its receiver; on one that
    wraps it has size n and begins at its receiver.
    """
    assert domain.lattice is not None
    sizes, padding = [], []
    for n, wraps in zip(domain.lattice, domain.periodic, strict=True):
        if wraps:
            sizes.append(n)
            padding.append((0, n - 1))
        else:
            sizes.append(2 * n - 1)
            padding.append((n - 1, n - 1))
    one = (1,) * len(sizes)
    edge_type = torch.arange(math.prod(sizes)).reshape(1, 1, *sizes)
    shape = domain.lattice
    return Stencil(shape, shape, domain.periodic, one, one, tuple(padding), edge_type)
