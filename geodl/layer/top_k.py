"""Pooling by scores: a graph's nodes of the largest scores."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain.check import can_be_read, check_unmapped
from geodl.errors import GeodlError, as_integer, is_real, positive
from geodl.layer.base import Layer
from geodl.layer.check import check_no_sender, check_signal
from geodl.neighborhood.relation import Relation
from geodl.signal import Signal


class TopK(Layer):
    """Keep the nodes of the largest scores `s_i = tanh(x_i . p / |p|)` in each graph, with the
    links between them and the values `s_i x_i`.

    (Gao and Ji, "Graph U-Nets", 2019; Cangea et al., "Towards Sparse Hierarchical Graph
    Classifiers", 2018; PyG's `TopKPooling`.) Which nodes stay depends on data, outside of what is
    compiled whole; through the scores gradients reach p.

    Args:
        channels: C.
        ratio: the share of a graph's nodes that stays, rounded up; or, as an integer, their number
            (a graph of fewer nodes keeps all).

    Shapes: weight `[C]`, in `[1, N, C]`, out `[1, K, C]`.

    Raises:
        GeodlError: if `channels` is not a positive integer, or the ratio neither a share in (0, 1]
            nor a positive integer; at the call, if there are several signals on one domain, each of
            which would keep other nodes, if a score is NaN, or if `torch.func.vmap` maps over them.

    >>> from geodl.domain import Graph
    >>> s = Signal(torch.randn(1, 4, 3), Graph([[0, 1, 2, 3], [1, 2, 3, 0]]))
    >>> TopK(3)(s).domain
    Graph(2 nodes, 1 edges)
    """

    def __init__(self, channels: int, ratio: float | int = 0.5):
        super().__init__()
        self.channels_in = positive(f"TopK({channels!r})", channels)
        self.ratio = _ratio(ratio)
        self.weight = nn.Parameter(torch.empty(self.channels_in))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vector of the scores anew, as PyG does."""
        bound = self.channels_in**-0.5
        nn.init.uniform_(self.weight, -bound, bound)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The signal on the nodes that stay."""
        check_no_sender(self, sender)
        return self.select(receiver)[0]

    def select(self, signal: Signal) -> tuple[Signal, Relation]:
        """The signal on the nodes that stay, and the relation from all nodes to them, whose reverse
        leads back.

        Args:
            signal: `[1, N, C]` on a graph, or on a Batch, each of whose members keeps its own.

        Raises:
            GeodlError: as the call.
        """
        x = check_signal(self, signal).x
        if x.shape[0] != 1:
            found = f"a batch of {x.shape[0]}, whose rows would keep different nodes"
            raise GeodlError(self.label, found, "put the rows side by side: g.Batch([domain, ...])")
        score = torch.tanh(x[0] @ self.weight / self.weight.norm())
        check_unmapped(self.label, "nodes to keep", score)
        if can_be_read(score) and score.isnan().any():
            found = "scores that are NaN, of which none is the largest"
            do = "clean the values, as x.nan_to_num(); a weight of zeros has no direction"
            raise GeodlError(self.label, found, do)
        kept = self._best(score.detach(), signal.domain.sizes)
        return signal.with_x(x * score[:, None]).restrict(kept)

    def _best(self, score: Tensor, sizes: tuple[int, ...]) -> Tensor:
        """The numbers of the nodes that stay, each graph's best first."""
        kept = []
        start = 0
        for size, part in zip(sizes, score.split(sizes), strict=True):
            kept.append(start + part.topk(self._count(size)).indices)
            start += size
        return torch.cat(kept)

    def _count(self, size: int) -> int:
        """How many nodes of a graph stay."""
        if isinstance(self.ratio, int):
            return min(self.ratio, size)
        return max(1, math.ceil(self.ratio * size))

    def extra_repr(self) -> str:
        return f"{self.channels_in}, ratio={self.ratio:g}"


def _ratio(ratio: Any) -> float | int:
    """A share above 0 and up to 1, or a positive number of nodes."""
    count = as_integer(ratio)
    if count is not None and count >= 1:
        return count
    if count is None and is_real(ratio) and 0 < ratio <= 1:
        return float(ratio)
    do = "give a share of the nodes in (0, 1], or their number as an integer"
    raise GeodlError(f"TopK(ratio={ratio!r})", do=do)
