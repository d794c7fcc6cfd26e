"""Mean average precision: by hand, and as torchmetrics and COCO have it."""

import importlib
import re

import numpy as np
import pytest
import torch

from geodl import GeodlError
from geodl.data import Objects
from geodl.data.boxes import corners
from geodl.train.average_precision import average_precision


def objects(labels, boxes, scores=None):
    given = None if scores is None else torch.tensor(scores)
    return Objects(torch.tensor(labels), torch.tensor(boxes).reshape(-1, 4), given)


def test_average_precision_of_known_cases():
    pytest.importorskip("pycocotools")
    box, other = (0.3, 0.3, 0.2, 0.2), (0.7, 0.7, 0.2, 0.2)
    both = objects([0, 0], [box, other])
    precision = average_precision([objects([0, 0], [box, other], [0.9, 0.8])], [both], classes=1)
    assert precision == (1.0, 1.0)
    # One of two is found: precision 1 at the recalls 0, 0.01, ..., 0.5, of which there are 51.
    half = average_precision([objects([0], [box], [0.9])], [both], classes=1)
    assert abs(half.map50 - 51 / 101) < 1e-9
    # A wrong one that is surer than the right ones halves the precision of the first of these.
    wrong = objects([0, 0, 0], [(0.5, 0.1, 0.1, 0.1), box, other], [0.95, 0.9, 0.8])
    later = average_precision([wrong], [both], classes=1)
    assert abs(later.map50 - 2 / 3) < 1e-6
    # Another class is no detection of this one, and a class without an object does not count.
    named = average_precision([objects([1, 0], [box, other], [0.9, 0.8])], [both], classes=3)
    assert abs(named.map50 - 51 / 101) < 1e-9
    nothing = average_precision(
        [objects([], [])._replace(scores=torch.zeros(0))], [both], classes=1
    )
    assert nothing == (0.0, 0.0)


def test_average_precision_of_the_example_in_torchmetrics():
    pytest.importorskip("pycocotools")
    side = 1000.0

    def relative(left, top, right, bottom):
        return ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)

    found = torch.tensor(relative(258.0, 41.0, 606.0, 285.0)) / side
    there = torch.tensor(relative(214.0, 41.0, 562.0, 285.0)) / side
    seen = Objects(torch.tensor([0]), found[None], torch.tensor([0.536]))
    precision = average_precision([seen], [Objects(torch.tensor([0]), there[None])], classes=1)
    # Its documentation prints map 0.6 and map_50 1.0.
    assert abs(precision.map - 0.6) < 1e-6 and abs(precision.map50 - 1.0) < 1e-6


def test_average_precision_is_that_of_torchmetrics():
    pytest.importorskip("pycocotools")
    try:
        # torchmetrics asks for it to convert boxes.
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        pytest.skip("torchvision is not installed, or does not load beside this torch")
    from torchmetrics.detection.mean_ap import MeanAveragePrecision

    torch.manual_seed(0)
    found, true = [], []
    for count in (3, 0, 5, 2, 4, 1, 6, 2):
        boxes, labels = torch.rand(count, 4) * 0.4 + 0.3, torch.randint(3, (count,))
        true.append(Objects(labels, boxes))
        near = Objects(labels, (boxes + 0.03 * torch.randn(count, 4)).clamp(0.05))
        wrong = Objects(torch.randint(3, (4,)), torch.rand(4, 4) * 0.4 + 0.3)
        both = Objects(*(torch.cat(pair) for pair in zip(near[:2], wrong[:2], strict=True)))
        found.append(both._replace(scores=torch.rand(count + 4)))
    ours = average_precision(found, true, classes=3)
    # Its own thresholds are float32: a recall of 0.3 does not reach 0.30000001 then.
    theirs = MeanAveragePrecision(
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0.0, 1.0, 101).tolist(),
    )
    side = 1000.0
    seen = [
        {"boxes": side * corners(one.boxes), "labels": one.labels, "scores": one.scores}
        for one in found
    ]
    there = [{"boxes": side * corners(one.boxes), "labels": one.labels} for one in true]
    theirs.update(seen, there)
    judged = theirs.compute()
    assert 0.1 < ours.map < ours.map50 < 1
    assert abs(ours.map50 - float(judged["map_50"])) < 1e-6
    assert abs(ours.map - float(judged["map"])) < 1e-6


def test_average_precision_refuses_what_it_cannot_judge():
    one = objects([0], [(0.5, 0.5, 0.2, 0.2)])
    with pytest.raises(GeodlError, match="detections of 0 images and objects of 1"):
        average_precision([], [one], classes=1)
    with pytest.raises(GeodlError, match="no object in any image"):
        average_precision([objects([], [])], [objects([], [])], classes=1)
    box = (0.5, 0.5, 0.2, 0.2)
    seen = objects([0], [box], [0.5])
    for found, true, words in (
        (one, one, "detections of image 0: found classes, boxes and scores of other numbers"),
        (objects([1], [box], [0.5]), one, "detections of image 0: found the class 1"),
        (objects([0], [box], [torch.nan]), one, "boxes or scores that are not finite"),
        (objects([0], [(torch.nan,) * 4], [0.5]), one, "boxes or scores that are not finite"),
        (seen, objects([1], [box]), "objects of image 0: found the class 1"),
        (seen, objects([0], [(0.5, 0.5, 0.0, 0.2)]), "objects of image 0: found an empty box"),
    ):
        with pytest.raises(GeodlError, match=re.escape(words)):
            average_precision([found], [true], classes=1)
    with pytest.raises(GeodlError, match="of 0 classes: found the size 0"):
        average_precision([seen], [one], classes=0)
