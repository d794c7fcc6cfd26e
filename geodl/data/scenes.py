"""Generated scenes for object detection: digits of several sizes on one canvas, and their boxes."""

from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from geodl.data.arguments import check_classes, check_count, describe
from geodl.data.base import Split
from geodl.data.boxes import Objects
from geodl.errors import GeodlError, is_real

ABSENT = -1  # the label where a scene has fewer objects than its tensor has rows
INK = 0.25  # a pixel brighter than this belongs to the digit
THINNEST = 4  # pixels; an error of one pixel would halve the overlap with a box of two


class Scenes(NamedTuple):
    """Scenes and the objects in them.

    Attributes:
        images: `[B, 1, S, S]`, float32 in [0, 1].
        labels: `[B, M]` int64, the class of each object; `ABSENT` where a scene has fewer than M.
        boxes: `[B, M, 4]` float32, `(x, y, width, height)` of each, x and y of the centre, all as
            shares of the canvas; zeros where there is none.
    """

    images: Tensor
    labels: Tensor
    boxes: Tensor

    @property
    def counts(self) -> Tensor:
        """How many objects each scene has, `[B]`."""
        return (self.labels != ABSENT).sum(1)

    def objects(self) -> list[Objects]:
        """The objects of each scene."""
        there = self.labels != ABSENT
        return [
            Objects(labels[present], boxes[present])
            for labels, boxes, present in zip(self.labels, self.boxes, there, strict=True)
        ]

    def to(self, device: torch.device | str) -> "Scenes":
        """These scenes on a device."""
        return Scenes(self.images.to(device), self.labels.to(device), self.boxes.to(device))


def scenes(
    digits: Split,
    count: int,
    *,
    size: int = 64,
    most: int = 6,
    smallest: int = 14,
    largest: int = 28,
    overlap: float = 0.15,
    generator: Generator | None = None,
) -> Scenes:
    """Scenes of 1 to `most` digits, drawn at random.

    The longer side of a digit's ink is `smallest` to `largest` pixels, all with equal probability;
    its proportions stay but for whole pixels, of which no side has fewer than 4. Larger digits are
    placed first, each anywhere that it fits and hides, or is hidden, by no more than `overlap` of
    the smaller of two boxes. A digit that has no such place left is left out (of 64 x 64 pixels:
    about one scene in 600). Where boxes overlap the brighter pixel is seen.

    Args:
        digits: images `[N, 1, H, W]` in [0, 1] to draw from, with their classes `[N]`.
        count: B, how many scenes.
        size: S, side of the canvas, in pixels.
        most: M, the largest number of digits in a scene.
        smallest: the smallest length of a digit's longer side.
        largest: the largest one, at most `size`.
        overlap: the largest share of a box that another box covers, from 0 to 1.
        generator: all randomness follows from it; None takes torch's own.

    Raises:
        GeodlError: if there are no digits, if one has no ink or pixels outside of [0, 1], or if
            another value is out of range.

    >>> square = torch.zeros(1, 1, 28, 28)
    >>> square[:, :, 4:24, 4:24] = 1.0
    >>> drawn = scenes(Split(square, torch.tensor([3])), 5)
    >>> drawn.images.shape, drawn.boxes.shape, set(drawn.labels.unique().tolist()) - {ABSENT}
    (torch.Size([5, 1, 64, 64]), torch.Size([5, 6, 4]), {3})
    """
    count = check_count(f"{count!r} scenes", count)
    most = check_count(f"scenes(most={most!r})", most)
    size, smallest, largest = _check_sizes(size, smallest, largest)
    if not is_real(overlap) or not 0 <= overlap <= 1:
        raise GeodlError(f"scenes(overlap={overlap!r})", do="give a share from 0 to 1")
    _check_digits(digits)
    if generator is not None and not isinstance(generator, Generator):
        do = "give a torch.Generator, or None"
        raise GeodlError("scenes(generator=...)", describe(generator), do)

    wanted = torch.randint(1, most + 1, (count,), generator=generator)
    chosen = torch.randint(len(digits.images), (count, most), generator=generator)
    longer = torch.randint(smallest, largest + 1, (count, most), generator=generator)
    # The largest is placed first: later it would find no place among small ones.
    longer = longer.sort(dim=1, descending=True).values
    # Which of them are there is drawn separately, so that few digits are not always large ones.
    order = torch.rand(count, most, generator=generator).argsort(dim=1)
    there = order < wanted[:, None]

    images = digits.images[chosen, 0]
    _check_values(images)
    ink = _ink(images)
    scale = longer / ink.lengths.amax(-1)
    lengths = (ink.lengths * scale[..., None]).round().long().clamp(THINNEST, size)
    starts, placed = _places(lengths, there, size, overlap, generator)
    canvas = _drawn(images, ink, starts, lengths, placed, size)

    # Rows and columns so far; a box begins with x, which counts columns.
    centre = (starts + lengths / 2).flip(-1) / size
    boxes = torch.cat([centre, lengths.flip(-1) / size], dim=-1)
    boxes = boxes.float() * placed[..., None]
    labels = torch.where(placed, digits.labels[chosen], ABSENT)
    return Scenes(canvas[:, None], labels, boxes)


class _Ink(NamedTuple):
    """The first row and column of the ink of images, and its height and width: `[..., 2]` each."""

    starts: Tensor
    lengths: Tensor


