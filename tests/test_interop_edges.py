"""Attention and graph convolution on the edges that a domain has: a mask is a missing edge."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import GCNConv

import geodl as g
from geodl.interop import from_pyg, from_torch, to_pyg, to_torch
from geodl.neighborhood import full_or_adjacency
from geodl.testing import assert_lowered_to, assert_parity, error
from tests.twins import as_sequence, assert_same_state, assert_twins, drawn, of_attention, plainly


@given(
    heads=st.sampled_from([1, 2, 4]),
    nodes=st.integers(1, 6),
    options=st.fixed_dictionaries(
        {
            "bias": st.booleans(),
            "batch_first": st.booleans(),
            "dropout": st.sampled_from([0.0, 0.25]),
            "kdim": st.sampled_from([None, 8]),
        }
    ),
    data=st.data(),
)
def test_attention(heads, nodes, options, data):
    twin = drawn(nn.MultiheadAttention(8, heads, **options)).eval()
    for p in list(twin.parameters())[1:]:
        p.requires_grad_(data.draw(st.booleans()))
    layer = from_torch(twin)
    x = torch.randn(2, nodes, 8, dtype=torch.float64)
    assert_twins(twin, layer, x, of_attention(), as_sequence)
    back = to_torch(layer)
    assert_same_state(twin, back)
    kept = ("num_heads", "dropout", "training")
    assert [getattr(back, name) for name in kept] == [getattr(twin, name) for name in kept]
    assert [p.requires_grad for p in back.parameters()] == [
        p.requires_grad for p in twin.parameters()
    ]
    assert back.batch_first


def test_cross_attention():
    twin = drawn(nn.MultiheadAttention(8, 2, batch_first=True))
    layer = from_torch(twin)
    x, memory = torch.randn(2, 5, 8, dtype=torch.float64), torch.randn(2, 7, 8, dtype=torch.float64)
    wanted = twin(x, memory, memory)[0]
    graph = g.Graph([[0], [1]], 7)
    for domain in (g.Chain(7), graph):
        assert error(layer(g.Signal.sequence(x), g.Signal(memory, domain)).x, wanted) <= 1e-10


def ring(n):
    """Each node's edges to both sides and to itself, and the mask that says the same."""
    node = torch.arange(n)
    dst, src = node.repeat(3), torch.cat((node, (node + 1) % n, (node - 1) % n))
    missing = torch.ones(n, n, dtype=torch.bool)
    missing[dst, src] = False
    return torch.stack((src, dst)), missing


def test_attention_on_a_graph_is_masked_attention():
    edge_index, missing = ring(7)
    twin = drawn(nn.MultiheadAttention(8, 2, batch_first=True))
    layer, graph = from_torch(twin), g.Graph(edge_index, 7)
    x = torch.randn(2, 7, 8, dtype=torch.float64)
    assert_twins(
        twin, layer, x, of_attention(missing), lambda layer, x: layer(g.Signal(x, graph)).x
    )
    alone = g.Graph(edge_index[:, 7:], 7)
    around = layer.over(g.adjacency(self_loops=True))
    assert error(around(g.Signal(x, alone)).x, layer(g.Signal(x, graph)).x) <= 1e-12
    assert error(layer(g.Signal(x, alone)).x, twin(x, x, x)[0]) > 1e-3
    causal = layer.over(g.past())
    later = torch.ones(7, 7).triu(1).bool()
    assert error(causal(g.Signal.sequence(x)).x, twin(x, x, x, attn_mask=later)[0]) <= 1e-10


@pytest.mark.parametrize("norm", [None, "sym"])
def test_attention_takes_no_weighted_edges(norm):
    layer = from_torch(nn.MultiheadAttention(4, 2))
    weighted = g.Graph([[0, 1], [1, 0]], edge_weight=[0.5, 2.0])
    with pytest.raises(
        g.GeodlError,
        match=r"weighted edges; use adjacency\(weights=False\), without a norm",
    ):
        (layer if norm is None else layer.over(g.adjacency(norm, self_loops=True)))(
            g.Signal(torch.zeros(1, 2, 4), weighted)
        )


def test_all_or_links_by_domain():
    graph, rule = g.Graph([[0, 1], [1, 2]], 3), full_or_adjacency()
    everyone, links = g.all_pairs(), g.adjacency()
    for domain in (
        g.Chain(3),
        g.Grid(2, 2),
        g.Complete(4),
        g.GroupGrid(g.Grid(2, 2), g.C(4)),
        g.Batch([g.Chain(3), g.Grid(2)]),
    ):
        assert rule.resolve(domain) == everyone
        assert [
            torch.equal(a, b)
            for a, b in zip(rule.edges(domain)[:3], everyone.edges(domain)[:3], strict=True)
        ] == [True] * 3
    for domain in (graph, g.Batch([graph, graph])):
        assert rule.resolve(domain) == links
        assert [
            torch.equal(a, b)
            for a, b in zip(rule.edges(domain)[:3], links.edges(domain)[:3], strict=True)
        ] == [True] * 3
        assert rule.symmetries(domain) == []
    assert rule.resolve(graph, g.Chain(2)) == everyone
    mixed = g.Batch([graph, g.Chain(2)])
    assert rule.resolve(mixed) == rule
    dst, src, *_ = rule.edges(mixed)
    assert sorted(zip(dst.tolist(), src.tolist(), strict=True)) == [
        (1, 0),
        (2, 1),
        (3, 3),
        (3, 4),
        (4, 3),
        (4, 4),
    ]
    assert (str(rule), rule.symmetries(mixed)) == ("full_or_adjacency()", [])


