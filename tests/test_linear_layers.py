"""Linear layers with blocks of channels, and with no weights at all."""

import pytest
import torch
from torch import Tensor, nn

import geodl as g
from geodl.interop import to_escnn, to_pyg, to_torch
from geodl.testing import assert_equivariant, error

GCN = g.adjacency("sym", self_loops=True)
GRAPH = g.Graph([[0, 1, 2, 3, 1], [1, 2, 3, 0, 3]], 5, edge_weight=[0.5, 2.0, 1.0, 3.0, 0.25])
KNOWN = g.Graph([[0, 1, 2, 0], [1, 2, 0, 1]], 4, edge_type=[0, 1, 0, 1])
P4 = g.GroupGrid(g.Grid(5, 5), g.C(4))


def values(domain: g.Domain, channels: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = batch, domain.num_nodes, channels
    return torch.randn(shape, generator=generator, dtype=torch.float64)


BLOCKS = {
    "window": (g.window(3), g.Grid(4, 5)),
    "group window": (g.window(3, group=g.C(4)), P4),
    "lift": (g.lift(3, group=g.D(4)), g.Grid(4, 4)),
    "transposed": (g.window(2, stride=2).reverse(), g.Grid(3, 3)),
    "graph": (GCN, GRAPH),
    "relations": (g.adjacency(types=2), KNOWN),
    "set": (g.all_pairs("self"), g.Complete(4)),
    "past": (g.past(), g.Chain(4)),
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("lowering", ["auto", "edges"])
def test_groups_are_convolutions_of_parts_beside_each_other(name, lowering):
    rule, domain = BLOCKS[name]
    torch.manual_seed(0)
    layer = g.Conv(4, 6, rule, groups=2).double()
    layer.lowering = lowering
    x = values(domain, 4)
    parts = []
    for k in range(2):
        part = g.Conv(2, 3, rule).double()
        with torch.no_grad():
            part.weight.copy_(layer.weight[:, :, 3 * k : 3 * k + 3])
            part.bias.copy_(layer.bias[3 * k : 3 * k + 3])
        parts.append(part(g.Signal(x[:, :, 2 * k : 2 * k + 2], domain)).x)
    assert error(layer(g.Signal(x, domain)).x, torch.cat(parts, 2)) < 1e-12


def test_channels_of_one_part_do_not_reach_another():
    x = values(P4, 4, batch=1).requires_grad_()
    layer = g.Conv(4, 4, g.window(3, group=g.C(4)), groups=4).double()
    (slope,) = torch.autograd.grad(layer(g.Signal(x, P4)).x[..., 1].sum(), x)
    assert slope[..., 1].any() and not slope[..., [0, 2, 3]].any()


def test_depthwise_group_convolutions_are_certified():
    layer = g.Conv(4, 4, g.window(3, group=g.C(4)), groups=4).double()
    assert g.certify(layer, P4).exact
    assert_equivariant(layer, g.Signal(values(P4, 4), P4), g.C(4))
    separable = g.Sequential(
        g.Conv(4, 4, g.window(3, group=g.C(4)), groups=4), nn.ReLU(), g.Conv(4, 2, g.itself())
    )
    assert g.certify(separable.double(), P4).exact


def test_depthwise_on_sparse_features_runs_on_edges():
    layer = g.Conv(5, 5, GCN, groups=5).double()
    dense = torch.eye(5, dtype=torch.float64)
    sparse = g.Signal(dense.to_sparse_csr(), GRAPH)
    assert error(layer(sparse).x, layer(g.Signal(dense[None], GRAPH)).x) < 1e-12
    assert layer.explain(sparse).lowering == "edges"


def test_twins_without_groups_are_not_made():
    for convert, layer in (
        (to_torch, g.Conv(4, 4, g.itself(), groups=2)),
        (to_pyg, g.Conv(4, 4, GCN, groups=2)),
    ):
        with pytest.raises(g.GeodlError, match="groups=2; the twin mixes all channels"):
            convert(layer)


def test_escnn_has_no_groups_here():
    pytest.importorskip("escnn")
    with pytest.raises(g.GeodlError, match="groups=2; the twin mixes all channels"):
        to_escnn(g.Conv(4, 4, g.window(3, group=g.C(4)), groups=2))


def dense_operator(rule: g.Neighborhood, domain: g.Domain) -> Tensor:
    """S of all types together."""
    edges = rule.edges(domain)
    entries = torch.ones(len(edges.dst), dtype=torch.float64)
    if edges.weight is not None:
        entries = edges.weight.double()
    shape = rule.target(domain).num_nodes, domain.num_nodes
    matrix = torch.zeros(shape, dtype=torch.float64)
    return matrix.index_put((edges.dst, edges.src), entries, accumulate=True)


PROPAGATED = {
    "gcn": (GCN, GRAPH, "spmm"),
    "laplacian": (g.laplacian("sym"), g.Graph([[0, 1], [1, 2]], 4), "spmm"),
    "relations": (g.adjacency("row", self_loops=True, types=2), KNOWN, "spmm"),
    "reversed": (g.adjacency().reverse(), GRAPH, "spmm"),
    "union": (g.adjacency(), g.Batch([GRAPH, KNOWN]), "spmm"),
    "window": (g.window(3), g.Grid(4, 5), "lattice"),
    "window around": (g.window(3), g.Grid(4, 5, periodic=True), "lattice"),
    "window on sheets": (g.window(3), P4, "lattice"),
    "group window": (g.window(3, group=g.C(4)), P4, "lattice"),
    "unpooling": (g.window(2, stride=2).reverse(), g.Grid(3, 3), "lattice"),
    "coarser": (g.whole(), g.Chain(4), "spmm"),
    "everyone": (g.all_pairs(), g.Complete(4), "mean"),
    "everyone by kind": (g.all_pairs("orbit"), g.Grid(4, periodic=True), "mean"),
    "past": (g.past(), g.Chain(4), "edges"),
}


@pytest.mark.parametrize("name", PROPAGATED)
def test_propagation_is_the_operator(name):
    rule, domain, lowering = PROPAGATED[name]
    layer, x = g.Propagate(rule), values(domain, 3)
    g.testing.assert_lowered_to(lowering, layer, g.Signal(x, domain))
    for wanted in ("auto", "edges"):
        layer.lowering = wanted
        y = layer(g.Signal(x, domain))
        assert error(y.x, dense_operator(rule, domain) @ x) < 1e-12
        assert y.domain == rule.target(domain)


def test_propagation_learns_nothing_and_takes_any_channels():
    layer = g.Propagate(GCN)
    assert list(layer.parameters()) == [] and str(layer) == f"Propagate({GCN})"
    for channels in (1, 7):
        assert layer(g.Signal(values(GRAPH, channels), GRAPH)).x.shape == (2, 5, channels)
    x = values(GRAPH, 2)
    assert error(g.Propagate(GCN, on=GRAPH)(x), layer(g.Signal(x, GRAPH)).x) == 0
    with pytest.raises(
        g.GeodlError, match="sparse values, which only Conv, Attention and Dropout read"
    ):
        layer(g.Signal(torch.eye(5).to_sparse_csr(), GRAPH))


def test_propagation_in_a_model_is_certified_and_drawn_from_no_one():
    ring = g.Grid(6, periodic=True)
    model = g.Sequential(g.Propagate(g.adjacency("row")), nn.ReLU()).double()
    assert g.certify(model, ring).exact
    assert_equivariant(model, g.Signal(values(ring, 2), ring))


def test_propagation_is_differentiated_twice_and_under_transforms():
    layer, x = g.Propagate(GCN), values(GRAPH, 2, batch=3)
    check = torch.autograd.gradgradcheck
    assert check(lambda x: layer(g.Signal(x, GRAPH)).x.sin(), x.requires_grad_())

    def loss(x: Tensor) -> Tensor:
        return layer(g.Signal(x[None], GRAPH)).x.square().sum()

    each = torch.func.vmap(torch.func.grad(loss))(x.detach())
    s = dense_operator(GCN, GRAPH)
    assert error(each, 2 * s.T @ (s @ x.detach())) < 1e-12
