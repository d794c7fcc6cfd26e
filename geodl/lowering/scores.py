"""Scores: how much a receiver with query q attends to a sender with key k over an edge with
features e, before the softmax over its edges.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Score(NamedTuple):
    """A score by name.

    Attributes:
        function: `score(query, key, edge, vectors)`, with `[..., H, D]` twice, the projected
            features of the edge `[..., H, D]` (or None) and `[V, H, D]` (or None), to `[..., H]`.
        vectors: V, the learned vectors of each head that it reads.
        projections: 3 when queries, keys and values are projected apart, 2 when keys are values, 1
            when they are one projection.
        edge_vectors: how many more vectors it reads where edges have features.
        carries_edges: whether the features of an edge are added to the sender's value, too.
    """

    function: Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
    vectors: int = 0
    projections: int = 3
    edge_vectors: int = 0
    carries_edges: bool = False

    def reading(self, vectors: Tensor | None) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
        """The function of queries, keys and edges alone, for the reference."""
        return lambda query, key, edge: self.function(query, key, edge, vectors)


def dot(
    query: Tensor, key: Tensor, edge: Tensor | None = None, vectors: Tensor | None = None
) -> Tensor:
    """`q . (k + e) / sqrt(D)` (Vaswani et al., "Attention Is All You Need", 2017; with edges Shi et
    al., "Masked Label Prediction", 2021).
    """
    return product(query, key, edge, vectors) * query.shape[-1] ** -0.5


def product(
    query: Tensor, key: Tensor, edge: Tensor | None = None, vectors: Tensor | None = None
) -> Tensor:
    """`q . (k + e)` (Luong et al., "Effective Approaches to Attention-based Neural Machine
    Translation", 2015; Zhang et al., "Self-Attention Generative Adversarial Networks", 2019).
    """
    return (query * _joined(key, edge)).sum(-1)


def additive(query: Tensor, key: Tensor, edge: Tensor | None, vectors: Tensor | None) -> Tensor:
    """`v . tanh(q + k + e)` (Bahdanau et al., "Neural Machine Translation by Jointly Learning to
    Align and Translate", 2015).
    """
    assert vectors is not None
    return (vectors[0] * torch.tanh(query + _joined(key, edge))).sum(-1)


def gat(query: Tensor, key: Tensor, edge: Tensor | None, vectors: Tensor | None) -> Tensor:
    """`leaky_relu(a . q + b . k + c . e)` with slope 0.2 (Velickovic et al., "Graph Attention
    Networks", 2018).
    """
    assert vectors is not None
    s = (vectors[0] * query).sum(-1) + (vectors[1] * key).sum(-1)
    if edge is not None:
        s = s + (vectors[2] * edge).sum(-1)
    return F.leaky_relu(s, 0.2)


def gatv2(query: Tensor, key: Tensor, edge: Tensor | None, vectors: Tensor | None) -> Tensor:
    """`a . leaky_relu(q + k + e)` with slope 0.2 (Brody, Alon and Yahav, "How Attentive are Graph
    Attention Networks?", 2022).
    """
    assert vectors is not None
    return (vectors[0] * F.leaky_relu(query + _joined(key, edge), 0.2)).sum(-1)


def linear(
    query: Tensor, key: Tensor, edge: Tensor | None = None, vectors: Tensor | None = None
) -> Tensor:
    """`log(f(q) . f(k + e))` with `f(x) = elu(x) + 1`: under the softmax the weights are the shares
    of `f(q) . f(k + e)`.

    Katharopoulos et al., "Transformers are RNNs", 2020.
    """
    return (feature(query) * feature(_joined(key, edge))).sum(-1).log()


def feature(x: Tensor) -> Tensor:
    """The feature map of linear attention, `elu(x) + 1`; constant below -30, so that it never
    rounds to 0.
    """
    return x.relu() + x.clamp(-30, 0).exp()


def _joined(key: Tensor, edge: Tensor | None) -> Tensor:
    """What a receiver sees of a sender over an edge."""
    if edge is None:
        return key
    return key + edge


DOT = Score(dot, carries_edges=True)
PRODUCT = Score(product, carries_edges=True)
ADDITIVE = Score(additive, 1)
GAT = Score(gat, 2, 1, edge_vectors=1)
GATV2 = Score(gatv2, 1, 2)
LINEAR = Score(linear, carries_edges=True)
SCORES = {
    "dot": DOT,
    "product": PRODUCT,
    "additive": ADDITIVE,
    "gat": GAT,
    "gatv2": GATV2,
    "linear": LINEAR,
}
