"""Signals with edges of which an import was made without knowing: refused as tensors are."""

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data

import geodl as g
from geodl.interop import from_pyg
from geodl.testing import error
from tests.test_imports_pyg import EDGES, MEMBERS
from tests.test_imports_pyg_calls import values
from tests.twins import drawn


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = pyg.GCNConv(3, 4)


class Plain(Convolution):
    """A model that hands its convolution no weights, and takes none."""

    def forward(self, x, edge_index):
        return self.conv(x, edge_index)


class OtherName(Convolution):
    """Weights by another name than PyG's."""

    def forward(self, x, edge_index, edge_attr=None):
        return self.conv(x, edge_index, edge_attr)


class OfData(Convolution):
    def forward(self, data):
        return self.conv(data.x, data.edge_index, data.edge_weight)


class Types(Convolution):
    def __init__(self):
        super().__init__()
        self.scale = nn.Embedding(3, 4)

    def forward(self, x, edge_index, edge_type=None):
        y = self.conv(x, edge_index)
        if edge_type is not None:
            y = y + self.scale(edge_type).mean(0)
        return y


def weights():
    return values(EDGES.shape[1]).abs() + 0.1


def weighted(count=7):
    return g.Graph(EDGES, count, edge_weight=weights())


X = values(7, 3)
UNWEIGHTED = {
    "an argument": (lambda: pyg.GCN(3, 4, 2, 5), (X, EDGES)),
    "no argument": (Plain, (X, EDGES)),
    "another name": (OtherName, (X, EDGES)),
    "of data": (OfData, Data(x=X, edge_index=EDGES)),
}
GRAPHS = {
    "weights": weighted,
    "with_weights": lambda: g.Graph(EDGES, 7).with_weights(weights()),
    "a batch": lambda: g.Batch([weighted(), weighted()]),
    "a union": lambda: g.Batch.from_union(weighted(), torch.tensor([0, 3, 5, 7])),
}


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("name", UNWEIGHTED)
def test_weights_of_a_signal_are_refused_as_tensors_are(name, graph):
    make, example = UNWEIGHTED[name]
    network = from_pyg(drawn(make()).eval(), example)
    domain = GRAPHS[graph]()
    signal = g.Signal(values(1, domain.num_nodes, 3), domain)
    words = "a Signal with edge_weight, and an import made with edge_weight=None; give one without"
    for called in (network, g.Sequential(network)):
        with pytest.raises(g.GeodlError, match=words):
            called(signal)
    # A trace calls the nodes one by one.
    with g.trace(network), pytest.raises(g.GeodlError, match=words):
        network(signal)


@pytest.mark.parametrize("name", UNWEIGHTED)
def test_a_signal_without_weights_is_what_the_import_knows(name):
    make, example = UNWEIGHTED[name]
    model = drawn(make()).eval()
    network = from_pyg(model, example)
    given = example if isinstance(example, tuple) else (example,)
    y = network(g.Signal(X[None], g.Graph(EDGES, 7)))
    assert error(y.x[0], model(*given)) <= 1e-10


def test_weights_that_an_import_knows_are_read():
    model = drawn(pyg.GCN(3, 4, 2, 5)).eval()
    network = from_pyg(model, (X, EDGES, weights()))
    y = network(g.Signal(X[None], weighted()))
    assert error(y.x[0], model(X, EDGES, weights())) <= 1e-10


def test_weights_that_a_model_never_reads_are_free():
    model = drawn(pyg.GIN(3, 4, 2, 5)).eval()
    network = from_pyg(model, (X, EDGES))
    y = network(g.Signal(X[None], weighted()))
    assert error(y.x[0], model(X, EDGES)) <= 1e-10


def test_features_of_edges_are_refused_where_the_model_would_read_them():
    features = values(EDGES.shape[1], 2)
    signal = g.Signal(X[None], g.Graph(EDGES, 7), edges=features[None])
    model = drawn(pyg.GAT(3, 4, 2, 5, edge_dim=2)).eval()
    with pytest.raises(g.GeodlError, match="a Signal with edge_attr, and an import made with"):
        from_pyg(model, (X, EDGES))(signal)
    network = from_pyg(model, (X, EDGES, None, features))
    wanted = model(X, EDGES, edge_attr=features)
    assert error(network(signal).x[0], wanted) <= 1e-10
    # Without `edge_dim` PyG's attention does nothing with them.
    model = drawn(pyg.GAT(3, 4, 2, 5)).eval()
    wanted = model(X, EDGES, edge_attr=features)
    assert error(from_pyg(model, (X, EDGES))(signal).x[0], wanted) <= 1e-10


def test_types_of_edges_are_refused_where_the_model_would_read_them():
    model = drawn(Types()).eval()
    kinds = torch.arange(EDGES.shape[1]) % 3
    signal = g.Signal(X[None], g.Graph(EDGES, 7, edge_type=kinds))
    with pytest.raises(g.GeodlError, match="a Signal with edge_type, and an import made with"):
        from_pyg(model, (X, EDGES))(signal)
    network = from_pyg(model, (X, EDGES, kinds))
    assert error(network(signal).x[0], model(X, EDGES, kinds)) <= 1e-10


def test_members_of_a_union_are_no_weights():
    union = g.Batch.from_union(g.Graph(EDGES, 7), torch.tensor([0, 3, 5, 7]))
    model = drawn(Plain()).eval()
    y = from_pyg(model, (X, EDGES))(g.Signal(X[None], union))
    assert union.member_of().tolist() == MEMBERS.tolist()
    assert error(y.x[0], model(X, EDGES)) <= 1e-10
