"""Rules with wrong arguments, and rules that do not fit a domain, are refused in words."""

import pytest

import geodl as g
from tests.bad_input import GRID, P4, RING, assert_refused, attention, conv, on

RULES = {
    "zero size": (lambda: g.window(0), "size 0", "0 for 2 axes", "a positive integer"),
    "negative size": (lambda: g.window(-3), "size -3", "-3 for 2 axes", "a positive integer"),
    "bool size": (lambda: g.window(True), "size True", "True for 2 axes", "a positive integer"),
    "float size": (lambda: g.window(3.0), "size 3.0", "3.0 for 2 axes", "a positive integer"),
    "zero stride": (lambda: g.window(3, stride=0), "size 3", "0 for 2 axes", "a positive integer"),
    "strides": (
        lambda: g.window(3, stride=(1, 1, 1)),
        "size 3",
        "(1, 1, 1) for 2 axes",
        "one for each axis",
    ),
    "dilations": (
        lambda: g.window((3, 3), dilation=(2,)),
        "",
        "(2,) for 2 axes",
        "one for each axis",
    ),
    "axes": (lambda: g.window(3, axes=4), "size 3", "4 axes", "one to three axes"),
    "even same": (
        lambda: g.window(4, padding="same"),
        "size 4",
        'padding="same" with an even size',
        "use an odd size",
    ),
    "even none": (lambda: g.window(4), "size 4", "an even size without padding", 'padding="valid"'),
    "padding name": (lambda: g.window(3, padding="full"), "size 3", "padding='full'", '"valid"'),
    "padding": (lambda: g.window(3, padding=-1), "size 3", "padding=-1", "non-negative"),
    "padding bool": (lambda: g.window(3, padding=True), "size 3", "padding=True", "non-negative"),
    "padding axes": (lambda: g.window(3, padding=(1,)), "size 3", "padding=(1,)", "each axis"),
    "group axes": (
        lambda: g.window((3, 3, 3), group=P4),
        "",
        "3 axes with group C4",
        "a group that acts on as many",
    ),
    "group without axes": (
        lambda: g.lift(3, group=g.S(3)),
        "lift(3)",
        "S3, a group",
        "O() and Oh()",
    ),
    "group of many": (lambda: g.window(3, group=g.S(200)), "window(3)", "S200, a", "with matrices"),
    "group of turns": (lambda: g.lift(3, group=g.C(5000)), "lift(3)", "5000 elements", "as C(16)"),
    "cosets of many": (
        lambda: g.Pool(g.fiber(g.S(200)))(on(g.GroupGrid(GRID, P4))),
        "fiber(S200)",
        "S200 is no subgroup of C4",
        "fits the domain",
    ),
    "unequal box": (lambda: g.lift((3, 5), group=P4), "(3, 5)", "out of the box", "equal sizes"),
    "unequal strides": (
        lambda: g.lift(3, group=P4, stride=(1, 2)),
        "",
        "axes which C4 exchanges",
        "strides",
    ),
    "lift over a name": (lambda: g.lift(3, group="C4"), "lift(3)", "group='C4'", "C(4)"),  # pyright: ignore[reportArgumentType]
    "isotropic over a name": (lambda: g.isotropic(3, group="D4"), "", "group='D4'", "C(4)"),  # pyright: ignore[reportArgumentType]
    "window over a name": (lambda: g.window(3, group="C4"), "", "group='C4'", "C(4)"),  # pyright: ignore[reportArgumentType]
    "lift over nothing": (lambda: g.lift(3, group=None), "", "group=None", "C(4)"),  # pyright: ignore[reportArgumentType]
    "norm": (
        lambda: g.adjacency("symm", self_loops=True),
        "norm='symm'",
        "",
        "did you mean 'sym'?",
    ),
    "types": (
        lambda: g.adjacency("sym", self_loops=True, types=True),
        "types=True",
        "",
        "positive number of types",
    ),
    "by": (lambda: g.all_pairs("ofset"), "all_pairs('ofset')", "", "did you mean 'offset'?"),
    "wide valid": (
        lambda: conv(g.window(7, padding="valid"))(on(GRID)),
        "window(7x7",
        "a reach of 7",
        "a smaller window",
    ),
    "no lattice": (
        lambda: conv()(on(RING)),
        "window(3x3)",
        "a lattice of 2 axes",
        "fits the domain",
    ),
    "axes of the grid": (
        lambda: conv()(on(g.Chain(5))),
        "Chain(5)",
        "a lattice of 2 axes",
        "fits the domain",
    ),
    "no order": (
        lambda: g.Recurrent(2, 2)(on(GRID)),
        "previous()",
        "an ordered domain",
        "fits the domain",
    ),
    "no fiber": (lambda: g.Pool(g.fiber())(on(GRID)), "fiber()", "after lift", "fits the domain"),
    "unnamed group": (
        lambda: conv()(on(g.GroupGrid(GRID, P4))),
        "",
        "must name its group",
        "fits the domain",
    ),
    "another fiber": (
        lambda: conv(g.window(3, group=P4))(on(g.GroupGrid(GRID, g.D(4)))),
        "",
        "a fiber of C4",
        "fits",
    ),
    "lift a fiber": (
        lambda: conv(g.lift(3, group=P4))(on(g.GroupGrid(GRID, P4))),
        "",
        "no fiber",
        "fits",
    ),
    "in a batch": (
        lambda: conv()(on(g.Batch([GRID, RING]))),
        "Graph(4 nodes",
        "a lattice of 2 axes",
        "fits the domain",
    ),
    "uneven stride": (
        lambda: conv(g.lift(3, group=P4, stride=2, padding="valid"))(on(GRID)),
        "Grid(4, 4)",
        "axis of 4",
        "lengths 3 and 5 would be exact; or pass exact=False",
    ),
    "uneven pooling": (
        lambda: g.Pool(g.window(2, stride=2))(on(g.GroupGrid(g.Grid(5, 5), P4))),
        "",
        "axis of 5",
        "4 and 6",
    ),
    "uneven padding": (
        lambda: conv(g.lift(2, group=P4, padding=((0, 1), (0, 1))))(on(GRID)),
        "",
        "axis of 4",
        "exact=False",
    ),
    "oblong windows": (
        lambda: g.Pool(g.window((1, 2), stride=(1, 2)))(on(g.GroupGrid(g.Grid(4, 4), P4))),
        "GroupGrid(Grid(4, 4), C4)",
        "windows that differ on axes which C4",
        "equal sizes, strides, dilations and padding",
    ),
    "oblong, of which one axis is uneven": (
        lambda: conv(g.lift(3, group=P4, stride=2, padding="valid"))(on(g.Grid(5, 4))),
        "Grid(5, 4)",
        "axis of 4",
        "lengths 3 and 5",
    ),
    "a cycle": (
        lambda: g.Recurrent(2, 2, "lstm", g.predecessors())(on(RING)),
        "recur",
        "the cycle",
        "a tree",
    ),
    "untyped graph": (
        lambda: conv(g.adjacency("sym", self_loops=True, types=2))(on(RING)),
        "",
        "no edge types",
        "edge_type=",
    ),
    "types by domain": (
        lambda: conv(g.all_pairs("orbit")),
        "a typed layer",
        "the domain decides",
        "on=domain",
    ),
    "negative degree": (
        lambda: conv(g.adjacency("row", self_loops=True))(
            on(g.Graph([[0], [1]], edge_weight=[-3.0]))
        ),
        "row",
        "negative deg",
        "non-negative weights",
    ),
    "weights dropped": (
        lambda: attention(g.adjacency("sym", self_loops=True))(on(RING)),
        "",
        "weighted edges",
        "use adjacency(weights=False)",
    ),
    "onto": (
        lambda: conv(g.window(3, stride=2).reverse(onto=g.Grid(9, 9)))(on(GRID)),
        "",
        "Grid(9, 9) to Grid(5, 5)",
        "fits",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_rules_are_refused_in_words(name):
    assert_refused(RULES[name])


def test_asked_for_approximately_it_runs():
    rule = g.lift(3, group=P4, stride=2, padding="valid", exact=False)
    assert g.Conv(2, 3, rule)(on(GRID)).domain == g.GroupGrid(g.Grid(1, 1), P4)
