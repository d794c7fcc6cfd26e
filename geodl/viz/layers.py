"""The graph of a network's layers, and what one node of its answer hears."""

from typing import Any, NamedTuple

import networkx
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.layer import Network, evaluated, trace
from geodl.layer.opaque import Opaque
from geodl.signal import Signal
from geodl.viz.style import FAINT, INK, PALETTE, blank

LARGEST = 400  # nodes of a network: more would be lines without words
LETTERS = 44  # of a layer in one line
# What a node computes says its colour.
KINDS = {
    "convolve": PALETTE[0],
    "attend": PALETTE[1],
    "pool": PALETTE[2],
    "recur": PALETTE[3],
    "message": PALETTE[4],
    "opaque": PALETTE[5],
    "other": PALETTE[7],
}


class Row(NamedTuple):
    """One node in the picture: its name, what it is, of which kind, and what it reads."""

    name: str
    words: str
    kind: str
    reads: tuple[str, ...]


def network(
    model: nn.Module, example: Any, *, output: int | None = None, title: str = ""
) -> Figure:
    """The layers of a network from top to bottom, with lines to what each reads; for a node of the
    answer the nodes of the input that it hears, darker the more of its value they decide.

    What is heard is where the derivative of the node's values by the input's is not zero, at the
    example; on a lattice of two axes it is drawn as an image, elsewhere as bars.

    Args:
        model: a `g.Network`, as imports are, or any layer, whose parts then stand in a row.
        example: a Signal, or of an import its tensor.
        output: the number of a node of the answer; None for the layers alone.
        title: a line above the picture.

    Raises:
        GeodlError: if it is not a module, or has more than 400 nodes; if the answer has no such
            node; if tokens are the input, which have no derivative.

    >>> import geodl as g
    >>> row = g.Sequential(g.Conv(1, 4, g.window(3)), nn.ReLU(), g.Conv(4, 1, g.window(3)))
    >>> figure = network(row, Signal.image(torch.ones(1, 1, 7, 7)), output=24)
    >>> figure.axes[1].get_title()
    'node 24 hears 25 of 49 nodes'
    """
    asked = f"a picture of {type(model).__name__}"
    if not isinstance(model, nn.Module):
        raise GeodlError(asked, f"a {type(model).__name__}", "give a Network, or a layer")
    rows = _rows_of(model, example)
    if not 0 < len(rows) <= LARGEST:
        raise GeodlError(asked, f"{len(rows)} nodes", f"give one of at most {LARGEST}")
    heard = None
    if output is not None:
        heard = _heard(asked, model, example, output)
    columns = 1 if heard is None else 2
    height = max(3.0, 0.34 * len(rows) + 1.2)
    figure = blank(7.4 * columns - 1.6 * (columns - 1), height, title or f"{type(model).__name__}")
    widths = [1.0] if heard is None else [1.7, 1.0]
    panels = figure.subplots(1, columns, squeeze=False, width_ratios=widths)[0]
    _draw_rows(panels[0], rows)
    if heard is not None:
        _draw_heard(panels[1], output, *heard)
    return figure


def _rows_of(model: nn.Module, example: Any) -> list[Row]:
    """The nodes of a network; of another layer the events of a run, one after another."""
    if isinstance(model, Network):
        rows = [Row(name, "input", "other", ()) for name in model.inputs]
        for node in model.nodes:
            part: Any = model[node.path] if node.path else None
            words = node.join or _words_of(part)
            rows.append(Row(node.name, words, _kind_of(part), node.inputs))
        return rows
    with evaluated(model), trace(model) as events, torch.no_grad():
        model(example)
    rows = [Row("input", "input", "other", ())]
    for event in events:
        layer: Any = event.layer
        name = f"{len(rows)} {event.path}"
        rows.append(Row(name, _words_of(layer), _kind_of(layer), (rows[-1].name,)))
    return rows


def _words_of(part: Any) -> str:
    words = getattr(part, "label", "") or " ".join(str(part).split())
    if len(words) > LETTERS:
        words = f"{words[: LETTERS - 1]}…"
    return words


def _kind_of(part: Any) -> str:
    """The verb of a layer, or of the first layer in it that has one."""
    if isinstance(part, Opaque):
        return "opaque"
    if part is None:
        return "other"
    verbs = [getattr(inner, "verb", "") for inner in part.modules()]
    return next((verb for verb in verbs if verb in KINDS), "other")


