"""The record of a rule that is the links of a domain, and nothing more."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.neighborhood.edges import Edges, untyped
from geodl.neighborhood.structure import Structure


@dataclass(frozen=True, eq=False)
class Linked(Structure):
    """Nodes receive over links as they stand, all of one type and without weights.

    The edges of such a rule need not be written out: types that are all 0 and the numbers of the
    links take longer to make than a product over a small graph.

    Args:
        dst: `[E]` receivers.
        src: `[E]` senders.
    """

    dst: Tensor
    src: Tensor

    def edges(self, source: Domain, target: Domain) -> Edges:
        return untyped(self.dst, self.src)

    def reverse(self) -> Structure | None:
        return Linked(self.src, self.dst)


def linked(domain: Domain, *, loops: bool, weights: bool) -> tuple[Structure, ...]:
    """The record of a domain's links; none where there may be a better one, where links have
    weights, or where loops are asked for and some are there.

    Args:
        domain: of the senders and of the receivers.
        loops: whether each node receives from itself, too, as by a link of its own.
        weights: whether weights that links have count.
    """
    # A value domain makes its links at every question; members that were chosen from a union have
    # none before they are asked for, and most kernels do without.
    if domain.serial is None or domain.chosen is not None:
        return ()
    dst, src, weight = domain.links()
    if weights and weight is not None:
        return ()
    if not loops:
        return (Linked(dst, src),)
    if bool((dst == src).any()):
        return ()
    own = torch.arange(domain.num_nodes, device=dst.device)
    return (Linked(torch.cat((dst, own)), torch.cat((src, own))),)
