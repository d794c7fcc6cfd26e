"""PyG's ChebConv, RGCNConv, GCN2Conv, GINEConv, PNAConv, both ways: outputs and gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg

import geodl as g
from geodl import models
from geodl.interop import from_pyg, to_pyg
from geodl.testing import error
from tests.graph_networks import EDGES, TYPES, graph
from tests.twins import assert_same_state, assert_twins, drawn

GRAPH = graph(8, 3)
INDEX = GRAPH.edge_index
DEGREES = torch.tensor([1, 2, 4, 1])


def values(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


E = values(GRAPH.num_links, EDGES, seed=1)


class Twin(NamedTuple):
    """A convolution of PyG, and how it is called."""

    make: Callable[[], nn.Module]
    call: Callable[[Any, Tensor], Tensor]


def on_links(twin: Any, x: Tensor) -> Tensor:
    return twin(x[0], INDEX)[None]


def with_types(twin: Any, x: Tensor) -> Tensor:
    return twin(x[0], INDEX, GRAPH.edge_type)[None]


def with_edges(twin: Any, x: Tensor) -> Tensor:
    return twin(x[0], INDEX, E)[None]


def with_first(twin: Any, x: Tensor) -> Tensor:
    return twin(x[0], x[0].sin(), INDEX)[None]


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))


def pna(**options: Any) -> nn.Module:
    aggregators = options.pop("aggregators", ["mean", "min", "max", "std"])
    scalers = options.pop("scalers", ["identity", "amplification", "attenuation"])
    return pyg.PNAConv(4, 6, aggregators, scalers, DEGREES, **options)


def drawn_pna(**options: Any) -> Callable[[], nn.Module]:
    return lambda: pna(**options)


ALL_SCALERS = ["linear", "inverse_linear", "identity", "amplification", "attenuation"]
TWINS = {
    "cheb": Twin(lambda: pyg.ChebConv(4, 3, 3), on_links),
    "cheb rw": Twin(lambda: pyg.ChebConv(4, 3, 2, normalization="rw", bias=False), on_links),
    "cheb of one term": Twin(lambda: pyg.ChebConv(4, 3, 1), on_links),
    "rgcn": Twin(lambda: pyg.RGCNConv(4, 6, TYPES), with_types),
    "rgcn sum": Twin(lambda: pyg.RGCNConv(4, 6, TYPES, aggr="add", root_weight=False), with_types),
    "rgcn of bases": Twin(lambda: pyg.RGCNConv(4, 6, TYPES, num_bases=2), with_types),
    "rgcn of blocks": Twin(lambda: pyg.RGCNConv(4, 6, TYPES, num_blocks=2, bias=False), with_types),
    "gcn2": Twin(lambda: pyg.GCN2Conv(4, 0.2, 0.5, 3), with_first),
    "gcn2 apart": Twin(lambda: pyg.GCN2Conv(4, 0.2, 0.5, 3, shared_weights=False), with_first),
    "gcn2 plain": Twin(
        lambda: pyg.GCN2Conv(4, 0.2, normalize=False, add_self_loops=False), with_first
    ),
    "gine": Twin(lambda: pyg.GINEConv(perceptron(), 0.3, edge_dim=EDGES), with_edges),
    "gine max": Twin(
        lambda: pyg.GINEConv(perceptron(), train_eps=True, edge_dim=EDGES, aggr="max"), with_edges
    ),
    "gine without a projection": Twin(
        lambda: pyg.GINEConv(nn.Linear(4, 3)), lambda twin, x: twin(x[0], INDEX, E @ WIDER)[None]
    ),
    "pna": Twin(drawn_pna(), on_links),
    "pna of edges": Twin(
        drawn_pna(edge_dim=EDGES, aggregators=["sum"], scalers=ALL_SCALERS), with_edges
    ),
    "pna of towers": Twin(
        drawn_pna(towers=2, divide_input=True, pre_layers=2, post_layers=2, act="tanh"), on_links
    ),
    "pna whose means are trained": Twin(drawn_pna(towers=2, train_norm=True), on_links),
}
WIDER = values(EDGES, 4, seed=2)


def ours_on_graph(name: str) -> Callable[[Any, Tensor], Tensor]:
    edges = None
    if "gine" in name or "edges" in name:
        edges = E[None]
    if "projection" in name:
        edges = (E @ WIDER)[None]

    def call(layer: Any, x: Tensor) -> Tensor:
        s = g.Signal(x, GRAPH, edges)
        if "gcn2" in name:
            return layer(s, s.map(torch.sin)).x
        return layer(s).x

    return call


@pytest.mark.parametrize("name", TWINS)
def test_twins_agree_both_ways(name):
    twin = drawn(TWINS[name].make())
    if name.startswith("pna"):
        # Means of degrees are positive.
        with torch.no_grad():
            for key in ("avg_deg_log", "avg_deg_lin"):
                getattr(twin.aggr_module, key).fill_(1.7)
    layer, call = from_pyg(twin), TWINS[name].call
    assert not any(type(m).__module__.startswith("torch_geometric") for m in layer.modules())
    assert_twins(twin, layer, values(1, 8, 4), call, ours_on_graph(name), convert=from_pyg)
    back = to_pyg(layer)
    assert_same_state(twin, back)
    x = values(1, 8, 4)
    assert error(call(back, x), call(twin, x)) < 1e-12
    assert [p.requires_grad for p in back.parameters()] == [
        p.requires_grad for p in twin.parameters()
    ]
    assert not to_pyg(from_pyg(twin.eval())).training


MODELS = {
    "chebnet": (lambda: models.chebnet(4, 3, dropout=0.0)[0], pyg.ChebConv),
    "rgcn": (lambda: models.rgcn_layer(4, 6, types=TYPES, bases=2), pyg.RGCNConv),
    "gcnii": (lambda: models.gcnii_layer(4, alpha=0.2, beta=0.3), pyg.GCN2Conv),
    "pna": (lambda: models.pna_layer(4, 6, mean_log_degree=1.2), pyg.PNAConv),
}


@pytest.mark.parametrize("name", MODELS)
def test_layers_of_our_models_have_twins(name):
    make, kind = MODELS[name]
    layer = make().double()
    twin = to_pyg(layer)
    assert isinstance(twin, kind)
    again = from_pyg(twin)
    assert [*again.state_dict()] == [*layer.state_dict()]
    s = g.Signal(values(1, 8, 4), GRAPH)
    given = (s, s) if name == "gcnii" else (s,)
    assert error(again(*given).x, layer(*given).x) < 1e-12


@pytest.mark.parametrize("aggregation", ["mean", "sum", "max"])
@pytest.mark.parametrize("project", [False, True])
def test_a_graph_sage_of_our_models_has_a_twin(aggregation, project):
    layer = models.sage_layer(4, 3, aggregation=aggregation, project=project).double()
    twin, x = to_pyg(layer), values(1, 8, 4)
    assert isinstance(twin, pyg.SAGEConv)
    assert error(on_links(twin, x), layer(g.Signal(x, GRAPH)).x) < 1e-12
    with pytest.raises(g.GeodlError, match="weights=False"):
        to_pyg(g.Residual(*layer.inner, shortcut=nn.Linear(4, 3)))


FROM = {
    "laplacian": (lambda: pyg.ChebConv(4, 3, 2, normalization=None), "normalization=None"),
    "two kinds": (lambda: pyg.RGCNConv((4, 3), 6, 2), "of two kinds of nodes"),
    "rgcn max": (lambda: pyg.RGCNConv(4, 6, 2, aggr="max"), "aggr='max'"),
    "flow": (lambda: pyg.GINEConv(nn.Linear(4, 3), flow="target_to_source"), "flow="),
    "aggregator": (drawn_pna(aggregators=["var"]), "the aggregator VarAggregation"),
    "activation": (drawn_pna(pre_layers=2, act=nn.Softmax(1)), "the activation Softmax"),
    "theta": (lambda: pyg.GCN2Conv(4, 0.1, 5.0, 1), "share=1.79"),
}


@pytest.mark.parametrize("name", FROM)
def test_what_has_no_layer_is_refused(name):
    make, words = FROM[name]
    with pytest.raises(g.GeodlError, match=words):
        from_pyg(make())


def test_parts_of_a_weight_are_trained_together():
    twin = pyg.ChebConv(4, 3, 2)
    twin.lins[0].requires_grad_(False)
    with pytest.raises(g.GeodlError, match="of which some are trained"):
        from_pyg(twin)


def test_a_layer_that_reads_edges_says_so():
    with pytest.raises(g.GeodlError, match="without a state of edges"):
        from_pyg(pyg.GINEConv(perceptron(), edge_dim=EDGES))(g.Signal(torch.zeros(1, 8, 4), GRAPH))


def test_a_chebyshev_filter_keeps_its_meaning_on_directed_graphs():
    layer = from_pyg(pyg.ChebConv(4, 3, 2))
    with pytest.raises(g.GeodlError, match="nodes 0 and 1, linked in one direction alone"):
        layer(g.Signal(torch.zeros(1, 2, 4), g.Graph([[0], [1]])))


class Various(nn.Module):
    """A user's model that calls each of them."""

    def __init__(self):
        super().__init__()
        self.cheb = pyg.ChebConv(4, 4, 2)
        self.gcn2 = pyg.GCN2Conv(4, 0.2, 0.5, 1)
        self.rgcn = pyg.RGCNConv(4, 4, TYPES, num_bases=2)
        self.gine = pyg.GINEConv(perceptron(), edge_dim=EDGES)
        self.pna = pyg.PNAConv(3, 2, ["mean", "max"], ["identity", "amplification"], DEGREES)

    def forward(self, x, edge_index, edge_attr, edge_type):
        first = self.cheb(x, edge_index).relu()
        x = self.gcn2(first, first, edge_index) + self.rgcn(first, edge_index, edge_type)
        return self.pna(self.gine(x, edge_index, edge_attr).tanh(), edge_index)


def test_models_that_call_them_are_imported_whole():
    model = drawn(Various())
    with torch.no_grad():
        for key in ("avg_deg_log", "avg_deg_lin"):
            getattr(model.pna.aggr_module, key).fill_(1.7)
    x = values(8, 4).requires_grad_()
    given = (INDEX, E, GRAPH.edge_type)
    network = from_pyg(model, (x.detach(), *given))
    assert network.opaque() == {}
    theirs, ours = model(x, *given), network(x, *given)
    assert error(ours, theirs) < 1e-10
    upstream = torch.randn_like(theirs)
    (wanted,) = torch.autograd.grad(theirs, x, upstream)
    (found,) = torch.autograd.grad(ours, x, upstream)
    assert error(found, wanted) < 1e-10
    signal = network(g.Signal(x[None], GRAPH, E[None]))
    assert error(signal.x[0], theirs) < 1e-10
