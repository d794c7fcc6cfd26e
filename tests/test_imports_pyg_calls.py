"""Imported models of PyG called as they are: on a `Data`, on batches, on features that come again,
by whatever names their arguments have.
"""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Batch, Data, HeteroData

import geodl as g
from geodl.interop import from_hetero, from_pyg
from geodl.interop.whole import graph_features
from geodl.testing import error
from tests.test_imports_pyg import EDGES, MEMBERS, outputs_and_gradients
from tests.twins import drawn


def values(*shape):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def data_of(nodes, **more):
    index = torch.tensor([[*range(nodes - 1), 0], [*range(1, nodes), nodes - 1]])
    return Data(values(nodes, 3), index, **more)


class OfData(nn.Module):
    """A model of a `Data`, as in most of PyG's examples."""

    def __init__(self):
        super().__init__()
        self.conv1 = pyg.GCNConv(3, 6)
        self.gat = pyg.GATConv(6, 4, heads=2, edge_dim=2)
        self.head = nn.Linear(8, 2)

    def forward(self, data):
        x, links = data.x, data.edge_index
        h = F.relu(self.conv1(x, links))
        h = self.gat(h, links, data.edge_attr)
        if "edge_weight" in data:
            h = h * 2
        h = pyg.global_add_pool(h, data.batch, size=data.num_graphs)
        return self.head(h) / data.num_nodes


class OtherNames(nn.Module):
    """Arguments that are called otherwise than PyG's."""

    def __init__(self):
        super().__init__()
        self.conv = pyg.GCNConv(3, 4)
        self.mean = pyg.MeanAggregation()

    def forward(self, h, adj, edge_attr, graph, how="sum", scale=None):
        h = self.conv(h, adj, edge_attr)
        if scale is not None:
            h = h * scale
        return self.mean(h, graph)


class FirstDropped(nn.Module):
    """Dropout of the features themselves, as in the papers of GCN and GAT."""

    def __init__(self, conv):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.conv = conv

    def forward(self, x, edge_index):
        return self.conv(self.dropout(x), edge_index)


def test_a_model_of_a_data_takes_data_and_batches():
    model = drawn(OfData()).eval()
    graphs = [data_of(n, edge_attr=values(n, 2)) for n in (3, 2, 4)]
    batch = Batch.from_data_list(graphs)
    for network in (from_pyg(model), from_pyg(model, batch)):
        assert error(network(batch), model(batch)) <= 1e-10
        two = Batch.from_data_list(graphs[:2])
        assert error(network(two), model(two)) <= 1e-10
    with pytest.raises(g.GeodlError, match="a Tensor as data; give a Data with x"):
        network(batch.x)
    twin = pickle.loads(pickle.dumps(network))
    assert torch.equal(twin(batch), network(batch))


def test_a_data_with_more_or_less_than_the_import_knew_is_refused():
    model = drawn(OfData()).eval()
    batch = Batch.from_data_list([data_of(3, edge_attr=values(3, 2))])
    network = from_pyg(model, batch)
    weighted = batch.clone()
    weighted.edge_weight = torch.ones(3, dtype=torch.float64)
    with pytest.raises(g.GeodlError, match="edge_weight=a tensor .* made with edge_weight=None"):
        network(weighted)
    network = from_pyg(model, weighted)
    assert error(network(weighted), model(weighted)) <= 1e-10
    with pytest.raises(g.GeodlError, match="no data.edge_weight, which the import had"):
        network(batch)


def test_names_of_arguments_do_not_matter():
    model = drawn(OtherNames()).eval()
    given = (values(7, 3), EDGES, values(EDGES.shape[1]).abs(), MEMBERS)
    network = from_pyg(model)
    assert network.opaque() == {}
    assert error(network(*given), model(*given)) <= 1e-10
    # Nobody reads `how`; `scale` would have been read.
    assert error(network(*given, how="mean"), model(*given)) <= 1e-10
    with pytest.raises(
        g.GeodlError, match="scale=2.0 of an imported network: found an import made"
    ):
        network(*given, scale=2.0)
    with pytest.raises(g.GeodlError, match="scale=a tensor of an imported network"):
        network(*given, scale=values(4))


