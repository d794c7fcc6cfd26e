"""Weight tying: which pairs of nodes share a weight."""

import math

import torch
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.layer.check import check_domain, check_rule
from geodl.neighborhood import Neighborhood
from geodl.viz.style import FAINT, INK, PALETTE, Color, blank, colors, ink_on

LARGEST = 1024  # nodes on a side: cells would be finer than the pixels
NUMBERED = 27  # nodes on a side up to which each cell has room for its number


def tying(rule: Neighborhood, domain: Domain) -> Figure:
    """The matrix `[M, N]` of a linear layer on a rule: receivers in rows, senders in columns, one
    colour for each shared weight, white where there is no edge.

    With more than twelve edge types, four successive ones are shades of one hue: for a window with
    `C(4)`, one hue for each offset.

    Args:
        rule: which edges there are, and which of them share a weight.
        domain: the senders' domain.

    Raises:
        GeodlError: if it is not a rule or not a domain; if there are more than 1024 nodes on a
            side, no edges, or two edges between the same pair of nodes (a window that wraps around
            a small periodic grid).

    Source: Ravanbakhsh, Schneider, Poczos, "Equivariance Through Parameter-Sharing" (2017).

    >>> import geodl as g
    >>> figure = g.viz.tying(g.all_pairs("self"), g.Complete(6))
    >>> figure.axes[0].get_ylabel()
    'receiver'
    """
    types = tied(rule, domain)
    weights = len(types[types >= 0].unique())
    figure = blank(7.0, 6.4, f"{rule} on {domain}")
    axes = figure.add_subplot()
    plural = "s" if weights > 1 else ""
    counted = f"{int((types >= 0).sum())} edges share {weights} weight{plural}"
    axes.set_title(counted, fontsize=11, color=INK)
    shades = colors(int(types.max()) + 1)
    palette = ListedColormap([(1.0, 1.0, 1.0), *shades])
    steps = BoundaryNorm([k - 1.5 for k in range(palette.N + 1)], palette.N)
    picture = axes.imshow(types.numpy(), cmap=palette, norm=steps, interpolation="nearest")
    axes.set_xlabel("sender", color=INK)
    axes.set_ylabel("receiver", color=INK)
    for k in _rows(domain):
        axes.axvline(k - 0.5, color=FAINT, linewidth=0.6)
    for k in _rows(rule.target(domain)):
        axes.axhline(k - 0.5, color=FAINT, linewidth=0.6)
    if max(types.shape) <= NUMBERED:
        _write_numbers(axes, types, shades)
    _key(figure, axes, picture, shades, bool((types < 0).any()))
    return figure


def tied(rule: Neighborhood, domain: Domain) -> Tensor:
    """Edge types `[M, N]` on the CPU, receivers first, -1 where there is no edge. Errors as for
    `tying`.
    """
    check_rule("the weight tying", rule)
    check_domain(f"the weight tying of {rule}", domain)
    target = rule.target(domain)
    receivers, senders = target.num_nodes, domain.num_nodes
    asked = f"the weight tying of {rule} on {domain}"
    if max(receivers, senders) > LARGEST:
        found = f"a matrix of {receivers} x {senders}"
        raise GeodlError(asked, found, f"use a domain of at most {LARGEST} nodes")
    edges = rule.edges(domain, target)
    dst, src, kind = edges.dst.cpu(), edges.src.cpu(), edges.type.cpu()
    pairs = dst * senders + src
    if not len(pairs):
        raise GeodlError(asked, "no edges", "use another domain")
    if len(pairs.unique()) < len(pairs):
        found = "two edges between the same pair of nodes"
        raise GeodlError(asked, found, "use another domain")
    types = torch.full((receivers, senders), -1)
    types[dst, src] = kind
    return types


def _write_numbers(axes: Axes, types: Tensor, shades: list[Color]) -> None:
    """The number of its type in each cell that has an edge."""
    size = min(10.0, 180 / max(types.shape))
    for i, j in (types >= 0).nonzero().tolist():
        kind = int(types[i, j])
        look = {"ha": "center", "va": "center", "fontsize": size, "color": ink_on(shades[kind])}
        axes.text(j, i, str(kind), **look)


def _rows(domain: Domain) -> range:
    """The first node of each row of a lattice but the first; nothing where there are no rows."""
    n = domain.num_nodes
    if domain.lattice is None or len(domain.lattice) == 1:
        return range(0)
    sheets = domain.fiber.order if domain.fiber else 1
    row = domain.lattice[-1] * sheets
    return range(row, n, row)


def _key(figure: Figure, axes: Axes, picture: AxesImage, shades: list[Color], gaps: bool) -> None:
    """Which colour is which edge type: a legend for a few types, a colour bar for many."""
    if len(shades) > len(PALETTE):
        _colorbar(figure, axes, picture, len(shades), gaps)
        return
    patches = [Patch(facecolor=shade, label=str(k)) for k, shade in enumerate(shades)]
    if gaps:
        patches.append(Patch(facecolor="white", edgecolor=FAINT, label="no edge"))
    look = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "frameon": False}
    axes.legend(handles=patches, title="edge type", **look)


def _colorbar(figure: Figure, axes: Axes, picture: AxesImage, types: int, gaps: bool) -> None:
    """A bar whose ticks name the first of the four shades of a hue, of at most twelve hues."""
    named = range(0, types, 4 * math.ceil(types / 48))
    bar = figure.colorbar(picture, ax=axes, ticks=[-1, *named], fraction=0.045)
    bar.ax.set_yticklabels(["no edge", *map(str, named)])
    if not gaps:
        bar.ax.set_ylim(-0.5, types - 0.5)
    bar.ax.minorticks_off()
    bar.ax.tick_params(length=0, labelsize=8)
    bar.set_label("edge type", color=INK)
