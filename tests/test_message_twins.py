"""Famous layers of PyG as messages: the same outputs and gradients, with weights copied by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import EdgeConv, GINConv, GINEConv, MessagePassing, MetaLayer, NNConv
from torch_geometric.nn.aggr import MultiAggregation
from torch_geometric.utils import scatter

import geodl as g
from geodl.testing import error

N, C, E, G = 9, 4, 3, 2  # nodes; channels of nodes, edges, graphs
BATCH = (4, 5)


def mlp(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels_in, 8), nn.Tanh(), nn.Linear(8, channels_out))


def flat(x: Tensor) -> Tensor:
    """PyG's `[N, C]`."""
    return x[0]


@pytest.fixture
def data() -> tuple[g.Batch, Tensor, Tensor, Tensor, Tensor]:
    """Two graphs with isolated nodes, loops and parallel edges, and the leaves x, e and u."""
    torch.manual_seed(0)
    graphs = []
    for n in BATCH:
        graphs.append(g.Graph(torch.randint(n - 1, (2, 3 * n)), n))
    domain = g.Batch(graphs)
    links = domain.links()
    index = torch.stack((links.src, links.dst))
    x, e, u = torch.randn(1, N, C), torch.randn(1, domain.num_links, E), torch.randn(1, 2, G)
    x, e, u = (t.double().requires_grad_() for t in (x, e, u))
    return domain, index, x, e, u


def same(ours: Tensor, theirs: Tensor, leaves: list[Any]) -> None:
    """Outputs and the gradient of every leaf."""
    assert error(flat(ours), theirs) < 1e-10
    upstream = torch.randn(theirs.shape, dtype=theirs.dtype)
    options: Any = {"allow_unused": True, "retain_graph": True}
    found = torch.autograd.grad(flat(ours), leaves, upstream, **options)
    wanted = torch.autograd.grad(theirs, leaves, upstream, **options)
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert error(a, b) < 1e-10


