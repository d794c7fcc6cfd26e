"""Groups keep the axioms, act as their matrices say, and tie weights as brute force and Burnside's
lemma do.
"""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import geodl as g
from geodl import group as groups

SQUARE = [g.C(1), g.C(2), g.C(4), g.D(1), g.D(2), g.D(4)]
CUBIC = [g.O(), g.Oh()]
POINTS = [g.S(n) for n in range(1, 6)]
every_group = pytest.mark.parametrize("group", SQUARE + CUBIC + POINTS, ids=str)
lattice_group = pytest.mark.parametrize("group", SQUARE + CUBIC, ids=str)


@every_group
def test_axioms(group):
    elements, generators = group.elements, group.generator_numbers
    product, inverse = group.tables
    n, every = group.order, torch.arange(group.order)
    assert len(elements) == n == len(torch.unique(elements, dim=0))
    assert product.shape == (n, n) and inverse.shape == (n,)
    for row in (*product, *product.T):
        assert row.sort().values.equal(every), "a row or column is no permutation"
    assert product[product].equal(product[every[:, None, None], product[None]]), (
        "(ab)c is not a(bc)"
    )
    assert product[0].equal(every) and product[:, 0].equal(every)
    assert product[every, inverse].eq(0).all() and product[inverse, every].eq(0).all()
    reached = {0}
    while len(grown := reached | {int(product[a, b]) for a in generators for b in reached}) > len(
        reached
    ):
        reached = grown
    assert reached == set(range(n))


@lattice_group
def test_matrices_multiply_as_the_table_says(group):
    e, product = group.action.matrices, group.tables.product
    assert group.action.exact and group.action.keeps_lattice.all()
    assert e.shape == (group.order, group.axes, group.axes)
    assert e[product].equal(e[:, None] @ e[None, :])
    assert e[group.tables.inverse].equal(e.transpose(1, 2)), (
        "the inverse of an orthogonal matrix is its transpose"
    )
    assert e.abs().sum(1).eq(1).all() and e.abs().sum(2).eq(1).all(), (
        "not a signed permutation of the axes"
    )


@pytest.mark.parametrize("group", POINTS, ids=str)
def test_permutations_multiply_as_the_table_says(group):
    e, product = group.elements, group.tables.product
    pairs = itertools.islice(itertools.product(range(group.order), repeat=2), 900)
    assert all(e[product[a, b]].equal(e[a][e[b]]) for a, b in pairs)


def test_orders_and_determinants():
    assert [group.order for group in SQUARE] == [1, 2, 4, 2, 4, 8]
    assert [group.order for group in POINTS] == [1, 2, 6, 24, 120]
    assert (g.O().order, g.Oh().order) == (24, 48)
    for group, turns in (
        (g.C(4), 4),
        (g.D(4), 4),
        (g.D(2), 2),
        (g.D(1), 1),
        (g.O(), 24),
        (g.Oh(), 24),
    ):
        det = torch.linalg.det(group.action.matrices.double()).round()
        assert int((det == 1).sum()) == turns and int((det == -1).sum()) == group.order - turns
    mirrors = g.D(4).action.matrices[4:]
    assert (mirrors @ mirrors == torch.eye(2, dtype=torch.long)).all(), (
        "a reflection is its own inverse"
    )


def carried(image: Tensor, group: g.Group, element: int) -> Tensor:
    """An image of odd lengths with the value at p carried to g p, point by point."""
    centre = (torch.tensor(image.shape) - 1) // 2
    moved = torch.zeros_like(image)
    for point in itertools.product(*map(range, image.shape)):
        to = group.action.matrices[element] @ (torch.tensor(point) - centre) + centre
        moved[tuple(to.tolist())] = image[point]
    return moved


def test_rotations_turn_as_rot90():
    image = torch.arange(25.0).reshape(5, 5)
    for k in range(4):
        assert carried(image, g.C(4), k).equal(torch.rot90(image, k))
    assert carried(image, g.C(2), 1).equal(torch.rot90(image, 2))
    grid = g.Grid(5, 5)
    for k in range(4):
        turned = torch.empty(25)
        turned[g.domain.rotate_nodes(grid, g.C(4), k)] = image.flatten()
        assert turned.view(5, 5).equal(torch.rot90(image, k))


