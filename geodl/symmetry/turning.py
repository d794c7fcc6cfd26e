"""An element of a point group applied to a signal: its values on the turned domain."""

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
    if isinstance(end, Signal):
        return end.domain
    return end


def turn_end(end: DomainOrSignal, group: Group, element: int) -> DomainOrSignal:
    """A domain or a signal after an element of a point group is applied to it; unchanged where it
    has no lattice.

    Raises:
        GeodlError: if a signal has a state of edges, which would have to be reordered.
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
    """Values `[B, N, C]` with node i's value moved to node `permutation[i]`, or dropped where that
    is -1; nodes to which no value moves get 0.

    Args:
        x: `[B, N, C]`.
        permutation: `[N]`.
    """
    stays = permutation >= 0
    moved = torch.zeros_like(x)
    moved[:, permutation[stays]] = x[:, stays]
    return moved
