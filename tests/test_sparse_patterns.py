"""How sparse patterns are made: sorted alike by either way, once for all layers of one rule."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import geodl as g
from geodl.lowering import sparse, spmm


@st.composite
def entries(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Rows and columns of a few entries, repeated ones too, and the number of rows."""
    count, rows = draw(st.integers(0, 30)), draw(st.integers(1, 9))
    ends = st.lists(st.integers(0, rows - 1), min_size=count, max_size=count)
    columns = st.lists(st.integers(0, 9), min_size=count, max_size=count)
    numbers = torch.tensor([draw(ends), draw(columns)], dtype=torch.long)
    return numbers[0], numbers[1], rows


@given(given=entries())
@pytest.mark.parametrize("way", ["by counting", "few", "many"])
def test_entries_are_sorted_by_their_rows(way, given):
    """Alike by each way, those of one row in the order in which they were given."""
    rows, cols, count = given
    with pytest.MonkeyPatch.context() as patch:
        if way == "by counting" and sparse.numba_missing():
            pytest.skip(sparse.numba_missing())
        if way != "by counting":
            patch.setattr(sparse, "numba_missing", lambda: "left out here")
        if way == "many":
            patch.setattr(sparse, "FEW_ROWS", 0)
        starts, sorted_cols, order = sparse.sort_by_row(rows, cols, count)
        pattern = sparse.constant_pattern(rows, cols, (count, 10), None)
    wanted = sorted(range(len(rows)), key=lambda e: int(rows[e]))
    assert order.tolist() == wanted
    assert sorted_cols.tolist() == cols[wanted].tolist()
    assert starts.tolist() == [int((rows < i).sum()) for i in range(count + 1)]
    assert starts.dtype == sorted_cols.dtype == torch.int32
    back = sorted(range(len(cols)), key=lambda e: int(cols[e]))
    assert pattern.rows.equal(starts) and pattern.cols.equal(sorted_cols)
    assert pattern.rows_t.tolist() == [int((cols < j).sum()) for j in range(11)]
    assert pattern.cols_t.tolist() == rows[back].tolist()


@pytest.mark.parametrize("number", [-1, 3])
def test_rows_out_of_range_are_refused_before_anything_is_written(number):
    if sparse.numba_missing():
        pytest.skip(sparse.numba_missing())
    one, other = torch.tensor([0, number]), torch.tensor([0, 1])
    with pytest.raises(g.GeodlError, match="between 3 nodes.*out of range"):
        sparse.sort_by_row(one, other, 3)
    for dst, src in ((one, other), (other, one)):
        with pytest.raises(g.GeodlError, match="between 3 and 3 nodes.*out of range"):
            sparse.constant_pattern(dst, src, (3, 3), None)


def test_large_columns_keep_their_numbers():
    rows, cols = torch.tensor([1, 0]), torch.tensor([2**40, 3])
    assert sparse.sort_by_row(rows, cols, 2)[1].tolist() == [3, 2**40]


def test_what_32_bits_do_not_hold_stands_in_64(monkeypatch):
    """Also where nothing but the number of rows, of columns or of entries is as large."""
    monkeypatch.setattr(sparse, "FEW_ROWS", 0)
    ends = torch.tensor([[0, 1, 1], [1, 0, 1]])
    small = sparse.constant_pattern(ends[0], ends[1], (2, 2), None)
    monkeypatch.setattr(sparse, "BEYOND", 3)
    large = sparse.constant_pattern(ends[0], ends[1], (2, 2), None)
    for narrow, wide in zip(small[:4], large[:4], strict=True):
        assert narrow.dtype == torch.int32 and wide.dtype == torch.int64
        assert narrow.tolist() == wide.tolist()


def test_layers_of_one_rule_share_a_pattern(monkeypatch):
    """Of any width, with weights and without; another rule has its own, and so has another
    domain.
    """
    made = []
    usual = spmm.constant_pattern
    monkeypatch.setattr(spmm, "constant_pattern", lambda *a: made.append(1) or usual(*a))
    rule = g.adjacency(self_loops=True)
    layers = (g.Propagate(rule), g.Conv(2, 3, rule), g.Conv(2, 2, rule), g.Conv(2, 1, rule))
    for count, domain in enumerate((g.Graph([[0, 1], [1, 0]]), g.Graph([[0], [1]], 3)), 1):
        s = g.Signal(torch.randn(1, domain.num_nodes, 2), domain)
        patterns = [layer(s) and layer.explain(s).lowering for layer in layers]
        assert patterns == ["spmm"] * 4 and len(made) == count
    s = g.Signal(torch.randn(1, 2, 2), g.Graph([[0, 1], [1, 0]]))
    g.Propagate(g.adjacency())(s)
    assert len(made) == 3
    g.Propagate(g.adjacency()).double()(s.to(torch.float64))
    assert len(made) == 4, "entries have the width of the values"


@pytest.mark.parametrize("types", [None, 2])
@pytest.mark.parametrize("loops", [[], [0], [0, 0, 2]])
def test_self_loops_with_and_without_some_there(types, loops):
    """One loop a node, whichever way they were found."""
    ends = torch.tensor([[0, 1, *loops], [1, 2, *loops]])
    kind = torch.zeros(ends.shape[1], dtype=torch.long)
    graph = g.Graph(ends, 3, edge_type=kind)
    edges = g.adjacency(self_loops=True, types=types).edges(graph)
    is_loop = edges.dst == edges.src
    wanted = 3 if types is None else 3 + max(0, len(loops) - len(set(loops)))
    assert int(is_loop.sum()) == wanted
    assert set(edges.dst[is_loop].tolist()) == {0, 1, 2}
    assert edges.link[is_loop].tolist().count(-1) == 3 - len(set(loops))