def test_arguments_that_are_never_read_are_free():
    model = drawn(pyg.GIN(3, 4, 2, 5)).eval()
    x, weight = values(7, 3), values(EDGES.shape[1])
    network = from_pyg(model)
    named = {"edge_weight": weight, "batch": MEMBERS.flip(0), "batch_size": 9}
    assert error(network(x, EDGES, **named), model(x, EDGES, **named)) <= 1e-10


def test_weights_that_an_import_did_not_know_are_refused():
    model = drawn(pyg.GCN(3, 4, 2, 5)).eval()
    x, weight = values(7, 3), values(EDGES.shape[1]).abs()
    network = from_pyg(model, (x, EDGES))
    with pytest.raises(g.GeodlError, match="edge_weight=a tensor .* made with edge_weight=None"):
        network(x, EDGES, weight)
    network = from_pyg(model, (x, EDGES, weight))
    assert error(network(x, EDGES, weight), model(x, EDGES, weight)) <= 1e-10
    assert error(network(x, EDGES), model(x, EDGES)) <= 1e-10


@pytest.mark.parametrize("norm", ["graph_norm", "pair_norm"])
def test_norms_that_count_in_place(norm):
    model = drawn(pyg.models.GCN(3, 4, 2, 2, norm=norm)).eval()
    network, x = from_pyg(model), values(7, 3)
    for named in ({}, {"batch": MEMBERS}):
        assert error(network(x, EDGES, **named), model(x, EDGES, **named)) <= 1e-10


def test_batch_vectors_are_checked():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = pyg.GCNConv(3, 4)

        def forward(self, x, edge_index, batch, batch_size=None):
            return pyg.global_mean_pool(self.conv(x, edge_index), batch, batch_size)

    model = drawn(Pooled())
    network, x = from_pyg(model), values(7, 3)
    assert error(network(x, EDGES, MEMBERS, 3), model(x, EDGES, MEMBERS, 3)) <= 1e-10
    with pytest.raises(g.GeodlError, match="do not stand graph after graph; sort"):
        network(x, EDGES, MEMBERS.flip(0))
    with pytest.raises(g.GeodlError, match="4 graphs and a batch vector of 3; leave out"):
        network(x, EDGES, MEMBERS, 4)
    with pytest.raises(g.GeodlError, match="without nodes"):
        network(x, EDGES, MEMBERS * 2)
    for wrong in (MEMBERS.double(), MEMBERS.bfloat16(), MEMBERS[:-1], MEMBERS[None], MEMBERS - 1):
        with pytest.raises(g.GeodlError, match="give the graph of each of the 7 nodes"):
            network(x, EDGES, wrong)


@pytest.mark.filterwarnings("ignore:Sparse")
def test_a_sparse_adjacency_is_taken_without_weights():
    model = drawn(pyg.GraphSAGE(3, 4, 2, 5)).eval()
    network, x = from_pyg(model), values(7, 3)
    ones = torch.ones(EDGES.shape[1], dtype=torch.float64)
    adj_t = torch.sparse_coo_tensor(EDGES.flip(0), ones, (7, 7)).coalesce().to_sparse_csr()
    assert error(network(x, adj_t), model(x, EDGES)) <= 1e-10
    with pytest.raises(g.GeodlError, match="a sparse adjacency with weights"):
        network(x, 2 * adj_t)
    network = from_pyg(model, (x, adj_t))
    assert error(network(x, EDGES), model(x, EDGES)) <= 1e-10
    with pytest.raises(g.GeodlError, match="a sparse adjacency with weights"):
        from_pyg(model, (x, 2 * adj_t))


SPARSE_READERS = {
    "GCN": lambda: pyg.GCN(40, 6, 2, 3),
    "GAT": lambda: pyg.GAT(40, 8, 2, 3, heads=2),
    "GraphSAGE": lambda: pyg.GraphSAGE(40, 6, 2, 3),
    "dropped": lambda: FirstDropped(pyg.GCNConv(40, 3)),
}