def test_all_or_links_runs_on_the_kernel_of_what_it_is():
    layer = from_torch(drawn(nn.MultiheadAttention(8, 2)))
    graph = g.Graph.small()[1]
    for domain, name in (
        (g.Chain(5), "sdpa"),
        (graph, "edge_softmax"),
        (g.Batch([graph, g.Chain(3)]), "edge_softmax"),
    ):
        signal = g.Signal(torch.randn(1, domain.num_nodes, 8, dtype=torch.float64), domain)
        assert_lowered_to(name, layer, signal)
        assert layer.explain(domain).lowering == name
        assert name in assert_parity(layer, signal)
    assert g.certify(layer, g.Chain(4)).exact
    assert layer.weights(g.Signal(torch.zeros(1, 7, 8, dtype=torch.float64), graph)).x.shape == (
        1,
        10,
        2,
    )


def random_graph(nodes, edges, seed=0, weighted=False, loops=0):
    draw = torch.Generator().manual_seed(seed)
    index = torch.randint(nodes, (2, edges), generator=draw)
    index = index[:, index[0] != index[1]]
    loop = torch.randperm(nodes, generator=draw)[:loops]
    index = torch.cat((index, loop.expand(2, -1)), dim=1)
    weight = (
        torch.rand(index.shape[1], generator=draw, dtype=torch.float64) + 0.1 if weighted else None
    )
    return g.Graph(index, nodes, edge_weight=weight)


@pytest.mark.parametrize(("normalize", "loops"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize(("weighted", "existing"), [(False, 0), (False, 40), (True, 0), (True, 40)])
@pytest.mark.parametrize("bias", [True, False])
def test_graph_convolution(normalize, loops, weighted, existing, bias):
    graph = random_graph(200, 900, weighted=weighted, loops=existing)
    twin = drawn(GCNConv(6, 4, normalize=normalize, add_self_loops=loops, bias=bias, cached=True))
    layer = from_pyg(twin)
    assert_twins(
        twin,
        layer,
        torch.randn(1, 200, 6, dtype=torch.float64),
        lambda twin, x: twin(x[0], graph.edge_index, graph.edge_weight)[None],
        lambda layer, x: layer(g.Signal(x, graph)).x,
        convert=from_pyg,
    )
    back = to_pyg(layer)
    assert_same_state(twin, back)
    assert (back.normalize, back.add_self_loops) == (normalize, loops)


@st.composite
def multigraphs(draw):
    """Few nodes with edges and self-loops that may be there twice."""
    nodes = draw(st.integers(1, 5))
    node = st.integers(0, nodes - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=16))
    index = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    weight = None
    if draw(st.booleans()):
        weight = torch.rand(len(pairs), dtype=torch.float64) + 0.1
    return g.Graph(index, nodes, edge_weight=weight)


@given(
    graph=multigraphs(),
    options=st.fixed_dictionaries(
        {
            "normalize": st.booleans(),
            "bias": st.booleans(),
            "cached": st.booleans(),
            "node_dim": st.sampled_from([-2, 0]),
            "decomposed_layers": st.sampled_from([1, 2]),
        }
    ),
    data=st.data(),
)
def test_options_of_graph_convolution(graph, options, data):
    loops = options["normalize"] and data.draw(st.booleans())
    improved = not loops and data.draw(st.booleans())
    twin = drawn(GCNConv(4, 2, add_self_loops=loops, improved=improved, **options))
    layer = from_pyg(twin)
    assert_twins(
        twin,
        layer,
        torch.randn(1, graph.num_nodes, 4, dtype=torch.float64),
        lambda twin, x: twin(x[0], graph.edge_index, graph.edge_weight)[None],
        lambda layer, x: layer(g.Signal(x, graph)).x,
        convert=from_pyg,
    )
    assert_same_state(twin, to_pyg(layer))


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 3.0, 0.25]])
def test_several_self_loops_of_a_node_are_one(weights):
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    graph = g.Graph([[0, 1, 1, 1], [1, 0, 1, 1]], edge_weight=weight)
    twin = drawn(GCNConv(3, 2))
    assert_twins(
        twin,
        from_pyg(twin),
        torch.randn(1, 2, 3, dtype=torch.float64),
        lambda twin, x: twin(x[0], graph.edge_index, graph.edge_weight)[None],
        lambda layer, x: layer(g.Signal(x, graph)).x,
        convert=from_pyg,
    )


def test_graph_convolution_at_the_size_of_cora():
    graph = random_graph(2708, 10556, weighted=True, loops=100)
    twin = drawn(GCNConv(64, 16))
    x = torch.randn(1, 2708, 64, dtype=torch.float64)
    placed = from_pyg(twin, on=graph)
    assert_twins(
        twin,
        placed,
        x,
        lambda twin, x: twin(x[0], graph.edge_index, graph.edge_weight)[None],
        plainly,
        convert=from_pyg,
    )
