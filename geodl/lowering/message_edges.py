"""What messages read beside the values of the nodes: the state of their edge, and of the graph."""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.errors import GeodlError
from geodl.lowering.base import Call
from geodl.neighborhood.edges import Edges, edge_state


class MessageEdges(NamedTuple):
    """The edges of a rule, and where they find what their messages read.

    Attributes:
        edges: the rule written out, on the values' device.
        num_receivers: M.
        fill: the state of edges that the rule added to the links.
        as_given: whether edge e is link e, or the rule owns its edges, so that the state is in the
            order of the edges.
        member: `[M]` the member of a union that each receiver belongs to; None of a domain that is
            no union.
    """

    edges: Edges
    num_receivers: int
    fill: float | str
    as_given: bool
    member: Tensor | None

    @property
    def reads_links(self) -> bool:
        """Whether the edges have a state: that of links of the domain, or their own."""
        return self.as_given or self.edges.link is not None

    def edge_values(self, state: Tensor | None, entries: Tensor | None, x: Tensor) -> Tensor | None:
        """e_ij `[B, E, C_e]`: from the state of the links, else the rule's weights, else None.

        Args:
            state: `[B, L, C_e]`, a row for each link, or for each edge of a rule that owns them;
                None of a call without one.
            entries: `[E]` or `[B, E]`, the rule's weights where they come with the call, else None.
            x: the values of the nodes, of which batch and dtype count.
        """
        if state is not None and self.as_given:
            return state
        if state is not None:
            return edge_state(self.edges, state, self.fill, self.num_receivers)
        weight = self.edges.weight
        if entries is not None:
            weight = entries
        if weight is None:
            return None
        return weight.to(x.dtype).expand(x.shape[0], -1)[..., None]

    def at_receivers(self, u: Tensor) -> Tensor:
        """The state of each receiver's graph: u `[B, D, C_g]` to `[B, M, C_g]`."""
        if self.member is None:
            return u.expand(-1, self.num_receivers, -1)
        return u.index_select(1, self.member)

    def by_links(self, m: Tensor) -> Tensor:
        """Values of the edges `[B, E, C]` in the order of the links, each of which is one edge."""
        if self.as_given:
            return m
        assert self.edges.link is not None
        return m.index_select(1, torch.argsort(self.edges.link))


def message_edges(call: Call, edges: Edges) -> MessageEdges:
    """The edges of a call, `edges` being its rule written out.

    Raises:
        GeodlError: a layer that gives the links a new state, over a rule whose edges are not the
            links.
    """
    as_given = _is_count(edges.link, call.source.num_links)
    if not call.options.reductions and not as_given:
        _check_each_link_once(call, edges)
    if call.rule.owner is not None:
        as_given = True
    member = None
    if call.target.is_union:
        member = call.target.member_of().to(call.spec.device)
    return MessageEdges(edges, call.target.num_nodes, call.rule.fill, as_given, member)


def _is_count(link: Tensor | None, num_links: int) -> bool:
    """Whether links are 0, 1, ..., L - 1 in turn."""
    if link is None or len(link) != num_links:
        return False
    return torch.equal(link, torch.arange(num_links, device=link.device))


def _check_each_link_once(call: Call, edges: Edges) -> None:
    """Refuse edges that are not the links, each of them once."""
    asked = f"a new state of edges over {call.rule} on {call.source}"
    do = "use a rule of the links alone, as adjacency()"
    if edges.link is None:
        raise GeodlError(asked, "a rule that reads no links", do)
    if not _is_count(edges.link.sort().values, call.source.num_links):
        raise GeodlError(asked, "edges that are not the links, each of them once", do)
