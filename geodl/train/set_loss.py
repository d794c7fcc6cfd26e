"""The loss of a set of objects: each is matched with one query, whichever order queries have."""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import cross_entropy

from geodl.data import ABSENT
from geodl.data.boxes import check_objects, generalized_iou
from geodl.errors import GeodlError
from geodl.models.detr import Answers

# The weights of the paper (Carion et al. 2020, section A.4): of the two losses of boxes beside that
# of the class, and of a query without an object, of which there are many, beside one that has one.
OF_DISTANCE, OF_OVERLAP, OF_NOTHING = 5.0, 2.0, 0.1


class Matches(NamedTuple):
    """Which query answers for which object, `[P]` each: P is the sum over layers and objects."""

    scene: Tensor
    layer: Tensor
    query: Tensor
    object: Tensor


class SetLoss(NamedTuple):
    """The three terms of the loss, each a mean over the layers of the decoder.

    Attributes:
        classes: cross-entropy in nats, the weighted mean over queries.
        distance: `|box - target|_1`, a mean over objects.
        overlap: `1 - GIoU`, a mean over objects.
    """

    classes: Tensor
    distance: Tensor
    overlap: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.classes + OF_DISTANCE * self.distance + OF_OVERLAP * self.overlap


@torch.no_grad()
def match(answers: Answers, labels: Tensor, boxes: Tensor) -> Matches:
    """The cheapest assignment of queries to objects, in each scene and for each layer apart, by the
    Hungarian method.

    A pair costs `-p(class) + 5 |box - target|_1 - 2 GIoU`.

    Args:
        answers: of a detector.
        labels: `[B, M]`, `ABSENT` where there is no object.
        boxes: `[B, M, 4]`.

    Raises:
        GeodlError: more objects than queries; as :func:`check_objects`; a cost that is NaN.

    Source: Carion et al., "End-to-End Object Detection with Transformers", 2020, equation 1.
    """
    logits, found = answers
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
    cost = OF_DISTANCE * distance - OF_OVERLAP * generalized_iou(one, other) - probability
    # Where no object is the box is empty and the overlap may be NaN; that is not read.
    if not cost.movedim(3, 1)[there].isfinite().all():
        raise GeodlError(asked, "answers that are not finite", "lower the learning rate")
    return _assigned(cost.cpu(), there.cpu(), logits.device)


def _assigned(cost: Tensor, there: Tensor, device: torch.device) -> Matches:
    """The assignment of least cost `[B, L, Q, M]` for the objects that are there `[B, M]`."""
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


def set_loss(answers: Answers, labels: Tensor, boxes: Tensor) -> SetLoss:
    """The loss of a detector's answers, of all layers of its decoder: those before the last are the
    paper's auxiliary losses.

    Queries that were not matched are to say "no object".

    Args:
        answers: of a detector.
        labels: `[B, M]`, `ABSENT` where there is no object.
        boxes: `[B, M, 4]`.

    Raises:
        GeodlError: as :func:`match`.

    Source: Carion et al., "End-to-End Object Detection with Transformers", 2020, equation 2.

    >>> logits = torch.zeros(1, 1, 2, 4)
    >>> centred = torch.tensor([0.5, 0.5, 0.5, 0.5])
    >>> answers = Answers(logits, centred.expand(1, 1, 2, 4))
    >>> set_loss(answers, torch.tensor([[2]]), centred.expand(1, 1, 4)).overlap
    tensor(0.)
    """
    logits, found = answers
    layers, nothing = logits.shape[1], logits.shape[3] - 1
    chosen = match(answers, labels, boxes)
    scene, layer, query, thing = chosen
    wanted = torch.full(logits.shape[:3], nothing, device=logits.device)
    wanted[scene, layer, query] = labels[scene, thing]
    weights = torch.ones(nothing + 1, dtype=logits.dtype, device=logits.device)
    weights[nothing] = OF_NOTHING
    per_layer = []
    for k in range(layers):
        scores = logits[:, k].flatten(0, 1)
        per_layer.append(cross_entropy(scores, wanted[:, k].flatten(), weight=weights))
    one, other = found[scene, layer, query], boxes[scene, thing]
    count = max(1, len(scene))
    return SetLoss(
        classes=torch.stack(per_layer).mean(),
        distance=(one - other).abs().sum() / count,
        overlap=(1 - generalized_iou(one, other)).sum() / count,
    )
