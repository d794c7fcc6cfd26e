"""Messages, compiled whole: the same numbers, in one graph, for every graph."""

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import geodl as g
from geodl.layer.message import REDUCTIONS
from tests.compilation import same_when_compiled
from tests.strategies import Gated

pytestmark = pytest.mark.usefixtures("fresh_compiler")
GRAPH = g.Graph([[0, 1, 2, 3, 0, 0], [1, 2, 3, 0, 1, 3]], 5)
TWO = g.Batch([GRAPH, g.Graph([[0], [1]])])
LOOPS = g.adjacency(self_loops=True, fill="mean")
CASES = {
    "every reduction": ({"reduce": REDUCTIONS}, g.adjacency(), GRAPH),
    "state of edges and graphs": ({"reads_globals": True}, LOOPS, TWO),
    "in pieces": ({"reduce": ("sum", "max"), "max_edges": 2}, g.adjacency(), GRAPH),
}


@pytest.mark.parametrize("name", CASES)
def test_a_message_compiles(name):
    options, rule, domain = CASES[name]
    torch.manual_seed(0)
    x, edges = torch.randn(2, domain.num_nodes, 2), torch.randn(1, domain.num_links, 2)
    s = g.Signal(x, domain, edges, torch.randn(1, domain.num_members, 3))
    same_when_compiled(g.Message(Gated(2), rule, **options), s)


NETWORKS = {
    "every reduction": ({"reduce": REDUCTIONS}, True, 1),
    "no state of edges": ({"reads_globals": True}, False, 2),
    "in pieces": ({"reduce": ("sum", "max"), "max_edges": 2}, True, 1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_compiles(name):
    options, has_edges, batch = NETWORKS[name]
    torch.manual_seed(0)
    edges = None
    if has_edges:
        edges = torch.randn(batch, GRAPH.num_links, 2)
    s = g.Signal(torch.randn(batch, 5, 2), GRAPH, edges, torch.randn(batch, 1, 3))
    width = 4 + 2 * has_edges + 3 * ("reads_globals" in options)
    net = nn.Sequential(nn.Linear(width, 4), nn.Tanh(), nn.Linear(4, 2))
    same_when_compiled(g.Message(net, g.adjacency(), **options), s)


@pytest.mark.parametrize("function", [Gated(2), nn.Sequential(nn.Linear(6, 2), nn.Tanh())], ids=str)
def test_ten_graphs_compile_at_most_twice(function):
    count = CompileCounterWithBackend("aot_eager")
    layer = g.Message(function, g.adjacency(), ("mean", "max"))
    fast = torch.compile(layer, fullgraph=True, backend=count)
    for n in range(3, 13):
        graph = g.Graph(torch.stack((torch.arange(n), torch.arange(n).roll(1))), n)
        s = g.Signal(torch.randn(1, n, 2), graph, torch.randn(1, n, 2))
        g.prepare(layer, s)
        assert g.testing.error(fast(s).x, layer(s).x) < 1e-5
    assert count.frame_count <= 2
