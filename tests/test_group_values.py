"""A group is what its generators and matrices make, whatever it is called."""

import copy
import io
import itertools
import math
import pickle

import pytest
import torch

import geodl as g

Q8 = g.Group.from_generators([1, 2, 3, 0, 5, 6, 7, 4], [4, 7, 6, 5, 2, 1, 0, 3])
MIRROR = g.Group([[1, 0]], [[[-1]]], name="mirror")
HEXAGON = g.Group([[1, 2, 3, 4, 5, 0]], [[[0, -1], [1, 1]]])  # on the lattice of triangles
M24 = (
    [*range(1, 23), 0, 23],
    [0, 1, 16, 12, 3, 5, 8, 17, 2, 6, 11, 22, 13, 18, 19, 14, 9, 10, 4, 21, 15, 20, 7, 23],
    [23, 22, 11, 15, 17, 9, 19, 13, 20, 5, 16, 2, 21, 7, 18, 3, 10, 4, 14, 6, 8, 12, 1, 0],
)


def test_a_name_makes_no_group():
    """The quaternions have one element of order 2, where D4 has five."""
    quaternions = g.Group(Q8.generators, name="D4")
    assert quaternions == Q8 != g.D(4) and str(quaternions) == "D4"
    assert (Q8.tables.product.diagonal() == 0).sum() == 2
    assert (g.D(4).tables.product.diagonal() == 0).sum() == 6
    for name in ("C4", "S5"):
        with pytest.raises(g.GeodlError, match="a name makes no group: give permutations"):
            g.Group(name)  # pyright: ignore[reportArgumentType]
    for read in (g.C(4).cosets, g.C(4).contains):
        with pytest.raises(g.GeodlError, match="found a str; give a group"):
            read("C2")  # pyright: ignore[reportArgumentType]


def test_cosets_of_a_group_too_large_to_list_are_refused():
    with pytest.raises(g.GeodlError, match="use a subgroup"):
        g.S(200).cosets(g.S(200))


def test_the_matrices_belong_to_the_value():
    assert g.C(2).generators == g.D(1).generators and g.C(2) != g.D(1)
    assert g.Group.from_generators([1, 2, 3, 0]).generators == g.C(4).generators
    assert g.Group.from_generators([1, 2, 3, 0]) != g.C(4)
    quarter = g.Group(torch.tensor([[1, 2, 3, 0]]), torch.tensor([[[0.0, -1.0], [1.0, 0.0]]]))
    assert quarter == g.C(4) and hash(quarter) == hash(g.C(4)) and {quarter: 1}[g.C(4)] == 1
    assert str(quarter) == "Group(order 4, on 4 points)"


@pytest.mark.parametrize("group", [g.C(4), g.D(3), g.O(), g.S(5), Q8, MIRROR * g.S(3)], ids=str)
def test_copies_are_the_same_group(group):
    saved = io.BytesIO()
    torch.save(group, saved)
    saved.seek(0)
    copies = [pickle.loads(pickle.dumps(group)), copy.deepcopy(group), copy.copy(group)]
    for twin in (*copies, torch.load(saved)):  # weights_only, which builds no other classes
        assert twin == group and hash(twin) == hash(group) and str(twin) == str(group)
        assert twin.order == group.order and twin.elements.equal(group.elements)


def by_hand(kind: str, n: int) -> list[torch.Tensor]:
    """The matrices of C(n) and D(n) on (row, column), element by element."""
    turns = []
    for k in range(n):
        angle = torch.tensor(2 * math.pi * k / n, dtype=torch.float64)
        row = torch.stack((angle.cos(), -angle.sin()))
        turns.append(torch.stack((row, torch.stack((angle.sin(), angle.cos())))))
    if kind == "C":
        return turns
    mirror = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    return turns + [turn @ mirror for turn in turns]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 12])
@pytest.mark.parametrize("kind", ["C", "D"])
def test_elements_keep_their_order(kind, n):
    """Trained weights stand in the order of the elements: k turns, then k turns of the mirror."""
    group = getattr(g, kind)(n)
    wanted = torch.stack(by_hand(kind, n))
    torch.testing.assert_close(group.action.matrices.double(), wanted, rtol=0, atol=1e-12)
    product = group.tables.product
    torch.testing.assert_close(wanted[product], wanted[:, None] @ wanted, rtol=0, atol=1e-12)
    assert group.action.exact == (n in (1, 2, 4))
    assert group.elements[:, 0].equal(torch.arange(group.order))
    if n == 12:  # quarter turns map the lattice to itself, and nothing else
        assert group.action.keeps_lattice.nonzero()[:, 0].tolist()[:4] == [0, 3, 6, 9]


@pytest.mark.parametrize("group", [g.O(), g.Oh()], ids=str)
def test_elements_of_the_cube_keep_their_order(group):
    signed = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = torch.zeros(3, 3)
            for row, axis in enumerate(order):
                matrix[row, axis] = signs[axis]
            if group.order == 48 or torch.linalg.det(matrix) > 0:
                signed.append(matrix.long())
    assert group.action.matrices.equal(torch.stack(signed))
    elements = group.action.matrices
    assert elements[group.tables.product].equal(elements[:, None] @ elements)


def test_permutations_of_points_stand_in_lexicographic_order():
    wanted = torch.tensor(list(itertools.permutations(range(5))))
    assert g.S(5).elements.equal(wanted)
    assert g.Group.from_generators([1, 2, 3, 4, 0], [1, 0, 2, 3, 4]).elements.equal(wanted)


