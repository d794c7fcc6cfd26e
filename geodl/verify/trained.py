"""Row 12: the equalities survive training. Networks trained on Cora give the same scores on every
kernel.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from geodl import models, set_lowering
from geodl.data import NodeData, cora
from geodl.errors import GeodlError
from geodl.lowering import LOWERINGS
from geodl.verify.base import Row, count_edges, row

BOUND = 1e-4  # of the largest score: single precision, and weights that training made large
EPOCHS = 30


def on_cora() -> Iterator[Row]:
    """Scores, and gradients of the loss, of a trained GCN and a trained GAT: those of the reference
    on written-out edges against those of every kernel that takes the layer.
    """
    data = cora(sparse=True)
    features, classes = data.signal.shape[-1], data.num_classes
    torch.manual_seed(0)
    networks: dict[str, Any] = {
        "GCN": (models.gcn(features, 16, classes), "convolve"),
        "GAT": (models.gat(features, 64, classes), "attend"),
    }
    for name, (model, verb) in networks.items():
        _train(model, data)
        kernels, differences = _compared(model, data, verb)
        claim = f"12 {name} trained on Cora: the same scores by {', '.join(kernels)} and edges"
        yield row(claim, count_edges(model, data.signal), differences, BOUND)


def _train(model: nn.Module, data: NodeData) -> None:
    adam = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in range(EPOCHS):
        adam.zero_grad()
        _loss(model(data.signal).x, data).backward()
        adam.step()
    model.eval()


def _compared(
    model: nn.Module, data: NodeData, verb: str
) -> tuple[list[str], list[tuple[float, float]]]:
    """The kernels that run the model, and how far each is from the reference: scores, gradients."""
    wanted, wanted_gradients = _answer(model, data, "edges")
    kernels, differences = [], []
    for lowering in LOWERINGS[verb]:
        if lowering.name == "edges":
            continue
        try:
            scores, gradients = _answer(model, data, lowering.name)
        except GeodlError:
            continue  # the kernel refuses such a layer
        apart = [_relative(a, b) for a, b in zip(gradients, wanted_gradients, strict=True)]
        kernels.append(lowering.name)
        differences.append((_relative(scores, wanted), max(apart)))
    set_lowering(model, "auto")
    return kernels, differences


def _answer(model: nn.Module, data: NodeData, lowering: str) -> tuple[Any, Any]:
    """Scores of all nodes, and the gradients of the loss."""
    set_lowering(model, lowering)
    scores = model(data.signal).x
    return scores.detach(), torch.autograd.grad(_loss(scores, data), list(model.parameters()))


def _loss(scores: torch.Tensor, data: NodeData) -> torch.Tensor:
    return cross_entropy(scores[0, data.train], data.labels[data.train])


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, in shares of the largest number."""
    return float((a - b).abs().max() / b.abs().max())


CLAIMS = (on_cora,)
