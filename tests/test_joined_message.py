"""Networks that read side by side what an edge sees: the same numbers as functions that join it,
without the joined tensor.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl.layer.message import REDUCTIONS
from geodl.lowering.joined import Joined
from geodl.testing import assert_parity, error, outcome
from tests.joined import EDGES, GRAPH, PATH, C, Row, U, network, values

CPU = torch.profiler.ProfilerActivity.CPU


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("reduce", [*REDUCTIONS, ("mean", "max", "std")], ids=str)
@pytest.mark.parametrize("most", [None, 4])
def test_a_network_is_the_function_that_joins(edges, reads, reduce, most, edge_sums):
    s = values(edges, batch=2)
    net = network(2 * C + EDGES[edges] + reads * U)
    options: Any = {"reads_globals": reads, "max_edges": most}
    layer = g.Message(net, g.adjacency(), reduce, **options)
    function = g.Message(Row(net), g.adjacency(), reduce, **options)
    assert set(assert_parity(layer, s, bound=1e-10)) == {"segment"}
    assert (edge_sums == []) == (most is not None)
    ours, gradients = outcome(layer, s)
    wanted, theirs = outcome(function, s)
    assert error(ours, wanted) < 1e-10
    for name, gradient in theirs.items():
        assert error(gradients[name.replace("message.net.", "message.")], gradient) < 1e-10
        assert not name.endswith("weight") or bool(gradient.any())


def test_a_split_that_takes_the_wrong_columns_is_seen(monkeypatch):
    split = Joined.split

    def wrong(self, *values):
        function, (a, b, *others) = split(self, *values)
        return function, (b, a, *others)

    monkeypatch.setattr(Joined, "split", wrong)
    with pytest.raises(AssertionError, match="segment is off the reference"):
        assert_parity(g.Message(network(2 * C + 2), g.adjacency()), values())


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("most", [None, 4])
@pytest.mark.parametrize("batch", [1, 2])
def test_second_derivatives_are_the_references(reduce, most, batch):
    found = []
    layer = g.Message(network(2 * C + 2 + U), g.adjacency(), reduce, reads_globals=True)
    layer.options = layer.options._replace(max_edges=most)
    for lowering in ("segment", "edges"):
        layer.lowering = lowering
        s = values(batch=batch)
        leaves = [s.x.requires_grad_(), s.edges.requires_grad_(), s.globals.requires_grad_()]
        leaves += layer.parameters()
        y = layer(s).x
        slopes = torch.autograd.grad(y.sin().sum(), leaves, create_graph=True)
        penalty = sum((slope.square().sum() for slope in slopes), torch.zeros(()).double())
        found.append(torch.autograd.grad(penalty, leaves, allow_unused=True))
    for ours, wanted in zip(*found, strict=True):
        assert (ours is None) == (wanted is None)
        if ours is not None:
            assert error(ours, wanted) < 1e-10


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)], ids=["x", "edges", "both"])
def test_transforms_map_over_nodes_and_edges(axes, edge_sums):
    """What is not mapped is the same for all."""
    s, layer = values(), g.Message(network(2 * C + 2), g.adjacency(), ("sum", "max"))
    mapped, each = [], [[], [], [], []]
    for value, axis in zip((s.x, s.edges), axes, strict=True):
        many = torch.randn(4, *value.shape).double()
        if axis is None:
            many = value.expand(4, -1, -1, -1)
        for row, one in zip(each, many, strict=True):
            row.append(one)
        mapped.append(many if axis == 0 else value)

    def run(x: Tensor, edges: Tensor) -> Tensor:
        return layer(g.Signal(x, GRAPH, edges)).x

    def total(x: Tensor, edges: Tensor) -> Tensor:
        return run(x, edges).sin().sum()

    def slope(x: Tensor, edges: Tensor) -> Tensor:
        return torch.cat([d.flatten() for d in torch.func.grad(total, (0, 1))(x, edges)])

    def moved(x: Tensor, edges: Tensor) -> Tensor:
        return torch.func.jvp(run, (x, edges), (x.cos(), edges.cos()))[1]

    for function in (run, slope, moved):
        layer.lowering = "segment"
        ours = torch.func.vmap(function, axes)(*mapped)
        layer.lowering = "edges"
        for found, row in zip(ours, each, strict=True):
            assert error(found, function(*row)) < 1e-10
    assert edge_sums


def test_the_gradient_of_parameters_by_torch_func(edge_sums):
    s, layer = values(), g.Message(network(2 * C + 2), g.adjacency(), ("sum", "max"))

    def total(parameters: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(layer, parameters, (s,)).x.sin().sum()

    found = []
    for lowering in ("segment", "edges"):
        layer.lowering = lowering
        found.append(torch.func.grad(total)(dict(layer.named_parameters())))
    for name, gradient in found[1].items():
        assert error(found[0][name], gradient) < 1e-10
    assert edge_sums


@pytest.mark.parametrize("end", [0, 1], ids=["receivers", "senders"])
def test_one_end_alone_has_a_tangent(end):
    index = torch.tensor([[0, 1, 2, 0], [0, 1, 1, 2]])
    layer = g.Message(network(2 * C), g.relation(index, senders=3, receivers=3))
    pair = [torch.randn(1, 3, C).double() for _ in range(2)]

    def run(x: Tensor) -> Tensor:
        given = list(pair)
        given[end] = x
        return layer(*(g.Signal(x, g.Complete(3)) for x in given)).x

    direction, found = torch.randn(1, 3, C).double(), []
    for lowering in ("segment", "edges"):
        layer.lowering = lowering
        found.append(torch.func.jvp(run, (pair[end],), (direction,))[1])
    assert error(*found) < 1e-10


def test_few_edges_between_many_nodes_are_joined(edge_sums):
    """Three edges, of forty senders or forty receivers, or between three and two."""
    index = torch.tensor([[0, 1, 2], [0, 1, 1]])
    for senders, receivers, split in ((40, 2, 0), (3, 40, 0), (3, 2, 1)):
        del edge_sums[:]
        rule = g.relation(index, senders=senders, receivers=receivers)
        pair = [
            g.Signal(torch.randn(2, n, C).double(), g.Complete(n)) for n in (receivers, senders)
        ]
        layer = g.Message(network(2 * C), rule, "max")
        assert_parity(layer, *pair, bound=1e-10)
        del edge_sums[:]
        layer(*pair)
        assert len(edge_sums) == split


@pytest.mark.parametrize(("hidden", "split"), [(4 * C, 1), (4 * C + 1, 0)])
def test_a_layer_that_widens_much_is_left_whole(hidden, split, edge_sums):
    layer = g.Message(network(2 * C + 2, hidden), g.adjacency())
    assert_parity(layer, values(), bound=1e-10)
    del edge_sums[:]
    layer(values())
    assert len(edge_sums) == split


def test_a_graph_without_edges(edge_sums):
    empty = g.Graph(torch.zeros(2, 0, dtype=torch.long), 3)
    s = g.Signal(torch.randn(1, 3, C).double(), empty)
    y, gradients = outcome(g.Message(network(2 * C), g.adjacency(), ("max", "sum")), s)
    assert not bool(y.any()) and not any(bool(slope.any()) for slope in gradients.values())


# other layers, other precisions


@pytest.mark.parametrize("domain", [GRAPH, g.Batch([GRAPH] * 2), g.Batch([GRAPH, PATH])], ids=str)
@pytest.mark.parametrize("rule", [g.adjacency(), g.adjacency().reverse()], ids=str)
def test_networks_renew_the_state_of_edges(domain, rule, edge_sums):
    net = network(2 * C + 2 + U)
    s = values(batch=2, domain=domain)
    found = []
    for function, lowering in ((net, "segment"), (net, "edges"), (Row(net), "segment")):
        layer = g.EdgeUpdate(function, rule, reads_globals=True)
        layer.lowering = lowering
        leaves = [part.clone().requires_grad_() for part in (s.x, s.edges, s.globals)]
        e = layer(g.Signal(leaves[0], domain, *leaves[1:])).edges
        leaves += net.parameters()
        found.append([e, *torch.autograd.grad(e.sin().sum(), leaves)])
    assert edge_sums
    for other in found[1:]:
        for ours, wanted in zip(found[0], other, strict=True):
            assert error(ours, wanted) < 1e-10


@pytest.mark.parametrize("most", [None, 3])
@pytest.mark.parametrize("batch", [1, 2])
def test_mixed_and_half_precision(most, batch):
    layer = g.Message(network(2 * C + 2), g.adjacency(), max_edges=most).float()
    s = values(batch=batch).to(torch.float32)
    wanted, exact = outcome(layer, s)
    with torch.autocast("cpu", torch.bfloat16):
        y, gradients = outcome(layer, s)
    assert error(y.float(), wanted) < 5e-2
    assert max(error(gradients[name], slope) for name, slope in exact.items()) < 0.1
    half = g.Message(network(2 * C + 2), g.adjacency(), max_edges=most).bfloat16()
    y, gradients = outcome(half, s.to(torch.bfloat16))
    assert y.dtype == torch.bfloat16 and error(y.float(), wanted) < 5e-2
    assert max(error(gradients[name].float(), slope) for name, slope in exact.items()) < 0.1


# memory


def height(layer: g.Message, s: g.Signal) -> float:
    """The most that a step holds beside its inputs, in tensors of all edges and one node's
    channels.
    """
    leaves = [s.x, s.edges, *layer.parameters()]
    g.prepare(layer, s)
    with torch.profiler.profile(activities=[CPU], profile_memory=True) as seen:
        torch.autograd.grad(layer(s).x.sum(), leaves)
    now = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most / (s.edges.numel() * s.edges.itemsize)


@pytest.mark.parametrize("batch", [1, 2])
def test_nothing_as_large_as_all_that_edges_see(batch):
    """Three tensors of all edges stand together: what the last layer has read, and two gradients.
    Joined, what the first layer has read and its gradient are three each.
    """
    torch.manual_seed(0)
    graph = g.Graph(torch.randint(50, (2, 4000)), 50)
    x, edges = torch.randn(batch, 50, 32), torch.randn(batch, 4000, 32)
    s = g.Signal(x.requires_grad_(), graph, edges.requires_grad_())
    net = nn.Sequential(nn.Linear(96, 32), nn.ReLU(), nn.Linear(32, 32))
    assert height(g.Message(net, g.adjacency()), s) < 3.3
    assert height(g.Message(Row(net), g.adjacency()), s) > 6
