"""What pools and unpools graphs: by scores, by clusters; states of whole graphs."""

from typing import Any

import pytest
import torch
from torch import Tensor

import geodl as g
from geodl import models
from geodl.models.graph_edges import Nearest
from geodl.models.graph_net import GraphNet, Widths
from geodl.models.graph_parts import Mix
from geodl.testing import error, outcome
from tests.graph_networks import EDGES, graph


def values(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("reduce", ["mean", "max", "min", "sum"])
def test_clusters_of_a_graph_and_back(reduce):
    domain = g.Graph([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2]], 5)
    s = g.Signal(values(2, 5, 3), domain)
    cluster = torch.tensor([0, 0, 1, 2, 2])
    pooled, rule = models.cluster_pool(s, cluster, reduce=reduce)
    parts = [s.x[:, cluster == k] for k in range(3)]
    reduced = [
        getattr(part, f"a{reduce}" if reduce in ("max", "min") else reduce)(1) for part in parts
    ]
    assert error(pooled.x, torch.stack(reduced, 1)) < 1e-12
    # 1 -> 2, 0 -> 2, 2 -> 3 and 4 -> 0, each pair of clusters once.
    assert {*zip(*pooled.domain.edge_index.tolist(), strict=True)} == {(0, 1), (1, 2), (2, 0)}
    back = g.Pool(rule.reverse(), "sum")(s, pooled)
    assert back.domain is domain and torch.equal(back.x, pooled.x[:, cluster])


@pytest.mark.parametrize("by_call", [False, True])
def test_links_between_clusters_carry_what_theirs_carry(by_call):
    index = [[0, 1, 1, 2, 3, 4, 0], [1, 2, 3, 3, 4, 0, 2]]
    types, weight = [0, 1, 1, 0, 1, 0, 0], torch.tensor([1.0, 2, 3, 4, 5, 6, 7]).double()
    domain, state = g.Graph(index, 5, edge_type=types), values(1, 7, 2)
    w = weight.clone().requires_grad_()
    if by_call:
        domain = domain.with_weights(w)
    else:
        domain = g.Graph(index, 5, edge_weight=weight, edge_type=types)
    s = g.Signal(values(1, 5, 3), domain, state)
    # Clusters 0 = {0, 1}, 1 = {2, 3}, 2 = {4}: 1 -> 2 and 1 -> 3 have type 1, 0 -> 2 type 0.
    pooled, _ = models.cluster_pool(s, [0, 0, 1, 1, 2])
    dst, src, summed = pooled.domain.links()
    found = zip(src.tolist(), dst.tolist(), pooled.domain.edge_type.tolist(), strict=True)
    places = {link: k for k, link in enumerate(found)}
    wanted = {(0, 1, 1): [1, 2], (0, 1, 0): [6], (1, 2, 1): [4], (2, 0, 0): [5]}
    assert places.keys() == wanted.keys()
    for link, theirs in wanted.items():
        k = places[link]
        assert error(summed[k], weight[theirs].sum()) < 1e-12
        assert error(pooled.edges[:, k], state[:, theirs].mean(1)) < 1e-12
    if by_call:
        (slope,) = torch.autograd.grad(summed.sum(), w)
        assert slope.tolist() == [0, 1, 1, 0, 1, 1, 1]
    alone, _ = models.cluster_pool(s, [0] * 5)
    assert alone.domain.num_links == 0 and alone.edges.shape == (1, 0, 2)


def test_clusters_of_a_batch_stay_in_their_members():
    parts = [graph(5, 0), graph(4, 1)]
    s = g.collate([g.Signal(values(1, part.num_nodes, 2), part) for part in parts])
    cluster = torch.tensor([0, 0, 1, 1, 2, 3, 3, 4, 4])
    pooled, _ = models.cluster_pool(s, cluster)
    assert pooled.domain.sizes == (3, 2)
    first, _ = models.cluster_pool(g.Signal(s.x[:, :5], parts[0]), cluster[:5])
    assert error(pooled.x[:, :3], first.x) < 1e-12
    member = pooled.domain.members[0]
    assert {*zip(*member.edge_index.tolist(), strict=True)} == {
        *zip(*first.domain.edge_index.tolist(), strict=True)
    }
    with pytest.raises(g.GeodlError, match="do not stand member after member"):
        models.cluster_pool(s, torch.tensor([0, 0, 1, 1, 2, 2, 3, 4, 4]))


