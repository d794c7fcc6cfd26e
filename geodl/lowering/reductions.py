"""Reductions of the messages into each node, as they are taken over all edges at once or over
pieces of them.

A reduction is a summary of messages that can be merged: what two pieces of a node's edges say is
put together as if they had been one. The sum merges by adding; a mean by sums and counts; a
standard deviation by means and sums of squares about them,

    n = sum_p n_p,   mean = sum_p n_p mean_p / n,   M = sum_p (M_p + n_p (mean_p - mean)^2)

(Chan, Golub, LeVeque, 1983), which does not cancel as a mean of squares does; a softmax by its
denominator and numerator, each relative to the largest message,

    top = max_p top_p,   S = sum_p S_p exp(top_p - top),   T = sum_p T_p exp(top_p - top),

and the answer is T / S, from which the largest message cancels, so that it counts as a constant.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from geodl.lowering.incidence import Gather, Incidence, SumAtNodes, extreme_at_nodes
from geodl.reference import SMALLEST_VARIANCE

Summary = tuple[Tensor, ...]


class Reduction(NamedTuple):
    """One way to reduce. Summaries are tensors `[B, N, C]`.

    Attributes:
        width: how many tensors a summary has.
        collect: from messages `[B, E, C]` along edges to a summary for each node.
        merge: from summaries in rows `[B, P, C]`, several for a node, and the number of messages in
            each row `[P]`, to one summary for each node.
        finish: from a summary, and the number of messages into each node `[N]`, to the answer.
    """

    width: int
    collect: Callable[[Incidence, Tensor], Summary]
    merge: Callable[[Incidence, Tensor, Summary], Summary]
    finish: Callable[[Tensor, Summary], Tensor]


def _collect_sum(ends: Incidence, m: Tensor) -> Summary:
    return (SumAtNodes.apply(ends, m),)


def _merge_sum(rows: Incidence, count: Tensor, parts: Summary) -> Summary:
    return (SumAtNodes.apply(rows, parts[0]),)


def _finish_sum(degree: Tensor, whole: Summary) -> Tensor:
    return whole[0]


def _finish_mean(degree: Tensor, whole: Summary) -> Tensor:
    return whole[0] / _at_least_one(degree)


def _collect_max(ends: Incidence, m: Tensor) -> Summary:
    return extreme_at_nodes(ends, m, "max")


def _merge_max(rows: Incidence, count: Tensor, parts: Summary) -> Summary:
    return _merge_extremes(rows, parts, "max")


def _collect_min(ends: Incidence, m: Tensor) -> Summary:
    return extreme_at_nodes(ends, m, "min")


def _merge_min(rows: Incidence, count: Tensor, parts: Summary) -> Summary:
    return _merge_extremes(rows, parts, "min")


def _merge_extremes(rows: Incidence, parts: Summary, reduction: str) -> Summary:
    values, ties = parts
    # A row stands for as many messages as attain it in its piece.
    return extreme_at_nodes(rows, values, reduction, ties.to(values.dtype))


def _collect_std(ends: Incidence, m: Tensor) -> Summary:
    mean = SumAtNodes.apply(ends, m) / _at_least_one(ends.degree)
    apart = m - Gather.apply(ends, mean)
    return mean, SumAtNodes.apply(ends, apart.square())


def _merge_std(rows: Incidence, count: Tensor, parts: Summary) -> Summary:
    mean_of_part, squares_of_part = parts
    number = count[:, None].to(mean_of_part.dtype)
    total = SumAtNodes.apply(rows, number[None])
    mean = SumAtNodes.apply(rows, number * mean_of_part) / total.clamp(min=1)
    apart = mean_of_part - Gather.apply(rows, mean)
    return mean, SumAtNodes.apply(rows, squares_of_part + number * apart.square())


def _finish_std(degree: Tensor, whole: Summary) -> Tensor:
    variance = whole[1] / _at_least_one(degree)
    # A root has no slope at 0: where it is not taken, it is not differentiated either.
    large = variance > SMALLEST_VARIANCE
    return variance.where(large, 1.0).sqrt().where(large, 0.0)


def _collect_softmax(ends: Incidence, m: Tensor) -> Summary:
    top, _ = extreme_at_nodes(ends, m.detach(), "max")
    e = (m - Gather.apply(ends, top)).exp()
    return top, SumAtNodes.apply(ends, e), SumAtNodes.apply(ends, e * m)


def _merge_softmax(rows: Incidence, count: Tensor, parts: Summary) -> Summary:
    top_of_part, denominator, numerator = parts
    top, _ = extreme_at_nodes(rows, top_of_part.detach(), "max")
    scale = (top_of_part.detach() - Gather.apply(rows, top)).exp()
    return (
        top,
        SumAtNodes.apply(rows, scale * denominator),
        SumAtNodes.apply(rows, scale * numerator),
    )


def _finish_softmax(degree: Tensor, whole: Summary) -> Tensor:
    _, denominator, numerator = whole
    # The largest message adds exp(0) = 1: a sum is less only where nothing arrives, and 0 / 1 is 0.
    return numerator / denominator.clamp(min=1)


def _at_least_one(degree: Tensor) -> Tensor:
    """Divisors `[N, 1]` for sums: 1 where nothing arrives and the sum is 0."""
    return degree.clamp(min=1)[:, None]


REDUCTIONS = {
    "sum": Reduction(1, _collect_sum, _merge_sum, _finish_sum),
    "mean": Reduction(1, _collect_sum, _merge_sum, _finish_mean),
    "max": Reduction(2, _collect_max, _merge_max, _finish_sum),
    "min": Reduction(2, _collect_min, _merge_min, _finish_sum),
    "std": Reduction(2, _collect_std, _merge_std, _finish_std),
    "softmax": Reduction(3, _collect_softmax, _merge_softmax, _finish_softmax),
}
# those that look for the largest or smallest message into each node
FINDS_EXTREMES = frozenset({"max", "min", "softmax"})
