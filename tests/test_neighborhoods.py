"""Rules written out: by hand where they are small, against independent formulas where they are
not.
"""

import itertools

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import geodl as g

TRIANGLE = g.Graph([[0, 0, 1, 2, 3], [1, 2, 2, 2, 0]], 5, edge_weight=[0.5, 2.0, 1.0, 3.0, 0.25])


def dense(rule: g.Neighborhood, domain: g.Domain) -> Tensor:
    """The shift operators `[T, M, N]`."""
    dst, src, kind, weight, _ = rule.edges(domain)
    values = torch.ones(len(dst), dtype=torch.float64) if weight is None else weight.double()
    s = torch.zeros(
        rule.num_types(domain), rule.target(domain).num_nodes, domain.num_nodes, dtype=torch.float64
    )
    return s.index_put((kind, dst, src), values, accumulate=True)


def rows(rule: g.Neighborhood, domain: g.Domain) -> list[dict[int, int]]:
    """For each receiver, the sender of each edge type."""
    heard: list[dict[int, int]] = [{} for _ in range(rule.target(domain).num_nodes)]
    for i, j, t in zip(*(part.tolist() for part in rule.edges(domain)[:3]), strict=True):
        heard[i][t] = j
    return heard


WINDOWS = {
    "same": (g.window(3, axes=1), g.Chain(3), [{1: 0, 2: 1}, {0: 0, 1: 1, 2: 2}, {0: 1, 1: 2}]),
    "valid": (
        g.window(3, axes=1, padding="valid"),
        g.Chain(4),
        [{0: 0, 1: 1, 2: 2}, {0: 1, 1: 2, 2: 3}],
    ),
    "causal": (
        g.window(2, axes=1, padding="causal"),
        g.Chain(3),
        [{1: 0}, {0: 0, 1: 1}, {0: 1, 1: 2}],
    ),
    "wrap": (
        g.window(3, axes=1),
        g.Grid(3, periodic=True),
        [{0: 2, 1: 0, 2: 1}, {0: 0, 1: 1, 2: 2}, {0: 1, 1: 2, 2: 0}],
    ),
    "even": (g.window(2, axes=1, stride=2), g.Chain(5), [{0: 0, 1: 1}, {0: 2, 1: 3}]),
    "pair": (g.window(2, axes=1, padding=((1, 0),)), g.Chain(2), [{1: 0}, {0: 0, 1: 1}]),
    "number": (g.window(2, axes=1, padding=1), g.Chain(2), [{1: 0}, {0: 0, 1: 1}, {0: 1}]),
    "stride": (
        g.window(3, axes=1, stride=2),
        g.Chain(5),
        [{1: 0, 2: 1}, {0: 1, 1: 2, 2: 3}, {0: 3, 1: 4}],
    ),
    "dilation": (
        g.window(3, axes=1, dilation=2),
        g.Chain(4),
        [{1: 0, 2: 2}, {1: 1, 2: 3}, {0: 0, 1: 2}, {0: 1, 1: 3}],
    ),
    "two axes": (
        g.window((1, 2), padding="valid"),
        g.Grid(2, 3),
        [{0: 0, 1: 1}, {0: 1, 1: 2}, {0: 3, 1: 4}, {0: 4, 1: 5}],
    ),
    "reversed": (
        g.window(2, axes=1, stride=2).reverse(),
        g.Chain(2),
        [{0: 0}, {1: 0}, {0: 1}, {1: 1}],
    ),
    "onto": (
        g.window(2, axes=1, stride=2).reverse(onto=g.Chain(5)),
        g.Chain(2),
        [{0: 0}, {1: 0}, {0: 1}, {1: 1}, {}],
    ),
    "past": (g.past(), g.Chain(1), [{0: 0}]),
    "previous": (g.previous(), g.Chain(3), [{}, {0: 0}, {0: 1}]),
    "next": (g.previous().reverse(), g.Chain(3), [{0: 1}, {0: 2}, {}]),
    "self": (g.all_pairs("self"), g.Complete(2), [{0: 0, 1: 1}, {1: 0, 0: 1}]),
    "offset": (g.all_pairs("offset"), g.Chain(2), [{1: 0, 2: 1}, {0: 0, 1: 1}]),
    "ring": (
        g.all_pairs("offset"),
        g.Grid(3, periodic=True),
        [{0: 0, 1: 1, 2: 2}, {2: 0, 0: 1, 1: 2}, {1: 0, 2: 1, 0: 2}],
    ),
    "itself": (g.itself(), g.Complete(2), [{0: 0}, {0: 1}]),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_by_hand(name):
    rule, domain, wanted = WINDOWS[name]
    assert rows(rule, domain) == wanted
    if "reversed" not in name and name not in ("onto", "next"):
        assert rule.reverse().reverse() is rule
        back, there = dense(rule.reverse(onto=domain), rule.target(domain)), dense(rule, domain)
        assert back.equal(there.transpose(1, 2))


def test_all_heard_at_once():
    domain = g.GroupGrid(g.Grid(1, 2), g.C(2))
    assert rows(g.fiber(), domain) == [{0: 1}, {0: 3}] and g.fiber().target(domain) == g.Grid(1, 2)
    assert dense(g.fiber(), domain)[0].tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    union = g.Batch([g.Chain(2), g.Chain(1)])
    assert dense(g.whole(), union)[0].tolist() == [[1, 1, 0], [0, 0, 1]] and g.whole().target(
        union
    ) == g.Complete(2)
    assert dense(g.past(), g.Chain(3))[0].equal(torch.ones(3, 3, dtype=torch.float64).tril())
    assert dense(g.all_pairs(), g.Batch([g.Chain(2), g.Chain(1)]))[0].tolist() == [
        [1, 1, 0],
        [1, 1, 0],
        [0, 0, 1],
    ]
    sheets = g.window(2, stride=2).edges(g.GroupGrid(g.Grid(2, 2), g.C(2)))
    assert (sheets.dst % 2 == sheets.src % 2).all() and len(sheets.dst) == 8
    wide = g.window(5, axes=1).edges(g.Grid(2, periodic=True))
    assert wide.src.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1], "a window may wrap more than once"


