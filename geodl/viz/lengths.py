"""`lengths`: accuracy against the length of a sequence."""

from matplotlib.figure import Figure

from geodl.viz.curves import Curves, Words, check_curves, draw_curves
from geodl.viz.style import INK, blank

WORDS = Words("accuracy against length", "length", "accuracy")


def lengths(curves: Curves, *, title: str = "Accuracy against length") -> Figure:
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
    check_curves(WORDS, curves)
    figure = blank(7.6, 4.8, title)
    axes = figure.add_subplot()
    draw_curves(axes, curves)
    axes.set_xticks(sorted({length for curve in curves.values() for length in curve}))
    axes.set_xlabel("length", color=INK)
    axes.set_ylabel("accuracy", color=INK)
    axes.set_ylim(-0.03, 1.03)
    return figure
