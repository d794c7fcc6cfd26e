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
def test_few_rows_are_sorted_as_many(given):
    rows, cols, count = given
    few = sparse.sort_by_row(rows, cols, count)
    many = sparse.sort_by_row(rows, cols, sparse.FEW_ROWS + 1)
    assert few[0].equal(many[0][: count + 1]) and (many[0][count:] == len(rows)).all()
    for a, b in zip(few[1:], many[1:], strict=True):
        assert a.equal(b) and a.dtype == b.dtype
    assert few[0].dtype == few[1].dtype == torch.int32


def test_large_columns_keep_their_numbers():
    rows, cols = torch.tensor([1, 0]), torch.tensor([2**40, 3])
    assert sparse.sort_by_row(rows, cols, 2)[1].tolist() == [3, 2**40]


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
