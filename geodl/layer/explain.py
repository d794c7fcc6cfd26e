"""What runs where, and why: for whole models."""

from typing import Any, NamedTuple

from torch import nn

from geodl.errors import GeodlError, nearest
from geodl.layer.base import MessagePassing
from geodl.layer.modes import check_is_module, evaluated
from geodl.layer.opaque import Opaque
from geodl.layer.trace import Choice, Event, trace
from geodl.lowering import LOWERINGS, pinned_for
from geodl.neighborhood import Neighborhood


class Gap(NamedTuple):
    """A node of an imported network that stayed torch's own: no layer stands in its place.

    Attributes:
        path: its name in the model.
        label: what is called.
        reason: why no layer stands there.
    """

    path: str
    label: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.label} is torch's own: {self.reason}"


class Explanation(NamedTuple):
    """What each layer of a model ran on, in the order of the calls, and what is no layer."""

    choices: tuple[Choice, ...]
    gaps: tuple[Gap, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, (*self.choices, *self.gaps)))


def explain(
    model: nn.Module, signal: Any, sender: Any = None, *, rule: Neighborhood | None = None
) -> Explanation:
    """Run a model once and tell, layer by layer, what ran and why each earlier lowering refused.

    Args:
        model: a layer, a container or any module with layers inside.
        signal: what the model takes: a Signal, or a tensor for layers built with `on=`.
        sender: the second signal, of models that take one.
        rule: that the call names, of a layer.

    Raises:
        GeodlError: if `model` is not a module; as the call itself.

    >>> import torch
    >>> from geodl import Conv, Grid, Signal, window
    >>> print(explain(Conv(1, 8, window(3)), Signal(torch.zeros(1, 25, 1), Grid(5, 5))))
    Conv(1, 8, window(3x3)) on Grid(5, 5) runs on lattice
    """
    events = _run(model, signal, sender, rule)
    chosen = [_choice(event) for event in events if event.lowering is not None]
    return Explanation(tuple(chosen), _gaps(model))


def _gaps(model: nn.Module) -> tuple[Gap, ...]:
    """The nodes of a model's networks that no layer stands for."""
    found = []
    for path, module in model.named_modules():
        if isinstance(module, Opaque):
            found.append(Gap(path, module.label, module.reason))
    return tuple(found)


def _choice(event: Event) -> Choice:
    layer: Any = event.layer
    label = layer.label
    # A rule that the call named runs in place of the one that the label tells.
    if event.rule is not layer.rule and event.rule != layer.rule:
        label += f" over {event.rule}"
    return Choice(
        path=event.path,
        layer=label,
        verb=layer.verb,
        neighborhood=str(event.rule),
        source=event.source,
        target=event.target,
        lowering=str(event.lowering),
        refused=event.refused,
        note=event.note,
    )


def prepare(
    model: nn.Module, signal: Any, sender: Any = None, *, rule: Neighborhood | None = None
) -> None:
    """Make every plan that a call needs, so that a compiled model finds them.

    The plans stay as long as the model lives, whatever other calls make.

    Args:
        model: a layer, a container or any module with layers inside.
        signal: an example of what the model takes; its values do not matter, its domain, dtype and
            device do.
        sender: an example of the second signal, of models that take one.
        rule: that the call names, of a layer.

    Raises:
        GeodlError: if `model` is not a module; as the call itself.
    """
    with pinned_for(model):
        _run(model, signal, sender, rule)


def _run(model: nn.Module, signal: Any, sender: Any, rule: Neighborhood | None) -> list[Event]:
    """The record of one run. A compiled model, which makes no plans, runs as it was before."""
    signals = (signal,) if sender is None else (signal, sender)
    named = {} if rule is None else {"rule": rule}
    with trace(model) as events, evaluated(model):
        model(*signals, **named)
    return events


def set_lowering(model: nn.Module, name: str) -> None:
    """Set the lowering of every layer of a model whose verb has one of that name.

    Raises:
        GeodlError: if no verb has such a lowering.

    >>> from geodl import Conv, window
    >>> layer = Conv(1, 8, window(3))
    >>> set_lowering(layer, "edges")
    >>> layer.lowering
    'edges'
    """
    known = {lowering.name for lowerings in LOWERINGS.values() for lowering in lowerings}
    if name not in known | {"auto"}:
        raise GeodlError(f"set_lowering(model, {name!r})", do=nearest(name, known | {"auto"}))
    check_is_module(model)
    for layer in model.modules():
        if isinstance(layer, MessagePassing) and (
            name == "auto" or name in {low.name for low in LOWERINGS[layer.verb]}
        ):
            layer.lowering = name
