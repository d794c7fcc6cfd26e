"""Recurrence where lengths differ, on trees and on DAGs: torch's packed kernels as twins, one call
of the cell per level.
"""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import geodl as g
from geodl.layer import recurrent
from geodl.lowering import Request, plan_for
from geodl.lowering.cells import CELLS, LSTM, Kind
from geodl.testing import assert_lowered_to, assert_parity, error

OF_TORCH = [name for name, kind in CELLS.items() if kind.kernel is not None]
LENGTHS = (3, 5, 1, 5)
MASK = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
TREE = g.Graph([[0, 1, 2, 3], [2, 2, 4, 4]], 5)


def twin_of(cell: str, **options) -> nn.RNNBase:
    kind = {"lstm": nn.LSTM, "gru": nn.GRU}.get(cell, nn.RNN)
    return kind(
        3, 4, batch_first=True, **({"nonlinearity": cell[4:]} if kind is nn.RNN else {}), **options
    ).double()


def tokens(**options) -> torch.Tensor:
    return torch.randn(
        4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), **options
    )


def packed(twin: nn.RNNBase, x: torch.Tensor, state: tuple[torch.Tensor, ...] | None = None):
    """What torch makes of the rows without their padding: outputs `[B, T, C]`, and the states in a
    tuple.
    """
    before = None if state is None else tuple(s.transpose(0, 1).contiguous() for s in state)
    hx = before if before is None or isinstance(twin, nn.LSTM) else before[0]
    y, after = twin(
        pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False), hx
    )
    padded, _ = pad_packed_sequence(y, batch_first=True)
    return padded, tuple(
        s.transpose(0, 1) for s in (after if isinstance(after, tuple) else (after,))
    )


def as_row(state: torch.Tensor) -> torch.Tensor:
    """States of B sequences `[B, 1, hidden]` as those of D members of one signal, `[1, D, hidden]`,
    and back.
    """
    return state.transpose(0, 1)


@pytest.mark.parametrize("cell", OF_TORCH)
@pytest.mark.parametrize("lowering", ["auto", "levels", "edges"])
def test_padding_is_missing_nodes(cell, lowering):
    torch.manual_seed(0)
    twin, layer, x = twin_of(cell), g.Recurrent(3, 4, cell).double(), tokens().requires_grad_()
    layer.load_state_dict(twin.state_dict())
    layer.lowering = lowering
    start = tuple(
        torch.randn(4, 1, 4, dtype=torch.float64, requires_grad=True)
        for _ in range(CELLS[cell].states)
    )
    wanted, last = packed(twin, x, start)
    y, after = layer.step(g.Signal.sequence(x, MASK), tuple(map(as_row, start)))
    results = [
        (y.to_sequence(), wanted),
        *((as_row(s), t) for s, t in zip(after, last, strict=True)),
    ]
    assert y.x.shape == (1, sum(LENGTHS), 4) and y.x.is_contiguous()
    assert max(error(a, b) for a, b in results) < 1e-10
    ups = [torch.randn_like(b) for _, b in results]
    ours = torch.autograd.grad([a for a, _ in results], [x, *start, *layer.parameters()], ups)
    theirs = torch.autograd.grad([b for _, b in results], [x, *start, *twin.parameters()], ups)
    assert max(map(error, ours, theirs)) < 1e-10
    assert error(ours[0][~MASK], torch.zeros_like(ours[0][~MASK])) == 0


@pytest.mark.parametrize("cell", OF_TORCH)
def test_layers_directions_and_dropout_on_ragged_rows(cell):
    torch.manual_seed(0)
    twin, x = twin_of(cell, num_layers=2, bidirectional=True, dropout=0.5), tokens()
    model = g.interop.from_torch(twin)
    s = g.Signal.sequence(x, MASK)
    with g.testing.record_lowerings() as ran:
        dropped = model(s).x
    assert ran == ["rnn"] * 4 and error(model(s).x, dropped) > 1e-3, "dropout between the layers"
    assert error(model.eval()(s).to_sequence(), packed(twin.eval(), x)[0]) < 1e-10


def test_the_last_state_reads_a_ragged_batch():
    layer, x = g.Recurrent(3, 4, "gru").double(), tokens()
    y, (last,) = layer.step(g.Signal.sequence(x, MASK))
    rows = y.to_sequence()
    assert error(last[0], torch.stack([rows[k, n - 1] for k, n in enumerate(LENGTHS)])) < 1e-12
    several = g.Signal(torch.randn(2, 4, 3).double(), g.Batch([g.Chain(3), g.Chain(1)]))
    y, (last,) = layer.step(several)
    assert error(last, y.x[:, [2, 3]]) < 1e-12


