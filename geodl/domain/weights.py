"""Weights of links that come with each call, of several domains side by side."""

from collections.abc import Sequence

import torch
from torch import Tensor

from geodl.domain.base import Domain
from geodl.errors import GeodlError


def is_reweighted(members: Sequence[Domain | None]) -> bool:
    """Whether the weights of a member come with each call; None stands for one not yet made."""
    if members == (None,):
        return False
    return any(member is not None and member.runtime_weight is not None for member in members)


def joined_weights(members: Sequence[Domain]) -> Tensor:
    """The weights of the links of a union, `[L]`, or `[B, L]` where those of a member are. Members
    that keep their weights have these, others ones.

    Raises:
        GeodlError: if the weights of members are for different batches.
    """
    parts = []
    for member in members:
        links = member.links()
        weight = links.weight
        if weight is None:
            weight = torch.ones(len(links.dst), device=links.dst.device)
        parts.append(weight)
    rows = sorted({len(part) for part in parts if part.dim() == 2})
    if not rows:
        return torch.cat(parts)
    if len(rows) > 1:
        found = f"members with weights for batches of {rows}"
        raise GeodlError(
            "weights of a Batch", found, "give each member as many rows, or one for all"
        )
    return torch.cat([part.expand(rows[0], -1) for part in parts], dim=1)
