"""`samples`: error against the number of training examples, and how many a symmetry saves."""

import math
import statistics
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from geodl.errors import GeodlError
from geodl.viz.curves import Curves, Words, check_curves, draw_curves
from geodl.viz.style import INK, blank

WORDS = Words("error against training examples", "number of examples", "error")


def samples(curves: Curves, *, title: str = "Error against training examples") -> Figure:
    """One line for each system on two logarithmic axes: the mean over its seeds, each seed as a
    dot, and a band of one sample standard deviation. Below, for two systems, how many times as many
    examples the worse one needs for the same error.

    Args:
        curves: for each system, for each number of training examples, one error from 0 to 1 for
            each seed.
        title: a line above the picture.

    Raises:
        GeodlError: if the curves are not a mapping of mappings of lists, if there is no system or
            one has no numbers of examples, if such a number is not above 0, or an error is not from
            0 to 1.

    >>> figure = samples({"p4": {100: [0.2], 1000: [0.02]}, "z2": {100: [0.4], 1000: [0.1]}})
    >>> figure.axes[0].get_xscale(), figure.get_supxlabel()
    ('log', 'examples that z2 needs for the error of p4, times its:\\n3.2 (of 100)')
    """
    check_curves(WORDS, curves)
    for name, curve in curves.items():
        if min(curve) <= 0:
            found = f"{min(curve)} examples for {name!r}"
            raise GeodlError(WORDS.asked, found, "give numbers above 0")
    figure = blank(7.6, 5.0, title)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    draw_curves(axes, curves)
    axes.set_xticks(sorted({count for curve in curves.values() for count in curve}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 * error:g} %"))
    axes.yaxis.set_minor_formatter(FuncFormatter(_label_some))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("training examples", color=INK)
    axes.set_ylabel("error", color=INK)
    if len(curves) == 2:
        figure.supxlabel(_compared(curves), fontsize=9, color=INK)
    return figure


def samples_needed(curve: Mapping[int, Sequence[float]], error: float) -> float | None:
    """The number of examples at which a curve falls to an error, interpolated on logarithmic axes;
    None where the curve never falls so far, or begins below it.

    Args:
        curve: for each number of examples the errors of its seeds.
        error: the mean error to reach.

    >>> samples_needed({100: [0.4], 1000: [0.04]}, 0.4 / 10**0.5)
    316.22776...
    """
    counts = sorted(curve)
    means = [statistics.fmean(curve[count]) for count in counts]
    for k in range(1, len(counts)):
        before, after = means[k - 1], means[k]
        if not before > error >= after:
            continue
        if after <= 0:
            return float(counts[k])
        share = math.log(before / error) / math.log(before / after)
        return counts[k - 1] * (counts[k] / counts[k - 1]) ** share
    return None


def _compared(curves: Curves) -> str:
    """How many times as many examples the worse of two systems needs, in words; "" where the curves
    tell it for no number of examples.
    """
    better, worse = sorted(curves, key=lambda name: _mean_log(curves[name]))
    names = [name.partition(" (")[0] for name in (better, worse)]
    most = max(curves[worse])
    least = min(statistics.fmean(errors) for errors in curves[worse].values())
    parts = []
    for count in sorted(curves[better]):
        error = statistics.fmean(curves[better][count])
        needed = samples_needed(curves[worse], error)
        if needed is not None:
            parts.append(f"{needed / count:.1f} (of {count:,})")
        elif most > count and error < least:
            parts.append(f"over {most / count:.3g} (of {count:,})")
    if not parts:
        return ""
    ours, theirs = names
    head = f"examples that {theirs} needs for the error of {ours}, times its:"
    return f"{head}\n{', '.join(parts)}"


def _mean_log(curve: Mapping[int, Sequence[float]]) -> float:
    """The mean of the logarithms of a curve's errors."""
    return statistics.fmean(math.log(max(statistics.fmean(v), 1e-9)) for v in curve.values())


def _label_some(error: float, _: int) -> str:
    """Labels of 2 and 5 times a power of ten, where they do not crowd."""
    leading = error / 10 ** math.floor(math.log10(error))
    if round(leading, 6) in (2.0, 5.0):
        return f"{100 * error:g} %"
    return ""
