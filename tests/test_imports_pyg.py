"""Whole models of PyG as networks: the same numbers and gradients, on Signals and on PyG's own
arguments.
"""

import copy
import inspect
import pickle

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl.interop import from_pyg, to_pyg
from geodl.testing import error
from tests import foreign_graphs
from tests.foreign_graphs import MODELS
from tests.twins import drawn

EDGES = torch.tensor([[0, 1, 2, 3, 4, 1, 2, 0, 6, 3], [1, 0, 1, 4, 3, 2, 0, 2, 5, 3]])
MEMBERS = torch.tensor([0, 0, 0, 1, 1, 2, 2])
OF_EDGES = ("OfEdges", "Many", "PNA")  # which have no way without features of edges
every_model = pytest.mark.parametrize("name", MODELS)


def arguments(model, *, weights=True):
    """Features, links and what else a model takes, on seven nodes in three graphs."""
    names = list(inspect.signature(model.forward).parameters)
    if hasattr(model, "signature"):
        names = list(model.signature.param_dict)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    given = {"x": x, "edge_index": EDGES}
    if weights and "edge_weight" in names:
        weight = torch.rand(EDGES.shape[1], generator=generator, dtype=torch.float64)
        given["edge_weight"] = weight + 0.1
    reads = any(getattr(part, "edge_dim", None) for part in model.modules())
    if "edge_attr" in names and weights and (reads or "edge_weight" not in names):
        shape = (EDGES.shape[1], 2)
        given["edge_attr"] = torch.randn(shape, generator=generator, dtype=torch.float64)
    if "edge_type" in names:
        given["edge_type"] = torch.arange(EDGES.shape[1]) % 3
    if "batch" in names:
        given["batch"] = MEMBERS
    return given


def outputs_and_gradients(model, given):
    x = given["x"].clone().requires_grad_()
    y = model(**{**given, "x": x})
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(4), dtype=y.dtype)
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
    wanted["the input"] = x
    found = torch.autograd.grad(y, list(wanted.values()), upstream, allow_unused=True)
    grads = {
        name: torch.zeros_like(p) if grad is None else grad
        for (name, p), grad in zip(wanted.items(), found, strict=True)
    }
    return y, grads


@every_model
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("weights", [False, True])
def test_a_model_and_its_import_agree(name, training, weights):
    model = drawn(MODELS[name]()).train(training)
    given = arguments(model, weights=weights or name in OF_EDGES)
    network = from_pyg(model)
    assert isinstance(network, g.Network)
    assert {part.training for part in network.modules()} == {training}
    twin = copy.deepcopy(model)
    theirs, wanted = outputs_and_gradients(twin, given)
    ours, found = outputs_and_gradients(network, given)
    assert error(ours, theirs) <= 1e-10
    assert error(found.pop("the input"), wanted.pop("the input")) <= 1e-10
    carrier = copy.deepcopy(model)
    with torch.no_grad():
        for key, p in carrier.named_parameters():
            p.copy_(wanted[key])
    carried = dict(from_pyg(carrier).named_parameters())
    differ = [key for key, grad in found.items() if error(grad, carried[key]) > 1e-10]
    assert differ == []
    # Attention stacks what PyG keeps apart.
    assert sum(map(Tensor.numel, found.values())) == sum(map(Tensor.numel, wanted.values()))


@every_model
def test_no_module_of_pyg_remains(name):
    network = from_pyg(MODELS[name]())
    left = {
        type(part).__name__
        for part in network.modules()
        if type(part).__module__.startswith("torch_geometric")
    }
    if name == "Residuals":
        assert {"edge_index", "tag"} == set(network.opaque())
        assert "TAGConv" in left
    else:
        assert left == set()
        assert network.opaque() == {}


@every_model
def test_an_import_takes_signals(name):
    model = drawn(MODELS[name]()).eval()
    given = arguments(model, weights=name in OF_EDGES)
    network = from_pyg(model)
    domain, edges = g.Graph(EDGES, 7, edge_type=given.get("edge_type")), None
    if "batch" in given:
        domain = g.Batch.from_union(domain, [0, 3, 5, 7])
    if "edge_attr" in given:
        edges = given["edge_attr"][None]
    answer = network(g.Signal(given["x"][None], domain, edges))
    assert error(answer.x[0], model(**given)) <= 1e-10


