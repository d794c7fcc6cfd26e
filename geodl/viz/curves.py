"""Lines of what several systems reach, with the spread of their seeds."""

import statistics
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from geodl.errors import GeodlError
from geodl.viz.style import FAINT, INK, Color, colors

LEGEND_INSIDE = 6  # systems: the names of more would cover the lines

Curves = Mapping[str, Mapping[int, Sequence[float]]]


class Words(NamedTuple):
    """What curves are of: how the picture is called, what is read along its first axis, and along
    its second.
    """

    asked: str
    place: str
    value: str


def draw_curves(axes: Axes, curves: Curves) -> None:
    """One line for each system: the mean over its seeds; each seed as a dot, and a band of one
    sample standard deviation, `sqrt(sum_s (a_s - mean)^2 / (n - 1))`, on either side.

    Args:
        axes: where to draw.
        curves: for each system, for each place, one value for each seed.
    """
    for color, (name, curve) in zip(colors(len(curves)), curves.items(), strict=True):
        _draw_curve(axes, name, curve, color)
    axes.grid(color=FAINT, linewidth=0.4)
    axes.tick_params(colors=INK)
    if len(curves) > LEGEND_INSIDE:
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    else:
        axes.legend(frameon=False, fontsize=9)


def _draw_curve(axes: Axes, name: str, curve: Mapping[int, Sequence[float]], color: Color) -> None:
    """The line, the band and the dots of one system."""
    places = sorted(curve)
    mean, low, high = [], [], []
    for place in places:
        values = [float(value) for value in curve[place]]
        middle = statistics.fmean(values)
        # One seed has no spread.
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        mean.append(middle)
        low.append(middle - spread)
        high.append(middle + spread)
        axes.scatter([place] * len(values), values, color=color, s=9, zorder=3)
    axes.plot(places, mean, color=color, linewidth=2, label=name)
    axes.fill_between(places, low, high, color=color, alpha=0.18, linewidth=0)


def check_curves(words: Words, curves: Any) -> None:
    """Refuse what is not a value from 0 to 1 for each system, place and seed."""
    do = f"give {{system: {{{words.place}: [{words.value} of each seed]}}}}"
    if not isinstance(curves, Mapping):
        raise GeodlError(words.asked, f"a {type(curves).__name__}", do)
    if not curves:
        raise GeodlError(words.asked, "no system", do)
    for name, curve in curves.items():
        if not isinstance(curve, Mapping):
            raise GeodlError(words.asked, f"a {type(curve).__name__} for {name!r}", do)
        if not curve:
            raise GeodlError(words.asked, f"no {words.place} for {name!r}", do)
        for place, values in curve.items():
            where = f"{name!r} at {words.place} {place!r}"
            if isinstance(place, bool) or not isinstance(place, Real):
                raise GeodlError(words.asked, where, f"give each {words.place} as a number")
            _check_values(words, where, values)


def _check_values(words: Words, where: str, values: Any) -> None:
    """Refuse what is not a list of values from 0 to 1."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        found = f"a {type(values).__name__} for {where}"
        raise GeodlError(words.asked, found, f"give a list with one {words.value} for each seed")
    if not values:
        raise GeodlError(words.asked, f"no {words.value} for {where}", "give one for each seed")
    for value in values:
        # A NaN is outside too.
        if not isinstance(value, Real) or not 0 <= float(value) <= 1:
            raise GeodlError(words.asked, f"{value!r} for {where}", "give fractions from 0 to 1")
