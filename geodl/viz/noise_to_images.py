"""`noise_to_images`: what a generator makes of the same noise while it learns."""

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import interpolate

from geodl.errors import GeodlError
from geodl.viz.sheet import check_images, tiled
from geodl.viz.style import FAINT, INK, PALETTE, blank

ASKED = "a picture of noise and what becomes of it"
BINS = 25


def noise_to_images(noise: Tensor, images: Mapping[str, Tensor], *, title: str = "") -> Figure:
    """The histogram of the values of noise vectors, each vector as a square of grey levels, and
    below them the images that a generator made of them, a row for each time.

    Args:
        noise: `[M, Z]`, a vector for each image.
        images: by a name of the time, as "epoch 3": `[M, C, H, W]` with values in [0, 1].
        title: a line above the picture.

    Raises:
        GeodlError: if the noise is no matrix, if there is no row, or if a row has not one image
            for each vector.

    >>> figure = noise_to_images(torch.randn(4, 9), {"epoch 1": torch.zeros(4, 1, 8, 8)})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['numbers', 'noise', 'epoch 1']
    """
    _check(noise, images)
    count = len(noise)
    figure = blank(0.8 * count + 1.2, 0.85 * len(images) + 3.0, title)
    heights = [2.0, 1.0] + [1.0] * len(images)
    histogram, vectors, *rows = figure.subplots(len(heights), height_ratios=heights)
    numbers = noise.detach().cpu().flatten()
    histogram.hist(numbers.numpy(), bins=BINS, color=PALETTE[0])
    histogram.set_ylabel("numbers", color=INK)
    mean, deviation = float(numbers.mean()), float(numbers.std())
    text = f"value of the noise: mean {mean:.2f}, standard deviation {deviation:.2f}"
    histogram.set_xlabel(text, fontsize=9, color=INK)
    histogram.grid(color=FAINT, linewidth=0.4)
    size = next(iter(images.values())).shape[2:]
    _row(vectors, interpolate(_squares(noise), tuple(size)), "noise")  # as large as the images
    for axes, (name, made) in zip(rows, images.items(), strict=True):
        _row(axes, made, name)
    return figure


def _squares(noise: Tensor) -> Tensor:
    """Each vector as an image `[M, 1, S, S]`, from black, its least number, to white; what is left
    of the square is grey.
    """
    count, length = noise.shape
    side = next(side for side in range(1, length + 1) if side * side >= length)
    noise = noise.detach().cpu().float()
    least, most = noise.min(), noise.max()
    shades = torch.full((count, side * side), 0.5)
    shades[:, :length] = (noise - least) / (most - least).clamp(min=1e-12)
    return shades.view(count, 1, side, side)


def _row(axes: Axes, images: Tensor, name: str) -> None:
    axes.imshow(tiled(images, len(images)).numpy(), interpolation="nearest")
    axes.set_ylabel(name, fontsize=9, color=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _check(noise: Tensor, images: Mapping[str, Tensor]) -> None:
    if not isinstance(noise, Tensor) or noise.dim() != 2 or not noise.numel():
        found = f"a {type(noise).__name__}"
        if isinstance(noise, Tensor):
            found = f"noise of shape {list(noise.shape)}"
        raise GeodlError(ASKED, found, "give a vector for each image, [M, Z]")
    if not images:
        raise GeodlError(ASKED, "no images", "give them by the name of the time")
    for name, made in images.items():
        check_images(f"{ASKED}, {name}", made)
        if len(made) != len(noise):
            found = f"{len(made)} images for {len(noise)} vectors"
            raise GeodlError(f"{ASKED}, {name}", found, "give an image for each")