def _ink(images: Tensor) -> _Ink:
    """The bounding boxes of the ink of images `[..., H, W]`."""
    bright = images > INK
    starts, lengths = [], []
    for has_ink in (bright.any(-1), bright.any(-2)):
        marks = has_ink.long()
        # Of equal numbers argmax takes the first.
        first = marks.argmax(-1)
        last = marks.shape[-1] - 1 - marks.flip(-1).argmax(-1)
        starts.append(first)
        lengths.append(torch.where(has_ink.any(-1), last + 1 - first, 0))
    found = _Ink(torch.stack(starts, -1), torch.stack(lengths, -1))
    if not bool(found.lengths.all()):
        found_blank = f"an image without a pixel brighter than {INK}"
        raise GeodlError("scenes of digits", found_blank, "leave blank images out")
    return found


def _places(
    lengths: Tensor, there: Tensor, size: int, overlap: float, generator: Generator | None
) -> tuple[Tensor, Tensor]:
    """The first row and column of each box, `[B, M, 2]`, and which have found a place, `[B, M]`.

    Every place of the canvas is checked, and one of the allowed ones is drawn: rejection sampling
    would take an unknown number of repetitions.
    """
    count, most, _ = lengths.shape
    starts = torch.zeros_like(lengths)
    placed = torch.zeros_like(there)
    points = torch.arange(size)
    for k in range(most):
        length = lengths[:, k]
        ends = points + length[..., None]
        inside = ends <= size
        good = inside[:, 0, :, None] & inside[:, 1, None, :]
        if k > 0:
            others = lengths[:, :k]
            begin = torch.maximum(points, starts[:, :k, :, None])
            end = torch.minimum(ends[:, None], (starts[:, :k] + others)[..., None])
            # The common part of two boxes is that of their rows times that of their columns; in
            # float32, which is exact here and a third of the time of int64.
            common = (end - begin).clamp(min=0).float()
            smaller = torch.minimum(others.prod(-1), length.prod(-1)[:, None])
            allowed = overlap * smaller
            area = common[:, :, 0, :, None] * common[:, :, 1, None, :]
            free = (area <= allowed[..., None, None]) | ~placed[:, :k, None, None]
            good = good & free.all(1)
        lot = torch.rand(count, size * size, generator=generator) * good.flatten(1)
        place = lot.argmax(1)
        starts[:, k, 0] = place // size
        starts[:, k, 1] = place % size
        placed[:, k] = there[:, k] & good.flatten(1).any(1)
    return starts, placed


def _drawn(
    images: Tensor, ink: _Ink, starts: Tensor, lengths: Tensor, placed: Tensor, size: int
) -> Tensor:
    """The digits `[B, M, H, W]` resized into their boxes on a canvas `[B, S, S]`: bilinear
    interpolation, `R_rows X R_columns^T`.
    """
    rows, columns = (
        _resampling(images.shape[-2 + axis], ink, starts, lengths, axis, size) for axis in range(2)
    )
    each = rows @ images.float() @ columns.transpose(-1, -2)
    return (each * placed[..., None, None]).amax(1)


def _resampling(
    pixels: int, ink: _Ink, starts: Tensor, lengths: Tensor, axis: int, size: int
) -> Tensor:
    """The weights `[B, M, S, H]` by which the pixels of a canvas read those of an image along one
    axis: bilinear, that is `max(0, 1 - distance)`, and zero outside of the box.
    """
    share = torch.arange(size) + 0.5 - starts[..., axis, None]
    share = share / lengths[..., axis, None]
    # The middle of pixel i is i + 1/2 in both images.
    read = ink.starts[..., axis, None] + share * ink.lengths[..., axis, None] - 0.5
    weights = (1 - (read[..., None] - torch.arange(pixels)).abs()).clamp(min=0)
    inside = (share > 0) & (share < 1)
    return weights * inside[..., None]


def _check_sizes(size: Any, smallest: Any, largest: Any) -> tuple[int, int, int]:
    size = check_count(f"scenes(size={size!r})", size, least=THINNEST)
    smallest = check_count(f"scenes(smallest={smallest!r})", smallest, least=THINNEST)
    asked = f"scenes of {size} x {size} pixels with digits of {smallest} to {largest!r}"
    largest = check_count(asked, largest)
    if not smallest <= largest <= size:
        raise GeodlError(asked, do=f"give smallest <= largest <= {size}")
    return size, smallest, largest


def _check_digits(digits: Any) -> None:
    asked = "scenes of digits"
    if not isinstance(digits, Split):
        raise GeodlError(asked, describe(digits), "give a Split, as g.data.mnist().train")
    images = digits.images
    do = "give grey images [N, 1, H, W] of floating-point numbers"
    if not isinstance(images, Tensor) or not images.is_floating_point():
        raise GeodlError(asked, describe(images), do)
    if images.ndim != 4 or images.shape[1] != 1 or 0 in images.shape[2:]:
        raise GeodlError(asked, describe(images), do)
    check_classes(asked, digits.labels)
    if len(digits.labels) != len(images):
        found = f"{len(digits.labels)} labels of {len(images)} images"
        raise GeodlError(asked, found, "give one for each")


def _check_values(images: Tensor) -> None:
    """Refuse pixels of which `INK` says nothing: those of 0 to 255, or of other images normalised.

    Only the digits that were drawn are looked at: a pass over a whole data set takes longer than to
    draw a batch of scenes.
    """
    least, largest = images.aminmax()
    # Comparisons with NaN are false.
    if not (bool(least >= 0) and bool(largest <= 1)):
        found = f"pixels from {float(least):g} to {float(largest):g}"
        raise GeodlError("scenes of digits", found, "give images with values in [0, 1]")
