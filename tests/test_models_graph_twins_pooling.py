"""Pooling of graphs, and layers joined at each node, against PyG's: outputs and gradients."""

from typing import Any

import pytest
import torch
from torch_geometric import nn as pyg

import geodl as g
from geodl import models
from geodl.interop import from_pyg, to_pyg
from geodl.testing import error
from tests.graph_networks import graph
from tests.test_models_graph_twins import GRAPH, redrawn


def test_top_k_is_pygs():
    parts = [graph(8, 3), graph(5, 4)]
    batch = g.Batch(parts)
    for ratio in (0.4, 0.9, 3):
        twin = redrawn(pyg.TopKPooling(4, ratio))
        layer = g.TopK(4, ratio).double()
        with torch.no_grad():
            layer.weight.copy_(twin.select.weight[0])
        x = torch.randn(13, 4, dtype=torch.float64, requires_grad=True)
        links = batch.links()
        index = torch.stack((links.src, links.dst))
        theirs, edges, _, member, kept, _ = twin(x, index, batch=batch.member_of())
        ours, rule = layer.select(g.Signal(x[None], batch))
        assert error(ours.x[0], theirs) < 1e-12
        assert torch.equal(rule.edge_index[0], kept)
        assert torch.equal(ours.domain.member_of(), member)
        found = ours.domain.links()
        assert {*zip(found.src.tolist(), found.dst.tolist(), strict=True)} == {
            *zip(*edges.tolist(), strict=True)
        }
        upstream = torch.randn_like(theirs)
        wanted = torch.autograd.grad(theirs, [x, twin.select.weight], upstream)
        grads = torch.autograd.grad(ours.x[0], [x, layer.weight], upstream)
        assert error(grads[0], wanted[0]) < 1e-10 and error(grads[1], wanted[1][0]) < 1e-10


def copied(layer: Any, twin: pyg.GCNConv) -> None:
    """The weights of PyG's layer, whose self-loops then count as ours."""
    twin.improved = False
    layer.weight.copy_(twin.lin.weight.T[None])
    layer.bias.copy_(twin.bias)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # PyG makes a CSR tensor
def test_the_graph_u_net_is_pygs():
    twin = redrawn(pyg.GraphUNet(4, 6, 2, depth=2, pool_ratios=0.5))
    model = models.graph_unet(4, 6, 2, depth=2).double()
    levels = [model, model[2].inner, model[2].inner[2].inner]
    with torch.no_grad():
        for level, down in zip(levels, twin.down_convs, strict=True):
            copied(level[0], down)
        for level, up in zip(levels[1::-1], twin.up_convs, strict=True):
            copied(level[3], up)
        for level, pool in zip(levels, twin.pools, strict=False):
            level[2].pool.weight.copy_(pool.select.weight[0])
    domain = graph(12, 1)
    x = torch.randn(12, 4, dtype=torch.float64, requires_grad=True)
    wanted, found = twin(x, domain.edge_index), model(g.Signal(x[None], domain)).x[0]
    assert error(found, wanted) < 1e-10
    slopes = [torch.autograd.grad(y.sin().sum(), x, retain_graph=True)[0] for y in (wanted, found)]
    assert error(*slopes) < 1e-10
    # A graph beside another one, and weights that come with the call, change nothing.
    two = g.collate([g.Signal(x[None], domain), g.Signal(x[None, :5], graph(5, 0))])
    assert error(model(two).x[0, :12], wanted) < 1e-10
    w = torch.ones(domain.num_links, dtype=torch.float64, requires_grad=True)
    weighted = model(g.Signal(x[None], domain.with_weights(w[None]))).x[0]
    assert error(weighted, wanted) < 1e-10
    assert torch.autograd.grad(weighted.sin().sum(), w)[0].abs().max() > 1e-3


@pytest.mark.parametrize("channels", [3, 4])
def test_layers_weighted_by_an_lstm_are_pygs(channels):
    rule = g.adjacency("sym", self_loops=True)
    convs = [g.Conv(4, channels, rule), g.Conv(channels, channels, rule)]
    convs.append(g.Conv(channels, channels, rule))
    model = models.jumping_knowledge(*convs, join="lstm", channels=channels).double()
    twin = redrawn(pyg.JumpingKnowledge("lstm", channels, num_layers=3))
    joined: Any = model["joined"]
    joined.lstm.load_state_dict(twin.lstm.state_dict())
    joined.attention.load_state_dict(twin.att.state_dict())
    x = torch.randn(2, 8, 4, dtype=torch.float64)
    answers = [g.Signal(x, GRAPH)]
    for conv in convs:
        answers.append(conv(answers[-1]))
    wanted = torch.stack([twin([s.x[k] for s in answers[1:]]) for k in range(2)])
    assert error(model(answers[0]).x, wanted) < 1e-12
    assert model(g.Signal(x[:0], GRAPH)).shape == (0, 8, channels)


# The compiler makes an instance of every autograd.Function that it meets.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_layers_weighted_by_an_lstm_compile_where_the_compiler_takes_one():
    rule = g.adjacency("sym", self_loops=True)
    convs = [g.Conv(4, 4, rule), g.Conv(4, 4, rule)]
    model = models.jumping_knowledge(*convs, join="lstm", channels=4)
    signal = g.Signal(torch.randn(2, 8, 4), GRAPH)
    g.prepare(model, signal)
    torch.compiler.reset()
    with torch._dynamo.config.patch(allow_rnn=True):
        fast = torch.compile(model, fullgraph=True, backend="aot_eager")(signal).x
    assert error(fast, model(signal).x) < 1e-6
    torch.compiler.reset()


def test_a_model_of_pyg_with_an_lstm_over_its_layers_comes_and_goes_back():
    twin = redrawn(pyg.GCN(4, 5, 2, 3, jk="lstm")).eval()
    network = from_pyg(twin)
    x = torch.randn(8, 4, dtype=torch.float64)
    wanted = twin(x, GRAPH.edge_index)
    assert error(network(x, GRAPH.edge_index), wanted) < 1e-12 and not network.opaque()
    back = to_pyg(network)
    assert back.state_dict().keys() == twin.state_dict().keys()
    assert error(back(x, GRAPH.edge_index), wanted) < 1e-12
