"""The set loss of DETR: Hungarian matching of objects with queries, then a loss of each pair."""

from typing import Any, NamedTuple

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
        GeodlError: if the shapes do not agree; if a scene has more objects than there are queries;
            as :func:`check_objects`; if a cost is NaN or infinite.

    Source: Carion et al., "End-to-End Object Detection with Transformers", 2020, equation 1.
    """
    logits, found = predictions
    asked = "objects to be matched with queries"
    _check_shapes(asked, predictions, labels, boxes)
    there = labels != ABSENT
    queries, classes = logits.shape[2], logits.shape[3] - 1
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
    # numpy, in which the assignment is found, knows no bfloat16.
    return _assigned(cost.double().cpu(), there.cpu(), logits.device)


def _check_shapes(asked: str, predictions: Predictions, labels: Any, boxes: Any) -> None:
    """Refuse logits `[B, L, Q, K + 1]` and boxes `[B, L, Q, 4]`, labels `[B, M]` and their boxes
    `[B, M, 4]` that do not agree: nothing is broadcast.
    """
    logits, found = predictions
    if logits.ndim != 4 or found.shape != (*logits.shape[:3], 4):
        shapes = f"logits {list(logits.shape)} and boxes {list(found.shape)} of queries"
        raise GeodlError(asked, shapes, "give [B, L, Q, K + 1] and [B, L, Q, 4]")
    do = f"give labels [B, M] and boxes [B, M, 4] of the B = {len(logits)} scenes"
    if not isinstance(labels, Tensor) or not isinstance(boxes, Tensor):
        kinds = f"a {type(labels).__name__} of labels and a {type(boxes).__name__} of boxes"
        raise GeodlError(asked, kinds, f"{do}, as tensors")
    fit = labels.ndim == 2 and len(labels) == len(logits)
    if not fit or boxes.shape != (*labels.shape, 4):
        shapes = f"labels {list(labels.shape)} and boxes {list(boxes.shape)}"
        raise GeodlError(asked, shapes, do)


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
        GeodlError: as :func:`match`; if there is no scene, of which there is no mean.

    Source: Carion et al., "End-to-End Object Detection with Transformers", 2020, equation 2.

    >>> logits = torch.zeros(1, 1, 2, 4)
    >>> centred = torch.tensor([0.5, 0.5, 0.5, 0.5])
    >>> predictions = Predictions(logits, centred.expand(1, 1, 2, 4))
    >>> set_loss(predictions, torch.tensor([[2]]), centred.expand(1, 1, 4)).giou
    tensor(0.)
    """
    logits, found = predictions
    chosen = match(predictions, labels, boxes)
    if not len(logits):
        raise GeodlError("the loss of a detector's predictions", "no scene", "give at least one")
    layers, nothing = logits.shape[1], logits.shape[3] - 1
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
