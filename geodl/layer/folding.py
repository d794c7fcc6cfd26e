"""Equal members of a Batch become batch entries: decided here, for runs and for `explain` alike."""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.domain import Domain, memo


class MergedMembers(NamedTuple):
    """A union of D equal members seen as one member with a D times larger batch.

    Attributes:
        source: the senders' domain, of one member where members were merged.
        target: the receivers' domain alike; None where the rule decides.
        num_members: D, 1 where nothing was merged.
    """

    source: Domain
    target: Domain | None
    num_members: int


def merge_equal_members(
    source: Domain, target: Domain | None, layout: torch.layout = torch.strided
) -> MergedMembers:
    """Equal members of a Batch become batch entries: the one place where this is decided.

    A union of one member is that member, also beside a domain that is no union.

    Args:
        source: the senders' domain.
        target: the receivers' domain where it is given, else None.
        layout: of the senders' values; sparse ones have no batch axis to become entries of.
    """
    if source.members is None and (target is None or target.members is None):
        return MergedMembers(source, target, 1)
    # Kernels take a batch of one shape at once, and no plan has to know of the union.
    one = _equal_member(source)
    if one is None or layout != torch.strided:
        return MergedMembers(source, target, 1)
    if target is None:
        return MergedMembers(one, None, source.num_members)
    # Members pair one by one: there have to be as many on either side.
    other = _equal_member(target)
    if other is None or target.num_members != source.num_members:
        return MergedMembers(source, target, 1)
    return MergedMembers(one, other, source.num_members)


def members_to_batch(x: Tensor, count: int) -> Tensor:
    """`[B, D N, C]` as `[B D, N, C]`, a view."""
    if count == 1:
        return x
    return x.reshape(x.shape[0] * count, x.shape[1] // count, x.shape[2])


def _equal_member(domain: Domain) -> Domain | None:
    """The member that all members of a domain are equal to, itself for a domain that is no union;
    None where they differ.
    """
    members = domain.members
    if members is None:
        return domain
    # Found once for each union: comparing the members costs time in proportion to their number.
    equal = memo(domain, "equal", lambda: all(member == members[0] for member in members))
    return members[0] if equal else None
