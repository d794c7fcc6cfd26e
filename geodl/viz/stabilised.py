"""`stabilised`: feature maps of turned images, and the same maps turned back."""

import textwrap
from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from geodl.data import rotate
from geodl.errors import GeodlError, is_real
from geodl.layer import evaluated, trace
from geodl.signal import Signal
from geodl.viz.style import INK, blank

DEGREES = (0, 45, 90, 135, 180, 225, 270, 315)
LEAST = 10  # pixels a side: smaller maps are not drawn, as no shape can be seen in them
LINE = 14  # characters of a line of text beside a map
ASKED = "a picture of feature maps turned back"


def stabilised(
    models: Mapping[str, nn.Module], image: Tensor, *, degrees: tuple[float, ...] = DEGREES
) -> Figure:
    """An image turned by several angles; for each network a feature map of each, and below it the
    same map turned back. Where a network commutes with the turn, the maps turned back are all the
    same; under each stands how far it is from the first: `|back - upright| / |upright|`, Euclidean
    lengths over the disc that every turn keeps in the picture, both about their means.

    The map is that of the last layer that has at least 10 pixels a side, of the channel that varies
    most, the maximum over the group where there is a fiber.

    Args:
        models: networks on images of one size, by name; each takes a Signal on a Grid.
        image: `[C, H, H]`. Its darkest value stands for what lies outside of it.
        degrees: the angles; multiples of 90 are exact, others are bilinear.

    Raises:
        GeodlError: if there is no network, one has no such layer, the image is not a square of
            floating-point numbers, or an angle is not a number.

    Source: the "stabilised view" of Weiler and Cesa, "General E(2)-Equivariant Steerable CNNs"
    (2019).

    >>> import torch, geodl as g
    >>> nets = {"CNN": g.models.z2cnn(), "p4": g.models.p4cnn()}
    >>> len(g.viz.stabilised(nets, torch.rand(1, 28, 28), degrees=(0, 90)).axes)
    10
    """
    _check(models, image, degrees)
    image = image.detach()
    background = image.min()
    above = (image - background)[None]
    turned = torch.cat([rotate(above, angle) for angle in degrees]) + background
    figure = blank(1.15 * len(degrees), 1.25 + 2.4 * len(models), "Turned, and turned back")
    rows = figure.subplots(1 + 2 * len(models), len(degrees), squeeze=False)
    for axes, angle, picture in zip(rows[0], degrees, turned, strict=True):
        _draw(axes, picture.mean(0), "gray_r")
        axes.set_title(f"{angle:g}°", fontsize=9, color=INK)
    rows[0, 0].set_ylabel("image", fontsize=8, color=INK)
    for k, (name, model) in enumerate(models.items()):
        maps = _feature_maps(name, model, turned)
        pairs = zip(maps, degrees, strict=True)
        back = torch.cat([rotate(turned_map[None], -angle) for turned_map, angle in pairs])
        _draw_maps(rows[1 + 2 * k], maps, maps)
        _draw_maps(rows[2 + 2 * k], back, maps)
        for axes, apart in zip(rows[2 + 2 * k], differences(back), strict=True):
            axes.set_xlabel(f"{apart:.1g}", fontsize=8, color=INK)
        # Names of recipes are longer than a map is high.
        rows[1 + 2 * k, 0].set_ylabel(textwrap.fill(name, LINE), fontsize=8, color=INK)
        rows[2 + 2 * k, 0].set_ylabel("turned back", fontsize=8, color=INK)
    return figure


def differences(maps: Tensor) -> list[float]:
    """How far each of the maps `[M, 1, H, H]` is from the first, `|m_k - m_0| / |m_0|`: Euclidean
    lengths over the inscribed disc, of maps minus their means there.
    """
    side = maps.shape[-1]
    offset = torch.arange(side, device=maps.device) - (side - 1) / 2
    disc = offset[:, None] ** 2 + offset[None, :] ** 2 <= (side / 2) ** 2
    inside = maps[:, 0, disc].double()
    centred = inside - inside.mean(1, keepdim=True)
    first = centred[0]
    length = float(first.norm().clamp(min=1e-300))
    return [float((other - first).norm()) / length for other in centred]


def _feature_maps(name: str, model: nn.Module, images: Tensor) -> Tensor:
    """One map of each image, `[M, 1, H', W']`."""
    with trace(model) as events, evaluated(model):
        model(Signal.image(images))
    large = []
    for event in events:
        if event.rule is None:
            continue
        lattice = event.target.lattice
        if lattice is not None and len(lattice) == 2 and min(lattice) >= LEAST:
            large.append(event.output)
    if not large:
        found = f"no layer of {name} on a grid of {LEAST} x {LEAST} pixels or more"
        raise GeodlError(ASKED, found, "give networks on larger images")
    channels = large[-1].x.shape[2]
    maps = large[-1].to_image().detach().unflatten(1, (-1, channels)).amax(1)
    chosen = int(maps[0].flatten(1).std(1).argmax())
    return maps[:, chosen : chosen + 1].cpu()


def _draw_maps(row: Any, maps: Tensor, scale: Tensor) -> None:
    """Maps side by side, their colours from the least to the largest value of `scale`."""
    for axes, picture in zip(row, maps, strict=True):
        _draw(axes, picture[0], "viridis", low=float(scale.min()), high=float(scale.max()))


def _draw(
    axes: Axes, picture: Tensor, colors: str, low: float | None = None, high: float | None = None
) -> None:
    axes.imshow(picture.cpu().numpy(), cmap=colors, vmin=low, vmax=high)
    axes.set_xticks([])
    axes.set_yticks([])


def _check(models: Any, image: Any, degrees: Any) -> None:
    if not isinstance(models, Mapping) or not models:
        raise GeodlError(ASKED, "no networks", "give {name: network}")
    for name, model in models.items():
        if not isinstance(model, nn.Module):
            raise GeodlError(ASKED, f"a {type(model).__name__} for {name!r}", "give a Layer")
    is_square = isinstance(image, Tensor) and image.ndim == 3
    is_square = is_square and image.shape[1] == image.shape[2] and image.is_floating_point()
    if not is_square:
        found = f"an image that is a {type(image).__name__}"
        if isinstance(image, Tensor):
            found = f"an image of shape {list(image.shape)} of {image.dtype}"
        raise GeodlError(ASKED, found, "give floating-point numbers [C, H, H]")
    if not degrees or not all(is_real(angle) for angle in degrees):
        raise GeodlError(ASKED, f"degrees={degrees!r}", "give angles as numbers")
