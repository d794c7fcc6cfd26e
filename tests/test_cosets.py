"""Pooling over the cosets of a subgroup, and back."""

import copy
import itertools
import pickle

import pytest
import torch

import geodl as g
from geodl.group import Cosets

P4M = g.GroupGrid(g.Grid(5, 5), g.D(4))
SUBGROUPS = [g.C(2), g.C(4), g.D(1), g.D(2)]


def network(group: g.Group, *rules: g.Pool) -> g.Sequential:
    lifted = g.Conv(1, 3, g.lift(3, group=group))
    return g.Sequential(lifted, torch.nn.ReLU(), g.Conv(3, 4, g.window(3, group=group)), *rules)


@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("subgroup", SUBGROUPS, ids=str)
def test_coset_pooling_is_equivariant(subgroup, reduce):
    model = network(g.D(4), g.Pool(g.fiber(subgroup), reduce)).double()
    certificate = g.certify(model, g.Grid(5, 5))
    assert certificate.exact and certificate.group == g.D(4)
    assert {"D4 element 1", "D4 element 4"} <= set(certificate.proved)
    s = g.Signal(torch.randn(2, 25, 1, dtype=torch.float64), g.Grid(5, 5))
    assert max(g.equivariance_error(model, s, g.D(4)).values()) < 1e-12
    assert model(s).domain == g.GroupGrid(g.Grid(5, 5), Cosets(g.D(4), subgroup))


@pytest.mark.parametrize("subgroup", SUBGROUPS, ids=str)
def test_each_coset_receives_from_its_elements(subgroup):
    """By hand: h and h' are in one coset where h^-1 h' is in H."""
    x = torch.randn(1, 25, 8, 2)
    pooled = g.Pool(g.fiber(subgroup))(g.Signal(x.flatten(1, 2), P4M)).x.unflatten(1, (25, -1))
    product, inverse = g.D(4).tables
    inside = g.D(4).numbers_of(subgroup).tolist()
    label = g.D(4).cosets(subgroup).tolist()
    for h in range(8):
        together = [k for k in range(8) if int(product[inverse[h], k]) in inside]
        assert pooled[:, :, label[h]].equal(x[:, :, together].amax(2))
    back = g.fiber(subgroup).reverse()
    assert back.target(g.fiber(subgroup).target(P4M)) == P4M
    signal = g.Signal(pooled.flatten(1, 2), g.fiber(subgroup).target(P4M))
    lifted = g.Propagate(back)(signal).x.unflatten(1, (25, 8))
    assert all(lifted[:, :, h].equal(pooled[:, :, label[h]]) for h in range(8))


def test_the_whole_group_is_a_subgroup():
    assert g.fiber(g.D(4)).target(P4M) == g.Grid(5, 5) == g.fiber().target(P4M)
    twice = network(g.D(4), g.Pool(g.fiber(g.C(4))), g.Pool(g.fiber()))
    once = g.Sequential(*list(twice)[:3], g.Pool(g.fiber()))
    s = g.Signal(torch.randn(1, 25, 1), g.Grid(5, 5))
    assert twice(s).x.equal(once(s).x) and twice(s).domain == g.Grid(5, 5)
    assert g.certify(twice, g.Grid(5, 5)).exact


def test_a_map_of_cosets_goes_on():
    """Downsampled, as an image, into a file and back."""
    cosets = g.fiber(g.C(2)).target(g.GroupGrid(g.Grid(4, 4), g.D(4)))
    s = g.Signal(torch.randn(1, 64, 3), cosets)
    pool = g.Pool(g.window(2, stride=2))
    assert pool(s).domain == g.GroupGrid(g.Grid(2, 2), Cosets(g.D(4), g.C(2)))
    assert g.certify(pool, cosets, g.D(4)).exact
    assert s.to_image().shape == (1, 12, 4, 4)
    for twin in (pickle.loads(pickle.dumps(cosets)), copy.deepcopy(cosets)):
        assert twin == cosets and hash(twin) == hash(cosets) and str(twin) == str(cosets)


def test_cosets_in_space():
    cube = g.GroupGrid(g.Grid(3, 3, 3), g.O())
    about_an_axis = g.O().subgroup(g.O().generator_numbers[0])
    pool = g.Pool(g.fiber(about_an_axis), "mean")
    assert g.certify(pool, cube, g.O()).exact
    assert pool(g.Signal(torch.randn(1, 648, 1), cube)).x.shape == (1, 27 * 6, 1)


def test_a_group_on_its_cosets():
    corners = g.GSet(Cosets(g.D(4), g.D(1)))
    labels = g.orbits(corners)  # corners of a square: the same one, next to each other, opposite
    assert int(labels.max()) == 2
    moves = Cosets(g.D(4), g.C(2)).tables.product
    product = g.D(4).tables.product
    for a, b in itertools.product(range(8), repeat=2):
        assert moves[product[a, b]].equal(moves[a][moves[b]])


def test_bad_cosets():
    with pytest.raises(g.GeodlError, match="a str; give a subgroup, as C"):
        g.fiber("C4")  # pyright: ignore[reportArgumentType]
    with pytest.raises(g.GeodlError, match="D4 is no subgroup of C4"):
        g.Pool(g.fiber(g.D(4)))(g.Signal(torch.zeros(1, 36, 1), g.GroupGrid(g.Grid(3, 3), g.C(4))))
    with pytest.raises(g.GeodlError, match="was pooled before"):
        g.fiber(g.C(2)).target(g.fiber(g.C(4)).target(P4M))
    with pytest.raises(g.GeodlError, match="cosets of O in D4: found elements that are not in it"):
        Cosets(g.D(4), g.O())


def test_a_certificate_in_space():
    """Its claims are those of three generators, whatever the order of the group."""
    model = g.Sequential(g.Conv(1, 2, g.lift(3, group=g.Oh())), g.Pool(g.fiber()))
    certificate = g.certify(model, g.Grid(5, 5, 5))
    assert certificate.exact and len(certificate.proved) == 3
    image = g.Signal(torch.randn(1, 125, 1, dtype=torch.float64), g.Grid(5, 5, 5))
    assert max(g.equivariance_error(model.double(), image, g.Oh()).values()) < 1e-11