GROUPS = (g.C(1), g.C(2), g.C(4), g.D(1), g.D(2), g.D(4), g.O(), g.Oh())


def independent(rule, group: g.Group, size: int, sender: tuple, receiver: tuple) -> tuple:
    """`(s^-1 o, s^-1 r)` in floating point, offsets from the window's centre; None where there is
    no such element.
    """
    e = group.action.matrices.double()
    (o, r), s = sender, receiver
    back = torch.linalg.inv(e[s]) if rule.out_fiber else torch.eye(group.axes, dtype=torch.float64)
    offset = tuple((back @ (torch.tensor(o, dtype=torch.float64) - (size - 1) / 2)).tolist())
    if not rule.out_fiber:  # isotropic: an offset is as good as any that the group carries it to
        return min(tuple((m @ torch.tensor(offset, dtype=torch.float64)).tolist()) for m in e), None
    return offset, tuple((back @ e[r]).round().flatten().tolist()) if rule.in_fiber else None


@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("kind", ["lift", "window", "isotropic"])
def test_group_types(kind, group, size):
    if kind == "window" and group.order > 8:
        size = min(size, 2 if group.order == 24 else 1)
    make = {"lift": g.lift, "window": g.window, "isotropic": g.isotropic}[kind]
    rule = make(size, group=group, padding="valid")
    table = rule.table()
    sheets_in, sheets_out = (group.order if f else 1 for f in (rule.in_fiber, rule.out_fiber))
    offsets = list(itertools.product(range(size), repeat=group.axes))
    assert table.shape == (sheets_out, sheets_in, len(offsets))
    known: dict[tuple, int] = {}
    for s, r, k in itertools.product(range(sheets_out), range(sheets_in), range(len(offsets))):
        name = independent(rule, group, size, (offsets[k], r), s)
        key = (
            tuple(round(v, 6) + 0.0 for v in name[0]),
            name[1] and tuple(v + 0.0 for v in name[1]),
        )
        assert known.setdefault(key, int(table[s, r, k])) == int(table[s, r, k])
    assert sorted(known.values()) == list(range(rule.num_edge_types)), (
        "two kinds of pairs share a type"
    )
    assert rule.fan_in() == len(offsets) * sheets_in


def test_gcn_norms_against_dense_matrices():
    a = torch.tensor(TRIANGLE.to_scipy().toarray()).double()
    looped = a + torch.diag((a.diagonal() == 0).double())
    d = looped.sum(1)
    torch.testing.assert_close(
        dense(g.adjacency("sym", self_loops=True), TRIANGLE)[0],
        d.rsqrt().diag() @ looped @ d.rsqrt().diag(),
    )
    torch.testing.assert_close(
        dense(g.adjacency("row", self_loops=True), TRIANGLE)[0], (1 / d).diag() @ looped
    )
    torch.testing.assert_close(dense(g.adjacency(self_loops=True), TRIANGLE)[0], looped)
    torch.testing.assert_close(dense(g.adjacency(), TRIANGLE)[0], a)
    isolated = dense(g.adjacency("sym"), TRIANGLE)[0]
    assert isolated[4].eq(0).all() and torch.isfinite(isolated).all(), (
        "a node that hears no one divides by nothing"
    )


