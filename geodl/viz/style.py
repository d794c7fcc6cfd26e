"""What all pictures share: the look, and colours that differ for every kind of colour vision."""

import math

from matplotlib.colors import hsv_to_rgb, to_rgb
from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008), and four of Tol's "Colour Schemes" (2021): they
# differ for every kind of colour vision.
PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999"),
    *("#332288", "#882255", "#999933", "#44AA99"),
)
INK, FAINT = "#222222", "#BBBBBB"
SHADES = (-0.45, 0.0, 0.35, 0.65)  # mixed with black below zero, with white above

Color = tuple[float, float, float]


def colors(count: int) -> list[Color]:
    """That many different colours, none of them white: the palette while it lasts, else four shades
    of each hue.

    >>> len(set(colors(100)))
    100
    """
    if count <= len(PALETTE):
        return [to_rgb(name) for name in PALETTE[:count]]
    num_hues = math.ceil(count / len(SHADES))
    if num_hues <= len(PALETTE):
        hues = colors(num_hues)
    else:
        angles = [k / num_hues for k in range(num_hues)]
        hues = [to_rgb(tuple(hsv_to_rgb((angle, 0.85, 0.85)))) for angle in angles]
    return [_shade(hues[k // len(SHADES)], SHADES[k % len(SHADES)]) for k in range(count)]


def ink_on(color: Color) -> str:
    """Black or white, whichever is easier to read on a colour."""
    red, green, blue = color
    # Luma of ITU-R BT.601: how bright the eye finds each of the three.
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return "black" if luma > 0.5 else "white"


def blank(width: float, height: float, title: str) -> Figure:
    """An empty figure of a size in inches, with a title."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    figure.suptitle(title, fontsize=13, color=INK)
    return figure


def _shade(color: Color, share: float) -> Color:
    """A colour mixed with a share of white, or of black where the share is negative."""
    end = 1.0 if share > 0 else 0.0
    red, green, blue = (c + (end - c) * abs(share) for c in color)
    return red, green, blue
