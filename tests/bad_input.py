"""Signals, layers and rules small enough to misuse, and what every refusal owes its reader."""

from collections.abc import Callable

import pytest
import torch

import geodl as g

Refusal = tuple[Callable[[], object], str, str, str]

GRID, RING = g.Grid(4, 4), g.Graph([[0, 1, 2, 3], [1, 2, 3, 0]], 4)
P4 = g.C(4)


def on(domain: g.Domain, channels: int = 2, batch: int = 1, **options) -> g.Signal:
    return g.Signal(torch.zeros(batch, domain.num_nodes, channels, **options), domain)


def attention(rule: g.Neighborhood | None = None) -> g.Attention:
    return g.Attention(2, g.all_pairs() if rule is None else rule, heads=1)


def conv(rule=None) -> g.Conv:
    return g.Conv(2, 3, g.window(3) if rule is None else rule)


def forced(name: str, layer):
    layer.lowering = name
    return layer


THREE, TWO = on(g.Chain(3)), on(g.Chain(2))


def twice(x_i, x_j, e_ij):
    return 2 * x_j


def assert_refused(case: Refusal) -> None:
    """The call is refused in three parts: what was asked, what was found, what to do."""
    call, asked, found, do = case
    with pytest.raises(g.GeodlError) as refusal:
        call()
    parts = refusal.value.args
    for words, part in zip((asked, found, do), parts, strict=True):
        assert words in part, str(refusal.value)
    assert parts[0] and parts[2], "every refusal says what was asked and what to do"
    assert str(refusal.value).startswith(parts[0])
    assert str(refusal.value).endswith(parts[2])
