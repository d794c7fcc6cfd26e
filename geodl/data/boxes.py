"""Objects in images and their bounding boxes `(x, y, width, height)`: x and y of the centre, all as
shares of the image.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.errors import GeodlError

# A box drawn at the border may lie outside by rounding.
OUTSIDE = 1e-5


class Objects(NamedTuple):
    """The objects of one image: the true ones, or those that a detector predicts.

    Attributes:
        labels: `[P]` int64, the class of each.
        boxes: `[P, 4]`, `(x, y, width, height)` of each, as shares of the image.
        scores: `[P]`, from 0 to 1, of predicted objects; None of true ones.
    """

    labels: Tensor
    boxes: Tensor
    scores: Tensor | None = None

    def above(self, threshold: float) -> "Objects":
        """The objects whose score is larger than a threshold, the largest score first.

        Raises:
            GeodlError: if the objects have no scores.

        >>> found = Objects(torch.tensor([3, 4]), torch.rand(2, 4), torch.tensor([0.2, 0.9]))
        >>> found.above(0.5).labels
        tensor([4])
        """
        if self.scores is None:
            raise GeodlError("objects above a score", "objects without scores", "give found ones")
        order = self.scores.argsort(descending=True)
        order = order[self.scores[order] > threshold]
        return Objects(self.labels[order], self.boxes[order], self.scores[order])


def corners(boxes: Tensor) -> Tensor:
    """Boxes `[..., 4]` as their edges `(left, top, right, bottom)`.

    Raises:
        GeodlError: if they are not four numbers each.

    >>> corners(torch.tensor([0.5, 0.5, 0.5, 0.25]))
    tensor([0.2500, 0.3750, 0.7500, 0.6250])
    """
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        found = f"shape {list(boxes.shape)}"
        raise GeodlError("the corners of boxes", found, "give (x, y, width, height): [..., 4]")
    centre, sides = boxes.split(2, -1)
    return torch.cat([centre - sides / 2, centre + sides / 2], -1)


def generalized_iou(one: Tensor, other: Tensor) -> Tensor:
    """The generalized intersection over union of boxes, from -1 to 1: `I / U - (H - U) / H`.

    I is the area of the intersection, U of the union, and H of the smallest box around both. Of
    boxes that do not overlap it still has a gradient, where the intersection over union is zero.

    Args:
        one: boxes `[..., 4]`.
        other: boxes of a shape that broadcasts with the first. All boxes have areas above 0.

    Source: Rezatofighi et al., "Generalized Intersection over Union", 2019, algorithm 1.

    >>> left, right = torch.tensor([0.25, 0.5, 0.5, 1.0]), torch.tensor([0.75, 0.5, 0.5, 1.0])
    >>> generalized_iou(left, left), generalized_iou(left, right)
    (tensor(1.), tensor(0.))
    """
    first, second = corners(one), corners(other)
    begin = torch.maximum(first[..., :2], second[..., :2])
    end = torch.minimum(first[..., 2:], second[..., 2:])
    common = (end - begin).clamp(min=0).prod(-1)
    union = one[..., 2:].prod(-1) + other[..., 2:].prod(-1) - common
    outer_begin = torch.minimum(first[..., :2], second[..., :2])
    outer_end = torch.maximum(first[..., 2:], second[..., 2:])
    hull = (outer_end - outer_begin).prod(-1)
    return common / union - (hull - union) / hull


def check_objects(asked: str, labels: Any, boxes: Any, classes: int) -> None:
    """Refuse objects that a detector cannot learn: each needs a class from 0 to `classes - 1` and a
    box of positive area inside of the image.

    Args:
        asked: what the caller asked for, the beginning of the message.
        labels: `[P]` integers, one for each object.
        boxes: `[P, 4]` floating-point numbers.
        classes: how many classes there are.

    Raises:
        GeodlError: if an object does not fit; the first one is named.

    >>> check_objects("a scene", torch.tensor([3]), torch.tensor([[0.5, 0.5, 0.0, 0.1]]), 10)
    Traceback (most recent call last):
    geodl.errors.GeodlError: a scene: found an empty box (0.5, 0.5, 0, 0.1) of object 0; give width
    and height above 0
    """
    if not isinstance(labels, Tensor) or labels.dtype != torch.long or labels.ndim != 1:
        raise GeodlError(asked, "labels that are no vector of torch.long", "give labels [P]")
    count = len(labels)
    if not isinstance(boxes, Tensor) or not boxes.is_floating_point() or boxes.shape != (count, 4):
        found = f"{count} labels, and boxes that are not [{count}, 4] floating-point numbers"
        raise GeodlError(asked, found, "give (x, y, width, height) of each")
    if not count:
        return
    unknown = (labels < 0) | (labels >= classes)
    if unknown.any():
        place = int(unknown.long().argmax())
        found = f"the class {int(labels[place])} of object {place}, which was never seen"
        raise GeodlError(asked, found, f"give classes from 0 to {classes - 1}")
    ends = corners(boxes)
    faults = {
        "a box that is not finite": (~boxes.isfinite().all(-1), "give finite numbers"),
        "an empty box": (~(boxes[:, 2:] > 0).all(-1), "give width and height above 0"),
        "a box outside of the image": (
            ((ends < -OUTSIDE) | (ends > 1 + OUTSIDE)).any(-1),
            "give shares of the image, all of the box from 0 to 1",
        ),
    }
    for found, (wrong, do) in faults.items():
        if wrong.any():
            place = int(wrong.long().argmax())
            numbers = ", ".join(f"{number:g}" for number in boxes[place].tolist())
            raise GeodlError(asked, f"{found} ({numbers}) of object {place}", do)
