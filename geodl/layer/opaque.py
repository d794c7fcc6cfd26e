"""A node of a network that computes what no rule says."""

from collections.abc import Callable
from typing import Any

from torch import nn

from geodl.layer.trace import current_listener


class Opaque(nn.Module):
    """Any function of the values of other nodes, in a :class:`~geodl.layer.network.Network`.

    It runs as it is. Nothing is known of it: a certificate finds a gap here, and `step` refuses it.

    Args:
        function: a module or a function of the values of its node's inputs.
        reason: why no layer stands in its place, for `network.opaque()`.
    """

    def __init__(self, function: Callable[..., Any], reason: str):
        super().__init__()
        self.function = function
        self.reason = reason

    def forward(self, *values: Any) -> Any:
        """What the function makes of the values; an event where someone listens and it is a
        Signal.
        """
        listener = current_listener()
        if listener is None:
            return self.function(*values)
        return listener.record(self, values, lambda: self.function(*values))

    @property
    def label(self) -> str:
        """What is called, in one line."""
        name = getattr(self.function, "label", None)
        if name is None:
            name = getattr(self.function, "__name__", type(self.function).__name__)
        return f"Opaque({name})"
