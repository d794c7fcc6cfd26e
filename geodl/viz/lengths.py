"""Accuracy against length."""

import statistics
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geodl.errors import GeodlError
from geodl.viz.style import FAINT, INK, Color, blank, colors

ASKED = "accuracy against length"
LEGEND_INSIDE = 6  # systems: the names of more would cover the lines


def lengths(
    curves: Mapping[str, Mapping[int, Sequence[float]]], *, title: str = "Accuracy against length"
) -> Figure:
    """One line for each system: the mean over its seeds; each seed as a dot, and a band of one
    sample standard deviation, `sqrt(sum_s (a_s - mean)^2 / (n - 1))`, on either side.

    Args:
        curves: for each system, for each length, one accuracy from 0 to 1 for each seed.
        title: a line above the picture.

    Raises:
        GeodlError: if the curves are not a mapping of mappings of lists, if there is no system or
            one has no lengths, if a length is not a number, or an accuracy is not from 0 to 1.

    >>> figure = lengths({"rnn": {5: [1.0, 0.9], 10: [0.5, 0.6]}})
    >>> figure.axes[0].get_xlabel()
    'length'
    """
    _check(curves)
    figure = blank(7.6, 4.8, title)
    axes = figure.add_subplot()
    for color, (name, curve) in zip(colors(len(curves)), curves.items(), strict=True):
        _draw(axes, name, curve, color)
    axes.set_xticks(sorted({length for curve in curves.values() for length in curve}))
    axes.set_xlabel("length", color=INK)
    axes.set_ylabel("accuracy", color=INK)
    axes.set_ylim(-0.03, 1.03)
    axes.grid(color=FAINT, linewidth=0.4)
    if len(curves) > LEGEND_INSIDE:
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    else:
        axes.legend(frameon=False, fontsize=9)
    return figure


def _draw(axes: Axes, name: str, curve: Mapping[int, Sequence[float]], color: Color) -> None:
    """The line, the band and the dots of one system."""
    places = sorted(curve)
    mean, low, high = [], [], []
    for place in places:
        accuracies = [float(accuracy) for accuracy in curve[place]]
        middle = statistics.fmean(accuracies)
        # One seed has no spread.
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        mean.append(middle)
        low.append(middle - spread)
        high.append(middle + spread)
        axes.scatter([place] * len(accuracies), accuracies, color=color, s=9, zorder=3)
    axes.plot(places, mean, color=color, linewidth=2, label=name)
    axes.fill_between(places, low, high, color=color, alpha=0.18, linewidth=0)


def _check(curves: Any) -> None:
    """Refuse what is not an accuracy from 0 to 1 for each system, length and seed."""
    do = "give {system: {length: [accuracy of each seed]}}"
    if not isinstance(curves, Mapping):
        raise GeodlError(ASKED, f"a {type(curves).__name__}", do)
    if not curves:
        raise GeodlError(ASKED, "no system", do)
    for name, curve in curves.items():
        if not isinstance(curve, Mapping):
            raise GeodlError(ASKED, f"a {type(curve).__name__} for {name!r}", do)
        if not curve:
            raise GeodlError(ASKED, f"no length for {name!r}", do)
        for length, accuracies in curve.items():
            _check_accuracies(f"{name!r} at length {length!r}", length, accuracies)


def _check_accuracies(where: str, length: Any, accuracies: Any) -> None:
    """Refuse what is not a length, a list, or an accuracy."""
    if isinstance(length, bool) or not isinstance(length, Real):
        raise GeodlError(ASKED, where, "give lengths as numbers")
    if isinstance(accuracies, str) or not isinstance(accuracies, Sequence):
        found = f"a {type(accuracies).__name__} for {where}"
        raise GeodlError(ASKED, found, "give a list with one accuracy for each seed")
    if not accuracies:
        raise GeodlError(ASKED, f"no accuracy for {where}", "give one for each seed")
    for accuracy in accuracies:
        # A NaN is outside too.
        if not isinstance(accuracy, Real) or not 0 <= float(accuracy) <= 1:
            raise GeodlError(ASKED, f"{accuracy!r} for {where}", "give fractions from 0 to 1")
