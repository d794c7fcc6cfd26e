"""The set loss of DETR: Hungarian matching of objects with queries, then a loss of each pair."""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import cross_entropy

from geodl.data import ABSENT
from geodl.data.boxes import check_objects, generalized_iou
from geodl.errors import GeodlError
from geodl.models.detr import Predictions

# The weights of the paper (Carion et al. 2020, section A.4): of the two terms of boxes relative to
# the cross-entropy, and of queries without an object, of which there are many, in the latter.
L1_WEIGHT, GIOU_WEIGHT, NO_OBJECT_WEIGHT = 5.0, 2.0, 0.1


class Matches(NamedTuple):
    """Pairs of a query and an object, as indices `[P]` each, P the objects of all scenes times the
    decoder layers.
    """

    scene: Tensor
    layer: Tensor
    query: Tensor
    object: Tensor


class SetLoss(NamedTuple):
    """The three terms of the loss, each a mean over the layers of the decoder.

    Attributes:
        classes: cross-entropy in nats, the weighted mean over queries.
        l1: `|box - target|_1`, the mean over objects.
        giou: `1 - GIoU`, the mean over objects.
    """

    classes: Tensor
    l1: Tensor
    giou: Tensor

    @property
    def total(self) -> Tensor:
        """`classes + 5 l1 + 2 giou`, which is minimised."""
        return self.classes + L1_WEIGHT * self.l1 + GIOU_WEIGHT * self.giou


@torch.no_grad()
def match(predictions: Predictions, labels: Tensor, boxes: Tensor) -> Matches:
    """The assignment of one query to each object of least total cost, by the Hungarian algorithm,
    separately for each scene and decoder layer.

    The cost of a pair is `-p(class) + 5 |box - target|_1 - 2 GIoU`.

    Args:
        predictions: of a detector.
        labels: `[B, M]`, `ABSENT` where there is no object.
        boxes: `[B, M, 4]`.

    Raises:
        GeodlError: if a scene has more objects than there are queries; as :func:`check_objects`; if
            a cost is NaN or infinite.

    Source: Carion et al., "End-to-End Object Detection with Transformers", 2020, equation 1.
    """
    logits, found = predictions
    there = labels != ABSENT
    queries, classes = logits.shape[2], logits.shape[3] - 1
    asked = "objects to be matched with queries"
    most = int(there.sum(1).max()) if len(there) else 0
    if most > queries:
        do = f"build the detector with queries={most} or more"
        raise GeodlError(asked, f"{most} objects in one scene and {queries} queries", do)
    check_objects(asked, labels[there], boxes[there], classes)

    batch, layers = logits.shape[:2]
    wanted = labels.clamp(min=0)[:, None, None].expand(batch, layers, queries, -1)
    probability = logits.softmax(-1).gather(3, wanted)
    one, other = found[..., None, :], boxes[:, None, None]
    distance = (one - other).abs().sum(-1)
    cost = L1_WEIGHT * distance - GIOU_WEIGHT * generalized_iou(one, other) - probability
    # Where there is no object its box is empty and the GIoU may be NaN; these are not read.
    if not cost.movedim(3, 1)[there].isfinite().all():
        raise GeodlError(asked, "predictions that are not finite", "lower the learning rate")
    return _assigned(cost.cpu(), there.cpu(), logits.device)


def _assigned(cost: Tensor, there: Tensor, device: torch.device) -> Matches:
    """The assignments of least total cost.

    Args:
        cost: `[B, L, Q, M]`.
        there: `[B, M]`, which objects there are.
        device: of the indices.
    """
    scenes, layers, queries, objects = [], [], [], []
    for scene, costs in enumerate(cost):
        (present,) = there[scene].nonzero(as_tuple=True)
        for layer, matrix in enumerate(costs[:, :, present].numpy()):
            rows, columns = linear_sum_assignment(matrix)
            scenes += [scene] * len(rows)
            layers += [layer] * len(rows)
            queries += rows.tolist()
            objects += present[columns].tolist()
    lists = (scenes, layers, queries, objects)
    return Matches(*(torch.tensor(numbers, dtype=torch.long, device=device) for numbers in lists))


def set_loss(predictions: Predictions, labels: Tensor, boxes: Tensor) -> SetLoss:
    """The loss of a detector's predictions, the mean over all decoder layers; the layers before the
    last one give the paper's auxiliary losses.

    The target class of a query without an object is "no object".

    Args:
        predictions: of a detector.
        labels: `[B, M]`, `ABSENT` where there is no object.
        boxes: `[B, M, 4]`.

    Raises:
        GeodlError: as :func:`match`.

    Source: Carion et al., "End-to-End Object Detection with Transformers", 2020, equation 2.

    >>> logits = torch.zeros(1, 1, 2, 4)
    >>> centred = torch.tensor([0.5, 0.5, 0.5, 0.5])
    >>> predictions = Predictions(logits, centred.expand(1, 1, 2, 4))
    >>> set_loss(predictions, torch.tensor([[2]]), centred.expand(1, 1, 4)).giou
    tensor(0.)
    """
    logits, found = predictions
    layers, nothing = logits.shape[1], logits.shape[3] - 1
    chosen = match(predictions, labels, boxes)
    scene, layer, query, thing = chosen
    wanted = torch.full(logits.shape[:3], nothing, device=logits.device)
    wanted[scene, layer, query] = labels[scene, thing]
    weights = torch.ones(nothing + 1, dtype=logits.dtype, device=logits.device)
    weights[nothing] = NO_OBJECT_WEIGHT
    per_layer = []
    for k in range(layers):
        scores = logits[:, k].flatten(0, 1)
        per_layer.append(cross_entropy(scores, wanted[:, k].flatten(), weight=weights))
    one, other = found[scene, layer, query], boxes[scene, thing]
    count = max(1, len(scene))
    return SetLoss(
        classes=torch.stack(per_layer).mean(),
        l1=(one - other).abs().sum() / count,
        giou=(1 - generalized_iou(one, other)).sum() / count,
    )
