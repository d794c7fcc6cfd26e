"""Parts of a container that read rows of channels, one after another, as functions of tensors."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl.layer.base import Layer
from geodl.layer.check import channels_read, check_is_signal
from geodl.layer.pointwise import names_axis, run_row
from geodl.layer.program import OnTensors
from geodl.signal import Signal


class Part(NamedTuple):
    """One part of a row.

    Attributes:
        run: what it makes of values, as its forward does.
        channels: how many it takes, where torch would not refuse others; None of any other part.
        parameters: the table of its parameters, where torch would mix their dtype with another;
            empty of any other part.
    """

    run: Callable[[Tensor], Tensor]
    channels: int | None = None
    parameters: dict[str, Any] = {}  # noqa: RUF012 - of a tuple, never changed


class Row:
    """Parts that read rows of channels, one after another: as :func:`run_row`, for parts of which
    it is known what they are.

    Args:
        modules: one at least.
    """

    def __init__(self, modules: Sequence[Any]):
        self.modules = tuple(modules)
        self._has_layers = any(isinstance(part, Layer) for part in modules)
        self._has_axes = any(map(names_axis, modules))
        self._is_known = all("forward" not in vars(part) for part in modules)
        parts = [_part_of(part) for part in modules]
        self._runs = [(part.run, part.channels) for part in parts]
        self._tables = [part.parameters for part in parts if part.parameters]

    def joined(self, other: "Row") -> "Row":
        """These parts, and others after them."""
        return Row(self.modules + other.modules)

    def __call__(self, signal: Any) -> Signal:
        """What the last part makes of a signal."""
        check_is_signal(self.modules[0], signal)
        y = None
        # What torch refuses, the parts say themselves, asked one after another.
        with suppress(RuntimeError):
            y = self.answer(signal.x)
        if y is None:
            return run_row(self.modules, signal)
        if y.dtype == signal.x.dtype:
            return signal.carry_state(y, signal.domain)
        return signal.with_x(y)

    def on_tensors(self) -> OnTensors | None:
        """The row as a function of rows; None where a module names an axis that these lack, or has
        a forward of its own, of which nothing is known.
        """
        if self._has_axes or not self._is_known:
            return None
        return OnTensors(self._on_rows)

    def answer(self, x: Tensor) -> Tensor | None:
        """What the last part makes of values `[B, N, C]`; None where one does not take them.

        Raises:
            RuntimeError: of torch, where a part does not.
        """
        if x.layout != torch.strided or not x.is_floating_point():
            return None
        if self._has_layers and self._has_axes:
            return None
        rows = x
        # Layers read rows alone; most modules of torch make them of what they are given, which
        # done once costs less on a small graph.
        flat = self._has_layers or (len(self._runs) > 1 and x.is_contiguous())
        if flat and not self._has_axes:
            rows = x.flatten(0, 1)
        y = self._on_rows(rows)
        if y is None or y.shape[:-1] != rows.shape[:-1]:
            return None
        if y.dim() < x.dim():
            y = y.view(*x.shape[:-1], y.shape[-1])
        return y

    def _on_rows(self, rows: Tensor) -> Tensor | None:
        """The same of dense rows `[N, C]` of real numbers."""
        for table in self._tables:
            like = next(iter(table.values()))  # it stands for all of its part
            if like is not None and (like.dtype is not rows.dtype or like.device != rows.device):
                return None
        for run, channels in self._runs:
            if channels is not None and rows.shape[-1] != channels:
                return None
            rows = run(rows)
        return rows


def _part_of(module: Any) -> Part:
    """A part as a function of tensors: what calls nothing but its forward, which nobody watches."""
    table, channels = module._parameters, channels_read(module)
    if isinstance(module, Layer):
        layer: Any = module  # of rows: it has `on_rows`
        if layer.strict_rows:
            return Part(layer.on_rows)
        return Part(layer.on_rows, channels, table)
    is_plain = "forward" not in vars(module)
    if is_plain and type(module) is nn.ReLU and not module.inplace:
        return Part(torch.relu)
    if is_plain and type(module) is nn.Linear:
        return Part(partial(_linear, table))
    return Part(module.forward, channels, table)


def _linear(table: dict[str, Any], x: Tensor) -> Tensor:
    return F.linear(x, table["weight"], table["bias"])
