"""What runs where, and why: for whole models."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from geodl.errors import GeodlError, nearest
from geodl.layer.base import Choice, MessagePassing
from geodl.lowering import LOWERINGS, pinned_for
from geodl.signal import Signal


class Explanation(NamedTuple):
    """What each layer of a model ran on, in the order of the calls."""

    choices: tuple[Choice, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.choices))


def explain(model: nn.Module, signal: Any, sender: Any = None) -> Explanation:
    """Run a model once and tell, layer by layer, what runs and why each earlier lowering refused.

    Args:
        model: a layer, a container or any module with layers inside.
        signal: what the model takes: a Signal, or a tensor for layers built with `on=`.
        sender: the second signal, of models that take one.

    >>> from geodl import Conv, Grid, Signal, window
    >>> print(explain(Conv(1, 8, window(3)), Signal(torch.zeros(1, 25, 1), Grid(5, 5))))
    Conv(1, 8, window(3x3)) on Grid(5, 5) runs on lattice
    """
    paths = {module: path for path, module in model.named_modules()}
    heard: list[Choice] = []
    stepping: set[nn.Module] = set()

    def listen(layer: Any, args: Any, named: dict[str, Any]) -> None:
        if layer not in stepping:
            receiver, sender = (
                (*args, named.get("receiver"))[0],
                (*args[1:], named.get("sender"))[0],
            )
            receiver = receiver if isinstance(receiver, Signal) else layer._as_signal(receiver)
            source = receiver if sender is None else sender
            target = receiver.domain if source is not receiver else None
            heard.append(layer.explain(source, target)._replace(path=paths.get(layer, "")))

    def overhear(layer: MessagePassing) -> None:
        own = layer.step

        def step(
            signal: Signal, state: Any = None, sender: Signal | None = None
        ) -> tuple[Signal, Any]:
            listen(layer, (signal, sender), {})
            stepping.add(layer)
            found = own(signal, state, sender)
            stepping.remove(layer)
            return found

        layer.step = step

    layers = [m for m in model.modules() if isinstance(m, MessagePassing)]
    hooks = [layer.register_forward_pre_hook(listen, with_kwargs=True) for layer in layers]
    for layer in layers:  # models that begin in a state, or end in one, call no forward
        overhear(layer)
    try:
        prepare(model, signal, sender)
    finally:
        for layer, hook in zip(layers, hooks, strict=True):
            hook.remove()
            del layer.step
    return Explanation(tuple(heard))


def prepare(model: nn.Module, signal: Any, sender: Any = None) -> None:
    """Make every plan that a call needs, so that a compiled model finds them.

    The plans stay as long as the model lives, whatever other calls make.

    Args:
        model: a layer, a container or any module with layers inside.
        signal: an example of what the model takes; its values do not matter, its domain, dtype and
            device do.
        sender: an example of the second signal, of models that take one.
    """
    with evaluated(model), pinned_for(model):
        model(signal) if sender is None else model(signal, sender)


def set_lowering(model: nn.Module, name: str) -> None:
    """Set the lowering of every layer of a model whose verb has one of that name.

    Raises:
        GeodlError: no verb has such a lowering.

    >>> from geodl import Conv, window
    >>> layer = Conv(1, 8, window(3))
    >>> set_lowering(layer, "edges")
    >>> layer.lowering
    'edges'
    """
    known = {lowering.name for lowerings in LOWERINGS.values() for lowering in lowerings}
    if name not in known | {"auto"}:
        raise GeodlError(f"set_lowering(model, {name!r})", do=nearest(name, known | {"auto"}))
    for layer in model.modules():
        if isinstance(layer, MessagePassing) and (
            name == "auto" or name in {low.name for low in LOWERINGS[layer.verb]}
        ):
            layer.lowering = name


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """A block in evaluation mode and without gradients, after which every module is in the mode it
    was in.

    >>> layer = nn.Dropout(0.5)
    >>> with evaluated(layer):
    ...     layer(torch.ones(2)).tolist(), layer.training
    ([1.0, 1.0], False)
    >>> layer.training
    True
    """
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
