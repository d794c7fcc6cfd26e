"""Orbits of pairs, of a rule's edges and of nodes, and the layers whose weights they are."""

import pytest
import torch

import geodl as g
from geodl.group import node_orbits

TORUS = g.Grid(32, 32, periodic=True)  # p4m and translations
PAIRS_OF_FIVE = g.GSet(
    [[m[i] * 5 + m[j] for i in range(5) for j in range(5)] for m in g.S(5).generators]
)


def count(labels: torch.Tensor) -> int:
    return int(labels.max()) + 1


def test_a_torus_of_a_thousand_nodes():
    """On the torus a pair is an offset, up to the eight turns and mirrors: 0..16 on both axes, in
    any order.
    """
    labels = g.orbits(TORUS)
    assert count(labels) == 17 * 18 // 2
    first = labels[0].view(32, 32)
    assert first.equal(first.T) and first[1:].equal(first[1:].flip(0))
    assert all(labels[move][:, move].equal(labels) for move in TORUS.generators())


def test_all_permutations_of_two_hundred_points():
    labels = g.orbits(g.GSet(g.S(200)))
    assert labels.equal(1 - torch.eye(200, dtype=torch.long))


def test_edges_of_a_window_in_a_large_volume():
    """Of 4096 nodes and 98,304 group elements only the edges are numbered."""
    cube = g.Grid(16, 16, 16, periodic=True)
    labels = g.orbits(cube, g.window(3, axes=3))
    edges = g.window(3, axes=3).edges(cube)
    assert count(labels) == 4, "the node itself, 6 faces, 12 edges, 8 corners"
    assert labels.bincount().tolist() == [4096 * 8, 4096 * 12, 4096 * 6, 4096]
    around = g.orbits(g.GroupGrid(g.Grid(6, 6, 6), g.O()), g.window(1, axes=3, group=g.O()))
    assert len(around) == 216 * 24 * 24 and len(edges.dst) == len(labels)


@pytest.mark.parametrize(
    ("domain", "rule"),
    [
        (g.GroupGrid(g.Grid(4, 4, periodic=True), g.C(4)), g.window(3, group=g.C(4))),
        (g.Grid(5, 5), g.window(3)),
        (PAIRS_OF_FIVE, g.all_pairs("orbit")),
        (g.Complete(6), g.itself()),
    ],
    ids=str,
)
def test_edges_have_the_labels_of_their_pairs(domain, rule):
    labels, edges = g.orbits(domain, rule), rule.edges(domain)
    pairs = g.orbits(domain)[edges.dst, edges.src]
    together = torch.stack((labels, pairs)).unique(dim=1)
    assert together.shape[1] == count(labels) == len(pairs.unique())
    firsts = [labels.tolist().index(k) for k in range(count(labels))]
    assert firsts == sorted(firsts)


def test_edges_that_a_symmetry_does_not_keep_are_named():
    words = r"an edge 1 <- 0 that generator 1 carries to 3 <- 4, where there is none"
    with pytest.raises(g.GeodlError, match=words):
        g.orbits(g.Grid(5), g.window(2, axes=1, padding=((1, 0),)))
    with pytest.raises(g.GeodlError, match="receivers on Grid"):
        g.orbits(g.Grid(4), g.window(2, axes=1, stride=2))
    with pytest.raises(g.GeodlError, match="a str; give a rule"):
        g.orbits(g.Grid(4), "window")  # pyright: ignore[reportArgumentType]


def test_a_set_of_a_groups_points():
    assert g.GSet(g.S(4)).permutations.tolist() == [[1, 0, 2, 3], [1, 2, 3, 0]]
    regular = g.GSet(g.D(4))
    # Pairs (g, h) of a group that acts on itself are told apart by g^-1 h.
    product, inverse = g.D(4).tables
    between = product[inverse]
    labels = g.orbits(regular)
    assert torch.stack((labels, between)).flatten(1).unique(dim=1).shape[1] == 8 == count(labels)


def test_every_equivariant_affine_map():
    """Two orbits of nodes have two biases; the map commutes with the generators."""
    layer = g.Conv(2, 3, g.all_pairs("orbit"), on=PAIRS_OF_FIVE).double()
    assert layer.weight.shape == (15, 2, 3) and layer.bias.shape == (2, 3)
    x = torch.randn(2, 25, 2, dtype=torch.float64, requires_grad=True)
    for move in PAIRS_OF_FIVE.generators():
        moved = torch.empty_like(x)
        moved[:, move] = x
        torch.testing.assert_close(layer(moved)[:, move], layer(x), rtol=0, atol=1e-12)
    assert g.certify(layer, PAIRS_OF_FIVE).exact
    y = layer(x)
    same = torch.arange(25) % 6 == 0
    assert node_orbits(PAIRS_OF_FIVE.generators()).equal((~same).long())
    (slope,) = torch.autograd.grad(y.sum(), layer.bias)
    assert slope.equal(torch.tensor([[10.0] * 3, [40.0] * 3]).double())
    dense = torch.einsum("ijcd,bjc->bid", layer.weight[g.orbits(PAIRS_OF_FIVE)], x)
    torch.testing.assert_close(y, dense + layer.bias[(~same).long()], rtol=0, atol=1e-12)


def test_a_bias_on_orbits_travels_with_its_layer():
    layer = g.Conv(2, 3, g.all_pairs("orbit"), on=g.Grid(4))
    assert layer.bias.shape == (2, 3) and "bias_type" not in layer.state_dict()
    with torch.device("meta"):
        bare = g.Conv(2, 3, g.all_pairs("orbit"), on=g.Grid(4))
    bare.to_empty(device="cpu").load_state_dict(layer.state_dict())
    x = torch.randn(1, 4, 2)
    assert bare(x).equal(layer(x))
    with pytest.raises(g.GeodlError, match="a bias on orbits of nodes"):
        layer.over(g.all_pairs("offset"))
    assert g.Conv(2, 3, g.all_pairs("orbit"), on=g.Grid(4, periodic=True)).bias.shape == (3,)


@pytest.mark.parametrize(
    "domain",
    [PAIRS_OF_FIVE, g.GSet(g.D(4)), g.GroupGrid(g.Grid(3, 3), g.C(4))],
    ids=["pairs", "regular", "p4"],
)
def test_attention_with_a_bias_on_orbits_is_equivariant(domain):
    layer = g.Attention(4, g.all_pairs("orbit"), 2, relative=True, on=domain)
    torch.nn.init.normal_(layer.relative_bias)
    assert len(layer.relative_bias) == count(g.orbits(domain))
    assert g.certify(layer, domain).exact
    x = torch.randn(1, domain.num_nodes, 4)
    move = domain.generators()[0]
    moved = torch.empty_like(x)
    moved[:, move] = x
    torch.testing.assert_close(layer(moved)[:, move], layer(x), rtol=0, atol=1e-5)
