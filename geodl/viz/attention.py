"""Attention weights as a matrix and as edges."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from geodl.errors import GeodlError
from geodl.layer import Attention, evaluated, trace
from geodl.signal import Signal
from geodl.viz.style import FAINT, INK, PALETTE, blank

ASKED = "a picture of attention"
FAINTEST = 0.02  # the smallest weight whose edge is drawn


def cross_attention(model: nn.Module, target: Signal, source: Signal) -> Tensor:
    """The weights with which the nodes of one signal attend to those of another,
    `[layers, H, M, N]`, in evaluation mode.

    Args:
        model: `model(target, source)` with `Cross(Attention(...))` in it.
        target: one signal `[1, M, C]`, the receivers.
        source: one signal `[1, N, C]`, the senders.

    Raises:
        GeodlError: if `model` is not a module or an input not a Signal, if a signal has more than
            one sequence, or if the model has no such attention or layers with different numbers of
            heads.

    >>> import torch, geodl as g
    >>> target = g.Signal.tokens(torch.zeros(1, 3, dtype=torch.long))
    >>> source = g.Signal.tokens(torch.zeros(1, 5, dtype=torch.long))
    >>> cross_attention(g.models.seq2seq_attention(10, 10), target, source).shape
    torch.Size([1, 1, 3, 5])
    """
    _check_call(model, target, source)
    asked = f"the attention of {type(model).__name__}"
    matrices: list[Tensor] = []
    with evaluated(model):
        with trace(model) as events:
            model(target, source)
        for event in events:
            if isinstance(event.layer, Attention) and len(event.signals) > 1:
                matrices.append(_weight_matrix(event.layer, *event.signals))
    if not matrices:
        found = "no layer that attends to a second signal"
        raise GeodlError(asked, found, "give a model with Cross(Attention(...)) in it")
    heads = [matrix.shape[0] for matrix in matrices]
    if len({matrix.shape for matrix in matrices}) > 1:
        found = f"layers of {', '.join(map(str, heads))} heads"
        raise GeodlError(asked, found, "give a part of the model whose layers have as many")
    return torch.stack(matrices)


def _check_call(model: Any, target: Any, source: Any) -> None:
    """Refuse what is not a model, or not one target and one source."""
    if not isinstance(model, nn.Module):
        raise GeodlError("attention between signals", f"a {type(model).__name__}", "give a model")
    asked, do = f"the attention of {type(model).__name__}", "give one target and one source"
    for name, signal in (("target", target), ("source", source)):
        if not isinstance(signal, Signal):
            raise GeodlError(asked, f"a {name} that is a {type(signal).__name__}", do)
        if signal.x.shape[0] != 1:
            raise GeodlError(asked, f"a batch of {signal.x.shape[0]} as {name}", do)


def _weight_matrix(layer: Attention, receiver: Signal, sender: Signal) -> Tensor:
    """The weights of one call as a matrix, `[H, M, N]`."""
    edges = layer.rule.edges(sender.domain, receiver.domain)
    weights = layer.weights(receiver, sender).x[0]
    shape = (weights.shape[1], receiver.domain.num_nodes, sender.domain.num_nodes)
    matrix = weights.new_zeros(shape)
    matrix[:, edges.dst, edges.src] = weights.T
    return matrix


def attention(
    weights: Tensor,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    chosen: int | None = None,
    title: str = "",
) -> Figure:
    """The matrix of attention weights, and beside it the edges into one target token, as wide as
    their weights.

    Args:
        weights: `[M, N]`, from 0 to 1: row i holds the weights with which target i attends to the
            sources.
        sources: the N tokens that send.
        targets: the M tokens that receive.
        chosen: the number of the target token whose edges are drawn; None takes the middle one.
        title: a line above the picture.

    Raises:
        GeodlError: if the weights are not a tensor, have another shape than the tokens say, or are
            not from 0 to 1; if a token is not a string; if a target does not exist.

    >>> import torch
    >>> figure = attention(torch.eye(3), ["a", "b", "c"], ["A", "B", "C"], chosen=1)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['each row: what one token attends to', 'the edges into B']
    """
    _check_tokens("sources", sources)
    _check_tokens("targets", targets)
    matrix = _check_weights(weights, len(targets), len(sources))
    row = len(targets) // 2 if chosen is None else chosen
    if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < len(targets):
        found = f"{len(targets)} targets and chosen={chosen!r}"
        raise GeodlError(ASKED, found, f"give a number from 0 to {len(targets) - 1}")
    inches = max(7.0, 2.8 + 0.3 * (len(sources) + len(targets)))
    figure = blank(inches, max(4.2, 1.8 + 0.24 * max(len(sources), len(targets))), title)
    widths = [max(2, len(sources)), max(2, 0.6 * len(sources))]
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": widths})
    _draw_matrix(left, matrix, sources, targets)
    _draw_edges(right, matrix[row], sources, targets[row])
    return figure


def _draw_matrix(
    axes: Axes, weights: Tensor, sources: Sequence[str], targets: Sequence[str]
) -> None:
    """One cell for each pair of tokens."""
    highest = max(1e-3, float(weights.max()))
    picture = axes.imshow(weights.numpy(), cmap="Blues", vmin=0, vmax=highest, aspect="auto")
    axes.set_title("each row: what one token attends to", fontsize=10, color=INK)
    axes.set_xticks(range(len(sources)), [_visible(token) for token in sources])
    axes.set_yticks(range(len(targets)), [_visible(token) for token in targets])
    axes.set_xlabel("source", color=INK)
    axes.set_ylabel("target", color=INK)
    axes.figure.colorbar(picture, ax=axes, fraction=0.05, label="weight")


def _draw_edges(axes: Axes, weights: Tensor, sources: Sequence[str], target: str) -> None:
    """All sources on the left with their weights, one target on the right."""
    axes.set_title(f"the edges into {_visible(target)}", fontsize=10, color=INK)
    axes.set_axis_off()
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(len(sources) - 0.4, -0.6)
    middle = (len(sources) - 1) / 2
    for row, (token, weight) in enumerate(zip(sources, weights.tolist(), strict=True)):
        ink = FAINT
        if weight >= FAINTEST:
            ink = INK
            width = 8 * weight
            axes.plot((0, 1), (row, middle), color=PALETTE[0], linewidth=width, alpha=0.75)
        axes.scatter(0, row, s=60, color="white", edgecolors=ink, zorder=2)
        _write_beside(axes, (0, row), -8, f"{weight:.2f}", ink)
        _write_beside(axes, (0, row), -36, _visible(token), INK)
    axes.scatter(1, middle, s=120, color="white", edgecolors=PALETTE[5], linewidths=2, zorder=2)
    _write_beside(axes, (1, middle), 10, _visible(target), INK)


def _write_beside(
    axes: Axes, at: tuple[float, float], points: float, text: str, color: str
) -> None:
    """Text that begins so many points right of a place, or ends so many points left of it."""
    side = "left" if points > 0 else "right"
    look = {"ha": side, "va": "center", "fontsize": 9, "color": color}
    axes.annotate(text, at, xytext=(points, 0), textcoords="offset points", **look)


def _visible(token: str) -> str:
    """A token that can be seen: a space becomes an open box."""
    return "␣" if token == " " else token


def _check_tokens(name: str, tokens: Any) -> None:
    """Refuse what is not a list of strings, or is empty."""
    do = "give a list of strings, one for each token"
    if not isinstance(tokens, Sequence):
        raise GeodlError(ASKED, f"{name} that are a {type(tokens).__name__}", do)
    if not tokens:
        raise GeodlError(ASKED, f"no {name}", do)
    for token in tokens:
        if not isinstance(token, str):
            raise GeodlError(ASKED, f"{name} with a {type(token).__name__}", do)


def _check_weights(weights: Any, targets: int, sources: int) -> Tensor:
    """The weights as float32 on the CPU, if they have the right shape and lie from 0 to 1."""
    do = f"give weights [targets, sources] = [{targets}, {sources}]"
    if not isinstance(weights, Tensor):
        raise GeodlError(ASKED, f"weights that are a {type(weights).__name__}, not a tensor", do)
    if tuple(weights.shape) != (targets, sources) or weights.is_complex():
        found = f"weights of shape {list(weights.shape)} and dtype {weights.dtype}"
        raise GeodlError(ASKED, found, do)
    weights = weights.detach().float().cpu()
    low, high = float(weights.min()), float(weights.max())
    # A sum of softmax's float32 terms may exceed 1 by rounding; a NaN fails both comparisons.
    if not (low >= 0 and high <= 1 + 1e-5):
        raise GeodlError(ASKED, f"weights from {low:g} to {high:g}", "give weights from 0 to 1")
    return weights
