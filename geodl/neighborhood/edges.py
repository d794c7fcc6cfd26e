"""A rule written out: who receives from whom, over which type of edge, with which weight."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Edges(NamedTuple):
    """A rule written out on a domain, receivers first: node `dst[e]` receives from node `src[e]`.

    Attributes:
        dst: `[E]` receivers.
        src: `[E]` senders.
        type: `[E]` edge types from 0; edges of one type share one weight.
        weight: `[E]` the factor of each edge (an entry of the normalised adjacency), None for all
            ones.
        link: `[E]` the number, in `domain.links()`, of the raw link behind each edge, -1 where the
            rule added the edge; None for a rule that reads no links. By it an edge finds its state.
    """

    dst: Tensor
    src: Tensor
    type: Tensor
    weight: Tensor | None = None
    link: Tensor | None = None

    def map_columns(self, function: Callable[[Tensor], Tensor]) -> "Edges":
        """The edges with `function` applied to every column that is there."""
        columns: list[Any] = []
        for column in self:
            if column is not None:
                column = function(column)
            columns.append(column)
        return Edges(*columns)


def untyped(dst: Tensor, src: Tensor, weight: Tensor | None = None) -> Edges:
    """Edges that are all of type 0, without links behind them."""
    return Edges(dst, src, torch.zeros_like(dst), weight)


def turned_around(edges: Edges) -> Edges:
    """The same edges from receivers to senders."""
    return edges._replace(dst=edges.src, src=edges.dst)


def side_by_side(
    parts: Sequence[Edges],
    receivers: Sequence[int],
    senders: Sequence[int],
    links: Sequence[int] | None = None,
) -> Edges:
    """The edges of a disjoint union from those of its members.

    Args:
        parts: the edges of each member, its nodes numbered from 0.
        receivers: how many receivers each member has.
        senders: how many senders each member has.
        links: how many links each member has; needed where a part names some.
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
    weight = link = None
    # Members without weights have weight one where another member has some.
    if any(part.weight is not None for part in parts):
        weight = torch.cat([_entries(part) for part in parts])
    if any(part.link is not None for part in parts):
        assert links is not None
        link = _joined_links(parts, links)
    return Edges(dst, src, kind, weight, link)


def edge_state(edges: Edges, state: Tensor, fill: float | str, num_receivers: int) -> Tensor:
    """The state of each edge from that of the links: `e_ij = state[link]`.

    Args:
        edges: a rule written out, with the link behind each edge.
        state: `[B, L, C]`, one row for each of the L links.
        fill: what edges have that the rule added: a number, or "mean", the mean of the states that
            arrive at the receiver over links (zeros where none arrives).
        num_receivers: M.

    Returns:
        `[B, E, C]`, in the order of the edges.
    """
    assert edges.link is not None
    added = edges.link < 0
    # Row 0 stands in for the missing row, so that a gather has an index; it is overwritten below.
    known = state.new_zeros(state.shape[0], 1, state.shape[2])
    if state.shape[1]:
        known = state
    found = known[:, edges.link.clamp(min=0)]
    if fill != "mean":
        return found.masked_fill(added[:, None], float(fill))
    arrived = found.masked_fill(added[:, None], 0.0)
    shape = (state.shape[0], num_receivers, state.shape[2])
    total = arrived.new_zeros(shape).index_add(1, edges.dst, arrived)
    # Counted in integers: bfloat16 knows none above 256.
    count = edges.dst.new_zeros(num_receivers).index_add(0, edges.dst, (~added).long())
    mean = total / count.clamp(min=1)[:, None]
    return torch.where(added[:, None], mean[:, edges.dst], found)


def _entries(edges: Edges) -> Tensor:
    """The weights, ones where none are given."""
    if edges.weight is not None:
        return edges.weight
    return torch.ones(len(edges.dst), dtype=torch.float64, device=edges.dst.device)


def _joined_links(parts: Sequence[Edges], links: Sequence[int]) -> Tensor:
    """The links behind the edges of a union, whose links are numbered member after member."""
    columns, first_link = [], 0
    for part, num_links in zip(parts, links, strict=True):
        column = torch.full_like(part.dst, -1)
        if part.link is not None:
            column = torch.where(part.link < 0, -1, part.link + first_link)
        columns.append(column)
        first_link += num_links
    return torch.cat(columns)
