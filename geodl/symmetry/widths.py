"""How many channels a network has over a group, so that it stays as large as it was."""

import math
from typing import NamedTuple

from geodl.group import Group


class Widths:
    """The channels of the layers over a group.

    A convolution over a group of n elements with `a` channels in and `b` out has `n a b` weights
    for each place of its window, where a plain one has `a b`: with `1 / sqrt(n)` of the channels it
    has as many parameters, with `1 / n` of them as many planes.

    Args:
        group: of n elements.
        keep: "parameters" or "planes".
        step: number of which a width is a multiple wherever the model's own width is one, as the
            groups of a GroupNorm demand.
        kept: the paths of layers whose channels stay as they are: those of the answer.
    """

    def __init__(self, group: Group, keep: str, step: int, kept: frozenset[str]):
        self.factor = group.order
        if keep == "parameters":
            self.factor = math.sqrt(group.order)
        self.step = step
        self.kept = kept
        self.rounded: dict[int, int] = {}

    def of(self, path: str, channels: int) -> int:
        """The channels of a layer's output over the group: the model's own by the factor, to the
        nearest multiple of the step, at least one.

        Args:
            path: of the layer.
            channels: of its output in the model.
        """
        if path in self.kept:
            return channels
        step = self.step
        if channels % step:
            step = 1
        width = max(step, step * round(channels / self.factor / step))
        self.rounded[channels] = width
        return width


class Scaling(NamedTuple):
    """How the channels of a network over a group were chosen, and what that did to its size.

    Attributes:
        group: of the new network.
        keep: what was to stay equal, "parameters" or "planes".
        widths: (channels before, channels now) of the layers over the group, each once.
        parameters: before and now.
    """

    group: Group
    keep: str
    widths: tuple[tuple[int, int], ...]
    parameters: tuple[int, int]

    def __str__(self) -> str:
        before, now = self.parameters
        widths = ", ".join(f"{old} -> {new}" for old, new in self.widths)
        return (
            f"over {self.group}, {self.keep} kept: channels {widths} (rounded), "
            f"{before:,} parameters -> {now:,}"
        )
