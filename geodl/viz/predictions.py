"""A graph with the predicted and the true class of each node."""

from typing import Any

import networkx
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.viz.style import FAINT, INK, PALETTE, Color, blank, colors, ink_on

LARGEST = 1000  # nodes: more would hide each other
INTEGERS = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
LEGEND_COLUMNS = 5


def graph(
    domain: Domain,
    labels: Tensor,
    predictions: Tensor,
    *,
    known: Tensor | None = None,
    title: str = "",
) -> Figure:
    """A graph whose nodes are filled with the colour of their predicted class and ringed with that
    of their true class, so that a wrong prediction stands out.

    Nodes are placed by a spring layout (Fruchterman and Reingold, "Graph Drawing by Force-directed
    Placement", 1991) with a fixed seed: the same graph gives the same picture.

    Args:
        domain: a domain with links, of at most 1,000 nodes.
        labels: `[N]` integers from 0 to 11, the true classes.
        predictions: `[N]` integers from 0 to 11, the predicted ones.
        known: `[N]` bool, nodes whose class was given to the model; they are drawn as squares and
            not counted.
        title: a line above the picture.

    Raises:
        GeodlError: if it is not a domain or too large a one, if labels or predictions are not one
            small integer for each node, or `known` is not one bool for each node.

    >>> import torch, geodl as g
    >>> data = g.data.karate()
    >>> figure = g.viz.graph(data.signal.domain, data.labels, data.labels)
    >>> figure.axes[0].get_title()
    '34 of 34 nodes predicted right'
    """
    _check_domain(domain)
    labels = _check_classes(domain, "labels", labels)
    predictions = _check_classes(domain, "predictions", predictions)
    given = _check_known(domain, known)
    correct = int((predictions == labels)[~given].sum())
    figure = blank(7.2, 6.2, title or f"Predictions on {domain}")
    axes = figure.add_subplot()
    counted = f"{correct} of {int((~given).sum())} nodes predicted right"
    axes.set_title(counted, fontsize=11, color=INK)
    axes.set_axis_off()
    points = _draw_links(domain, axes)
    shades = colors(int(torch.cat([labels, predictions]).max()) + 1)
    for marker, size, nodes in (("o", 330, ~given), ("s", 420, given)):
        for k in nodes.nonzero()[:, 0].tolist():
            fill, ring = shades[int(predictions[k])], shades[int(labels[k])]
            look = {"s": size, "marker": marker, "facecolors": [fill], "edgecolors": [ring]}
            x, y = points[k]
            axes.scatter(x, y, linewidths=3.5, zorder=2, **look)
            _write(axes, x, y, str(k), ink_on(fill))
    _legend(axes, shades, bool(given.any()))
    return figure


def _draw_links(domain: Domain, axes: Axes) -> dict[int, Any]:
    """Draw a line for each link; the point of each node."""
    links = domain.links()
    plain = networkx.Graph()
    plain.add_nodes_from(range(domain.num_nodes))
    plain.add_edges_from(zip(links.src.tolist(), links.dst.tolist(), strict=True))
    points = _layout(plain)
    for a, b in plain.edges:
        (x0, y0), (x1, y1) = points[a], points[b]
        axes.plot((x0, x1), (y0, y1), color=FAINT, linewidth=0.8, zorder=1)
    return points


def _layout(plain: networkx.Graph) -> dict[int, Any]:
    """A point for each node, by springs along the links and repulsion between all nodes."""
    # Between parts without links there is repulsion only, and it would drive them so far apart that
    # each shrinks to a point. Links that are not drawn keep them together.
    joined = plain.copy()
    parts = sorted(networkx.connected_components(plain), key=len, reverse=True)
    hubs = [max(part, key=plain.degree) for part in parts]
    joined.add_edges_from((hubs[0], hub) for hub in hubs[1:])
    return networkx.spring_layout(joined, seed=12, iterations=200)


def _write(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    """Text in the middle of a node."""
    axes.text(x, y, text, ha="center", va="center", fontsize=8, color=color, zorder=3)


def _legend(axes: Axes, shades: list[Color], any_given: bool) -> None:
    """What colours, rings and squares mean."""
    marks = [_mark(f"class {k}", shade, shade) for k, shade in enumerate(shades)]
    marks.append(_mark("inside: predicted, ring: true", "white", INK))
    if any_given:
        marks.append(_mark("class was given", "white", INK, "s"))
    axes.legend(
        handles=marks,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=min(len(marks), LEGEND_COLUMNS),
        frameon=False,
        fontsize=9,
    )


def _mark(label: str, fill: Color | str, ring: Color | str, marker: str = "o") -> Line2D:
    """One entry of the legend."""
    mark = Line2D([], [], linestyle="none", marker=marker, markersize=11, label=label)
    mark.set_markerfacecolor(fill)
    mark.set_markeredgecolor(ring)
    mark.set_markeredgewidth(2.5)
    return mark


def _check_domain(domain: Any) -> None:
    if not isinstance(domain, Domain):
        found = f"a {type(domain).__name__}"
        raise GeodlError("a picture of a graph", found, "give a domain, as signal.domain")
    if domain.num_nodes > LARGEST:
        found = f"{domain.num_nodes} nodes"
        raise GeodlError(f"a picture of {domain}", found, f"give at most {LARGEST} nodes")


def _check_classes(domain: Domain, name: str, values: Any) -> Tensor:
    """The classes on the CPU, if they are one small integer for each node."""
    asked = f"a picture of {domain}"
    do = f"give [{domain.num_nodes}] integers from 0 to {len(PALETTE) - 1}"
    if not isinstance(values, Tensor):
        raise GeodlError(asked, f"{name} that are a {type(values).__name__}, not a tensor", do)
    found = f"{name} of shape {list(values.shape)} and dtype {values.dtype}"
    if values.dtype not in INTEGERS or tuple(values.shape) != (domain.num_nodes,):
        raise GeodlError(asked, found, do)
    if int(values.min()) < 0 or int(values.max()) >= len(PALETTE):
        found = f"{found}, from {int(values.min())} to {int(values.max())}"
        raise GeodlError(asked, found, do)
    return values.cpu().long()


def _check_known(domain: Domain, known: Any) -> Tensor:
    """Which nodes were given, on the CPU; none of them where nothing was said."""
    if known is None:
        return torch.zeros(domain.num_nodes, dtype=torch.bool)
    asked, do = f"a picture of {domain}", f"give [{domain.num_nodes}] bool, or None"
    if not isinstance(known, Tensor):
        raise GeodlError(asked, f"known that is a {type(known).__name__}, not a tensor", do)
    if known.dtype != torch.bool or tuple(known.shape) != (domain.num_nodes,):
        raise GeodlError(asked, f"known of shape {list(known.shape)} and dtype {known.dtype}", do)
    return known.cpu()
