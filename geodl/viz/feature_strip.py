"""`feature_strip`: an image at four turns, and the feature maps of each below it."""

from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from geodl.errors import GeodlError
from geodl.layer import evaluated, trace
from geodl.signal import Signal
from geodl.viz.style import FAINT, INK, PALETTE, blank

TURNS = (0, 1, 2, 3)


def feature_strip(model: nn.Module, image: Tensor, *, channel: int = 0) -> Figure:
    """An image rotated by 0, 90, 180 and 270 degrees, the feature maps of each below it, and the
    probabilities that the model gives.

    The maps are those of the first layer whose output has a fiber, one row for each element of the
    group. The frame of a map has the colour of the map of the upright image that is nearest to it
    after it is rotated back, by the largest absolute difference; the largest that remains is
    printed.

    Args:
        model: takes a Signal on a Grid and ends on one node; has a layer over `lift(...)`.
        image: `[C, H, H]`.
        channel: the channel of the feature maps to draw.

    Raises:
        GeodlError: if it is not a model, if the image is not a square of floating-point numbers, or
            if the model has no fiber, does not have the channel or does not end on one node.

    Source: Cohen and Welling, "Group Equivariant Convolutional Networks", 2016, figure 1.

    >>> import torch, geodl as g
    >>> figure = g.viz.feature_strip(g.models.digits_p4cnn(), torch.rand(1, 8, 8))
    >>> len(figure.axes)  # four columns: the image, four maps, the answer
    24
    """
    _check_arguments(model, image, channel)
    maps, answers = (values.cpu() for values in _run(model, image.detach(), channel))
    sheets = maps.shape[1]
    nearest, difference = _nearest_upright(maps)
    title = "Turn the image: the feature maps turn and change places, the answer stays"
    figure = blank(7.6, 1.5 * (sheets + 2), title)
    heights = [1.0] * (sheets + 1) + [0.8]
    rows = figure.subplots(sheets + 2, 4, squeeze=False, gridspec_kw={"height_ratios": heights})
    largest = max(float(maps.abs().max()), 1e-12)
    for turn in TURNS:
        _draw_image(rows[0, turn], image, turn)
        for sheet in range(sheets):
            axes, origin = rows[sheet + 1, turn], int(nearest[turn, sheet])
            picture = maps[turn, sheet].numpy()
            axes.imshow(picture, cmap="RdBu_r", vmin=-largest, vmax=largest)
            label = f"map {origin}"
            if turn:
                label = f"map {origin}, turned"
            axes.set_xlabel(label, fontsize=8, color=INK)
            _frame(axes, PALETTE[origin % len(PALETTE)], 3.0)
        _draw_probabilities(rows[-1, turn], answers[turn])
        rows[-1, turn].tick_params(labelleft=turn == 0)
    names = ["image", *(f"element {k}" for k in range(sheets)), "probability"]
    for axes, name in zip(rows[:, 0], names, strict=True):
        axes.set_ylabel(name, color=INK)
    change = float((answers - answers[0]).abs().max())
    words = (
        f"largest difference: {difference:.1g} between maps of one colour "
        f"after turning back, {change:.1g} between answers"
    )
    figure.supxlabel(words, fontsize=9, color=INK)
    return figure


def _check_arguments(model: Any, image: Any, channel: Any) -> None:
    """Refuse what is not a model, an image of numbers, or the number of a channel."""
    asked = "a rotation strip"
    if not isinstance(model, nn.Module):
        raise GeodlError(asked, f"a model that is a {type(model).__name__}", "give a Layer")
    if not isinstance(image, Tensor):
        found = f"an image that is a {type(image).__name__}"
        raise GeodlError(asked, found, "give a tensor [C, H, H]")
    if not image.is_floating_point():
        raise GeodlError(asked, f"an image of dtype {image.dtype}", "give floating-point numbers")
    if isinstance(channel, bool) or not isinstance(channel, int):
        raise GeodlError(asked, f"channel={channel!r}", "give the number of a channel")


def _run(model: nn.Module, image: Tensor, channel: int) -> tuple[Tensor, Tensor]:
    """Feature maps `[4, |G|, H', W']` of the first layer with a fiber and probabilities
    `[4, classes]`, for the four turns.
    """
    asked = f"the rotation strip of {type(model).__name__}"
    if image.dim() != 3 or image.shape[1] != image.shape[2]:
        found = f"an image of shape {list(image.shape)}"
        raise GeodlError(asked, found, "give one square image [C, H, H]")
    turned = torch.stack([torch.rot90(image, turn, (1, 2)) for turn in TURNS])
    with trace(model) as events, evaluated(model):
        end = model(Signal.image(turned))
    with_fiber = [e.output for e in events if e.rule is not None and e.target.fiber is not None]
    do = "give a model that begins with Conv(..., lift(...)) and ends on one node"
    if not with_fiber:
        raise GeodlError(asked, "no layer that makes a fiber", do)
    if end.domain.num_nodes != 1:
        raise GeodlError(asked, f"an answer on {end.domain}", do)
    first = with_fiber[0]
    channels = first.x.shape[2]
    if not 0 <= channel < channels:
        raise GeodlError(asked, f"{channels} channels and channel={channel}", "choose one of them")
    maps = first.to_image().unflatten(1, (-1, channels))[:, :, channel]
    return maps, end.x[:, 0].softmax(-1)


def _nearest_upright(maps: Tensor) -> tuple[Tensor, float]:
    """For each map, the number `[4, |G|]` of the upright map nearest to it after it is rotated
    back, and the largest difference that remains.
    """
    back = torch.stack([torch.rot90(maps[turn], -turn, (1, 2)) for turn in TURNS])
    apart = (back[:, :, None] - maps[0][None, None]).abs().amax((-2, -1))
    nearest = apart.min(dim=-1)
    return nearest.indices, float(nearest.values.max())


def _draw_image(axes: Axes, image: Tensor, turn: int) -> None:
    """The mean over the channels of an image after so many quarter turns."""
    gray = torch.rot90(image.detach().cpu(), turn, (1, 2)).mean(0)
    axes.imshow(gray.numpy(), cmap="gray_r")
    axes.set_title(f"{90 * turn}°", color=INK)
    _frame(axes, FAINT, 1.0)


def _draw_probabilities(axes: Axes, probabilities: Tensor) -> None:
    """A bar for each class."""
    axes.bar(range(len(probabilities)), probabilities.tolist(), color=INK)
    axes.set_xlabel("class", fontsize=8, color=INK)
    axes.set_ylim(0, 1)
    axes.set_xticks(range(len(probabilities)))
    axes.tick_params(labelsize=7)


def _frame(axes: Axes, color: str, width: float) -> None:
    """A frame of one colour and width around a picture, without ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=width)