@pytest.mark.parametrize("name", SPARSE_READERS)
def test_features_that_come_again_are_read_as_sparse_ones(name, monkeypatch):
    monkeypatch.setattr(graph_features, "LEAST", 100)
    model = drawn(SPARSE_READERS[name]()).eval()
    x = values(7, 40) * (torch.arange(280).view(7, 40) % 23 == 0)
    network = from_pyg(model)
    layouts = []
    for part in network.modules():
        if getattr(part, "rule", None) is not None and not isinstance(part, g.Network):
            part.register_forward_pre_hook(lambda _, args: layouts.append(args[0].x.layout))
            break
    wanted = list(model.parameters())
    up = values(7, 3)
    for call in range(3):
        y = network(x, EDGES)
        assert error(y, model(x, EDGES)) <= 1e-10
        ours = torch.cat([p.flatten() for p in torch.autograd.grad(y, network.parameters(), up)])
        theirs = torch.autograd.grad(model(x, EDGES), wanted, up)
        lengths = [ours.norm(), torch.cat([p.flatten() for p in theirs]).norm()]
        assert error(*lengths) <= 1e-10, call
    assert layouts == [torch.strided, torch.sparse_csr, torch.sparse_csr]
    # What was changed in place, or needs a gradient, is read as it is.
    x[0, 1] = 3.0
    assert error(network(x, EDGES), model(x, EDGES)) <= 1e-10
    given = {"x": x, "edge_index": EDGES}
    (_, found), (_, grads) = (outputs_and_gradients(one, given) for one in (network, model))
    assert error(found["the input"], grads["the input"]) <= 1e-10
    dense = values(7, 40)
    assert [error(network(dense, EDGES), model(dense, EDGES)) <= 1e-10 for _ in range(3)] == [
        True
    ] * 3
    assert set(layouts[3:]) == {torch.strided}


def test_an_import_drops_out_by_our_quick_layer():
    """Of the features themselves, and between layers."""
    for model in (pyg.GCN(40, 6, 2, 3, dropout=0.3), FirstDropped(pyg.GCNConv(40, 3))):
        network = from_pyg(model)
        dropouts = [part for part in network.modules() if isinstance(part, g.Dropout)]
        assert [part.draws for part in dropouts] == ["uniform"]
        assert not [part for part in network.modules() if type(part) is nn.Dropout]


def test_sparse_features_stay_dense_under_torch_func(monkeypatch):
    monkeypatch.setattr(graph_features, "LEAST", 100)
    network = from_pyg(drawn(pyg.GCN(40, 6, 2, 3)).eval())
    x = values(7, 40) * (torch.arange(280).view(7, 40) % 23 == 0)
    for _ in range(3):
        network(x, EDGES)
    parameters = dict(network.named_parameters())

    def loss(parameters):
        return torch.func.functional_call(network, parameters, (x, EDGES)).square().sum()

    grads = torch.func.grad(loss)(parameters)
    (wanted,) = torch.autograd.grad(network(x, EDGES).square().sum(), parameters["convs.0.weight"])
    assert error(grads["convs.0.weight"], wanted) <= 1e-10


def test_copies_forget_tensors_of_others():
    network = from_pyg(drawn(pyg.GCN(3, 4, 2, 5)).eval())
    x = values(7, 3)
    network(x, EDGES)
    twin = copy.deepcopy(network)
    assert torch.equal(twin(x, EDGES), network(x, EDGES))
    with torch.inference_mode():
        links = EDGES.clone()
        assert torch.equal(network(x, links), network(x, EDGES))


def test_models_of_several_kinds_are_named():
    kinds = ("a", "to", "b"), ("b", "to", "a")
    model = pyg.HeteroConv({kind: pyg.SAGEConv((2, 2), 4) for kind in kinds})
    with pytest.raises(g.GeodlError, match="several kinds of nodes .*from_hetero"):
        from_pyg(model)
    one = pyg.to_hetero(OneKind(), (["a", "b"], list(kinds)))
    x = {"a": values(3, 2), "b": values(2, 2)}
    links = {kind: torch.tensor([[0, 1], [1, 0]]) for kind in kinds}
    with pytest.raises(g.GeodlError, match="an example of several kinds .*from_hetero"):
        from_pyg(one, (x, links))
    with pytest.raises(g.GeodlError, match="an example of several kinds .*from_hetero"):
        from_pyg(one, hetero())


