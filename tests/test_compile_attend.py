"""Attention, compiled: the same numbers."""

import pytest

import geodl as g
from geodl.testing import error
from tests.compilation import compiled, compiled_rows, random_signal, same_when_compiled

pytestmark = pytest.mark.usefixtures("fresh_compiler")
ROWS = compiled_rows("attend")


@pytest.mark.parametrize("name", ROWS)
def test_every_fast_path_compiles_whole(name):
    row = ROWS[name]
    same_when_compiled(row.layer, *row.signals())


def test_two_signals_are_prepared():
    layer = g.Attention(4, g.all_pairs(), 2)
    s, t = random_signal(g.Chain(6), 4), random_signal(g.Chain(7), 4)
    g.prepare(layer, s, t)
    assert error(compiled(layer)(s, t).x, layer(s, t).x) < 1e-6
