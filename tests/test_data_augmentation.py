"""Images changed at random: seeded, exact where they can be, and refused where they are none."""

import pytest
import torch

import geodl as g
from geodl.data import FlipsAndShifts, Rotations, rotate
from geodl.train import RECIPES
from geodl.train.augmented import Augmented
from geodl.train.examples import Batches, Rows
from geodl.train.parts import image_parts

IMAGES = torch.rand(40, 2, 9, 9, generator=torch.Generator().manual_seed(0))


def chance(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("change", [Rotations(), Rotations(90), FlipsAndShifts(2)])
def test_the_generator_decides_all_of_it(change):
    kept = IMAGES.clone()
    first, again, other = (change(IMAGES, chance(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(IMAGES, kept)
    assert first.shape == IMAGES.shape
    assert change(IMAGES[:0], chance()).shape == (0, 2, 9, 9)


def test_quarter_turns_are_exact_and_all_drawn():
    turned = Rotations(step=90)(IMAGES, chance())
    found = []
    for image, after in zip(IMAGES, turned, strict=True):
        (quarter,) = [k for k in range(4) if torch.equal(after, image.rot90(k, (1, 2)))]
        found.append(quarter)
    assert set(found) == {0, 1, 2, 3}


def test_any_angle_is_that_of_rotate():
    degrees = 360 * torch.rand(40, generator=chance(), dtype=torch.float64)
    turned = Rotations()(IMAGES, chance())
    for k in (0, 17, 39):
        expected = rotate(IMAGES[k : k + 1], float(degrees[k]))
        assert torch.allclose(turned[k], expected[0], atol=1e-5)
    assert not torch.equal(turned, IMAGES)


def test_half_precision_has_the_angles_of_single():
    # 315 degrees are no number of bfloat16.
    coarse = IMAGES.bfloat16()
    exact = rotate(coarse.float(), 315)
    assert torch.allclose(rotate(coarse, 315).float(), exact, atol=1e-2)
    turned = Rotations(step=45)(coarse, chance())
    assert torch.allclose(turned.float(), Rotations(step=45)(coarse.float(), chance()), atol=1e-2)


def test_flips_and_shifts_are_a_crop_of_the_padded_image():
    moved = FlipsAndShifts(2)(IMAGES[:, :, :, :7], chance())
    places, mirrored = set(), set()
    for image, after in zip(IMAGES[:, :, :, :7], moved, strict=True):
        matches = []
        for flip in (False, True):
            padded = torch.nn.functional.pad(image.flip(2) if flip else image, (2, 2, 2, 2))
            for row in range(5):
                for column in range(5):
                    if torch.equal(after, padded[:, row : row + 9, column : column + 7]):
                        matches.append((flip, row, column))
        (match,) = matches
        mirrored.add(match[0])
        places.add(match[1:])
    assert mirrored == {False, True}
    assert len(places) > 10


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Rotations(-90), "a divisor of 360"),
        (lambda: Rotations(70), "a divisor of 360"),
        (lambda: Rotations(float("nan")), "a divisor of 360"),
        (lambda: Rotations("90"), "a divisor of 360"),
        (lambda: Rotations(True), "a divisor of 360"),
        (lambda: FlipsAndShifts(-1), "at least 0"),
        (lambda: FlipsAndShifts(1.5), "at least 0"),
        (lambda: Rotations()(IMAGES[..., :5], chance()), "give squares"),
        (lambda: Rotations()(IMAGES[0], chance()), "floating point images"),
        (lambda: FlipsAndShifts()(IMAGES.long(), chance()), "floating point images"),
        (lambda: FlipsAndShifts()(IMAGES.tolist(), chance()), "found a list"),
    ],
)
def test_what_is_no_augmentation_of_images_is_refused(act, message):
    with pytest.raises(g.GeodlError, match=message):
        act()


def test_learnt_images_differ_by_epoch_and_evaluated_ones_are_as_they_are():
    rows = Rows(IMAGES, torch.arange(40))
    examples = Augmented(rows, Rotations(), lambda images: 2 * images)
    batches = Batches(examples, 16, seed=3)
    epochs = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        epochs.append(list(batches))
    for (first, labels), (again, same), (other, _) in zip(
        epochs[0], epochs[2], epochs[1], strict=True
    ):
        assert torch.equal(first, again)
        assert torch.equal(labels, same)
        assert not torch.equal(first, other)
    ((images, labels),) = Batches(examples)
    assert torch.equal(images, 2 * IMAGES)
    assert labels.tolist() == list(range(40))
    assert examples.some(5).count(2) == 3


def test_some_of_sorted_examples_are_of_every_class():
    # CIFAR-10's images and the generated solids stand class by class.
    rows = Rows(IMAGES, torch.arange(10).repeat_interleave(4))
    for examples in (rows, Augmented(rows, Rotations(), lambda images: images)):
        for count in (10, 20, 40):
            ((_, classes),) = examples.some(count).draw(40, None)
            assert classes.bincount().tolist() == [count // 10] * 10
    ((_, classes),) = rows.some(3).draw(None, None)
    assert classes.tolist() == [0, 3, 6]


def test_an_augmented_recipe_is_normalised_after_it_was_changed():
    data = g.data.digits()
    parts = image_parts(data, augmentation=FlipsAndShifts(8))
    plain = image_parts(data)
    generator = chance()
    images, _ = next(parts.train.draw(400, generator))
    black = float(plain.train.tensors[0].min())
    # What moved in is as dark as the background, not as the mean.
    assert float(images.min()) == pytest.approx(black, abs=1e-6)
    assert torch.equal(parts.val.tensors[0], plain.val.tensors[0])


def test_regimes_say_what_they_do():
    augmented = [found for name, found in RECIPES.items() if name.endswith("-augmented")]
    assert len(augmented) > 5
    for found in augmented:
        said = [str(change) in found.protocol for change in (Rotations(), FlipsAndShifts(4))]
        assert said.count(True) == 1, found.name
    parts = RECIPES["digits-cnn-augmented"].parts()
    plain = RECIPES["digits-cnn"].parts()
    assert isinstance(parts.train, Augmented)
    assert isinstance(plain.train, Rows)
    for suffix in ("", "-rotated"):
        assert torch.equal(parts.tests[suffix].tensors[0], plain.tests[suffix].tensors[0])
