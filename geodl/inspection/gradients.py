"""Attribution by gradients, to values of nodes and to weights of links."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from geodl.errors import GeodlError, positive
from geodl.inspection.score import Attribution, NodeScore, with_gradients
from geodl.signal import Signal

TOLERATED = 0.05  # the largest share that a sum over a path may miss


def saliency(
    model: nn.Module, signal: Signal, node: int, channel: int | None = None
) -> Attribution:
    """The derivatives of one score of an answer: `dy_ic / dx_jd` for each value of each node,
    `dy_ic / dw_e` for each link, at the weights that the graph has, 1 where it has none.

    A saliency map is their absolute value. On a graph of ones the derivative is, to first order,
    what the score would lose without the link.

    Args:
        model: takes a signal and answers with one, `[1, M, K]`.
        signal: one signal, `x` of shape `[1, N, C]` or sparse `[N, C]`, on any domain.
        node: i, the number of a node of the answer; 0 where a whole graph has one answer.
        channel: c, the score's number; None for the largest score.

    Raises:
        GeodlError: if the signal is not one signal of real numbers; if the answer is not one
            signal, has no such node or channel, is NaN at the node, or has no derivative; as the
            model itself.

    Source: Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks: Visualising Image
    Classification Models and Saliency Maps" (2014), equation 3.

    >>> import geodl as g
    >>> path = g.Graph([[0, 1], [1, 2]])
    >>> found = saliency(g.Propagate(g.adjacency()), g.Signal(torch.ones(1, 3, 1), path), node=2)
    >>> found.nodes.flatten().tolist(), found.edges.tolist()
    ([0.0, 1.0, 0.0], [0.0, 1.0])
    """
    with with_gradients(model):
        target = NodeScore("saliency(model, signal, node)", model, signal, node, channel)
        return Attribution(*target.gradients(target.x, target.weight))


def integrated_gradients(
    model: nn.Module,
    signal: Signal,
    node: int,
    channel: int | None = None,
    *,
    steps: int = 50,
) -> Attribution:
    """The derivatives of one score, integrated on the way from nothing to the input:
    `x_jd * integral over 0 < t < 1 of dy_ic / dx_jd at t x`, all links in place, and
    `w_e * integral over 0 < t < 1 of dy_ic / dw_e at t w`, all values in place.

    The attributions of the values add up to `y_ic(x, w) - y_ic(0, w)`, those of the links to
    `y_ic(x, w) - y_ic(x, 0)`, up to the error of the midpoint rule, which is checked.

    Args:
        model: takes a signal and answers with one, `[1, M, K]`.
        signal: one signal, `x` of shape `[1, N, C]` or sparse `[N, C]`, on any domain.
        node: i, the number of a node of the answer; 0 where a whole graph has one answer.
        channel: c, the score's number; None for the largest score at the input.
        steps: points of the midpoint rule.

    Raises:
        GeodlError: as :func:`saliency`; if the sums miss the change of the score by more than 5 %,
            because there are too few steps, or because the score jumps where all weights are zero
            (a norm by degrees without self-loops).

    Source: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks" (2017), equations
    1 and 3; completeness is their proposition 1.

    >>> import geodl as g
    >>> path = g.Graph([[0, 1], [1, 2]], edge_weight=[1.0, 3.0])
    >>> signal = g.Signal(torch.full((1, 3, 1), 2.0), path)
    >>> found = integrated_gradients(g.Propagate(g.adjacency()), signal, node=2)
    >>> found.nodes.flatten().tolist(), found.edges.tolist()
    ([0.0, 6.0, 0.0], [0.0, 6.0])
    """
    asked = "integrated_gradients(model, signal, node)"
    count = positive(f"{asked} with steps={steps!r}", steps)
    with with_gradients(model):
        target = NodeScore(asked, model, signal, node, channel)
        x, weight = target.x, target.weight
        nodes = _integral(target, "values", x, count, lambda x: (x, weight))
        edges = None
        if weight is not None and target.gradients(x, weight)[1] is not None:
            edges = _integral(target, "links", weight, count, lambda weight: (x, weight))
    return Attribution(nodes.detach().view_as(x[0]), edges)


def _integral(
    target: NodeScore,
    name: str,
    end: Tensor,
    steps: int,
    inputs: Callable[[Tensor], tuple[Tensor, Any]],
) -> Tensor:
    """`end` times the mean derivative of the score on the straight path from 0 to `end`.

    Args:
        target: which score.
        name: what moves along the path, in words.
        end: values of nodes, or weights of links.
        steps: points of the path at which the derivative is taken.
        inputs: values and weights at a point of the path.

    Raises:
        GeodlError: if the sum is not the change of the score, up to `TOLERATED`.
    """
    total = torch.zeros_like(end)
    for k in range(steps):
        point = (end * ((k + 0.5) / steps)).requires_grad_()
        score = target.score(*inputs(point))
        if score.requires_grad:
            (slope,) = torch.autograd.grad(score, point, allow_unused=True)
            if slope is not None:
                total += slope
    attributed = end * total / steps
    with torch.no_grad():
        after, before = target.score(*inputs(end)), target.score(*inputs(torch.zeros_like(end)))
    change = after - before
    missed = float((attributed.sum() - change).abs())
    # Attributions of both signs may add up to nearly nothing: their size is the measure. What is
    # below the rounding of the scores cannot be told from nothing.
    scale = max(float(attributed.abs().sum()), float(change.abs()))
    rounding = steps * torch.finfo(end.dtype).eps * max(float(after.abs()), float(before.abs()))
    # A NaN fails the comparison, too.
    if not missed <= TOLERATED * scale + rounding:
        share = f"{float(attributed.sum()):.3g} of a change of {float(change):.3g}"
        found = f"{name} that explain {share}"
        do = "take more steps; a norm by degrees needs self_loops=True"
        raise GeodlError(f"{target.asked} with {steps} steps", found, do)
    return attributed
