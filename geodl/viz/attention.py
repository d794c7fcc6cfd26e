"""Who hears whom: attention weights as a matrix and as edges."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from geodl.errors import GeodlError
from geodl.layer import Attention, evaluated
from geodl.signal import Signal
from geodl.viz.style import FAINT, INK, PALETTE, blank

FAINTEST = 0.02  # the least weight whose edge is drawn


def cross_attention(model: nn.Module, target: Signal, source: Signal) -> Tensor:
    """The weights with which the nodes of one signal hear those of another, `[layers, H, M, N]`, in
    evaluation mode.

    Args:
        model: `model(target, source)` with `Cross(Attention(...))` in it.
        target: one signal `[1, M, C]`, of those who hear.
        source: one signal `[1, N, C]`, of those who are heard.

    Raises:
        GeodlError: a model without such attention, or with other numbers of heads in its layers;
            more than one signal.

    >>> import torch, geodl as g
    >>> target, source = (g.Signal.tokens(torch.zeros(1, n, dtype=torch.long)) for n in (3, 5))
    >>> cross_attention(g.models.seq2seq_attention(10, 10), target, source).shape
    torch.Size([1, 1, 3, 5])
    """
    heard: list[Tensor] = []

    def listen(layer: Any, args: Any, named: dict[str, Any]) -> None:
        receiver: Any = (*args, named.get("receiver"))[0]
        sender: Any = (*args[1:], named.get("sender"))[0]
        if sender is not None:
            edges, weights = (
                layer.rule.edges(sender.domain, receiver.domain),
                layer.weights(receiver, sender).x[0],
            )
            matrix = weights.new_zeros(
                weights.shape[1], receiver.domain.num_nodes, sender.domain.num_nodes
            )
            matrix[:, edges.dst, edges.src] = weights.T
            heard.append(matrix)

    for signal in (target, source):
        if signal.x.shape[0] != 1:
            raise GeodlError(
                "who hears whom",
                f"a batch of {signal.x.shape[0]}",
                "give one target and one source",
            )
    hooks = [
        layer.register_forward_pre_hook(listen, with_kwargs=True)
        for layer in model.modules()
        if isinstance(layer, Attention)
    ]
    try:
        with evaluated(model):
            model(target, source)
    finally:
        for hook in hooks:
            hook.remove()
    if not heard:
        asked = f"the attention of {type(model).__name__}"
        raise GeodlError(
            asked,
            "no layer that attends to a second signal",
            "give a model with Cross(Attention(...)) in it",
        )
    if len({matrix.shape for matrix in heard}) > 1:
        found = f"layers of {', '.join(str(matrix.shape[0]) for matrix in heard)} heads"
        raise GeodlError(
            f"the attention of {type(model).__name__}",
            found,
            "give a part of the model whose layers have as many",
        )
    return torch.stack(heard)


def attention(
    weights: Tensor,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    chosen: int | None = None,
    title: str = "",
) -> Figure:
    """The matrix of attention, and beside it the edges that come into one target token, as wide as
    their weights.

    Args:
        weights: `[M, N]`, from 0 to 1, receivers first.
        sources: the N tokens that are heard.
        targets: the M tokens that hear.
        chosen: the place of the target token whose edges are drawn; None takes the middle one.
        title: a line above the picture.

    Raises:
        GeodlError: weights of another shape than the tokens say, or not from 0 to 1; a place where
            no token is.

    >>> import torch
    >>> figure = attention(torch.eye(3), ["a", "b", "c"], ["A", "B", "C"], chosen=1)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['each row: what one token hears', 'the edges into B']
    """
    weights, shape = weights.detach().float().cpu(), (len(targets), len(sources))
    chosen = len(targets) // 2 if chosen is None else chosen
    if tuple(weights.shape) != shape or not len(sources) or not 0 <= chosen < len(targets):
        found = (
            f"weights {list(weights.shape)} for {shape[0]} tokens "
            f"that hear {shape[1]}, chosen={chosen}"
        )
        raise GeodlError(
            "a picture of attention",
            found,
            "give weights [targets, sources] and one of the targets",
        )
    if not (float(weights.min()) >= 0 and float(weights.max()) <= 1 + 1e-5):
        found = f"weights from {float(weights.min()):g} to {float(weights.max()):g}"
        raise GeodlError("a picture of attention", found, "give weights from 0 to 1")
    figure = blank(max(7.0, 2.8 + 0.3 * sum(shape)), max(4.2, 1.8 + 0.24 * max(shape)), title)
    left, right = figure.subplots(
        1, 2, gridspec_kw={"width_ratios": [max(2, shape[1]), max(2, 0.6 * shape[1])]}
    )
    _matrix(left, weights, sources, targets)
    _edges(right, weights[chosen], sources, targets[chosen])
    return figure


def _matrix(axes: Axes, weights: Tensor, sources: Sequence[str], targets: Sequence[str]) -> None:
    picture = axes.imshow(
        weights.numpy(), cmap="Blues", vmin=0, vmax=max(1e-3, float(weights.max())), aspect="auto"
    )
    axes.set_title("each row: what one token hears", fontsize=10, color=INK)
    axes.set_xticks(range(len(sources)), [_seen(token) for token in sources])
    axes.set_yticks(range(len(targets)), [_seen(token) for token in targets])
    axes.set_xlabel("source", color=INK)
    axes.set_ylabel("written", color=INK)
    axes.figure.colorbar(picture, ax=axes, fraction=0.05, label="weight")


def _edges(axes: Axes, weights: Tensor, sources: Sequence[str], target: str) -> None:
    count = len(sources)
    axes.set_title(f"the edges into {_seen(target)}", fontsize=10, color=INK)
    axes.set_axis_off()
    axes.set_xlim(-0.25, 1.25)
    axes.set_ylim(count - 0.4, -0.6)
    middle = (count - 1) / 2
    for place, (token, weight) in enumerate(zip(sources, weights.tolist(), strict=True)):
        if weight >= FAINTEST:
            axes.plot(
                (0.0, 1.0),
                (place, middle),
                color=PALETTE[0],
                linewidth=8 * weight,
                alpha=0.75,
                zorder=1,
            )
        axes.scatter(
            0.0,
            place,
            s=260,
            color="white",
            edgecolors=INK if weight >= FAINTEST else FAINT,
            zorder=2,
        )
        axes.text(
            0.0, place, _seen(token), ha="center", va="center", fontsize=9, color=INK, zorder=3
        )
        axes.text(
            -0.12,
            place,
            f"{weight:.2f}",
            ha="right",
            va="center",
            fontsize=8,
            color=INK if weight >= FAINTEST else FAINT,
        )
    axes.scatter(1.0, middle, s=420, color="white", edgecolors=PALETTE[5], linewidths=2, zorder=2)
    axes.text(
        1.0,
        middle,
        _seen(target),
        ha="center",
        va="center",
        fontsize=10 if len(target) == 1 else 6,
        color=INK,
        zorder=3,
    )


def _seen(token: str) -> str:
    """A token that can be seen: a space is an open box."""
    return "␣" if token == " " else token
