"""`occlusion`: the image, and the score of a class with each part of it hidden."""

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from geodl.errors import GeodlError
from geodl.inspection import occlusion as hide
from geodl.layer import evaluated
from geodl.neighborhood import window
from geodl.viz.feature_maps import image_signal, shades, show
from geodl.viz.style import INK, blank


def occlusion(
    model: nn.Module,
    image: Tensor,
    *,
    size: int = 8,
    stride: int = 2,
    channel: int | None = None,
    fill: float = 0.0,
) -> Figure:
    """An image, the probability of its class with a square of it hidden, by where the square's
    centre is, and the class that the model then names.

    Args:
        model: takes a Signal on a Grid and ends on one node.
        image: `[C, H, W]`.
        size: side of the square.
        stride: by how many pixels it moves.
        channel: the class; None for the one of the largest score on the whole image.
        fill: the value of hidden pixels; of normalised images 0 is the mean.

    Raises:
        GeodlError: as :func:`geodl.inspection.occlusion`; if the image has other axes, or there is
            no such class.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), figure
    7.

    >>> import torch, geodl as g
    >>> figure = g.viz.occlusion(g.models.lenet5(), torch.rand(1, 28, 28), size=7, stride=7)
    >>> len(figure.axes)  # image, probability, its scale, class
    4
    """
    asked = "a picture of occlusion"
    signal = image_signal(asked, image)
    rule = window(size, axes=2, stride=stride, padding="valid")
    hidden = hide(model, signal, rule, fill=fill)
    with torch.no_grad(), evaluated(model):
        whole = model(signal).x[0, 0]
    known = int(whole.argmax())
    if channel is not None:
        known = channel
    if not 0 <= known < len(whole):
        raise GeodlError(asked, f"channel={channel!r} of {len(whole)}", "choose one of them")
    shape = hidden.domain.lattice
    assert shape is not None
    probability = hidden.x[0].softmax(-1)[:, known].reshape(shape).cpu()
    named = hidden.x[0].argmax(-1).reshape(shape).cpu()
    before = float(whole.softmax(-1)[known])
    figure = blank(8.6, 3.2, f"Class {known}: probability {before:.2f} of the whole image")
    frames = figure.subplots(1, 3, width_ratios=[1, 1, 1])
    show(frames[0], shades(image), f"image; squares of {size} x {size} hidden")
    picture = frames[1].imshow(probability.numpy(), cmap="viridis", vmin=0, vmax=1)
    figure.colorbar(picture, ax=frames[1], fraction=0.045)
    frames[2].imshow(named.numpy(), cmap="tab20", vmin=0, vmax=max(19, len(whole) - 1))
    for place in range(math.prod(shape)):
        row, column = divmod(place, shape[1])
        if max(shape) <= 16:
            frames[2].text(column, row, int(named[row, column]), ha="center", va="center")
    for axes, words in zip(frames[1:], ("its probability", "the class named"), strict=True):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(words, fontsize=8, color=INK)
    return figure