def _heard(asked: str, model: Any, example: Any, output: int) -> tuple[Tensor, Domain | None]:
    """How much each node of the input moves a node of the answer, and where the nodes live."""
    with evaluated(model), torch.enable_grad(), trace(model) as events:
        given: Any = example
        if isinstance(example, tuple):
            given = example[0]
        x = given.x if isinstance(given, Signal) else given
        if not x.is_floating_point():
            do = "give a signal of vectors, or leave out output="
            raise GeodlError(asked, f"values of {x.dtype}, which have no derivative", do)
        x = x.detach().clone().requires_grad_()
        given = given.with_x(x) if isinstance(given, Signal) else x
        model(given)
    first, last = _first_signal(events), events[-1].output
    if not isinstance(last, Signal):
        raise GeodlError(asked, "an answer that is no Signal", "leave out output=")
    count = last.domain.num_nodes
    if type(output) is not int or not 0 <= output < count:
        raise GeodlError(f"{asked}, output={output!r}", f"{count} nodes", "give one of them")
    share = torch.zeros(first.domain.num_nodes, dtype=x.dtype)
    for value in last.x[0, output]:
        (slope,) = torch.autograd.grad(value, first.x, retain_graph=True, allow_unused=True)
        if slope is not None:
            share += slope[0].abs().sum(-1)
    return share.detach(), first.domain


def _first_signal(events: Any) -> Signal:
    return events[0].signals[0]


def _draw_rows(axes: Axes, rows: list[Row]) -> None:
    """One line for each node, and an arc to each that it reads and that does not stand above it."""
    places = {row.name: -k for k, row in enumerate(rows)}
    lanes = _lanes_of(rows)
    axes.set_axis_off()
    for k, row in enumerate(rows):
        axes.scatter(0, -k, s=46, color=KINDS[row.kind], zorder=3)
        weight = "bold" if row.kind == "opaque" else "normal"
        text = f"{row.name}   {row.words}"
        axes.text(0.35, -k, text, va="center", fontsize=8, color=INK, fontweight=weight)
        for read in row.reads:
            start, lane = places[read], lanes.get((read, row.name), 0)
            side = -0.32 * lane
            line = ([0, side, side, 0], [start, start - 0.4, -k + 0.4, -k])
            color = INK
            if lane == 0:
                line = ([0, 0], [start, -k])
                color = FAINT
            axes.plot(*line, color=color, linewidth=0.9, zorder=1)
    axes.set_xlim(-0.32 * (max(lanes.values(), default=0) + 1), 9)
    axes.set_ylim(-len(rows), 1)
    _key(axes, {row.kind for row in rows})


def _lanes_of(rows: list[Row]) -> dict[tuple[str, str], int]:
    """For each line that passes other nodes the lane beside them in which it runs, so that no two
    lines lie on each other: the colouring of the intervals.
    """
    order = {row.name: k for k, row in enumerate(rows)}
    spans = networkx.Graph()
    for row in rows:
        for read in row.reads:
            if order[row.name] - order[read] > 1:
                spans.add_node((read, row.name))
    names = list(spans)
    for k, one in enumerate(names):
        for other in names[k + 1 :]:
            begins = max(order[one[0]], order[other[0]])
            ends = min(order[one[1]], order[other[1]])
            if begins < ends:
                spans.add_edge(one, other)
    colours = networkx.greedy_color(spans, strategy="largest_first")
    return {name: lane + 1 for name, lane in colours.items()}


def _key(axes: Axes, kinds: set[str]) -> None:
    for kind, color in KINDS.items():
        if kind in kinds:
            axes.scatter([], [], s=46, color=color, label=kind)
    axes.legend(loc="lower right", fontsize=8, frameon=False)


def _draw_heard(axes: Axes, output: Any, share: Tensor, domain: Domain | None) -> None:
    """The input's nodes, dark where the answer's node hears them."""
    lattice = getattr(domain, "lattice", None)
    scale = float(share.max().clamp(min=torch.finfo(share.dtype).tiny))
    values = (share / scale).sqrt()
    if lattice is not None and len(lattice) == 2:
        axes.imshow(values.reshape(lattice).numpy(), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks([])
        axes.set_yticks([])
    else:
        axes.bar(range(len(values)), values.numpy(), color=PALETTE[0])
        axes.set_ylim(0, 1)
    count = int((share > 0).sum())
    axes.set_title(f"node {output} hears {count} of {len(share)} nodes", fontsize=10, color=INK)
