"""Signals carried along by a point group's element, to the turned domain."""

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.group import Group
from geodl.neighborhood.base import turn
from geodl.signal import Signal

DomainOrSignal = Domain | Signal


def domain_of(end: DomainOrSignal) -> Domain:
    """The domain itself, or that of a signal."""
    return end.domain if isinstance(end, Signal) else end


def turn_end(end: DomainOrSignal, group: Group, element: int) -> DomainOrSignal:
    """A domain or a signal as an element of a point group carries it along; the very same where it
    has no lattice.

    Raises:
        GeodlError: a signal with a state of edges, which stand elsewhere after the turn.
    """
    domain, nodes = turn(domain_of(end), group, element)
    if not isinstance(end, Signal):
        return domain
    if domain.lattice is None:
        return end
    if end.edges is not None:
        asked = f"{group} element {element} on {end.domain}"
        raise GeodlError(asked, "a state of edges, which is not carried along", "leave it out")
    return Signal(move(end.x, nodes), domain, None, end.globals)


def move(x: Tensor, permutation: Tensor) -> Tensor:
    """Values `[B, N, C]` carried along: node i's value goes to `permutation[i]`, nowhere for -1;
    zeros where none came.
    """
    stays = permutation >= 0
    moved = torch.zeros_like(x)
    moved[:, permutation[stays]] = x[:, stays]
    return moved
