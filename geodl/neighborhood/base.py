"""What every neighborhood is: a rule, independent of size, for who receives from whom and which
edges share a weight.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import (
    Complete,
    Domain,
    rotate_nodes,
    same_place,
    shift_nodes,
    told_apart,
    turn_domain,
)
from geodl.errors import GeodlError
from geodl.group import Group
from geodl.neighborhood.edges import Edges, side_by_side
from geodl.neighborhood.entries import Carried
from geodl.neighborhood.sheets import SheetEdges
from geodl.neighborhood.structure import Structure


class Symmetry(NamedTuple):
    """A claimed symmetry: moving every sender j to `senders[j]` and every receiver i to
    `receivers[i]` maps edges to edges of the same type and weight.

    Attributes:
        name: in words.
        senders: `[N]`, -1 for a node that is moved off the lattice; only claims with `leaves` have
            such nodes (a shift at a border).
        receivers: `[M]`, likewise.
        leaves: whether nodes may leave the lattice.
        source: the domain that senders are moved to, which a quarter turn of an oblong lattice
            makes another one; None where they stay on theirs.
        target: the domain that receivers are moved to, likewise.
    """

    name: str
    senders: Tensor
    receivers: Tensor
    leaves: bool = False
    source: Domain | None = None
    target: Domain | None = None


class Neighborhood(ABC):
    """A rule: who each node receives from. Final subclasses are frozen dataclasses behind
    lower-case functions.

    Attributes:
        num_edge_types: T where the rule knows it without a domain, else None.
        fill: the state of the edges that the rule adds to the links: a number, or "mean".
        reads_weights: whether its entries depend on the weights of the links; a rule that says so
            defines :meth:`carry` and :meth:`entries`.
        is_laplacian: whether its operator is a Laplacian, whose eigenvalues it knows.
        is_pointwise: whether on every domain each node receives from itself alone, once.
        onto: the domain that it names for its receivers, or None.
        group: the group whose elements its edge types respect, or None.
        by_member: each member of a union receives from its own, by the same rule in equal members;
            where not, edges are given among the nodes of the whole union.
        writes_unions: whether `_edges` writes out a whole union at once; where not, the edges of
            its members are put side by side.
        owner: what owns the tensors that the rule is made of, and the plans made of them; None of a
            rule that is a value.
        key: what names the rule among the plans of its owner; the rule itself without one.
        runtime_weight: weights of its own edges that come with each call, as
            `Relation.with_weights` makes them; None of any other rule.
        edge_state: features of its own edges, as `Relation.with_edges` makes them; None of any
            other rule.
        sorted_matrix: which matrix of `geodl.domain.reading.SortedGraphs` its edges are, on graphs
            without weights: "links", "loops" or "members"; "" of a rule that is none of them.
    """

    num_edge_types: int | None = 1
    fill: float | str = 0.0
    reads_weights: bool = False
    is_laplacian: bool = False
    is_pointwise: bool = False
    onto: Domain | None = None
    group: Group | None = None
    by_member: bool = True
    writes_unions: bool = False
    owner: Any = None
    key: Any = None
    runtime_weight: Tensor | None = None
    edge_state: Tensor | None = None
    sorted_matrix: str = ""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Neighborhood":
        """Itself, as any value: a copied layer stays on the very domains that its rule names."""
        return self

    @abstractmethod
    def reverse(self, onto: Domain | None = None) -> "Neighborhood":
        """The same edges the other way, as in a transposed convolution.

        Args:
            onto: the domain this restores where a call names no receivers; by default the smallest
                that the rule maps to the given one.
        """

    @abstractmethod
    def _target(self, domain: Domain) -> Domain:
        """`target` for a domain that is not a union."""

    @abstractmethod
    def _edges(self, domain: Domain, target: Domain) -> Edges:
        """`edges` between two domains, which are not unions unless the rule `writes_unions`."""

    def resolve(self, domain: Domain, target: Domain | None = None) -> "Neighborhood":
        """The rule that lowerings see: itself, unless it leaves the choice to the domains."""
        return self

    def with_receivers(self, target: Domain) -> "Neighborhood":
        """The rule of a call that names its receivers: itself, but a reversed one ends on them."""
        return self

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        """The records that lowerings may rely on between two domains; none for plain edges."""
        return ()

    def lookback(self, domain: Domain) -> float | None:
        """How many nodes before its own a node may receive from: 0 for itself alone, `math.inf` for
        all of them; None if it receives from later nodes too, or if no record says.
        """
        # Every record is a promise about the same edges, so the tightest one holds.
        known = [s.lookback for s in self.structures(domain, domain) if s.lookback is not None]
        return min(known, default=None)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        """Why this rule cannot be used on a domain that is not a union; "" when it can.

        Args:
            domain: where the senders live.
            typed: whether edge types carry weights.
        """
        return ""

    def refuses_senders(self, source: Domain, typed: bool = True) -> str:
        """Why this rule cannot be used on any domain, unions among them; "" when it can."""
        for part in source.kinds:
            reason = self.refuses(part, typed)
            if reason and source.is_union:
                return f"{reason} (the member {part})"
            if reason:
                return reason
        return ""

    def refuses_receivers(self, target: Domain) -> str:
        """Why no nodes of a domain can receive; "" where that is known of pairs only."""
        return ""

    def refuses_pair(self, source: Domain, target: Domain, typed: bool = True) -> str:
        """Why this rule cannot join senders on `source` to receivers on `target`; "" when it
        can.
        """
        if reason := self.refuses_senders(source, typed):
            return reason
        made = self.target(source)
        if same_place(made, target):
            return ""
        return f"receivers on {told_apart(target, made)} in place of {made}"

    def num_types(self, domain: Domain) -> int:
        """T on a domain."""
        assert self.num_edge_types is not None
        return self.num_edge_types

    def receiver_types(self, domain: Domain) -> Tensor | None:
        """Which receivers share a bias: `[M]` numbers from 0; None where all of them do."""
        return None

    def fan_in(self, domain: Domain | None = None) -> float | None:
        """Edges into one receiver, as initialisation counts them, those with weights of their own
        by the squares of these; None where they depend on data.
        """
        return None

    def weight_fan_in(
        self, channels_in: int, channels_out: int, domain: Domain | None = None
    ) -> float | None:
        """How many products one output of a convolution sums, for initialisation: `channels_in *
        fan_in`; over a reversed rule `channels_out * fan_in`, as `nn.ConvTranspose` counts.
        """
        edges = self.fan_in(domain)
        if edges is None:
            return None
        return channels_in * edges

    def stays_on(self, domain: Domain) -> bool:
        """Whether the receivers are the senders on `domain`."""
        return same_place(self.target(domain), domain)

    def target(self, domain: Domain) -> Domain:
        """The domain of the receivers when the senders live on `domain`."""
        if not domain.is_union:
            return self._target(domain)
        members = domain.members or ()
        targets = [self._target(m) for m in members]
        # The very same union, with its plans, where no member's receivers live elsewhere.
        if all(new is old for new, old in zip(targets, members, strict=True)):
            return domain
        made = type(domain)(targets)  # type: ignore[call-arg] - a Batch is made from members
        # Members that are values name no device: the union stays where its senders are.
        return made.to(domain.tensors()[0].device)

    @final
    def edges(self, domain: Domain, target: Domain | None = None) -> Edges:
        """The rule written out; each member of a union receives from its own member only.

        Args:
            domain: where the senders live.
            target: where the receivers live, by default :meth:`target`.

        Raises:
            GeodlError: if the two domains have different numbers of members.
        """
        if target is None:
            target = self.target(domain)
        if domain.runtime_weight is not None or self.runtime_weight is not None:
            # Gradients flow to these weights, in whatever mode or transform they were made.
            return self._write_out(domain, target)
        with cached_constants():
            return self._write_out(domain, target)

    def edges_to_compare(self, domain: Domain, target: Domain) -> Edges:
        """Edges that a move of the nodes keeps, with their types and weights, exactly when it keeps
        :meth:`edges`: these, unless a rule has fewer. Proofs look at them.
        """
        return self.edges(domain, target)

    def sheets_to_compare(self, domain: Domain, target: Domain) -> SheetEdges | None:
        """:meth:`edges_to_compare` as edges between the points of lattices with fibers, from which
        proofs need not write out those between all sheets; None of a rule that has no such form.
        """
        return None

    def _write_out(self, domain: Domain, target: Domain) -> Edges:
        """`edges`, in the modes of torch that it is called in."""
        if self.writes_unions or not (domain.is_union or target.is_union):
            return self._edges(domain, target)
        senders, receivers = paired_members(domain, target, str(self))
        parts = [self._edges(s, r) for s, r in zip(senders, receivers, strict=True)]
        num_receivers = [member.num_nodes for member in receivers]
        num_senders = [member.num_nodes for member in senders]
        links = None
        if any(part.link is not None for part in parts):
            links = [member.num_links for member in senders]
        joined = side_by_side(parts, num_receivers, num_senders, links)
        order = domain.link_order
        if order is None or joined.link is None:
            return joined
        # The parts count links member after member; in the union they may stand otherwise.
        known, link = joined.link >= 0, joined.link.clone()
        link[known] = order[joined.link[known]]
        return joined._replace(link=link)

    def carry(self, source: Domain, target: Domain) -> Carried:
        """The rule written out for weights that come with each call: edges without weights, in the
        order of :meth:`edges`, and what :meth:`entries` needs of the domain.

        Raises:
            GeodlError: if the rule does not read the weights of links.
        """
        asked = f"{self} on {source} with weights that come with each call"
        do = "use adjacency(), laplacian() or relation.with_weights(w)"
        raise GeodlError(asked, "a rule that does not read them", do)

    def entries(self, carried: Carried, weight: Tensor) -> Tensor:
        """The entries of the edges from the weights of the links, `[..., L]` to `[..., E]`, by
        operations that can be differentiated.

        Args:
            carried: what :meth:`carry` made for the domain.
            weight: in the order of `domain.links()`.
        """
        raise GeodlError(f"entries of {self}", "a rule that does not read the weights of links")

    def largest_eigenvalues(self, domain: Domain) -> Tensor:
        """Of a Laplacian, the largest eigenvalue on each member: `[D]` in float64.

        Raises:
            GeodlError: if the rule is not a Laplacian, whose eigenvalues are known.
        """
        asked = f"the largest eigenvalue of {self}"
        raise GeodlError(asked, "no Laplacian", "name it: lambda_max=")

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        """The symmetries that the rule has on a domain, which tests and certificates check; none
        unless a rule says so.
        """
        return []

    def restores(self, domain: Domain) -> Domain:
        """The smallest domain that this rule maps to `domain`: the default target of
        :meth:`reverse`.
        """
        return domain

    def to(self, device: torch.device | str) -> "Neighborhood":
        """The rule with the tensors that it is made of on a device; itself, if there are none."""
        return self


def paired_members(
    source: Domain, target: Domain, asked: str
) -> tuple[tuple[Domain, ...], tuple[Domain, ...]]:
    """The members of two domains, one of each for every pair; a domain that is not a union has one.

    Raises:
        GeodlError: if the two domains have different numbers of members.
    """
    senders, receivers = source.members or (source,), target.members or (target,)
    if len(senders) != len(receivers):
        raise GeodlError(
            f"{asked} from {source} to {target}",
            f"{len(senders)} members that send and {len(receivers)} that receive",
            "give as many members to each side",
        )
    return senders, receivers


ANY_ORDER = "exchange or cycle"


def moved_alike(moves: Iterable[tuple[str, Tensor]]) -> list[Symmetry]:
    """One claim for each named permutation, which moves senders and receivers in the same way."""
    return [Symmetry(name, move, move) for name, move in moves]


@cached_constants()
def own_moves(domain: Domain) -> list[tuple[str, Tensor]]:
    """Name and permutation `[N]` of each generator of a domain's symmetries. Those of a set, which
    generate every permutation, have names of their own.
    """
    moves, word = domain.generators(), "generator"
    if torch.equal(moves, Complete(domain.num_nodes).generators()):
        word = ANY_ORDER
    return [(f"{word} {k + 1}", move) for k, move in enumerate(moves)]


@cached_constants()
def order_free(domain: Domain) -> list[tuple[str, Tensor]]:
    """Name and permutation `[N]` of what a rule is blind to that asks for no order of the nodes:
    any permutation; of a union, any that keeps its members.

    Rules with fewer symmetries claim some of these by names of their own, and a model is exact
    under what all of its rules claim by one name: the domain's generators, and shifts around it.
    """
    found = dict(own_moves(domain))
    if not domain.is_union:
        found |= own_moves(Complete(domain.num_nodes))
    for axis, wraps in enumerate(domain.periodic):
        if wraps:
            found[f"shift of axis {axis}"] = shift_nodes(domain, axis, 1)
    return list(found.items())


@cached_constants()
def turns(source: Domain, target: Domain, group: Group, elements: Iterable[int]) -> list[Symmetry]:
    """The claims of a point group's elements between two domains; on a domain without a lattice
    nothing moves.

    Args:
        source: where the senders live.
        target: where the receivers live.
        group: acts on the lattices.
        elements: their numbers in the group.
    """
    claims = []
    for k in elements:
        turned_source, senders = turn(source, group, k)
        turned_target, receivers = turn(target, group, k)
        name = f"{group} element {k}"
        claims.append(Symmetry(name, senders, receivers, False, turned_source, turned_target))
    return claims


def turn(domain: Domain, group: Group, element: int) -> tuple[Domain, Tensor]:
    """The domain that a point group's element makes of a lattice, and the node of it to which each
    node goes; a domain without a lattice stays as it is.
    """
    if domain.lattice is None:
        return domain, torch.arange(domain.num_nodes)
    return turn_domain(domain, group, element), rotate_nodes(domain, group, element)
