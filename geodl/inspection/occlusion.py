"""What an answer loses where the input is hidden."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.errors import GeodlError, is_real, positive
from geodl.inspection.score import check_signal
from geodl.layer import evaluated
from geodl.layer.check import check_rule
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal


def occlusion(
    model: nn.Module,
    signal: Signal,
    rule: Neighborhood,
    *,
    fill: float = 0.0,
    batch_size: int = 100,
) -> Signal:
    """The answers of a model with a part of its input hidden: for each receiver of a rule one,
    without the nodes that it receives from.

    With `window(8, stride=2, padding="valid")` a square of 8 x 8 pixels goes over an image. Where
    the score of the right class falls, the model looks at what is there. On a graph
    `adjacency(self_loops=True)` hides a node with its neighbors.

    Args:
        model: takes a signal and answers with one, on one node.
        signal: one signal, `x` of shape `[1, N, C]`, on any domain.
        rule: which nodes are hidden together.
        fill: the value that hidden nodes have, in all channels.
        batch_size: how many hidden inputs the model is given at once.

    Returns:
        Scores `[1, M, K]` on the receivers' domain.

    Raises:
        GeodlError: if it is not one signal, the rule does not fit it, the model ends on several
            nodes, `fill` is no number or `batch_size` not positive.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014),
    section 4.2.

    >>> import geodl as g
    >>> s = g.Signal.image(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    >>> occlusion(g.Readout("sum"), s, g.itself()).x.flatten().tolist()
    [9.0, 8.0, 7.0, 6.0]
    """
    asked = "occlusion(model, signal, rule)"
    given = check_signal(asked, signal)
    check_rule(asked, rule)
    if not is_real(fill):
        raise GeodlError(f"{asked} with fill={fill!r}", do="give a number")
    size = positive(f"{asked} with batch_size={batch_size!r}", batch_size)
    target = rule.target(given.domain)
    edges = rule.edges(given.domain, target)
    hidden = torch.zeros(target.num_nodes, given.domain.num_nodes, dtype=torch.bool)
    hidden[edges.dst, edges.src] = True
    scores = []
    with evaluated(model), torch.no_grad():
        for part in hidden.to(given.x.device).split(size):
            x = torch.where(part[:, :, None], fill, given.x)
            scores.append(_scores(asked, model(given.with_x(x))))
    return Signal(torch.cat(scores)[None], target)


def _scores(asked: str, answer: Any) -> Tensor:
    """The scores `[B, K]` of a batch of answers."""
    if not isinstance(answer, Signal):
        found = f"an answer that is a {type(answer).__name__}"
        raise GeodlError(asked, found, "give a model that answers with a signal")
    if answer.domain.num_nodes != 1:
        raise GeodlError(asked, f"an answer on {answer.domain}", "end the model on one node")
    return answer.x[:, 0]