def zeros(layer: g.Layer) -> g.Layer:
    for p in layer.parameters():
        torch.nn.init.zeros_(p)
    return layer


S = g.Signal(torch.zeros(1, 3, 2), g.Chain(3))
REFUSED = {
    "reduction": (lambda: models.cluster_pool(S, [0, 0, 1], reduce="maxx"), "did you mean 'max'"),
    "no signal": (lambda: models.cluster_pool(S.x, [0, 0, 1]), "give a Signal"),
    "too few": (lambda: models.cluster_pool(S, [0, 1]), "for each of the 3 nodes"),
    "no integers": (lambda: models.cluster_pool(S, [0.0, 0.0, 1.0]), "for each of the 3 nodes"),
    "negative": (lambda: models.cluster_pool(S, [0, -1, 1]), "the number -1"),
    "gap": (lambda: models.cluster_pool(S, [0, 2, 2]), "no node in cluster 1"),
    "ratio": (lambda: g.TopK(2, 1.5), "TopK(ratio=1.5)"),
    "no ratio": (lambda: g.TopK(2, 0), "TopK(ratio=0)"),
    "rows": (lambda: g.TopK(2)(g.Signal(torch.zeros(2, 3, 2), g.Complete(3))), "a batch of 2"),
    "channels": (lambda: g.TopK(4)(S), "2 channels"),
    "NaN": (lambda: g.TopK(2)(S.map(lambda x: x / 0)), "scores that are NaN"),
    "no direction": (lambda: zeros(g.TopK(2))(S), "a weight of zeros has no direction"),
    "NaN in a U-Net": (
        lambda: models.graph_unet(2, 3, 1, depth=1)(S.map(lambda x: x / 0)),
        "scores that are NaN",
    ),
    "rows of weights": (
        lambda: models.graph_unet(2, 3, 1)(
            g.Signal(torch.zeros(2, 2, 2), g.Graph([[0], [1]]).with_weights(torch.ones(2, 1)))
        ),
        "2 rows of weights",
    ),
    "two hops": (lambda: models.graph_unet(2, 3, 1, two_hops=2), "two_hops=2"),
    "no message": (lambda: g.Message(3, g.adjacency()), "Message(message=3): found a int"),
    "no update of edges": (lambda: g.EdgeUpdate(None, g.adjacency()), "EdgeUpdate(None)"),
    "level": (lambda: models.graph_net(2, 3, 1, level="graphs"), "did you mean 'graph'"),
    "edges": (lambda: models.graph_net(2, 3, 1, edge_channels=2)(S), "without a state of edges"),
    "other edges": (
        lambda: models.gine(2, 3, edge_channels=4)(S.with_edges(torch.zeros(1, 2, 3))),
        "edges of 3 channels",
    ),
    "globals": (lambda: models.graph_net(2, 3, 1, global_channels=2)(S), "without globals"),
    "readout": (lambda: models.deep_sets(2, 3, readout="sums"), "did you mean 'sum'"),
    "channels of layers": (
        lambda: models.jumping_knowledge(g.Pool(g.adjacency()), join="lstm"),
        "channels=None",
    ),
    "channels for a maximum": (
        lambda: models.jumping_knowledge(g.Pool(g.adjacency()), join="max", channels=2),
        "leave channels out",
    ),
    "dtype of a message": (
        lambda: models.edge_conv(2, 3, k=None)(S.to(torch.float64)),
        "values of torch.float64 and a message with parameters of torch.float32",
    ),
    "dtype of an edge update": (
        lambda: models.graph_net(2, 3, 1, edge_channels=2)(
            S.with_edges(torch.zeros(1, 2, 2)).to(torch.float64)
        ),
        "torch.float64",
    ),
    "layers": (lambda: models.virtual_node(g.Pool(g.adjacency()), channels=2), "1 layers"),
    "neighbors": (lambda: models.edge_conv(2, 3, k=0), "Nearest(k=0)"),
    "degree": (lambda: models.pna(2, 3, mean_log_degree=0), "mean_log_degree=0"),
    "scaler": (
        lambda: models.pna(2, 3, mean_log_degree=1.0, scalers=("linear",)),
        "scalers=('linear',)",
    ),
    "no scaler": (lambda: models.pna(2, 3, mean_log_degree=1.0, scalers=()), "scalers=()"),
    "no links": (lambda: models.mean_log_degree(g.Complete(1)), "no links"),
    "no domain": (lambda: models.mean_log_degree("a"), "a str; give a domain"),
    "width": (lambda: models.edge_conv(4, 3, k=None)(S), "2 channels"),
    "steps": (lambda: models.mpnn(2, 3, 1, edge_channels=2, steps=0), "steps=0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused(name):
    make: Any
    make, words = REFUSED[name]
    with pytest.raises(g.GeodlError) as found:
        make()
    assert words in str(found.value)


@pytest.mark.parametrize("level", ["node", "edge", "graph"])
def test_a_graph_net_answers_at_every_level(level):
    parts = [graph(5, 0), graph(3, 1)]
    signals = []
    for k, part in enumerate(parts):
        x, e = values(1, part.num_nodes, 3, seed=k), values(1, part.num_links, EDGES, seed=k)
        signals.append(g.Signal(x, part, e, values(1, 1, 4, seed=k)))
    options: dict[str, Any] = {"edge_channels": EDGES, "global_channels": 4, "level": level}
    model = models.graph_net(3, 5, 2, **options).double()
    together = model(g.collate(signals))
    alone = torch.cat([model(s).x for s in signals], 1)
    assert error(together.x, alone) < 1e-12
    gradients = outcome(model, signals[0])[1]
    unread = [name for name, grad in gradients.items() if not grad.any()]
    # The last block's other states are read by no one.
    assert all(name.startswith("1.") or level == "graph" for name in unread)


def test_a_graph_net_of_no_edge_channels_reads_none():
    domain, block = graph(5, 0), GraphNet(Widths(3, 0, 0), 4).double()
    s = g.Signal(values(1, 5, 3), domain)
    found = block(s.with_edges(values(1, domain.num_links, EDGES)))
    assert torch.equal(found.x, block(s).x) and torch.equal(found.edges, block(s).edges)


def test_sets_of_any_size_and_order():
    model = models.deep_sets(3, 5, 2, readout="mean").double()
    s = g.Signal(values(2, 6, 3), g.Complete(6))
    shuffled = g.Signal(s.x[:, torch.randperm(6)], g.Complete(6))
    assert error(model(shuffled).x, model(s).x) < 1e-12
    assert [p.numel() for p in model.parameters()] == [2 * 3 * 5, 5, 5 * 2, 2]


def test_degrees_are_counted_over_all_graphs():
    one, two = g.Graph([[0, 1], [1, 0]], 2), g.Graph([[0], [1]], 2)
    wanted = torch.tensor([1, 1, 0, 1]).add(1).log().mean()
    assert abs(models.mean_log_degree(one, two) - float(wanted)) < 1e-6
    assert abs(models.mean_log_degree(g.Batch([one, two])) - float(wanted)) < 1e-6


def test_second_derivatives_and_transforms():
    domain = graph(4, 0)
    block = GraphNet(Widths(2, EDGES, 0), 3).double()
    e = values(1, domain.num_links, EDGES)

    def answer(x: Tensor) -> Tensor:
        s = block(g.Signal(x, domain, e))
        mixed = Mix(0.3)(s, s.map(torch.sin))
        return mixed.x.sin().sum() + s.globals.square().sum()

    x = values(1, 4, 2).requires_grad_()
    assert torch.autograd.gradcheck(answer, x) and torch.autograd.gradgradcheck(answer, x)
    (wanted,) = torch.autograd.grad(answer(x), x)
    assert error(torch.func.grad(answer)(x), wanted) < 1e-12
    rows = values(3, 1, 4, 2)
    found = torch.func.vmap(answer)(rows)
    assert error(found, torch.stack([answer(row) for row in rows])) < 1e-12


def test_neighbors_are_found_anew_in_each_cloud():
    layer = Nearest(g.Pool(g.adjacency(weights=False), "max"), 1)
    points = torch.tensor([0.0, 1.0, 5.0, 0.0, 4.0, 5.0])[None, :, None]
    s = g.Signal(points, g.Batch([g.Complete(3), g.Complete(3)]))
    assert layer(s).x.flatten().tolist() == [1.0, 0.0, 1.0, 4.0, 5.0, 4.0]
    with pytest.raises(g.GeodlError, match="side by side: g.Batch"):
        layer(g.Signal(torch.zeros(2, 3, 1), g.Complete(3)))
