"""`feature_maps`: the channels of one layer as images."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from geodl.errors import GeodlError, positive
from geodl.inspection import feature_maps as maps_of
from geodl.signal import Signal
from geodl.viz.style import INK, blank

COLUMNS = 8


def feature_maps(model: nn.Module, image: Tensor, path: str, *, count: int = 32) -> Figure:
    """The image, and the feature maps that one layer makes of it, those of the largest values
    first, each on a scale of its own from its smallest to its largest value.

    Args:
        model: takes a Signal on a Grid.
        image: `[C, H, W]`.
        path: the name of the layer in the model, as "features.3".
        count: the most maps.

    Raises:
        GeodlError: if the image has other axes, nothing of that name ran, or what it answers is on
            no lattice of two axes.

    >>> import torch, geodl as g
    >>> len(g.viz.feature_maps(g.models.lenet5(), torch.rand(1, 28, 28), "conv1").axes)
    7
    """
    asked = "a picture of feature maps"
    most = positive(f"{asked} with count={count!r}", count)
    signal = image_signal(asked, image)
    answer = maps_of(model, signal, path)
    if answer.domain.lattice is None or len(answer.domain.lattice) != 2:
        found = f"{path} on {answer.domain}"
        raise GeodlError(asked, found, "name a layer before the image is read out")
    maps = answer.to_image()[0].detach().cpu()
    strongest = maps.abs().amax((1, 2)).argsort(descending=True)[:most]
    rows = math.ceil((1 + len(strongest)) / COLUMNS)
    size = " x ".join(map(str, maps.shape[1:]))
    figure = blank(1.2 * COLUMNS, 0.6 + 1.3 * rows, f"{path}: {len(maps)} maps of {size}")
    frames = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    show(frames[0], shades(image), "image")
    for axes, number in zip(frames[1:], strongest.tolist(), strict=False):
        show(axes, maps[number], _name(answer, number))
    for axes in frames[1 + len(strongest) :]:
        figure.delaxes(axes)
    return figure


def _name(answer: Signal, number: int) -> str:
    """What a map is called: its channel, and over a group its element, whose sheet it is of."""
    sheet, channel = divmod(number, answer.x.shape[2])
    if answer.domain.fiber is None:
        return f"channel {channel}"
    return f"channel {channel}\nelement {sheet}"


def image_signal(asked: str, image: Tensor) -> Signal:
    """One image as a signal.

    Raises:
        GeodlError: if it is not a tensor `[C, H, W]` of floating-point numbers.
    """
    if not isinstance(image, Tensor) or image.dim() != 3 or not image.is_floating_point():
        found = f"a {type(image).__name__}"
        if isinstance(image, Tensor):
            found = f"shape {list(image.shape)} of {image.dtype}"
        raise GeodlError(asked, found, "give one image [C, H, W] of floating-point numbers")
    return Signal.image(image.detach()[None])


def shades(image: Tensor) -> Tensor:
    """An image as it is drawn: `[H, W, 3]` of three channels, else the mean of all, from 0 to 1."""
    picture = image.detach().cpu().float()
    picture = picture - picture.min()
    picture = picture / picture.max().clamp(min=1e-12)
    if len(picture) == 3:
        return picture.movedim(0, -1)
    return picture.mean(0)


def show(axes: Axes, picture: Tensor, label: str, *, between: tuple[float, ...] = ()) -> None:
    """A picture without ticks, and what it is below it; black and white are its smallest and its
    largest number, or the two of `between`.
    """
    least, most = between or (None, None)
    axes.imshow(picture.numpy(), cmap="gray", vmin=least, vmax=most)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(label, fontsize=8, color=INK)