def test_typed_adjacency():
    graph = g.Graph([[0, 1, 2, 2], [2, 2, 1, 0]], 3, edge_type=[0, 1, 1, 0])
    rule = g.adjacency(self_loops=True, types=2)
    assert rule.num_edge_types == 3 and g.adjacency(types=2).num_edge_types == 2
    s = dense(rule, graph)
    assert s[0].tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]] and s[1].tolist() == [
        [0, 0, 0],
        [0, 0, 1],
        [0, 1, 0],
    ]
    assert s[2].equal(torch.eye(3, dtype=torch.float64))
    more = g.Graph([[0, 1, 2], [2, 2, 2]], 3, edge_type=[0, 0, 1])
    by_type = dense(g.adjacency("row", types=2), more)
    assert by_type[:, 2].tolist() == [[0.5, 0.5, 0], [0, 0, 1]], (
        "row normalises each relation for itself"
    )


def test_reversed_strided_windows():
    rule = g.window(3, stride=2, padding=1)
    assert rule.target(g.Grid(5, 5)) == rule.target(g.Grid(6, 6)) == g.Grid(3, 3)
    assert rule.reverse().target(g.Grid(3, 3)) == g.Grid(5, 5)
    for end in (g.Grid(5, 5), g.Grid(6, 6)):
        back = rule.reverse(onto=end)
        assert back.target(g.Grid(3, 3)) == end and not back.refuses(g.Grid(3, 3))
        assert dense(back, g.Grid(3, 3)).equal(dense(rule, end).transpose(1, 2))
    assert "maps Grid(9, 9) to Grid(5, 5)" in rule.reverse(onto=g.Grid(9, 9)).refuses(g.Grid(3, 3))


def test_a_window_keeps_the_torus_where_it_tiles_it():
    assert g.window(3, axes=1, stride=2).target(g.Grid(6, periodic=True)) == g.Grid(
        3, periodic=True
    )
    assert g.window(3, axes=1, stride=2).target(g.Grid(5, periodic=True)) == g.Grid(3)


def ruled(n: int, p: int, d: int, k: int, s: int) -> bool:
    return (n + 2 * p - d * (k - 1) - 1) % s == 0


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("d", [1, 2])
def test_stride_rule_everywhere(k, d):
    seen = set()
    for n, p, s in itertools.product(range(2, 8), range(3), (1, 2, 3)):
        if n + 2 * p - d * (k - 1) - 1 < 0:
            continue
        make = {"padding": p, "stride": s, "dilation": d, "group": g.C(4)}
        strict, loose = g.lift(k, **make), g.lift(k, **make, exact=False)
        wanted = ruled(n, p, d, k, s)
        assert g.certify(loose, g.Grid(n, n), g.C(4)).exact == wanted
        seen.add(wanted)
        if wanted:
            assert g.certify(strict, g.Grid(n, n)).exact
            continue
        with pytest.raises(g.GeodlError, match="exact=False") as refusal:
            strict.target(g.Grid(n, n))
        named = [
            int(word)
            for word in refusal.value.args[2].split(" would be")[0].split()
            if word.isdigit()
        ]
        assert named, refusal.value.args[2]
        for m in named:
            assert ruled(m, p, d, k, s) and strict.target(g.Grid(m, m)).lattice
    assert seen == {True, False}


@given(
    st.sampled_from(GROUPS[:6]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.integers(1, 6),
    st.integers(1, 6),
    st.booleans(),
)
def test_accepted_exactly_where_certified(group, k, stride, padding, n, m, periodic):
    make = {"stride": stride, "padding": (padding, padding), "group": group}
    domain, loose = g.Grid(n, m, periodic=periodic), g.lift(k, **make, exact=False)
    assume(
        max(padding) < k
    )  # a window that lies outside hears no one, and no one can tell where it lies
    try:
        loose.target(domain)
    except g.GeodlError:
        assume(False)
    certificate = g.certify(loose, domain, group)
    try:
        g.lift(k, **make).target(domain)
        accepted = True
    except g.GeodlError:
        accepted = False
    assert accepted <= (not certificate.violations)
    assert accepted or periodic or certificate.violations