@pytest.mark.parametrize("rule", [g.previous(), g.previous().reverse(), g.predecessors()], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_one_token_is_enough(cell, rule):
    layer, x = g.Recurrent(3, 4, cell, rule).double(), tokens()[:, :1].contiguous()
    y, state = layer.run_from(g.Signal.sequence(x))
    assert y.x.shape == (4, 1, 4) and error(state[0], y.x) < 1e-12
    assert assert_parity(layer, g.Signal.sequence(x)).keys() >= {"levels"}
    mask = torch.ones(4, 1, dtype=torch.bool)
    assert error(layer(g.Signal.sequence(x, mask)).x, y.x) < 1e-12


def test_one_batched_call_for_each_level(monkeypatch):
    calls = []

    class Counted(LSTM):
        def node(self, b, total):
            calls.append(b.shape[0])
            return super().node(b, total)

    layer = g.Recurrent(3, 4, "lstm", g.predecessors())
    monkeypatch.setitem(recurrent.CELLS, "lstm", Kind(Counted, 4, 2))
    layer(g.Signal(torch.randn(2, 5, 3), TREE))
    assert calls == [3, 1, 1]
    calls.clear()
    layer(
        g.Signal(torch.randn(2, 10, 3), g.Batch([TREE, g.Graph([[0, 0, 1, 3], [1, 3, 3, 4]], 5)]))
    )
    assert calls == [5, 2, 2, 1], (
        "members share their levels, and a level is the longest way to a node"
    )


@pytest.mark.parametrize("cell", CELLS)
def test_states_of_a_union_of_dags(cell):
    torch.manual_seed(0)
    layer, other = g.Recurrent(3, 4, cell, g.predecessors()).double(), g.Graph([[0, 0], [1, 2]], 4)
    for members in ((TREE, other), (other, other)):
        union = g.Batch(members)
        x = torch.randn(2, union.num_nodes, 3, dtype=torch.float64)
        state = tuple(torch.randn(2, 2, 4, dtype=torch.float64) for _ in range(CELLS[cell].states))
        y, after = layer.step(g.Signal(x, union), state)
        layer.lowering = "edges"
        wanted, last = layer.step(g.Signal(x, union), state)
        layer.lowering = "auto"
        assert_lowered_to("levels", layer, g.Signal(x, union))
        assert error(y.x, wanted.x) < 1e-12 and max(map(error, after, last)) < 1e-12
        parts = [
            layer.step(g.Signal(p, m), tuple(s[:, k : k + 1] for s in state))
            for k, (p, m) in enumerate(zip(union.split(x), members, strict=True))
        ]
        assert error(y.x, torch.cat([part.x for part, _ in parts], 1)) < 1e-12
        assert error(after[0], torch.cat([end[0] for _, end in parts], 1)) < 1e-12, (
            "nodes that nobody hears, member by member"
        )


def test_a_deep_graph_copies_each_state_once_for_each_edge():
    """Work and memory are those of the edges, not of levels times nodes: a path with a leaf at each
    node.
    """
    n = 200
    spine = torch.arange(1, n)
    comb = g.Graph(
        torch.cat((torch.stack((spine - 1, spine)), torch.stack((spine + n - 1, spine))), 1),
        2 * n - 1,
    )
    layer = g.Recurrent(2, 3, "gru", g.predecessors()).double()
    x = torch.zeros(1, dtype=torch.float64)
    plan = plan_for(Request("recur", "auto", layer.rule, comb, None, x, layer.options))
    levels = plan.data.levels
    assert plan.data.sizes == (n,) + (1,) * (n - 1)
    assert (
        sum(len(level.src_in_level) for level in levels)
        == sum(sum(level.edges_per_dst_level) for level in levels)
        == 2 * (n - 1)
    )
    s = g.Signal(torch.randn(1, comb.num_nodes, 2, dtype=torch.float64), comb)
    assert assert_parity(layer, s)["levels"] < 1e-10


@pytest.mark.parametrize("lowering", ["auto", "levels", "edges"])
def test_cycles_are_named(lowering):
    layer = g.Recurrent(2, 3, "lstm", g.predecessors())
    layer.lowering = lowering
    cycle = g.Graph([[0, 1, 2, 3], [1, 2, 3, 1]], 5)
    for domain, names in (
        (cycle, "1 <- 3 <- 2 <- 1"),
        (g.Batch([TREE, cycle]), "6 <- 8 <- 7 <- 6"),
        (g.Graph([[0], [0]]), "0 <- 0"),
    ):
        with pytest.raises(
            g.GeodlError, match=f"the cycle {names}; recurrence needs a tree, a chain or a DAG"
        ):
            layer(g.Signal(torch.zeros(1, domain.num_nodes, 2), domain))


def test_states_of_another_shape_are_refused():
    ragged, layer = g.Signal.sequence(tokens(), MASK), g.Recurrent(3, 4).double()
    with pytest.raises(g.GeodlError, match=r"\[1, 4, 4\] and \[1, 4, 4\] like"):
        layer.step(ragged, (torch.zeros(4, 1, 4).double(),) * 2)
    with pytest.raises(g.GeodlError, match=r"\[1, 4, 4\] and \[1, 4, 4\] like"):
        layer.step(ragged, (torch.zeros(1, 4, 4).double(),))


def test_weights_on_edges_are_refused():
    heavy = g.Graph([[0], [1]], edge_weight=[0.5])
    with pytest.raises(g.GeodlError, match="weighted edges"):
        g.Recurrent(3, 4, "gru", g.adjacency())(g.Signal(torch.zeros(1, 2, 3), heavy))


def test_parametrized_weights_are_read():
    layer, s = g.Recurrent(3, 4).double(), g.Signal.sequence(tokens())
    plain = layer(s).x
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    assert error(layer(s).x, plain) < 1e-12
    with torch.no_grad():
        layer.parametrizations.weight_hh_l0.original0.mul_(2)
    assert error(layer(s).x, plain) > 1e-3
