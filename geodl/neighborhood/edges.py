"""A rule written out: who receives from whom, over which type of edge, with which weight."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Edges(NamedTuple):
    """A rule written out on a domain, receivers first: node `dst[e]` receives from node `src[e]`.

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


def untyped(dst: Tensor, src: Tensor, weight: Tensor | None = None) -> Edges:
    """Edges that are all of type 0."""
    return Edges(dst, src, torch.zeros_like(dst), weight)


def turned_around(edges: Edges) -> Edges:
    """The same edges from receivers to senders."""
    return Edges(edges.src, edges.dst, edges.type, edges.weight)


def side_by_side(parts: Sequence[Edges], receivers: Sequence[int], senders: Sequence[int]) -> Edges:
    """The edges of a disjoint union from those of its members.

    Args:
        parts: the edges of each member, its nodes numbered from 0.
        receivers: how many receivers each member has.
        senders: how many senders each member has.
    """
    columns: list[list[Tensor]] = [[], [], []]
    # Nodes of a union are numbered member after member.
    first_receiver = first_sender = 0
    for part, num_receivers, num_senders in zip(parts, receivers, senders, strict=True):
        columns[0].append(part.dst + first_receiver)
        columns[1].append(part.src + first_sender)
        columns[2].append(part.type)
        first_receiver += num_receivers
        first_sender += num_senders
    dst, src, kind = (torch.cat(column) for column in columns)
    # Members without weights have weight one where another member has some.
    if all(part.weight is None for part in parts):
        return Edges(dst, src, kind)
    return Edges(dst, src, kind, torch.cat([_entries(part) for part in parts]))


def _entries(edges: Edges) -> Tensor:
    """The weights, ones where none are given."""
    if edges.weight is not None:
        return edges.weight
    return torch.ones(len(edges.dst), dtype=torch.float64, device=edges.dst.device)