class OneKind(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = pyg.SAGEConv((2, 2), 4)

    def forward(self, x, edge_index):
        return self.conv(x, edge_index)


def hetero(**more):
    data = HeteroData()
    data["user"].x, data["film"].x = values(3, 4), values(2, 5)
    data["user", "rates", "film"].edge_index = torch.tensor([[0, 2, 1], [1, 1, 0]])
    data["user", "knows", "user"].edge_index = torch.tensor([[0, 1], [1, 2]])
    for name, value in more.items():
        data["user", "rates", "film"][name] = value
    return data


def test_kinds_of_nodes_and_edges_are_signals_and_relations():
    weight = values(3)
    one = hetero(edge_weight=weight)
    batch = Batch.from_data_list([one, one])
    for data, nodes in ((one, 3), (batch, 6)):
        signals, relations = from_hetero(data)
        rates = relations["user", "rates", "film"]
        assert signals["user"].domain.num_nodes == nodes
        y = g.Propagate(rates)(signals["film"], signals["user"]).x[0]
        src, dst = data["user", "rates", "film"].edge_index
        sent = data["user", "rates", "film"].edge_weight[:, None] * data["user"].x[src]
        wanted = torch.zeros(len(data["film"].x), 4, dtype=torch.float64).index_add(0, dst, sent)
        assert error(y, wanted) <= 1e-12
        knows = relations["user", "knows", "user"]
        assert knows.one_set and g.Propagate(knows)(signals["user"]).shape == (1, nodes, 4)
    assert signals["user"].domain.sizes == (3, 3)
    # Attention from one kind to another, with the weights of PyG's layer.
    twin = drawn(pyg.GATConv((4, 5), 6, heads=2, add_self_loops=False))
    layer, (signals, relations) = from_pyg(twin), from_hetero(hetero())
    rule = relations["user", "rates", "film"]
    y = layer(signals["film"], signals["user"], rule=rule)
    pair = (one["user"].x, one["film"].x)
    assert error(y.x[0], twin(pair, one["user", "rates", "film"].edge_index)) <= 1e-10
    # Likewise along edges with features.
    twin = drawn(pyg.GATConv((4, 5), 6, edge_dim=2, add_self_loops=False))
    features = values(3, 2)
    rule = from_hetero(hetero(edge_attr=features)).relations["user", "rates", "film"]
    y = from_pyg(twin)(signals["film"], signals["user"], rule=rule)
    wanted = twin(pair, one["user", "rates", "film"].edge_index, features)
    assert error(y.x[0], wanted) <= 1e-10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: Data(), "a Data; give a torch_geometric.data.HeteroData"),
        (lambda d: HeteroData(), "no nodes; give"),
        (lambda d: d["film"].pop("x"), "the nodes 'film': found x of type NoneType"),
        (lambda d: d["user"].update({"x": values(3)}), r"x of shape \[3\]"),
        (
            lambda d: d["user", "rates", "film"].update({"edge_attr": values(2, 1)}),
            r"'rates', 'film'.: found torch.float64 of shape \[1, 2, 1\]; .*\[1 or B, 3, C\]",
        ),
        (lambda d: d["user", "rates", "film"].update({"edge_attr": [1]}), "edge_attr of type list"),
        (lambda d: d["user", "rates", "film"].pop("edge_index"), "edge_index of type NoneType"),
        (
            lambda d: d["user", "rates", "film"].update({"edge_index": torch.tensor([[7], [0]])}),
            "'rates', 'film'.: found senders from 7 to 7",
        ),
        (
            lambda d: d["tag", "of", "film"].update({"edge_index": torch.tensor([[0], [0]])}),
            "no nodes 'tag'",
        ),
    ],
    ids=range(9),
)
def test_what_cannot_become_relations_is_named(change, words):
    data = hetero()
    changed = change(data)
    if not isinstance(changed, Data | HeteroData):
        changed = data
    with pytest.raises(g.GeodlError, match=words):
        from_hetero(changed)
