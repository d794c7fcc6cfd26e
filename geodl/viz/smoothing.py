"""Over-smoothing: how much neighbors differ, by depth."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from geodl.errors import GeodlError, is_real
from geodl.viz.style import FAINT, INK, blank, colors

ASKED = "a picture of over-smoothing"
LOWEST = 1e-16  # where rounding in double precision begins; zero has no logarithm


def smoothing(curves: Mapping[str, Sequence[float]], *, title: str = "Over-smoothing") -> Figure:
    """One line for each network: the Dirichlet energy over the squared length of the values, before
    layer 1, 2, ... and of the answer, on a logarithmic scale.

    Args:
        curves: for each network the numbers of `g.inspection.smoothing`.
        title: a line above the picture.

    Raises:
        GeodlError: if there is no curve, or one is no list of at least two numbers from 0 on.

    >>> figure = smoothing({"gcn": [0.9, 0.1, 0.01], "gcnii": [0.9, 0.7, 0.6]})
    >>> figure.axes[0].get_yscale()
    'log'
    """
    _check(curves)
    figure = blank(7.6, 4.6, title)
    axes = figure.add_subplot()
    for color, (name, curve) in zip(colors(len(curves)), curves.items(), strict=True):
        shown = [max(float(energy), LOWEST) for energy in curve]
        axes.plot(range(len(shown)), shown, color=color, linewidth=2, marker="o", label=name)
    axes.set_yscale("log")
    axes.set_xlabel("layers over the links", color=INK)
    axes.set_ylabel("Dirichlet energy / |x|²", color=INK)
    axes.grid(color=FAINT, linewidth=0.4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9)
    return figure


def _check(curves: Any) -> None:
    do = "give {network: [energy before each layer, and of the answer]}"
    if not isinstance(curves, Mapping) or not curves:
        raise GeodlError(ASKED, f"a {type(curves).__name__} without a curve", do)
    for name, curve in curves.items():
        if isinstance(curve, str) or not isinstance(curve, Sequence) or len(curve) < 2:
            raise GeodlError(ASKED, f"{curve!r} for {name!r}", do)
        for energy in curve:
            # A NaN is none.
            if not is_real(energy) or not energy >= 0:
                raise GeodlError(ASKED, f"{energy!r} for {name!r}", "give numbers from 0 on")
