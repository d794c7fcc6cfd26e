"""Rules that follow an order: causal attention and recurrence."""

from dataclasses import dataclass

import torch

from geodl.domain import Domain
from geodl.neighborhood.base import Neighborhood
from geodl.neighborhood.edges import Edges, untyped
from geodl.neighborhood.reversed import Reversed
from geodl.neighborhood.structure import Everyone, Shift, Structure

NEEDS_ORDER = "an ordered domain (a Chain, or a Batch of them)"


@dataclass(frozen=True, repr=False)
class Past(Neighborhood):
    """Each node receives from itself and all before it, made by :func:`past`."""

    def __repr__(self) -> str:
        return "past()"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        return (Everyone(causal=True),)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        if domain.ordered:
            return ""
        return f"the past needs {NEEDS_ORDER}"

    def refuses_pair(self, source: Domain, target: Domain, typed: bool = True) -> str:
        if not (source.ordered and target.ordered):
            return f"the past needs {NEEDS_ORDER} on both sides"
        senders, receivers = source.sizes, target.sizes
        if len(senders) != len(receivers):
            return f"{len(senders)} members that send and {len(receivers)} that receive"
        # A receiver before the first sender would have no past, not even itself.
        for sender, receiver in zip(senders, receivers, strict=True):
            if receiver > sender:
                return (
                    f"{receiver} receivers of {sender} senders: the ends are "
                    f"aligned, so that the first receivers have no past"
                )
        return ""

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        num_receivers, num_senders = target.num_nodes, domain.num_nodes
        present = torch.ones(num_receivers, num_senders).tril(num_senders - num_receivers)
        pairs = present.nonzero()
        return untyped(pairs[:, 0], pairs[:, 1])


@dataclass(frozen=True, repr=False)
class Previous(Neighborhood):
    """Each node receives from the one before, made by :func:`previous`."""

    def __repr__(self) -> str:
        return "previous()"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        return (Shift(1),)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        if domain.ordered:
            return ""
        return f"the previous node needs {NEEDS_ORDER}"

    def fan_in(self, domain: Domain | None = None) -> int | None:
        return 1

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        node = torch.arange(domain.num_nodes)
        return untyped(node[1:], node[:-1])


def past() -> Past:
    """The rule of causal attention: each node receives from itself and every node before it.

    Between two ordered domains the ends are aligned: receiver M-1 receives from sender N-1, as the
    newest tokens do from all tokens so far; M <= N in every member.

    See also: `past()` itself and all before (causal attention), `previous()` the one before (RNN),
    `predecessors()` all nodes with a link to it (trees, DAGs).

    >>> from geodl.domain import Chain
    >>> past().edges(Chain(2)).src.tolist()
    [0, 0, 1]
    >>> past().edges(Chain(3), Chain(1)).src.tolist()
    [0, 1, 2]
    """
    return Past()


def previous() -> Previous:
    """The rule of RNNs: each node receives from the one before, `previous().reverse()` from the one
    after.

    See also: `past()` itself and all before (causal attention), `previous()` the one before (RNN),
    `predecessors()` all nodes with a link to it (trees, DAGs).

    >>> from geodl.domain import Chain
    >>> previous().reverse().edges(Chain(3)).src.tolist()
    [1, 2]
    """
    return Previous()
