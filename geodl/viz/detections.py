"""`detections`: images with predicted and true bounding boxes."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from geodl.data import Objects
from geodl.data.boxes import corners
from geodl.errors import GeodlError, is_real, positive
from geodl.viz.feature_maps import shades, show
from geodl.viz.style import PALETTE, blank

ASKED = "a picture of detections"
FOUND, TRUE = PALETTE[1], PALETTE[4]  # orange and light blue: both are seen on black


def detections(
    images: Tensor,
    found: Sequence[Objects],
    true: Sequence[Objects] | None = None,
    *,
    threshold: float = 0.5,
    captions: Sequence[str] | None = None,
    columns: int = 4,
    title: str = "",
) -> Figure:
    """A sheet of images. Boxes of predicted objects are solid, with class and score; boxes of true
    objects are dashed.

    Args:
        images: `[B, C, H, W]`, grey or RGB.
        found: the predicted objects of each image, with scores.
        true: the true objects of each image; None draws the predicted ones alone.
        threshold: predicted objects with a smaller score are not drawn.
        captions: a line below each image.
        columns: how many images stand beside each other.
        title: a line above the picture.

    Raises:
        GeodlError: if `images`, `found`, `true` and `captions` differ in length, or the threshold
            is not from 0 to 1.

    >>> import torch
    >>> seen = Objects(torch.tensor([3]), torch.tensor([[0.5, 0.5, 0.2, 0.4]]), torch.tensor([0.9]))
    >>> len(detections(torch.zeros(2, 1, 8, 8), [seen, seen]).axes)
    2
    """
    _check(images, found, true, captions)
    if not is_real(threshold) or not 0 <= threshold <= 1:
        raise GeodlError(f"{ASKED} with threshold={threshold!r}", do="give a share from 0 to 1")
    columns = min(positive(f"{ASKED} with columns={columns!r}", columns), len(images))
    rows = math.ceil(len(images) / columns)
    heading = title or "solid: predicted boxes, with class and score; dashed: true boxes"
    figure = blank(2.4 * columns, 0.5 + 2.6 * rows, "")
    figure.suptitle(heading, fontsize=10)
    frames = figure.subplots(rows, columns, squeeze=False).flatten()
    for number, image in enumerate(images):
        axes = frames[number]
        caption = ""
        if captions is not None:
            caption = captions[number]
        show(axes, shades(image), caption, between=(0.0, 1.0))
        if true is not None:
            draw_boxes(axes, true[number], image, TRUE)
        draw_boxes(axes, found[number].above(threshold), image, FOUND)
    for axes in frames[len(images) :]:
        figure.delaxes(axes)
    return figure


def draw_boxes(axes: Axes, objects: Objects, image: Tensor, color: str) -> None:
    """The boxes of objects on an image `[C, H, W]`: solid with class and score where they have
    scores, else dashed.
    """
    height, width = image.shape[-2:]
    style = "dashed" if objects.scores is None else "solid"
    for place, box in enumerate(corners(objects.boxes.cpu()).tolist()):
        left, top, right, bottom = box
        # The middle of the first pixel is drawn at 0, its left end at -1/2.
        at = (left * width - 0.5, top * height - 0.5)
        sides = ((right - left) * width, (bottom - top) * height)
        look: dict[str, Any] = {"edgecolor": color, "linestyle": style, "linewidth": 1.3}
        axes.add_patch(Rectangle(at, *sides, fill=False, **look))
        if objects.scores is not None:
            text = f"{int(objects.labels[place])}  {float(objects.scores[place]):.2f}"
            axes.text(at[0], at[1] - 0.5, text, color=color, fontsize=7, va="bottom")


def _check(images: Any, found: Any, true: Any, captions: Any) -> None:
    if not isinstance(images, Tensor) or images.ndim != 4 or not len(images):
        raise GeodlError(ASKED, f"a {type(images).__name__}", "give images [B, C, H, W]")
    named = {"found": found, "true": true, "captions": captions}
    for name, values in named.items():
        if values is not None and len(values) != len(images):
            what = f"{len(images)} images and {len(values)} of {name}"
            raise GeodlError(ASKED, what, "give one for each image")