def test_reflections_are_four_mirrors():
    image = torch.arange(9.0).reshape(3, 3)
    wanted = {
        tuple(m.flatten().tolist())
        for m in (image.flip(0), image.flip(1), image.T, image.flip(0, 1).T)
    }
    assert {tuple(carried(image, g.D(4), k).flatten().tolist()) for k in range(4, 8)} == wanted
    assert carried(image, g.D(1), 1).equal(image.flip(1))


def brute_force(moves: Tensor) -> int:
    """Connected pieces of the pairs, by walking."""
    left, pieces = set(itertools.product(range(moves.shape[1]), repeat=2)), 0
    while left:
        pieces += 1
        stack = [left.pop()]
        while stack:
            i, j = stack.pop()
            for move in moves.tolist():
                pair = (move[i], move[j])
                if pair in left:
                    left.remove(pair)
                    stack.append(pair)
    return pieces


def burnside(moves: Tensor) -> int:
    """The average number of pairs that a product of the generators leaves where they are."""
    rest = tuple(range(moves.shape[1]))
    found, new = {rest}, [rest]
    while new:
        new = [
            p
            for p in {tuple(m[i] for i in a) for a in new for m in moves.tolist()}
            if p not in found
        ]
        found.update(new)
    fixed = [sum(i == k for k, i in enumerate(p)) ** 2 for p in found]
    assert sum(fixed) % len(found) == 0
    return sum(fixed) // len(found)


def ring(n: int, *, mirrors: bool) -> Tensor:
    node = torch.arange(n)
    return torch.stack(((node + 1) % n, (-node) % n)) if mirrors else ((node + 1) % n)[None]


def pairs_of_five() -> Tensor:
    a, b = torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij")
    return torch.stack([(m[a] * 5 + m[b]).flatten() for m in g.Complete(5).generators()])


CASES = {
    "Z8": (ring(8, mirrors=False), 8),
    "D8": (ring(8, mirrors=True), 5),
    "S8": (g.Complete(8).generators(), 2),
    "trivial": (torch.zeros(0, 8, dtype=torch.long), 64),
    "p4": (g.GroupGrid(g.Grid(5, 5, periodic=True), g.C(4)).generators(), 100),
    "S5 on pairs": (pairs_of_five(), 15),
}


@pytest.mark.parametrize("name", CASES)
def test_orbits_of_node_pairs(name):
    moves, count = CASES[name]
    label = groups.pair_orbits(moves)
    assert label.flatten().unique().tolist() == list(range(count))
    assert brute_force(moves) == count
    assert all(label[m][:, m].equal(label) for m in moves)
    first = label.flatten().tolist()
    assert sorted({v: first.index(v) for v in first}.items(), key=lambda kv: kv[1]) == [
        (k, first.index(k)) for k in range(count)
    ]
    if name != "S8":
        assert burnside(moves) == count


def test_rotations_about_a_node_of_the_torus():
    torus = g.Grid(5, 5, periodic=True)
    moves = torch.stack(
        [
            g.domain.rotate_nodes(torus, g.C(4), 1),
            *(g.domain.shift_nodes(torus, axis, 1) for axis in (0, 1)),
        ]
    )
    assert int(groups.pair_orbits(moves).max()) + 1 == 7 == burnside(moves)
    assert int(g.orbits(g.Grid(8, periodic=True)).max()) + 1 == 5


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(st.permutations(range(n)), max_size=3).map(lambda ms: (n, ms))
    )
)
def test_orbits_of_any_permutations(case):
    n, rows = case
    moves = torch.tensor(rows, dtype=torch.long).reshape(-1, n)
    label = groups.pair_orbits(moves)
    assert int(label.max()) + 1 == brute_force(moves) == burnside(moves)
    assert all(label[m][:, m].equal(label) for m in moves)


def test_orbit_labels_need_many_steps():
    cycle = ring(97, mirrors=False)
    assert groups.pair_orbits(cycle)[0].tolist() == list(range(97))
