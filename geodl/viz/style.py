"""What all pictures share: a quiet look and colours that everyone can tell apart."""

import math

from matplotlib.colors import hsv_to_rgb, to_rgb
from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008), and four of Tol's "Colour Schemes" (2021): apart
# for every colour vision.
PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999"),
    *("#332288", "#882255", "#999933", "#44AA99"),
)
INK, FAINT = "#222222", "#BBBBBB"
SHADES = (-0.45, 0.0, 0.35, 0.65)  # mixed with black below zero, with white above

Color = tuple[float, float, float]


def colors(count: int) -> list[Color]:
    """That many different colours, none of them white: the palette as far as it goes, else four
    shades of each hue.

    >>> len(set(colors(100)))
    100
    """
    if count <= len(PALETTE):
        return [to_rgb(name) for name in PALETTE[:count]]
    hues = math.ceil(count / len(SHADES))
    evenly = [to_rgb(tuple(hsv_to_rgb((k / hues, 0.85, 0.85)))) for k in range(hues)]
    base = colors(hues) if hues <= len(PALETTE) else evenly
    return [_mixed(base[k // len(SHADES)], SHADES[k % len(SHADES)]) for k in range(count)]


def ink_on(color: Color) -> str:
    """Black or white, whichever is easier to read on a colour."""
    red, green, blue = color
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def blank(width: float, height: float, title: str) -> Figure:
    """An empty figure of a size in inches, with a title."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    figure.suptitle(title, fontsize=13, color=INK)
    return figure


def _mixed(color: Color, share: float) -> Color:
    end = 1.0 if share > 0 else 0.0
    red, green, blue = (c + (end - c) * abs(share) for c in color)
    return red, green, blue