@every_model
def test_a_model_comes_back(name):
    model = drawn(MODELS[name]()).eval()
    given = arguments(model)
    network = from_pyg(model)
    back = to_pyg(network)
    assert error(back(**given), model(**given)) <= 1e-10
    assert {k: v.shape for k, v in back.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in back.state_dict().items())


@every_model
@pytest.mark.parametrize("how", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_of_imports(name, how):
    model = drawn(MODELS[name]()).eval()
    given = arguments(model)
    network = from_pyg(model)
    network(**given)
    twin = how(network)
    assert torch.equal(twin(**given), network(**given))


def test_a_graph_is_remembered_by_its_tensors():
    model = drawn(MODELS["Sequential"]()).eval()
    given = arguments(model)
    network = from_pyg(model)
    with g.trace(network) as events:
        # A small batch is remembered when it comes for the second time.
        for _ in range(3):
            network(**given)
    domains = [event.source for event in events if event.path == "module_0"]
    assert domains[1] is domains[2]
    edges = given["edge_index"].clone()
    first = network(**{**given, "edge_index": edges})
    edges[:, 0] = edges[:, 1]
    assert (
        error(network(**{**given, "edge_index": edges}), model(**{**given, "edge_index": edges}))
        <= 1e-10
    )
    assert error(first, network(**{**given, "edge_index": edges})) > 1e-6


def test_names_are_those_of_the_model():
    network = from_pyg(MODELS["GCN"]())
    assert list(network) == [
        "convs.0",
        "norms.0",
        "act",
        "dropout",
        "convs.1",
        "norms.1",
        "act_1",
        "dropout_1",
        "convs.2",
    ]
    assert isinstance(network["convs.0"], g.Conv)


def test_an_import_is_explained_and_certified():
    model = drawn(MODELS["GCN"]()).eval()
    network = from_pyg(model)
    graph = g.Graph([[0, 1, 2, 3], [1, 2, 3, 0]], 4)
    s = g.Signal(torch.randn(1, 4, 3, dtype=torch.float64), graph)
    assert {choice.lowering for choice in g.explain(network, s).choices} == {"spmm"}
    g.set_lowering(network, "edges")
    assert error(network(s).x[0], model(s.x[0], graph.edge_index)) <= 1e-10
    # Graphs vouch for no symmetry of their own: complete domains and Cayley graphs do.
    assert g.certify(network, g.Complete(4)).exact
    tagged = from_pyg(foreign_graphs.Residuals())
    assert not g.certify(tagged, g.Complete(4)).exact


def test_weights_that_are_learnt_get_gradients():
    model = drawn(foreign_graphs.TwoBranches()).eval()
    given = arguments(model)
    network = from_pyg(model)
    grads = []
    for one in (model, network):
        weight = given["edge_weight"].clone().requires_grad_()
        one(**{**given, "edge_weight": weight}).square().sum().backward()
        grads.append(weight.grad)
    assert error(*grads) <= 1e-10


class NoLinks(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)

    def forward(self, x):
        return self.lin(x)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)

    def forward(self, x, pos, edge_index):
        return self.lin(x) + pos


def test_models_that_are_refused():
    with pytest.raises(g.GeodlError, match="x, edge_index"):
        from_pyg(NoLinks())
    with pytest.raises(g.GeodlError, match="give its arguments"):
        from_pyg(TwoInputs())
    network = from_pyg(MODELS["GCN"]())
    with pytest.raises(g.GeodlError, match="no edge_index; call it as the original"):
        network(torch.zeros(2, 3))
    with pytest.raises(g.GeodlError, match="made with num_sampled_nodes_per_hop=None"):
        network(torch.zeros(2, 3), EDGES[:, :0], num_sampled_nodes_per_hop=[2])


def test_a_model_of_two_features_takes_its_example():
    model = drawn(TwoInputs())
    x, pos = torch.randn(2, 5, 2, dtype=torch.float64)
    edges = torch.tensor([[0, 1], [1, 0]])
    network = from_pyg(model, (x, pos, edges))
    assert error(network(x, pos, edges), model(x, pos, edges)) <= 1e-12
