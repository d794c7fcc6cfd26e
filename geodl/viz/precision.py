"""`precision`: the mean average precision of a detector after each epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from geodl.errors import GeodlError, is_real
from geodl.viz.losses import draw_epochs
from geodl.viz.style import INK, blank

ASKED = "a picture of precision"


def precision(
    curves: Mapping[str, Sequence[float]], *, title: str = "Mean average precision (mAP)"
) -> Figure:
    """One line for each detector and measure: mean average precision on validation scenes by epoch.

    Args:
        curves: by name, the precision after each epoch from the first on, shares from 0 to 1.
        title: a line above the picture.

    Raises:
        GeodlError: if there is no curve, or one is no list of shares.

    >>> figure = precision({"map50": [0.2, 0.7, 0.8], "map": [0.1, 0.3, 0.5]})
    >>> figure.axes[0].get_ylabel()
    'mAP'
    """
    _check(curves)
    figure = blank(7.6, 4.6, title)
    axes = figure.add_subplot()
    draw_epochs(axes, curves)
    axes.set_ylim(0, 1)
    axes.set_ylabel("mAP", color=INK)
    return figure


def _check(curves: Any) -> None:
    do = "give {name: [the precision after each epoch]}"
    if not isinstance(curves, Mapping) or not curves:
        raise GeodlError(ASKED, f"a {type(curves).__name__} without a curve", do)
    for name, curve in curves.items():
        if isinstance(curve, str) or not isinstance(curve, Sequence) or not curve:
            raise GeodlError(ASKED, f"{curve!r} for {name!r}", do)
        for share in curve:
            if not is_real(share) or not 0 <= share <= 1:
                raise GeodlError(ASKED, f"{share!r} for {name!r}", "give shares from 0 to 1")
