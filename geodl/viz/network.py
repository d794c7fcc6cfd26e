"""Graphs with classes: what a model says of each node, and what is true."""

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


def graph(
    domain: Domain,
    labels: Tensor,
    predictions: Tensor,
    *,
    known: Tensor | None = None,
    title: str = "",
) -> Figure:
    """A graph whose nodes are filled by their predicted class and ringed by their true one; a wrong
    one stands out.

    Nodes are placed by a seeded spring layout: the same graph gives the same picture.

    Args:
        domain: a domain with links, of at most a few hundred nodes.
        labels: `[N]` integers from 0 to 11, the true classes.
        predictions: `[N]` integers from 0 to 11, the predicted ones.
        known: `[N]` bool, nodes whose class the model was told, drawn as squares.
        title: a line above the picture.

    Raises:
        GeodlError: labels or predictions that are not one small integer for each node.

    >>> import torch, geodl as g
    >>> data = g.data.karate()
    >>> figure = g.viz.graph(data.signal.domain, data.labels, data.labels)
    >>> figure.axes[0].get_title()
    '34 of 34 nodes predicted right'
    """
    told = torch.zeros(domain.num_nodes, dtype=torch.bool) if known is None else known.bool()
    for name, values in (("labels", labels), ("predictions", predictions), ("known", told.long())):
        _hold(domain, name, values)
    right, asked = int((predictions == labels)[~told].sum()), int((~told).sum())
    shades = colors(int(torch.cat([labels, predictions]).max()) + 1)
    figure = blank(7.2, 6.2, title or f"Predictions on {domain}")
    axes = figure.add_subplot()
    axes.set_title(f"{right} of {asked} nodes predicted right", fontsize=11, color=INK)
    axes.set_axis_off()
    places = _places(domain, axes)
    for marker, size, chosen in (("o", 330, ~told), ("s", 420, told)):
        for k in chosen.nonzero()[:, 0].tolist():
            fill, ring = shades[int(predictions[k])], shades[int(labels[k])]
            x, y = places[k]
            axes.scatter(
                x,
                y,
                s=size,
                marker=marker,
                linewidths=3.5,
                zorder=2,
                facecolors=[fill],
                edgecolors=[ring],
            )
            axes.text(
                x, y, str(k), ha="center", va="center", fontsize=8, color=ink_on(fill), zorder=3
            )
    _key(axes, shades, bool(told.any()))
    return figure


def _places(domain: Domain, axes: Axes) -> dict[int, Any]:
    """Where each node stands; draws the links."""
    links = domain.links()
    plain = networkx.Graph()
    plain.add_nodes_from(range(domain.num_nodes))
    plain.add_edges_from(zip(links.src.tolist(), links.dst.tolist(), strict=True))
    places = networkx.spring_layout(plain, seed=12, iterations=200)
    for a, b in plain.edges:
        axes.plot(*zip(places[a], places[b], strict=True), color=FAINT, linewidth=0.8, zorder=1)
    return places


def _key(axes: Axes, shades: list[Color], told: bool) -> None:
    def mark(label: str, fill: Color | str, ring: Color | str, marker: str = "o") -> Line2D:
        look = {
            "markerfacecolor": fill,
            "markeredgecolor": ring,
            "markeredgewidth": 2.5,
            "markersize": 11,
        }
        return Line2D([], [], linestyle="none", marker=marker, label=label, **look)

    marks = [mark(f"class {k}", shade, shade) for k, shade in enumerate(shades)]
    marks.append(mark("inside: predicted, ring: true", "white", INK))
    marks += [mark("class was given", "white", INK, "s")] if told else []
    axes.legend(
        handles=marks,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=len(marks),
        frameon=False,
        fontsize=9,
    )


def _hold(domain: Domain, name: str, values: Tensor) -> None:
    bad = values.is_floating_point() or tuple(values.shape) != (domain.num_nodes,)
    if bad or int(values.min()) < 0 or int(values.max()) >= len(PALETTE):
        found = f"{name} of shape {list(values.shape)} and dtype {values.dtype}"
        raise GeodlError(
            f"a picture of {domain}",
            found,
            f"give [{domain.num_nodes}] integers from 0 to {len(PALETTE) - 1}",
        )
