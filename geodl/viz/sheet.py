"""`sheet`: many small images side by side."""

from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from geodl.errors import GeodlError, positive
from geodl.viz.style import INK, blank

ASKED = "a sheet of images"
GAP = 2  # pixels between images


def sheet(images: Tensor, *, columns: int = 10, title: str = "", below: str = "") -> Figure:
    """Images in rows, white where there is none.

    Args:
        images: `[M, C, H, W]` with values in [0, 1], of one channel or three.
        columns: how many stand in a row.
        title: a line above the picture.
        below: a line below it.

    Raises:
        GeodlError: if there is no image, or they have other axes, channels or values.

    >>> figure = sheet(torch.zeros(12, 1, 28, 28))
    >>> figure.axes[0].images[0].get_array().shape  # two rows of ten, and gaps of two pixels
    (58, 298, 3)
    """
    columns = positive(f"{ASKED} with columns={columns!r}", columns)
    check_images(ASKED, images)
    picture = tiled(images, columns)
    height, width = picture.shape[:2]
    inches = min(10.0, max(3.0, width / 36))
    figure = blank(inches, inches * height / width + 0.7, title)
    axes = figure.add_subplot()
    axes.imshow(picture.numpy(), interpolation="nearest")
    axes.set_axis_off()
    if below:
        figure.supxlabel(below, fontsize=9, color=INK)
    return figure


def tiled(images: Tensor, columns: int) -> Tensor:
    """Images `[M, C, H, W]` in rows as one picture `[rows, width, 3]`."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    columns = min(columns, count)
    picture = torch.ones(rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3)
    for number, image in enumerate(images.detach().cpu().float()):
        row, column = divmod(number, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        picture[top : top + height, left : left + width] = image.expand(3, -1, -1).movedim(0, -1)
    return picture


def check_images(asked: str, images: Any) -> None:
    """Refuse what are no images `[M, C, H, W]` with values in [0, 1].

    Args:
        asked: what for, the beginning of the message.
        images: anything.
    """
    do = "give images [M, C, H, W] of one channel or three, with values in [0, 1]"
    if not isinstance(images, Tensor) or not images.is_floating_point():
        raise GeodlError(asked, f"a {type(images).__name__}", do)
    if images.dim() != 4 or images.shape[1] not in (1, 3) or not images.numel():
        raise GeodlError(asked, f"shape {list(images.shape)}", do)
    if not ((images >= 0) & (images <= 1)).all():
        raise GeodlError(asked, "values outside of [0, 1]", do)
