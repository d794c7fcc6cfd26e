"""Mean average precision of detections, by COCO's own evaluation."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import torch

from geodl.data.boxes import Objects, check_objects, corners
from geodl.errors import GeodlError, positive

# Of the axes of COCO's table: all areas, and the largest number of detections an image.
ALL_AREAS, ALL_DETECTIONS = 0, 2
# COCO sorts boxes into areas by pixels; the unit does not matter where all areas count.
SIDE = 1000.0


class Precision(NamedTuple):
    """Mean average precision: at an intersection over union of 0.5, and the mean over 0.5, 0.55,
    ..., 0.95.
    """

    map50: float
    map: float


def average_precision(
    found: Sequence[Objects], true: Sequence[Objects], *, classes: int
) -> Precision:
    """Mean average precision: the mean over classes of the area under the precision-recall curve,
    at 101 recalls, as COCO's `AP50` and `AP`. Classes without a true object do not count; of the
    detections of a class in an image the 100 of highest scores do.

    pycocotools computes it, as within torchmetrics' `MeanAveragePrecision`, which needs
    torchvision besides; its published wheels do not load beside a CPU build of torch.

    Args:
        found: the predicted objects of each image, with scores.
        true: the true objects of each image.
        classes: how many there are.

    Raises:
        GeodlError: if there is no true object at all, if the two have different numbers of
            images, if classes, boxes or scores cannot be judged, or if pycocotools is not
            installed.

    Source: Lin et al., "Microsoft COCO: Common Objects in Context", 2014, and its evaluation code.

    >>> box = torch.tensor([[0.5, 0.5, 0.2, 0.2]])
    >>> seen = Objects(torch.tensor([1]), box, torch.tensor([0.9]))
    >>> average_precision([seen], [Objects(torch.tensor([1]), box)], classes=2)  # doctest: +SKIP
    Precision(map50=1.0, map=1.0)
    """
    asked = "the average precision of detections"
    if len(found) != len(true):
        images = f"detections of {len(found)} images and objects of {len(true)}"
        raise GeodlError(asked, images, "give both for the same images")
    if not sum(len(objects.labels) for objects in true):
        raise GeodlError(asked, "no object in any image", "give images with objects")
    classes = positive(f"{asked} of {classes!r} classes", classes)
    for image, (seen, there) in enumerate(zip(found, true, strict=True)):
        _check_found(f"detections of image {image}", seen, classes)
        check_objects(f"objects of image {image}", there.labels, there.boxes, classes)
    coco, evaluation = _coco()
    # It prints what it does.
    with redirect_stdout(io.StringIO()):
        truth = coco()
        truth.dataset = {
            "images": [{"id": number} for number in range(len(true))],
            "categories": [{"id": number} for number in range(classes)],
            "annotations": _annotations(true),
        }
        truth.createIndex()
        # Without any detection `loadRes` fails; a table of them may be empty.
        guesses = coco()
        guesses.dataset = truth.dataset | {"annotations": _annotations(found)}
        guesses.createIndex()
        judged = evaluation(truth, guesses, "bbox")
        judged.evaluate()
        judged.accumulate()
    # By threshold, recall and class; -1 where a class has no object.
    table = torch.from_numpy(judged.eval["precision"])[..., ALL_AREAS, ALL_DETECTIONS]
    known = table[:, :, (table[0] > -1).any(0)]
    return Precision(map50=float(known[0].mean()), map=float(known.mean()))


def _check_found(asked: str, found: Objects, classes: int) -> None:
    """Refuse detections without scores, and numbers that COCO's code would rank in any order. A box
    may be empty or reach outside: such a detection is wrong, not impossible.
    """
    labels, boxes, scores = found
    if scores is None or scores.shape != labels.shape or boxes.shape != (len(labels), 4):
        do = "give labels [P], boxes [P, 4] and scores [P]"
        raise GeodlError(asked, "classes, boxes and scores of other numbers", do)
    if not scores.isfinite().all() or not boxes.isfinite().all():
        raise GeodlError(asked, "boxes or scores that are not finite", "give finite numbers")
    strange = labels[(labels < 0) | (labels >= classes)]
    if len(strange):
        unknown = f"the class {int(strange[0])}, which was never seen"
        raise GeodlError(asked, unknown, f"give classes from 0 to {classes - 1}")


def _annotations(images: Sequence[Objects]) -> list[dict[str, Any]]:
    """Objects as COCO writes them: `[left, top, width, height]` in pixels, numbered from 1."""
    annotations: list[dict[str, Any]] = []
    for image, objects in enumerate(images):
        boxes = SIDE * torch.cat([corners(objects.boxes)[:, :2], objects.boxes[:, 2:]], -1)
        for place, (label, box) in enumerate(
            zip(objects.labels.tolist(), boxes.double().tolist(), strict=True)
        ):
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": label,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            if objects.scores is not None:
                annotation["score"] = float(objects.scores[place])
            annotations.append(annotation)
    return annotations


def _coco() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        missing = "pycocotools is not installed"
        raise GeodlError(
            "the average precision of detections", missing, 'pip install "geodl[train]"'
        ) from error
    return COCO, COCOeval
