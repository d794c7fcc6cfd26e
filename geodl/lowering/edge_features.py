"""Features of edges in attention: what a call hands over, and the products in which they stand.

The features of the edges into a receiver are a sparse product's senders: with the edges numbered as
nodes that send once each, to their own receiver, `sum_j a_ij e_ij` is a product with a sparse
matrix and `q_i . e_ij` one read off at its entries, as those with keys and values are. With
`e_ij = W f_ij` both can be taken before W is applied,

    q_i . W f_ij = (W^T q_i) . f_ij,   sum_j a_ij W f_ij = W sum_j a_ij f_ij,

so that W meets nodes and not edges.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.errors import GeodlError
from geodl.lowering.base import Call
from geodl.neighborhood.edges import Edges, edge_state


class EdgeFeatures(NamedTuple):
    """The features of a call's edges.

    Attributes:
        state: `[1 or B, L, C_e]`, a row for each link of the senders' domain, or for each edge of a
            rule that owns them.
        weight: W of each head, `[H, D, C_e]`.
    """

    state: Tensor
    weight: Tensor


Edge = EdgeFeatures | None  # of a layer that reads edges, or that does not


class EdgeReader(NamedTuple):
    """Where the edges of a rule find their state.

    Attributes:
        edges: with the link behind each.
        fill: the state of those without one.
        num_receivers: M.
    """

    edges: Edges
    fill: float | str
    num_receivers: int

    # The rule says how its edges find the links' state; a call says which state that is.
    def state_of(self, features: EdgeFeatures, batch: int) -> Tensor:
        """The state of each edge, `[B, E, C_e]`."""
        state = edge_state(self.edges, features.state, self.fill, self.num_receivers)
        return state.expand(batch, -1, -1)

    def project(self, features: EdgeFeatures, batch: int) -> Tensor:
        """`e_ij = W f_ij` of each head, `[B, E, H, D]`."""
        return torch.einsum("bec,hdc->behd", self.state_of(features, batch), features.weight)


def edge_reader(call: Call, edges: Edges) -> EdgeReader | None:
    """Where edges find their state; None where the layer reads none.

    Raises:
        GeodlError: if the rule reads no links.
    """
    if call.options.edge_channels is None:
        return None
    if call.rule.owner is not None:
        # Features of a rule's own edges stand in the order of these.
        edges = edges._replace(link=torch.arange(len(edges.dst), device=edges.dst.device))
    elif edges.link is None:
        found = "a rule that reads no links, and so no state of edges"
        asked = f"{call.rule} on {call.source} for a layer that reads edges"
        do = "use a rule of links, as adjacency(), or relation(...).with_edges(e)"
        raise GeodlError(asked, found, do)
    return EdgeReader(edges, call.rule.fill, call.target.num_nodes)
