"""Convolutions and pooling, compiled: the same numbers, and few compilations."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import geodl as g
from geodl.testing import error
from tests.compilation import compiled, compiled_rows, random_signal, same_when_compiled

pytestmark = pytest.mark.usefixtures("fresh_compiler")
ROWS = compiled_rows("convolve", "pool")


@pytest.mark.parametrize("name", ROWS)
def test_every_fast_path_compiles_whole(name):
    row = ROWS[name]
    same_when_compiled(row.layer, *row.signals())


def test_a_cold_plan_says_what_to_do():
    layer = g.Conv(4, 3, g.adjacency("sym", self_loops=True))
    s = random_signal(g.Graph([[0, 1], [1, 2]]), 4)
    with pytest.raises(
        torch._dynamo.exc.Unsupported, match=r"call g.prepare\(model, signal\) first"
    ) as caught:
        compiled(layer)(s)
    assert "GeodlError" in str(caught.value)
    torch.compiler.reset()
    g.prepare(layer, s)
    assert error(compiled(layer)(s).x, layer(s).x) < 1e-6


def test_ten_graphs_cost_at_most_two_compilations():
    counter = CompileCounterWithBackend("aot_eager")
    model = g.models.gcn(4, 8, 3, dropout=0.0)
    fast = torch.compile(model, fullgraph=True, backend=counter)
    for k in range(10):
        n, generator = 5 + k, torch.Generator().manual_seed(k)
        domain = g.Graph(torch.randint(n, (2, 3 * n), generator=generator), n)
        s = random_signal(domain, 4, batch=1)
        g.prepare(model, s)
        assert error(fast(s).x, model(s).x) < 1e-6
    assert counter.frame_count <= 2
