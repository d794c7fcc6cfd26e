"""Accuracy against length."""

import statistics
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from geodl.errors import GeodlError
from geodl.viz.style import FAINT, INK, blank, colors


def lengths(
    curves: Mapping[str, Mapping[int, Sequence[float]]], *, title: str = "Accuracy against length"
) -> Figure:
    """One line for each system: the mean over its seeds, each seed as a dot, one sample standard
    deviation as a band.

    Args:
        curves: for each system, for each length, an accuracy from 0 to 1 for each seed.
        title: a line above the picture.

    Raises:
        GeodlError: no system, a system without lengths, an accuracy that is not from 0 to 1.

    >>> figure = lengths({"rnn": {5: [1.0, 0.9], 10: [0.5, 0.6]}})
    >>> figure.axes[0].get_xlabel()
    'length'
    """
    if not curves or not all(curve and all(curve.values()) for curve in curves.values()):
        raise GeodlError(
            "accuracy against length", "a system without numbers", "give accuracies for each length"
        )
    if not all(
        0 <= value <= 1
        for curve in curves.values()
        for values in curve.values()
        for value in values
    ):
        raise GeodlError("accuracy against length", "a number outside 0 to 1", "give fractions")
    figure = blank(7.6, 4.8, title)
    axes = figure.add_subplot()
    for shade, (name, curve) in zip(colors(len(curves)), curves.items(), strict=True):
        places = sorted(curve)
        mean = [statistics.fmean(curve[place]) for place in places]
        spread = [
            statistics.stdev(curve[place]) if len(curve[place]) > 1 else 0.0 for place in places
        ]
        axes.plot(places, mean, color=shade, linewidth=2, label=name)
        low, high = ([m + sign * s for m, s in zip(mean, spread, strict=True)] for sign in (-1, 1))
        axes.fill_between(places, low, high, color=shade, alpha=0.18, linewidth=0)
        for place in places:
            axes.scatter([place] * len(curve[place]), curve[place], color=shade, s=9, zorder=3)
    axes.set_xticks(sorted({place for curve in curves.values() for place in curve}))
    axes.set_xlabel("length", color=INK)
    axes.set_ylabel("accuracy", color=INK)
    axes.set_ylim(-0.03, 1.03)
    axes.grid(color=FAINT, linewidth=0.4)
    axes.legend(frameon=False, fontsize=9)
    return figure
