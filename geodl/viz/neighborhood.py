"""A node of a graph and what is around it, with what an answer owes to nodes and links."""

import math
from collections.abc import Sequence
from typing import Any

import networkx
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError, as_integer, positive
from geodl.viz.style import FAINT, INK, PALETTE, blank, ink_on

LARGEST = 150  # nodes: more would hide each other
WIDEST = 7.0  # points, the line of the link that matters most
NUMBERED = 60  # nodes up to which a disc has room for its number
# From nearly white to the palette's first blue; zero stays visible on white paper.
BLUES = LinearSegmentedColormap.from_list("blues", ["#F1F5F9", "#8FC1E3", PALETTE[0], "#00334F"])

Shares = tuple[Tensor | None, Tensor | None]


def neighborhood(
    domain: Domain,
    node: int,
    panels: dict[str, Shares],
    *,
    hops: int = 2,
    as_they_are: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """The links within some hops of a node, once for each way to look into a model: the darker a
    node and the wider a link, the more they matter.

    In each panel numbers are drawn as shares of the largest magnitude, or, where they lie from 0 to
    1 by themselves (masks, attention), as they are. A link in both directions is one line, as wide
    as the larger of the two. The node asked about has a ring; nodes stand at the same places in all
    panels.

    Args:
        domain: a domain with links.
        node: whose neighborhood.
        panels: for each name, one number for each node `[N]` and one for each link `[E]`, in the
            order of `domain.links()`; None for either where a method says nothing of it. Signs are
            dropped.
        hops: how far away nodes may be, links taken both ways.
        as_they_are: the panels whose numbers are drawn as they are.
        title: a line above the picture.

    Raises:
        GeodlError: if it is not a domain, has no such node, or more than 150 nodes so near; if
            there are no panels, or one has other shapes, or a value that is not finite.

    >>> import torch, geodl as g
    >>> club = g.data.karate().signal.domain
    >>> links = torch.arange(156.0)
    >>> figure = g.viz.neighborhood(club, 16, {"by number": (None, links)})
    >>> figure.axes[0].get_title()
    'by number'
    """
    asked = f"a picture of the neighborhood of node {node!r}"
    near = _nearby(asked, domain, node, hops)
    if not isinstance(panels, dict) or not panels:
        found = f"panels that are a {type(panels).__name__} of {len(panels)}"
        raise GeodlError(asked, found, "give {name: (nodes, edges)}")
    checked = {}
    for name, given in panels.items():
        checked[name] = _check_shares(asked, domain, name, given, name in as_they_are)
    points = _places(near, int(node))
    columns = math.ceil(math.sqrt(len(checked)))
    rows = -(-len(checked) // columns)
    figure = blank(max(6.4, 4.4 * columns), 4.1 * rows + 1.2, title or f"What node {node} reads")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid:
        axes.set_axis_off()
    for axes, (name, (nodes, edges)) in zip(grid, checked.items(), strict=False):
        axes.set_title(name, fontsize=11, color=INK)
        _draw_links(axes, domain, near, points, edges)
        _draw_nodes(axes, near, points, nodes)
    _key(figure, list(grid))
    return figure


def _nearby(asked: str, domain: Any, node: Any, hops: Any) -> networkx.Graph:
    """The nodes within some hops, as an undirected graph; each knows its distance."""
    if not isinstance(domain, Domain):
        raise GeodlError(asked, f"a {type(domain).__name__}", "give a domain, as signal.domain")
    number = as_integer(node)
    if number is None or not 0 <= number < domain.num_nodes:
        do = f"give a number from 0 to {domain.num_nodes - 1}"
        raise GeodlError(asked, f"{domain.num_nodes} nodes", do)
    radius = positive(f"{asked} with hops={hops!r}", hops)
    links = domain.links()
    plain = networkx.Graph()
    plain.add_node(number)
    pairs = zip(links.src.tolist(), links.dst.tolist(), strict=True)
    plain.add_edges_from((j, i) for j, i in pairs if i != j)
    distances = networkx.single_source_shortest_path_length(plain, number, cutoff=radius)
    if len(distances) > LARGEST:
        found = f"{len(distances)} nodes within {radius} hops"
        do = f"give a node with at most {LARGEST}, or fewer hops"
        raise GeodlError(asked, found, do)
    near = plain.subgraph(distances).copy()
    networkx.set_node_attributes(near, dict(distances), "distance")
    return near


def _places(near: networkx.Graph, node: int) -> dict[int, Any]:
    """A point for each node: hops are rings about the node asked about.

    A radial drawing of the tree of shortest paths: each node gets a sector of its parent's, as wide
    as the leaves behind it are many (Eades, "Drawing Free Trees", 1992).
    """
    tree = networkx.bfs_tree(near, node)
    order = list(tree)
    leaves: dict[int, int] = {}
    for k in reversed(order):
        leaves[k] = max(1, sum(leaves[child] for child in tree[k]))
    start = {node: 0.0}
    for k in order:
        begin = start[k]
        for child in tree[k]:
            start[child] = begin
            begin += leaves[child]
    points = {}
    for k in order:
        angle = 2 * math.pi * (start[k] + leaves[k] / 2) / leaves[node]
        radius = near.nodes[k]["distance"]
        points[k] = (radius * math.cos(angle), radius * math.sin(angle))
    return points


def _draw_links(
    axes: Axes,
    domain: Domain,
    near: networkx.Graph,
    points: dict[int, Any],
    edges: Tensor | None,
) -> None:
    """A faint line for each link, and over it one as wide as the link matters."""
    links = domain.links()
    shares: dict[tuple[int, int], float] = {}
    if edges is not None:
        values = edges.tolist()
        for j, i, value in zip(links.src.tolist(), links.dst.tolist(), values, strict=True):
            pair = (min(i, j), max(i, j))
            shares[pair] = max(value, shares.get(pair, 0.0))
    for a, b in near.edges:
        (x0, y0), (x1, y1) = points[a], points[b]
        axes.plot((x0, x1), (y0, y1), color=FAINT, linewidth=0.6, zorder=1)
        share = shares.get((min(a, b), max(a, b)), 0.0)
        if share > 0.01:
            look = {"linewidth": WIDEST * share, "color": PALETTE[5]}
            axes.plot((x0, x1), (y0, y1), solid_capstyle="round", zorder=2, **look)


def _draw_nodes(
    axes: Axes,
    near: networkx.Graph,
    points: dict[int, Any],
    nodes: Tensor | None,
) -> None:
    """A disc for each node, as dark as it matters; the node asked about has a ring."""
    size = 330.0
    if len(near) > NUMBERED:
        size = 70.0
    for k, distance in near.nodes(data="distance"):
        fill: Any = "white"
        ink = INK
        if nodes is not None:
            fill = BLUES(float(nodes[k]))
            ink = ink_on(fill[:3])
        ring, width = "#777777", 0.8
        if distance == 0:
            ring, width = PALETTE[1], 3.0
        x, y = points[k]
        axes.scatter(x, y, s=size, facecolors=[fill], edgecolors=[ring], linewidths=width, zorder=3)
        if len(near) <= NUMBERED:
            look = {"ha": "center", "va": "center", "fontsize": 7, "color": ink}
            axes.text(x, y, str(k), zorder=4, **look)
    axes.set_aspect("equal")
    axes.margins(0.08)


def _key(figure: Figure, grid: list[Axes]) -> None:
    """What dark and wide mean."""
    shades: Colormap = BLUES
    scale = ScalarMappable(Normalize(0, 1), shades)
    bar = figure.colorbar(scale, ax=grid, location="bottom", shrink=0.5, aspect=30, pad=0.03)
    bar.set_label("nodes", color=INK, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    lines = []
    for share in (0.25, 0.5, 1.0):
        look = {"color": PALETTE[5], "linewidth": WIDEST * share, "label": f"link, {share:g}"}
        lines.append(Line2D([], [], **look))
    mark = {"markerfacecolor": "white", "markeredgecolor": PALETTE[1], "markeredgewidth": 3}
    lines.append(Line2D([], [], linestyle="none", marker="o", label="the node asked about", **mark))
    figure.legend(
        handles=lines, loc="outside lower center", ncols=len(lines), frameon=False, fontsize=9
    )


def _check_shares(asked: str, domain: Domain, name: str, shares: Any, as_it_is: bool) -> Shares:
    """Magnitudes from 0 to 1, on the CPU."""
    if not isinstance(shares, tuple) or len(shares) != 2:
        raise GeodlError(asked, f"a {type(shares).__name__} for {name!r}", "give (nodes, edges)")
    counts = {"nodes": domain.num_nodes, "edges": len(domain.links().dst)}
    found: list[Tensor | None] = []
    for (kind, count), values in zip(counts.items(), shares, strict=True):
        if values is None:
            found.append(None)
            continue
        do = f"give [{count}] real numbers, or None"
        where = f"{kind} of {name!r}"
        if not isinstance(values, Tensor) or values.is_complex():
            raise GeodlError(asked, f"{where} that are a {type(values).__name__}", do)
        if tuple(values.shape) != (count,):
            raise GeodlError(asked, f"{where} of shape {list(values.shape)}", do)
        magnitudes = values.detach().double().cpu().abs()
        if not magnitudes.isfinite().all():
            raise GeodlError(asked, f"{where} that are not finite", do)
        largest = float(magnitudes.max())
        # A sum of softmax's float32 terms may exceed 1 by rounding.
        if as_it_is and largest > 1 + 1e-5:
            raise GeodlError(asked, f"{where} up to {largest:g}", "give numbers from 0 to 1")
        if not as_it_is and largest > 0:
            magnitudes = magnitudes / largest
        found.append(magnitudes)
    return found[0], found[1]