def test_orders_without_a_list():
    assert g.S(200).order == math.factorial(200)
    assert (g.S(200) * g.S(3)).order == 6 * math.factorial(200)
    cycle = [*range(1, 200), 0]
    assert g.Group.from_generators([1, 0, *range(2, 200)], cycle).order == math.factorial(200)
    three = [1, 2, 0, *range(3, 21)]
    even = g.Group.from_generators(three, [*range(1, 21), 0])
    assert even.order == math.factorial(21) // 2, "cycles of 3 and of 21 points are even"
    assert g.Group.from_generators(*M24).order == 244_823_040, "by Schreier and Sims"


def test_what_is_too_large_to_list_says_its_order():
    with pytest.raises(g.GeodlError, match=r"elements of S20: found 2432902008176640000 elements"):
        _ = g.S(20).elements
    with pytest.raises(g.GeodlError, match=r"table of S8: found 40320 elements; use a group of at"):
        _ = g.S(8).tables


def test_direct_products():
    prism = g.C(4) * MIRROR
    assert str(prism) == "C4 x mirror" and (prism.order, prism.axes) == (8, 3)
    pairs = list(itertools.product(range(4), range(2)))
    for number, (turn, flip) in enumerate(pairs):
        matrix = prism.action.matrices[number]
        assert matrix[:2, :2].equal(g.C(4).action.matrices[turn])
        assert int(matrix[2, 2]) == 1 - 2 * flip and matrix[2, :2].eq(0).all()
    assert str(Q8 * g.C(2)) == "Group(order 16, on 10 points)"
    blind = g.C(4) * g.S(2)  # exchanges two sheets, and moves nothing in the plane
    assert (blind.order, blind.axes) == (8, 2)
    assert blind.numbers_of(blind).tolist() == list(range(8))


def test_subgroups_and_cosets():
    square = g.D(4)
    assert square.subgroup(1) == g.C(4) and square.subgroup(4) == g.D(1)
    assert square.subgroup(2, 4) == g.D(2) and square.subgroup() == g.C(1)
    assert square.numbers_of(g.D(2)).tolist() == [0, 2, 4, 6]
    assert square.cosets(g.C(4)).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert square.cosets(square).eq(0).all() and g.Oh().contains(g.O())
    assert not g.O().contains(g.Oh()) and not square.contains(g.O())
    assert g.C(8).contains(g.C(4)) and g.C(8).numbers_of(g.C(4)).tolist() == [0, 2, 4, 6]
    product = square.tables.product
    mirrors = square.subgroup(4)
    for a, b in itertools.product(range(8), repeat=2):
        # g H = g' H exactly when g^-1 g' is in H.
        together = int(product[square.tables.inverse[a], b]) in (0, 4)
        assert bool(square.cosets(mirrors)[a] == square.cosets(mirrors)[b]) == together
    even = g.S(4).subgroup([1, 2, 0, 3], [1, 0, 3, 2])
    assert even.order == 12 and g.S(4).cosets(even).unique().tolist() == [0, 1]
    assert g.S(200).subgroup([*range(1, 200), 0]).order == 200
    with pytest.raises(g.GeodlError, match="cosets of O in D4"):
        square.cosets(g.O())
    with pytest.raises(g.GeodlError, match=r"no element of it; give numbers of elements, 0 to 7"):
        square.subgroup(8)


BAD = {
    "no permutation": (([0, 0, 1],), r"\[0, 0, 1\], which is no permutation"),
    "degrees": (([1, 0], [1, 2, 0]), "permutations of 2 and 3 points; give generators of one degr"),
    "nothing": ((), "no generators"),
    "floats": (([1.0, 0.0],), "no permutation"),
    "a group": ((g.C(4),), "no permutations"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_generators(name):
    permutations, words = BAD[name]
    with pytest.raises(g.GeodlError, match=words):
        g.Group.from_generators(*permutations)


@pytest.mark.parametrize("named", [g.C, g.D, g.S])
def test_groups_of_too_many_points_are_refused(named):
    with pytest.raises(g.GeodlError, match="1000000000 points, too many to hold"):
        named(10**9)


def test_bad_matrices():
    turn = [[1, 2, 3, 0]]
    with pytest.raises(g.GeodlError, match="do not multiply as the permutations do"):
        g.Group(turn, [[[0, -1], [1, 1]]])
    with pytest.raises(g.GeodlError, match="give one square matrix for each of 1 generators"):
        g.Group(turn, [[[0, -1]]])
    with pytest.raises(g.GeodlError, match="finite real numbers"):
        g.Group(turn, [[[math.nan]]])
    with pytest.raises(g.GeodlError, match="the action of S3 on a lattice: found no matrices"):
        _ = g.S(3).action


def test_what_acts_exactly_and_what_a_basis_approximates():
    words = "C8 element 1.*between lattice points.*n = 1, 2, 4.*a filter basis approximates others"
    with pytest.raises(g.GeodlError, match=words):
        g.domain.rotate_nodes(g.Grid(5, 5), g.C(8), 1)
    grid = g.GroupGrid(g.Grid(3, 3), g.C(8))
    quarter = g.domain.rotate_nodes(grid, g.C(8), 2)
    assert grid.generators().equal(quarter[None]), "quarter turns are the symmetries of C8 here"
    assert g.domain.rotate_nodes(grid, g.C(4), 1).equal(quarter)
    oblong = g.GroupGrid(g.Grid(2, 3), g.C(4))
    half = g.domain.rotate_nodes(oblong, g.C(4), 2)
    assert oblong.generators().equal(half[None])


def test_a_group_on_one_axis_and_one_of_triangles():
    lifted = g.Conv(2, 3, g.lift(3, group=MIRROR))
    assert g.certify(lifted, g.Grid(6)).exact
    assert not g.certify(g.Conv(2, 3, g.window(3, axes=1)), g.Grid(6), MIRROR).exact
    assert HEXAGON.action.exact and HEXAGON.order == 6
