"""`deconvolution`: what in an image made the strongest numbers of a layer."""

from matplotlib.figure import Figure
from torch import Tensor, nn

from geodl.errors import positive
from geodl.inspection import deconvolution as reconstruct
from geodl.inspection import feature_maps as maps_of
from geodl.signal import Signal
from geodl.viz.feature_maps import image_signal, shades, show
from geodl.viz.style import blank


def deconvolution(model: nn.Module, image: Tensor, path: str, *, count: int = 8) -> Figure:
    """For the strongest channels of a layer, the pattern that made their largest number: carried
    back to the image along the reversed edges, and below it the part of the image that it lies in.

    Args:
        model: takes a Signal on a Grid; its ReLUs are `nn.ReLU`.
        image: `[C, H, W]`.
        path: the name of the layer in the model, as "features.3".
        count: the most channels.

    Raises:
        GeodlError: as :func:`geodl.inspection.deconvolution`; if the image has other axes.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), figure
    2.

    >>> import torch, geodl as g
    >>> len(g.viz.deconvolution(g.models.lenet5(), torch.rand(1, 28, 28), "conv2", count=4).axes)
    8
    """
    asked = "a picture of deconvolution"
    most = positive(f"{asked} with count={count!r}", count)
    signal = image_signal(asked, image)
    answer = maps_of(model, signal, path)
    strongest = answer.x[0].amax(0).argsort(descending=True)[:most].tolist()
    figure = blank(1.3 * max(4, len(strongest)), 3.4, f"{path}: what made its largest numbers")
    frames = figure.subplots(2, len(strongest), squeeze=False)
    for column, channel in enumerate(strongest):
        found = reconstruct(model, signal, path, channel)
        values = Signal(found.values[None], signal.domain).to_image()[0]
        touched = values.abs().sum(0) > 0
        rows, columns = _box(touched)
        words = f"channel {channel}: {found.activation:.2g}"
        show(frames[0, column], _about_grey(values), words, between=(0.0, 1.0))
        show(frames[1, column], shades(image)[rows, columns], "the image there")
    return figure


def _about_grey(values: Tensor) -> Tensor:
    """Values of both signs as they are drawn: zero is grey on every scale."""
    picture = values.detach().cpu().float()
    picture = picture / (2 * picture.abs().max().clamp(min=1e-12)) + 0.5
    if len(picture) == 3:
        return picture.movedim(0, -1)
    return picture.mean(0)


def _box(touched: Tensor) -> tuple[slice, slice]:
    """The rows and columns from the first to the last place that was touched; all of none."""
    slices = []
    for axis in (1, 0):
        (places,) = touched.any(axis).nonzero(as_tuple=True)
        if not len(places):
            return slice(None), slice(None)
        slices.append(slice(int(places[0]), int(places[-1]) + 1))
    rows, columns = slices
    return rows, columns
