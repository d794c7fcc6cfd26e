"""Scores: how much a receiver with query q attends to a sender with key k, before the softmax over
its edges.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Score(NamedTuple):
    """A score by name.

    Attributes:
        function: `score(query, key, vectors)`, with `[..., H, D]` twice and `[V, H, D]` (or None),
            to `[..., H]`.
        vectors: V, the learned vectors of each head that it reads.
        projections: 3 when queries, keys and values are projected apart, 1 when they are one
            projection.
    """

    function: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    vectors: int = 0
    projections: int = 3

    def reading(self, vectors: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
        """The function of queries and keys alone, for the reference."""
        return lambda query, key: self.function(query, key, vectors)


def dot(query: Tensor, key: Tensor, vectors: Tensor | None = None) -> Tensor:
    """`q . k / sqrt(D)` (Vaswani et al., "Attention Is All You Need", 2017)."""
    return (query * key).sum(-1) * query.shape[-1] ** -0.5


def additive(query: Tensor, key: Tensor, vectors: Tensor | None) -> Tensor:
    """`v .

    tanh(q + k)` (Bahdanau et al., "Neural Machine Translation by Jointly Learning to Align and
    Translate", 2015).
    """
    assert vectors is not None
    return (vectors[0] * torch.tanh(query + key)).sum(-1)


def gat(query: Tensor, key: Tensor, vectors: Tensor | None) -> Tensor:
    """`leaky_relu(a . q + b .

    k)` with slope 0.2 (Velickovic et al., "Graph Attention Networks", 2018).
    """
    assert vectors is not None
    return F.leaky_relu((vectors[0] * query).sum(-1) + (vectors[1] * key).sum(-1), 0.2)


def linear(query: Tensor, key: Tensor, vectors: Tensor | None = None) -> Tensor:
    """`log(f(q) . f(k))` with `f(x) = elu(x) + 1`: under the softmax the weights are the shares of
    `f(q) . f(k)`.

    Katharopoulos et al., "Transformers are RNNs", 2020.
    """
    return (feature(query) * feature(key)).sum(-1).log()


def feature(x: Tensor) -> Tensor:
    """The feature map of linear attention, `elu(x) + 1`; constant below -30, so that it never
    rounds to 0.
    """
    return x.relu() + x.clamp(-30, 0).exp()


SCORES = {
    "dot": Score(dot),
    "additive": Score(additive, 1),
    "gat": Score(gat, 2, 1),
    "linear": Score(linear),
}