class Dense(nn.Module):
    """A message of an MLP of all that it is given, one after another."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, *given: Tensor) -> Tensor:
        return self.net(torch.cat(given, -1))


def test_gin(data):
    domain, index, x, _, _ = data
    twin: Any = GINConv(mlp(C, C), eps=0.3, train_eps=True).double()

    def update(x_i: Tensor, y_i: Tensor) -> Tensor:
        return twin.nn((1 + twin.eps) * x_i + y_i)

    layer = g.Message(lambda x_i, x_j, e_ij: x_j, g.adjacency(), update=update)
    same(layer(g.Signal(x, domain)).x, twin(flat(x), index), [x, *twin.parameters()])


def test_gine(data):
    domain, index, x, e, _ = data
    twin: Any = GINEConv(mlp(C, C), eps=0.3, edge_dim=E).double()

    def message(x_i: Tensor, x_j: Tensor, e_ij: Tensor) -> Tensor:
        return torch.relu(x_j + twin.lin(e_ij))

    def update(x_i: Tensor, y_i: Tensor) -> Tensor:
        return twin.nn((1 + twin.eps) * x_i + y_i)

    layer = g.Message(message, g.adjacency(), update=update)
    ours = layer(g.Signal(x, domain, e)).x
    same(ours, twin(flat(x), index, flat(e)), [x, e, *twin.parameters()])


@pytest.mark.parametrize("aggr", ["max", "mean", "add"])
def test_edge_conv(data, aggr):
    domain, index, x, _, _ = data
    twin: Any = EdgeConv(mlp(2 * C, C), aggr=aggr).double()

    def message(x_i: Tensor, x_j: Tensor, e_ij: None) -> Tensor:
        return twin.nn(torch.cat((x_i, x_j - x_i), -1))

    layer = g.Message(message, g.adjacency(), {"add": "sum"}.get(aggr, aggr))
    same(layer(g.Signal(x, domain)).x, twin(flat(x), index), [x, *twin.parameters()])


def test_nn_conv_is_an_mpnn_with_an_edge_network(data):
    domain, index, x, e, _ = data
    twin: Any = NNConv(C, C, mlp(E, C * C), aggr="mean").double()

    def message(x_i: Tensor, x_j: Tensor, e_ij: Tensor) -> Tensor:
        return (x_j[..., None, :] @ twin.nn(e_ij).unflatten(-1, (C, C)))[..., 0, :]

    def update(x_i: Tensor, y_i: Tensor) -> Tensor:
        return y_i + twin.lin(x_i) + twin.bias

    layer = g.Message(message, g.adjacency(), "mean", update)
    ours = layer(g.Signal(x, domain, e)).x
    same(ours, twin(flat(x), index, flat(e)), [x, e, *twin.parameters()])


class Several(MessagePassing):
    """The messages and aggregators of PNA, in PyG."""

    def __init__(self, net: nn.Module, names: list[str]):
        super().__init__(aggr=MultiAggregation(names, mode="cat"))
        self.net = net

    def forward(self, x: Tensor, index: Tensor, e: Tensor) -> Tensor:
        return self.propagate(index, x=x, e=e)

    def message(  # pyright: ignore[reportIncompatibleMethodOverride] - PyG reads the names
        self, x_i: Tensor, x_j: Tensor, e: Tensor
    ) -> Tensor:
        return self.net(torch.cat((x_i, x_j, e), -1))


@pytest.mark.parametrize("most", [None, 4])
def test_several_reductions_as_in_pna(data, most):
    domain, index, x, e, _ = data
    names = ["mean", "max", "min", "std", "softmax"]
    net = mlp(2 * C + E, C).double()
    layer = g.Message(Dense(net), g.adjacency(), names, max_edges=most)
    ours = layer(g.Signal(x, domain, e)).x
    same(ours, Several(net, names)(flat(x), index, flat(e)), [x, e, *net.parameters()])


class EdgeModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(2 * C + E + G, E)

    def forward(self, src: Tensor, dst: Tensor, e: Tensor, u: Tensor, batch: Tensor) -> Tensor:
        return self.net(torch.cat((src, dst, e, u[batch]), 1))


class NodeModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.of_edge, self.of_node = mlp(C + E, C), mlp(2 * C + G, C)

    def forward(self, x: Tensor, index: Tensor, e: Tensor, u: Tensor, batch: Tensor) -> Tensor:
        sent = self.of_edge(torch.cat((x[index[0]], e), 1))
        arrived = scatter(sent, index[1], 0, len(x), "mean")
        return self.of_node(torch.cat((x, arrived, u[batch]), 1))


class GlobalModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(G + C, G)

    def forward(self, x: Tensor, index: Tensor, e: Tensor, u: Tensor, batch: Tensor) -> Tensor:
        return self.net(torch.cat((u, scatter(x, batch, 0, reduce="mean")), 1))


class GraphNet(g.Layer):
    """The block of Battaglia et al. (2018), with the parts of PyG's MetaLayer."""

    def __init__(self, twin: Any):
        super().__init__()
        edge, node, whole = twin.edge_model, twin.node_model, twin.global_model
        rule = g.adjacency()
        self.edge = g.EdgeUpdate(
            lambda x_i, x_j, e_ij, u: edge.net(torch.cat((x_j, x_i, e_ij, u), -1)),
            rule,
            reads_globals=True,
        )
        self.node = g.Message(
            lambda x_i, x_j, e_ij, u: node.of_edge(torch.cat((x_j, e_ij), -1)),
            rule,
            "mean",
            lambda x_i, y_i, u: node.of_node(torch.cat((x_i, y_i, u), -1)),
            reads_globals=True,
        )
        self.readout, self.whole = g.Readout("mean"), Dense(whole.net)

    def compute(self, receiver: g.Signal, sender: Any, rule: Any) -> g.Signal:
        s = self.node(self.edge(receiver))
        pooled = self.readout(s).x
        return s.with_globals(self.whole(s.globals, pooled))


def test_a_graph_net_block(data):
    domain, index, x, e, u = data
    twin: Any = MetaLayer(EdgeModel(), NodeModel(), GlobalModel()).double()
    ours = GraphNet(twin)(g.Signal(x, domain, e, u))
    theirs = twin(flat(x), index, flat(e), flat(u), domain.member_of())
    leaves = [x, e, u, *twin.parameters()]
    for a, b in zip((ours.x, ours.edges, ours.globals), theirs, strict=True):
        same(a, b, leaves)
