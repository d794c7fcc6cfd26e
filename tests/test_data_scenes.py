"""Generated scenes: boxes fit what is drawn, all randomness follows from the generator."""

import re
from itertools import combinations

import pytest
import torch

from geodl import GeodlError
from geodl.data import ABSENT, Split, scenes
from geodl.train.examples import Batches
from geodl.train.scene_examples import scene_parts
from tests.scenes import chance, data, draw, shapes


def corners(box, size=64):
    x, y, width, height = (size * box).tolist()
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def test_each_box_is_where_the_ink_is():
    drawn = draw(count=60, most=1)
    for image, (box,) in zip(drawn.images, drawn.boxes, strict=True):
        left, top, right, bottom = map(round, corners(box))
        bright = (image[0] > 0.5).nonzero()
        rows, columns = bright.amin(0).tolist(), (bright.amax(0) + 1).tolist()
        assert (rows, columns) == ([top, left], [bottom, right])


def test_sizes_places_and_overlaps_are_as_promised():
    drawn = draw(count=300)
    assert drawn.images.shape == (300, 1, 64, 64) and drawn.images.dtype == torch.float32
    assert drawn.counts.min() == 1 and drawn.counts.max() == 6
    longer = []
    for objects in drawn.objects():
        boxes = [corners(box) for box in objects.boxes]
        for left, top, right, bottom in boxes:
            assert left >= -1e-4 and top >= -1e-4 and right <= 64.0001 and bottom <= 64.0001
            longer.append(round(max(right - left, bottom - top)))
        for one, other in combinations(boxes, 2):
            width = min(one[2], other[2]) - max(one[0], other[0])
            height = min(one[3], other[3]) - max(one[1], other[1])
            areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
            assert max(0, width) * max(0, height) <= 0.15 * min(areas) + 1e-2
    assert set(longer) == set(range(14, 29))
    absent = drawn.labels == ABSENT
    assert not drawn.boxes[absent].any() and set(drawn.labels[~absent].tolist()) == {0, 1, 2}


def test_a_digit_keeps_its_proportions():
    drawn = draw(count=100, most=1, smallest=20, largest=20)
    width, height = (64 * drawn.boxes[:, 0, 2:]).T
    ratio = {0: (20, 20), 1: (8, 20), 2: (20, 8)}
    for label, pair in zip(
        drawn.labels[:, 0].tolist(), zip(width, height, strict=True), strict=True
    ):
        assert tuple(map(round, map(float, pair))) == ratio[label]


def test_what_has_no_place_left_is_left_out():
    full = draw(count=50, size=28, smallest=28, largest=28, most=4, overlap=0.0)
    squares = (full.labels == 0).any(1)
    assert squares.any() and (full.counts[squares] == 1).all()
    on_top = draw(count=50, size=28, smallest=28, largest=28, most=4, overlap=1.0)
    assert on_top.counts.max() == 4


def test_all_randomness_follows_from_the_generator():
    one, same, other = draw(seed=1), draw(seed=1), draw(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one.images, other.images)


def test_an_epoch_follows_from_its_seed_and_number_and_an_evaluation_never_changes():
    parts = scene_parts(data(), (6, 4, 4))
    train = Batches(parts.train, 4, seed=0)
    epochs = []
    for epoch in (0, 1, 0):
        train.set_epoch(epoch)
        epochs.append([batch.images for batch in train])
    assert [len(images) for images in epochs[0]] == [4, 2] and len(train) == 2
    assert all(map(torch.equal, epochs[0], epochs[2]))
    assert not torch.equal(epochs[0][0], epochs[1][0])
    first, second = (list(Batches(parts.tests[""])) for _ in range(2))
    assert torch.equal(first[0].images, second[0].images)


def test_scenes_of_each_part_have_digits_of_that_part_alone():
    images = shapes().images
    train, val, test = (Split(images[k : k + 1], torch.tensor([k])) for k in range(3))
    whole = data()
    object.__setattr__(whole, "train", train)
    object.__setattr__(whole, "val", val)
    object.__setattr__(whole, "test", test)
    parts = scene_parts(whole, (20, 20, 20))
    for label, part in enumerate((parts.train, parts.val, parts.tests[""])):
        for batch in part.draw(20, chance()):
            assert set(batch.labels.unique().tolist()) <= {ABSENT, label}


def test_fewer_digits_to_learn_from():
    fewer = scene_parts(data(), (20, 4, 4)).train.some(1)
    (batch,) = fewer.draw(20, chance())
    assert set(batch.labels.unique().tolist()) <= {ABSENT, 0}
    with pytest.raises(GeodlError, match="limit_examples of at most 3"):
        scene_parts(data(), (20, 4, 4)).train.some(4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 20}, "scenes of 20 x 20 pixels with digits of 14 to 28; give smallest <="),
        ({"smallest": 2}, "scenes(smallest=2); give an integer of at least 4"),
        ({"most": 0}, "scenes(most=0); give an integer of at least 1"),
        ({"overlap": 1.5}, "scenes(overlap=1.5); give a share from 0 to 1"),
        ({"overlap": float("nan")}, "scenes(overlap=nan); give a share from 0 to 1"),
        ({"count": 0}, "0 scenes; give an integer of at least 1"),
        ({"generator": 5}, "scenes(generator=...): found a int; give a torch.Generator"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(GeodlError, match=re.escape(words)):
        scenes(shapes(), **({"count": 2} | options))


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        (shapes().images, "found shape [3, 1, 28, 28]"),
        (Split(shapes().images[:, 0], torch.arange(3)), "give grey images [N, 1, H, W]"),
        (Split(shapes().images, torch.arange(2)), "2 labels of 3 images"),
        (Split(shapes().images * 0, torch.arange(3)), "an image without a pixel brighter"),
        (Split(shapes().images[:0], torch.arange(0)), "no labels"),
        (Split([0.5], torch.arange(1)), "found a list; give grey images"),
        (Split(torch.zeros(1, 1, 0, 0), torch.arange(1)), "found shape [1, 1, 0, 0]"),
        (Split(shapes().images * 255, torch.arange(3)), "pixels from 0 to 255; give images with"),
        (Split(2 * shapes().images - 1, torch.arange(3)), "pixels from -1 to 1"),
        (Split(shapes().images / 0, torch.arange(3)), "pixels from nan to nan"),
    ],
)
def test_bad_digits(digits, words):
    with pytest.raises(GeodlError, match=re.escape(words)):
        scenes(digits, 3)
