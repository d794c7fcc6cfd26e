"""Learned positions: a table of a model's own, of which the first rows are added to a sequence."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.interop.conversion import with_parameters
from geodl.interop.converters import converts
from geodl.interop.whole.ancestry import is_fixed, sources_of
from geodl.interop.whole.layout import BATCH
from geodl.interop.whole.values import Call, Value
from geodl.layer import LearnedPositions


def add_positions(build: Any, call: Call, value: Value, table: Value) -> Value | None:
    """`x + table[:T]`, in whichever way a model takes the rows: a slice of a parameter, or an
    embedding of 0, 1, 2, ...; None of any other sum.

    The rows must be the first ones of one table on the example, and depend on lengths only.
    """
    layout, shape = value.kept, value.tensor.shape
    if value.tensor.dim() != 3 or layout.channel_dim() != 2:
        return None
    batch = 0 if layout.dims[0] == (BATCH,) else 1
    lengths = [*shape]
    lengths[batch] = 1
    given = (1,) * (3 - table.tensor.dim()) + tuple(table.tensor.shape)
    if list(given) != lengths or not is_fixed(build.nodes, table.name):
        return None
    sources = [
        one
        for one in sources_of(build.nodes, table.name)
        if _rows(one.tensor, shape[2]) is not None
    ]
    if len(sources) != 1:
        return None
    source = sources[0]
    rows = _rows(source.tensor, shape[2])
    assert rows is not None
    used = table.tensor.reshape(-1, shape[2])
    if len(used) > len(rows) or not torch.equal(used, rows[: len(used)]):
        return None
    layer = LearnedPositions(*rows.shape)
    weight: Any = source.tensor
    kept = nn.Parameter(rows.detach(), requires_grad=weight.requires_grad)
    with_parameters(layer, layer, weight=kept)
    if not isinstance(weight, nn.Parameter):
        # Sinusoids, which do not learn.
        del layer.weight
        layer.register_buffer("weight", rows.detach().clone())
    answer = build.apply(source.name, layer, value, call.example)
    build.note_table(source, answer)
    return answer


def _rows(table: Any, channels: int) -> Tensor | None:
    """A table `[L, C]`, `[1, L, C]` or `[L, 1, C]` as rows."""
    if not isinstance(table, Tensor) or table.shape[-1] != channels or table.dim() > 3:
        return None
    if table.dim() == 3 and 1 in table.shape[:2]:
        return table.reshape(-1, channels)
    return table if table.dim() == 2 else None


@converts(LearnedPositions, back="torch", form="a table of positions")
def to_positions(layer: LearnedPositions, on: Domain | None) -> nn.Embedding:
    """The table as an embedding of places."""
    rows, channels = layer.weight.shape
    twin = nn.Embedding(rows, channels)
    return with_parameters(twin, layer, weight=layer.weight)
