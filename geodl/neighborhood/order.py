"""Rules that follow an order: causal attention and recurrence."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.neighborhood.base import Edges, Neighborhood, untyped

NEEDS_ORDER = "an ordered domain (a Chain, or a Batch of them)"


@dataclass(frozen=True, repr=False)
class Past(Neighborhood):
    """Each node hears itself and all before it, made by :func:`past`."""

    complete: ClassVar[bool] = True
    causal: ClassVar[bool] = True
    skip: int = 0

    def __repr__(self) -> str:
        return f"past({self.skip or ''})"

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        if domain.ordered and domain.num_nodes <= self.skip:
            return f"no node comes after the first {self.skip}"
        return "" if domain.ordered else f"the past needs {NEEDS_ORDER}"

    def _target(self, domain: Domain) -> Domain:
        return domain.replace((domain.num_nodes - self.skip,)) if self.skip else domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        pairs = torch.ones(target.num_nodes, domain.num_nodes).tril(self.skip).nonzero()
        return untyped(pairs[:, 0], pairs[:, 1])


@dataclass(frozen=True, repr=False)
class Previous(Neighborhood):
    """Each node hears the one before, made by :func:`previous`."""

    steps: ClassVar[int] = 1  # pyright: ignore[reportIncompatibleVariableOverride] - fixed for this rule

    def __repr__(self) -> str:
        return "previous()"

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        return "" if domain.ordered else f"the previous node needs {NEEDS_ORDER}"

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        node = torch.arange(domain.num_nodes)
        return untyped(node[1:], node[:-1])


def past(skip: int = 0) -> Past:
    """The rule of causal attention: each node hears itself and every node before it.

    Args:
        skip: the first nodes, this many, only send: the receivers are the nodes after them, as in
            decoding step by step.

    >>> from geodl.domain import Chain
    >>> past().edges(Chain(2)).src.tolist()
    [0, 0, 1]
    >>> past(2).edges(Chain(3)).src.tolist()
    [0, 1, 2]
    """
    if isinstance(skip, bool) or not isinstance(skip, int) or skip < 0:
        raise GeodlError(f"past({skip!r})", do="give a number of nodes, at least 0")
    return Past(skip)


def previous() -> Previous:
    """The rule of RNNs: each node hears the one before; `previous().reverse()` the one after.

    >>> from geodl.domain import Chain
    >>> previous().reverse().edges(Chain(3)).src.tolist()
    [1, 2]
    """
    return Previous()
