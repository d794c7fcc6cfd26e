"""Plans on CUDA: apart from those of the CPU, on the device whole, and gone with their domain."""

import gc

import pytest
import torch

import geodl as g
from geodl.testing import error
from tests.gpu.cuda import DEVICE, NEEDS_CUDA, moved
from tests.table import product

pytestmark = NEEDS_CUDA
LAYERS = {
    "convolve": lambda: g.Conv(4, 3, g.adjacency("sym", self_loops=True)),
    "attend": lambda: g.Attention(4, g.adjacency(self_loops=True), 2),
    "message": lambda: g.Message(product, g.adjacency("sym", self_loops=True)),
    "recur": lambda: g.Recurrent(4, 3, "gru", g.predecessors()),
    "pool": g.Readout,
}


def tree(n: int = 50) -> g.Graph:
    """A path, in whose direction everything may recur."""
    return g.Graph(torch.stack((torch.arange(n - 1), torch.arange(1, n))), n)


def signal(domain: g.Domain, device: str = DEVICE) -> g.Signal:
    return g.Signal(torch.randn(2, domain.num_nodes, 4), domain).to(device)


@pytest.mark.parametrize("name", LAYERS)
def test_each_device_has_its_own_plan(name):
    layer, s = LAYERS[name](), signal(tree(), "cpu")
    wanted = layer(s).x
    there = moved(layer, torch.float32)
    at = s.to(DEVICE)
    assert error(there(at).x.cpu(), wanted) < 1e-4
    assert error(layer(s).x, wanted) < 1e-6
    assert error(there(at).x.cpu(), wanted) < 1e-4


def test_values_and_their_plans_are_known_by_device():
    layer, s = g.Conv(4, 3, g.lift(3, group=g.C(4))), signal(g.Grid(5, 5), "cpu")
    wanted = layer(s).x
    for device in (DEVICE, "cpu", DEVICE):
        found = layer.to(device)(s.to(device)).x
        assert found.device.type == device
        assert error(found.cpu(), wanted) < 1e-4


@pytest.mark.parametrize("name", LAYERS)
def test_new_graphs_leave_no_memory(name):
    layer = moved(LAYERS[name](), torch.float32)

    def call(times: int) -> int:
        for _ in range(times):
            with torch.no_grad():
                layer(signal(tree(2000)))
        gc.collect()
        return torch.cuda.memory_allocated()

    assert call(20) <= call(3) + 1000


def test_a_graph_that_moves_begins_without_plans():
    layer, domain = g.Conv(4, 3, g.adjacency()), tree()
    layer(signal(domain, "cpu"))
    there = domain.to(DEVICE)
    assert there.cache == {}
    assert domain.cache
    assert all(t.device.type == DEVICE for t in there.tensors())
    assert there.to("cpu").tensors()[0].equal(domain.tensors()[0])


@pytest.mark.usefixtures("fresh_compiler")
def test_what_is_prepared_there_compiles_there():
    model = moved(g.models.gcn(4, 8, 3, dropout=0.0), torch.float32)
    fast = torch.compile(model, fullgraph=True, backend="aot_eager")
    for n in range(5, 10):
        s = signal(tree(n))
        g.prepare(model, s)
        assert error(fast(s).x, model(s).x) < 1e-5


def test_a_layer_on_a_graph_moves_with_it():
    layer = g.Conv(4, 3, g.adjacency("sym", self_loops=True), on=tree())
    x = torch.randn(2, 50, 4)
    wanted = layer(x)
    assert error(layer.to(DEVICE)(x.to(DEVICE)).cpu(), wanted) < 1e-4
    assert error(layer.to("cpu")(x), wanted) < 1e-6
