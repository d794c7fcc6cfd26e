"""`losses`: the training loss of each epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from geodl.errors import GeodlError, is_real
from geodl.viz.style import FAINT, INK, blank, colors

ASKED = "a picture of losses"


def losses(curves: Mapping[str, Sequence[float]], *, title: str = "Training loss") -> Figure:
    """One line for each network: its loss on what it learns from, by epoch, on a logarithmic scale.

    Args:
        curves: for each network the loss of each epoch, from the first on.
        title: a line above the picture.

    Raises:
        GeodlError: if there is no curve, or one is no list of numbers above 0.

    >>> figure = losses({"20 layers": [2.0, 1.5, 1.2], "44 layers": [2.2, 1.9]})
    >>> figure.axes[0].get_xlabel()
    'epoch'
    """
    _check(curves)
    figure = blank(7.6, 4.6, title)
    axes = figure.add_subplot()
    draw_epochs(axes, curves)
    axes.set_yscale("log")
    axes.set_ylabel("loss", color=INK)
    return figure


def draw_epochs(axes: Axes, curves: Mapping[str, Sequence[float]]) -> None:
    """One line for each curve, of one number for each epoch from the first on."""
    for color, (name, curve) in zip(colors(len(curves)), curves.items(), strict=True):
        epochs = range(1, len(curve) + 1)
        axes.plot(epochs, list(curve), color=color, linewidth=2, marker=".", label=name)
    axes.set_xlabel("epoch", color=INK)
    axes.grid(color=FAINT, linewidth=0.4, which="both")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9)


def _check(curves: Any) -> None:
    do = "give {network: [the loss of each epoch]}"
    if not isinstance(curves, Mapping) or not curves:
        raise GeodlError(ASKED, f"a {type(curves).__name__} without a curve", do)
    for name, curve in curves.items():
        if isinstance(curve, str) or not isinstance(curve, Sequence) or not curve:
            raise GeodlError(ASKED, f"{curve!r} for {name!r}", do)
        for loss in curve:
            # A NaN is none.
            if not is_real(loss) or not 0 < loss < math.inf:
                raise GeodlError(ASKED, f"{loss!r} for {name!r}", "give numbers above 0")
