"""What each attention layer of a model weighs, edge by edge."""

from typing import Any, NamedTuple

from torch import Tensor, nn

from geodl.errors import GeodlError
from geodl.inspection.score import check_signal
from geodl.layer import Attention, evaluated, trace
from geodl.neighborhood import Edges, Neighborhood
from geodl.signal import Signal


class EdgeAttention(NamedTuple):
    """The weights of one attention layer.

    Attributes:
        path: the layer's name in the model.
        rule: which node attends to which.
        edges: of the rule; `edges.link` is the number of the link behind an edge, -1 of one
            that the rule added (a self-loop).
        weights: `[E, H]`, one for each edge and head; those into one node add up to 1.
    """

    path: str
    rule: Neighborhood
    edges: Edges
    weights: Tensor

    def on_links(self, count: int) -> Tensor:
        """`[count]`, the mean over heads of the weights of a graph's links, in the order of
        `domain.links()`; edges that the rule added are left out.

        Raises:
            GeodlError: if the rule's edges are no links, as those of `all_pairs()`.
        """
        link = self.edges.link
        if link is None:
            asked = f"the attention of {self.path or 'the layer'} on links"
            found = f"{self.rule}, edges that are no links"
            raise GeodlError(asked, found, "read .edges and .weights")
        there = link >= 0
        weights = self.weights.mean(-1)
        return weights.new_zeros(count).index_add(0, link[there], weights[there])


def attention_on_edges(model: nn.Module, signal: Signal) -> tuple[EdgeAttention, ...]:
    """The weights `a_ij` of every attention layer that runs in a model, in the order of the calls,
    in evaluation mode.

    Attention says what a layer reads, not what the answer depends on: a layer may weigh a node high
    whose value changes nothing (Jain and Wallace, "Attention is not Explanation", 2019).

    Args:
        model: takes one signal.
        signal: one signal, `x` of shape `[1, N, C]` or sparse `[N, C]`.

    Raises:
        GeodlError: if the model has no attention over one signal; if the signal is not one signal
            of real numbers; as the model itself.

    Source: Velickovic et al., "Graph Attention Networks" (2018), equation 3.

    >>> import torch, geodl as g
    >>> signal = g.Signal(torch.zeros(1, 3, 8), g.Graph([[0, 1, 2], [1, 2, 1]]))
    >>> (layer,) = attention_on_edges(g.Attention(8, g.adjacency(), heads=2), signal)
    >>> layer.weights[:, 0].tolist(), layer.on_links(3).tolist()
    ([0.5, 1.0, 0.5], [0.5, 1.0, 0.5])
    """
    asked = "attention_on_edges(model, signal)"
    found: list[EdgeAttention] = []
    with evaluated(model):
        given = check_signal(asked, signal)
        with trace(model) as events:
            model(given)
        for event in events:
            layer: Any = event.layer
            if isinstance(layer, Attention) and len(event.signals) == 1:
                assert event.rule is not None
                edges = event.rule.edges(event.source, event.target)
                weights = layer.over(event.rule).weights(*event.signals)
                found.append(EdgeAttention(event.path, event.rule, edges, weights.x[0]))
    if not found:
        do = "give a model that attends: g.models.gat, g.Attention"
        raise GeodlError(asked, f"no attention in {type(model).__name__}", do)
    return tuple(found)
