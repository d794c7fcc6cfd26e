"""What every neighborhood is: a rule, independent of size, for who hears whom and which edges share
a weight.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.group import Group


class Edges(NamedTuple):
    """A rule written out on a domain, receivers first: node `dst[e]` hears node `src[e]`.

    Attributes:
        dst: `[E]` receivers.
        src: `[E]` senders.
        type: `[E]` edge types from 0; edges of one type share one weight.
        weight: `[E]` entries of the shift operator S_t, None for all ones.
    """

    dst: Tensor
    src: Tensor
    type: Tensor
    weight: Tensor | None = None


class Symmetry(NamedTuple):
    """A claim: sending node j to `senders[j]` and receiver i to `receivers[i]` maps edges to edges
    of the same type.

    A -1 marks a node that leaves the map, which only a claim with `leaves` may do (a shift under
    zero padding).
    """

    name: str
    senders: Tensor
    receivers: Tensor
    leaves: bool = False


class Stencil(NamedTuple):
    """A rule on a lattice as convolution kernels know it.

    `table[a, b, *kernel]` is the edge type at each kernel position from sheet b of the fiber that
    the window slides over to sheet a of the fiber it makes. `transposed` means that edges run the
    other way.
    """

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    circular: tuple[bool, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    edge_type: Tensor
    transposed: bool = False


class Neighborhood(ABC):
    """A rule: who each node hears. Final subclasses are frozen dataclasses behind lower-case
    functions.

    Attributes:
        num_edge_types: T where the rule knows it without a domain, else None.
        complete: every receiver hears every sender (of its member).
        causal: with `complete`: only those up to its own place.
        skip: with `causal`: the senders before the first receiver.
        back: each node hears only itself and at most this many nodes before it, on an order, or
            None.
        steps: each node hears exactly the node this many places before it (negative: after), or
            None.
        group: the group whose elements its edge types respect, or None.
        glorot: its layers are initialised as graph convolutions are (Glorot, zero bias), not as
            `nn.Conv2d` is.
        backwards: its edges run against those of the rule it reverses.
        merged: `edges` writes a Batch out at once; otherwise member by member.
    """

    num_edge_types: int | None = 1
    complete: ClassVar[bool] = False
    causal: ClassVar[bool] = False
    skip: int = 0
    back: int | None = None
    steps: int | None = None
    group: Group | None = None
    glorot: ClassVar[bool] = False
    backwards: bool = False
    merged: ClassVar[bool] = False

    def on(self, domain: Domain, target: Domain | None = None) -> "Neighborhood":
        """The rule that lowerings see for these senders and receivers: itself, unless it leaves the
        choice to the domain.
        """
        return self

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        """Why this rule cannot be used on a domain that is no union ("" when it can); `typed`: edge
        types carry weights.
        """
        return ""

    def num_types(self, domain: Domain) -> int:
        """T on a domain."""
        assert self.num_edge_types is not None
        return self.num_edge_types

    def fan_in(self, domain: Domain | None = None) -> int:
        """Edges into one receiver, as initialisation counts them; 1 where it depends on a domain
        that is not given.
        """
        return 1

    def target(self, domain: Domain) -> Domain:
        """The domain of the receivers when the senders live on `domain`."""
        if domain.members is None:
            return self._target(domain)
        targets = [self._target(m) for m in domain.members]
        same = all(new is old for new, old in zip(targets, domain.members, strict=True))
        return domain if same else type(domain)(targets)  # type: ignore[call-arg] - a Batch is made from members

    def edges(self, domain: Domain, target: Domain | None = None) -> Edges:
        """The rule written out; each member of a union hears its own member only.

        Args:
            domain: where the senders live.
            target: where the receivers live, by default :meth:`target`.
        """
        target = self.target(domain) if target is None else target
        if domain.members is None or self.merged:
            return self._edges(domain, target)
        if target.members is None or len(target.members) != len(domain.members):
            raise GeodlError(
                f"{self} from {domain} to {target}",
                "unions that do not pair",
                "give as many members to each side",
            )
        return self._merge(domain.members, target.members)

    def reverse(self, onto: Domain | None = None) -> "Neighborhood":
        """The same edges the other way, as in a transposed convolution.

        Args:
            onto: the domain this restores; by default the smallest that the rule maps to the given
                one.
        """
        return Reversed(self, onto)

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        """What the rule claims on a domain; layers are held to it.

        Nothing, unless a rule knows better.
        """
        return []

    def stencil(self, domain: Domain, target: Domain) -> Stencil | None:
        """The rule as a window on a lattice, or None."""
        return None

    def block(self, domain: Domain, target: Domain) -> int | None:
        """The size k when receiver i hears exactly the senders `i*k .. i*k + k - 1`, else None."""
        return None

    def restores(self, domain: Domain) -> Domain:
        """The domain on which the reversed rule ends by default."""
        return domain

    @abstractmethod
    def _target(self, domain: Domain) -> Domain:
        """`target` for a domain that is no union."""

    @abstractmethod
    def _edges(self, domain: Domain, target: Domain) -> Edges:
        """`edges` for a domain that is no union (or for any, with `merged`)."""

    def _merge(self, senders: tuple[Domain, ...], receivers: tuple[Domain, ...]) -> Edges:
        parts, to, start = [], 0, 0
        for sender, receiver in zip(senders, receivers, strict=True):
            e = self._edges(sender, receiver)
            parts.append(Edges(e.dst + to, e.src + start, e.type, e.weight))
            to, start = to + receiver.num_nodes, start + sender.num_nodes
        weight = None
        if any(p.weight is not None for p in parts):
            weight = torch.cat(
                [
                    torch.ones(len(p.dst), dtype=torch.float64) if p.weight is None else p.weight
                    for p in parts
                ]
            )
        dst, src, kind = (
            torch.cat(column) for column in zip(*(part[:3] for part in parts), strict=True)
        )
        return Edges(dst, src, kind, weight)


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
    def backwards(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """Against the rule."""
        return not self.rule.backwards

    @property
    def merged(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """As the rule."""
        return self.rule.merged

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        restored = self.target(domain)
        if reason := self.rule.refuses(restored, typed):
            return reason
        made = self.rule.target(restored)
        return (
            ""
            if made == domain
            else f"{self.rule} maps {restored} to {made}, not to {domain}: name another onto="
        )

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


def untyped(dst: Tensor, src: Tensor, weight: Tensor | None = None) -> Edges:
    """Edges that are all of type 0."""
    return Edges(dst, src, torch.zeros_like(dst), weight)


def permutations(names: str, moves: Tensor) -> list[Symmetry]:
    """Claims for permutations that move senders and receivers alike."""
    return [Symmetry(f"{names} {k + 1}", move, move) for k, move in enumerate(moves)]
