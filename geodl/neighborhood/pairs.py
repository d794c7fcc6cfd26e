"""Rules over all pairs, and the two that pool: a fiber, a member."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geodl.domain import Complete, Domain, coordinates, rotate_nodes, shift_nodes
from geodl.errors import GeodlError, nearest
from geodl.group import orbits
from geodl.neighborhood.base import Edges, Neighborhood, Stencil, Symmetry, permutations, untyped

BY = (None, "self", "offset", "orbit")


@dataclass(frozen=True, repr=False)
class AllPairs(Neighborhood):
    """Every receiver hears every sender, made by :func:`all_pairs`."""

    by: str | None
    complete: ClassVar[bool] = True

    def __repr__(self) -> str:
        return f"all_pairs({'' if self.by is None else repr(self.by)})"

    @property
    def num_edge_types(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """1, 2 for "self", and None where the domain decides."""
        return {None: 1, "self": 2}.get(self.by)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        lost = self.by == "offset" and (domain.lattice is None or domain.fiber is not None)
        return "relative offsets need a lattice without a fiber" if lost else ""

    def num_types(self, domain: Domain) -> int:
        if self.num_edge_types is not None:
            return self.num_edge_types
        if domain.members is not None:
            raise GeodlError(
                f"{self} on {domain}",
                "members whose pair types have no common numbering",
                "use equal members",
            )
        return int(self._types(domain).max()) + 1

    def fan_in(self, domain: Domain | None = None) -> int:
        return 1 if domain is None else domain.num_nodes

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        m, n = target.num_nodes, domain.num_nodes
        dst, src = torch.arange(m).repeat_interleave(n), torch.arange(n).repeat(m)
        if self.by is None:
            return untyped(dst, src)
        if target is not domain and target != domain:
            raise GeodlError(
                f"{self} from {domain} to {target}",
                "two domains",
                "only all_pairs() joins two domains",
            )
        return Edges(dst, src, self._types(domain).reshape(-1))

    def _types(self, domain: Domain) -> Tensor:
        if self.by == "self":
            return 1 - torch.eye(domain.num_nodes, dtype=torch.long)
        return orbits(domain.generators()) if self.by == "orbit" else _offsets(domain)

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        if self.by == "orbit":
            return permutations("generator", domain.generators())
        if self.by == "offset":
            axes = range(len(domain.lattice or ()))
            moves = [(a, shift_nodes(domain, a, 1)) for a in axes]
            return [Symmetry(f"shift of axis {a}", move, move, leaves=True) for a, move in moves]
        everyone = domain if domain.members is not None else Complete(domain.num_nodes)
        return permutations("exchange or cycle", everyone.generators())


@dataclass(frozen=True, repr=False)
class Fiber(Neighborhood):
    """Each lattice point hears the group elements above it, made by :func:`fiber`."""

    def __repr__(self) -> str:
        return "fiber()"

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        return (
            "a fiber to pool over is missing: use it after lift(...)"
            if domain.fiber is None
            else ""
        )

    def fan_in(self, domain: Domain | None = None) -> int:
        return domain.fiber.order if domain is not None and domain.fiber is not None else 1

    def _target(self, domain: Domain) -> Domain:
        if reason := self.refuses(domain):
            raise GeodlError(f"{self} on {domain}", "no fiber", reason)
        return domain.replace(domain.lattice)

    def restores(self, domain: Domain) -> Domain:
        raise GeodlError(
            f"{self}.reverse() on {domain}",
            "no group named",
            "name the fibered domain: reverse(onto=...)",
        )

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        node = torch.arange(domain.num_nodes)
        return untyped(node // (domain.num_nodes // target.num_nodes), node)

    def block(self, domain: Domain, target: Domain) -> int | None:
        return domain.num_nodes // target.num_nodes

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        to, group = self.target(domain), domain.fiber
        if group is None or domain.lattice is None:  # a union
            return []
        axes = range(len(domain.lattice))
        claims = [
            Symmetry(
                f"shift of axis {a}", shift_nodes(domain, a, 1), shift_nodes(to, a, 1), leaves=True
            )
            for a in axes
        ]
        return claims + [
            Symmetry(
                f"{group} element {k}", rotate_nodes(domain, group, k), rotate_nodes(to, group, k)
            )
            for k in group.generators
        ]


@dataclass(frozen=True, repr=False)
class Whole(Neighborhood):
    """One receiver for each member hears all its nodes, made by :func:`whole`."""

    merged: ClassVar[bool] = True

    def __repr__(self) -> str:
        return "whole()"

    def fan_in(self, domain: Domain | None = None) -> int:
        return 1 if domain is None else domain.num_nodes

    def target(self, domain: Domain) -> Domain:
        return Complete(domain.num_members)

    def _target(self, domain: Domain) -> Domain:
        return Complete(1)

    def restores(self, domain: Domain) -> Domain:
        raise GeodlError(
            f"{self}.reverse() on {domain}",
            "no domain named",
            "name the domain it spreads over: reverse(onto=...)",
        )

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        member = torch.zeros(domain.num_nodes, dtype=torch.long)
        if domain.members is not None:
            sizes = torch.tensor([m.num_nodes for m in domain.members])
            member = torch.repeat_interleave(sizes)
        return untyped(member, torch.arange(domain.num_nodes))

    def block(self, domain: Domain, target: Domain) -> int | None:
        return domain.num_nodes if domain.members is None else None

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        everyone = domain if domain.members is not None else Complete(domain.num_nodes)
        still = torch.arange(domain.num_members)
        return [
            Symmetry(f"exchange or cycle {k + 1}", move, still)
            for k, move in enumerate(everyone.generators())
        ]


@dataclass(frozen=True, repr=False)
class Itself(Neighborhood):
    """Each node hears only itself, made by :func:`itself`."""

    merged: ClassVar[bool] = True
    back: ClassVar[int | None] = 0  # pyright: ignore[reportIncompatibleVariableOverride] - fixed for this rule

    def __repr__(self) -> str:
        return "itself()"

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        node = torch.arange(domain.num_nodes)
        return untyped(node, node)

    def stencil(self, domain: Domain, target: Domain) -> Stencil | None:
        row, one = (domain.num_nodes,), (1,)
        return Stencil(
            row, row, (False,), one, one, ((0, 0),), torch.zeros(1, 1, 1, dtype=torch.long)
        )

    def block(self, domain: Domain, target: Domain) -> int | None:
        return 1

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        return permutations("exchange or cycle", Complete(domain.num_nodes).generators())


def all_pairs(by: str | None = None) -> AllPairs:
    """The rule of Transformers and DeepSets: everyone hears everyone, themselves too.

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


def fiber() -> Fiber:
    """Pool over the group at each lattice point: group invariance, where rotation of the map
    remains.
    """
    return Fiber()


def whole() -> Whole:
    """Pool over all nodes of each member: one node for each, on `Complete(D)`."""
    return Whole()


def itself() -> Itself:
    """Each node hears only itself: the linear layer, a 1x1 convolution on any domain."""
    return Itself()


def _offsets(domain: Domain) -> Tensor:
    assert domain.lattice is not None
    points, sizes = coordinates(domain.lattice), torch.tensor(domain.lattice)
    wraps = torch.tensor(domain.periodic)
    apart = points[None, :] - points[:, None]  # [receivers, senders, d]
    apart = torch.where(wraps, apart % sizes, apart + sizes - 1)
    spans = torch.where(wraps, sizes, 2 * sizes - 1).tolist()
    number = torch.zeros_like(apart[..., 0])
    for axis, span in enumerate(spans):
        number = number * span + apart[..., axis]
    return number
