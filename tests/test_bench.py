"""Every benchmark row runs at tiny sizes, times only what computes the same, and says so when it
cannot run.
"""

import dataclasses
import functools
import itertools
import json

import pytest
import torch

from geodl import Batch, GeodlError, Graph, Signal, bench, data, models
from geodl.bench import (
    attention,
    banded,
    conv2d,
    cora_epoch,
    deepsets,
    edge_softmax,
    families,
    gan,
    gpt,
    group_conv,
    harness,
    imported_resnet,
    imports,
    lstm,
    message,
    mini_batches,
    overhead,
    p4cnn_step,
    peers,
    polynomial,
    pool,
    pyg_model,
    spmm,
    tree,
    wide_windows,
)
from geodl.bench.harness import BenchRow, Case, Effort, Side, compare, hold_same, measured
from geodl.bench.meter import CpuMeter
from geodl.bench.report import load, save, table

ONCE = Effort(seconds=0, least=2, most=2)


def small_cora(*, sparse):
    """The karate club as sparse features."""
    club = data.karate()
    x = club.signal.x[0].to_sparse_csr() if sparse else club.signal.x
    return dataclasses.replace(club, signal=Signal(x, club.signal.domain))


def small_graphs():
    """Three paths of two classes."""
    paths = [Graph([range(n - 1), range(1, n)], n) for n in (2, 4, 3)]
    signal = Signal(torch.randn(1, 9, 3), Batch(paths).flat())
    return data.GraphData("paths", signal, torch.tensor([0, 1, 0]), 2)


TINY = {
    "conv2d": functools.partial(conv2d.cases, conv2d.Sizes(2, 3, (2, 4), 5)),
    "group-conv": functools.partial(group_conv.cases, group_conv.Sizes(2, 2, 6)),
    "wide-windows": functools.partial(wide_windows.cases, wide_windows.Sizes(2, 1, 6, 5, 16, 27)),
    "p4cnn-step": functools.partial(p4cnn_step.cases, p4cnn_step.Sizes(2, 2)),
    "imported-resnet": functools.partial(imported_resnet.cases, imported_resnet.Sizes(2, 8, 4, 1)),
    "families": functools.partial(
        families.cases, families.Sizes(2, {"VGG": functools.partial(models.small_vgg, channels=4)})
    ),
    "gan": functools.partial(gan.cases, gan.Sizes(2, 4, 8)),
    "spmm": functools.partial(spmm.cases, spmm.Sizes(20, 60, 3, ((2, 1.0),))),
    "pool": functools.partial(pool.cases, pool.Sizes(20, 60, 3)),
    "polynomial": functools.partial(polynomial.cases, polynomial.Sizes(20, 60, 3, 2)),
    "cora-epoch": functools.partial(cora_epoch.cases, cora_epoch.Sizes(4, small_cora)),
    "mini-batches": functools.partial(
        mini_batches.cases, mini_batches.Sizes((2, 3), 4, 2, small_graphs)
    ),
    "pyg-model": functools.partial(
        pyg_model.cases, pyg_model.Sizes(4, 2, (2, 3), 2, small_cora, small_graphs)
    ),
    "deepsets": functools.partial(deepsets.cases, deepsets.Sizes((3, 5), 2, 4)),
    "attention": functools.partial(attention.cases, attention.Sizes(2, 6, 8, 2, 5)),
    "banded": functools.partial(banded.cases, banded.Sizes(150, 10, 9, 3, 2, 4)),
    "edge-softmax": functools.partial(edge_softmax.cases, edge_softmax.Sizes(20, 60, 8, 2)),
    "message": functools.partial(message.cases, message.Sizes(20, 60, 4, 7)),
    "gpt": functools.partial(gpt.cases, gpt.Sizes(2, 5, 7, 8, 2, 2, 3, 4)),
    "lstm": functools.partial(lstm.cases, lstm.Sizes(2, 5, 3, 4)),
    "tree": functools.partial(tree.cases, tree.Sizes(3, 1, 6, 3, 4)),
    "overhead": functools.partial(overhead.cases, overhead.Sizes(4, 4)),
    "import": functools.partial(imports.cases, imports.Sizes("json", "json")),
}
CASES = {
    "conv2d": 4,
    "group-conv": 3,
    "p4cnn-step": 5,
    "imported-resnet": 2,
    "spmm": 3,
    "pool": 4,
    "polynomial": 2,
    "cora-epoch": 2,
    "deepsets": 2,
    "attention": 5,
    "banded": 3,
}
CASES |= {"edge-softmax": 3, "mini-batches": 4}
CASES["edge-softmax"] = 3
CASES["message"] = 6


def absent_peers() -> list[str]:
    """How to install the peers that are not here."""
    reasons = {
        harness.PEER_INSTALL: peers.escnn_missing(),
        harness.DGL_INSTALL: peers.dgl_missing(),
    }
    return [hint for hint, reason in reasons.items() if reason]


def test_every_row_has_a_tiny_twin():
    assert tuple(TINY) == bench.names()


@pytest.mark.parametrize("name", TINY)
def test_a_row_runs(name):
    rows = list(measured(name, TINY[name](), ONCE))
    assert len(rows) == CASES.get(name, len(rows))
    for row in rows:
        if row.ours_ms is None:
            assert any(hint in row.note for hint in absent_peers()), row.note
            continue
        assert row.row == name
        assert row.case and row.peer
        assert row.ratio == pytest.approx(row.ours_ms / row.peer_ms)
        assert min(row.ours_ms, row.peer_ms) > 0
        assert min(row.our_faults, row.peer_faults) >= 0
        fast = row.reach is None or row.ours_ms / row.peer_ms <= row.reach
        assert row.reached == fast or (fast and "peak memory" in row.note)
    assert len({(row.case, row.peer) for row in rows}) == len(rows)


def test_one_number_in_ten_thousand_may_fall_on_the_other_side_of_a_kink():
    ours, theirs = torch.zeros(20_000), torch.zeros(20_000)
    theirs[:2] = 0.1
    hold_same("sum", [ours], [theirs])
    theirs[2] = 0.1
    with pytest.raises(GeodlError, match="differ by 1.0e-01"):
        hold_same("sum", [ours], [theirs])
    with pytest.raises(GeodlError, match="differ by nan"):
        hold_same("sum", [ours], [ours.index_fill(0, torch.tensor(7), torch.nan)])


def test_what_differs_is_not_timed():
    called = []
    side = Side(lambda: called.append(1), lambda: [torch.ones(3)])
    wrong = Side(lambda: called.append(2), lambda: [torch.ones(3) + 1e-3])
    with pytest.raises(GeodlError, match="differ by 1.0e-03"):
        compare(Case("sum", "peer", side, wrong), ONCE)
    (row,) = measured("a", [Case("sum", "peer", side, wrong)], ONCE)
    assert called == []
    assert (row.ours_ms, row.ratio, row.reached, row.case) == (None, None, False, "sum")
    assert row.note.startswith("not timed: timing sum: found answers 0 that differ")
    assert compare(Case("sum", "peer", side, wrong, within=2e-3), ONCE).ratio is not None
    many = torch.ones(20_000)
    with pytest.raises(GeodlError, match="differ by 1.0e-03"):
        hold_same("sum", [many], [many + 1e-3], within=2e-3)


def test_memory_is_held_to_its_reach():
    small, large = (Side(lambda n=n: torch.ones(n << 20), lambda: [torch.ones(3)]) for n in (2, 20))
    assert CpuMeter().peak(large.call) == pytest.approx(80 << 20, rel=0.1)
    for ours, theirs, lean in ((small, large, True), (large, small, False)):
        row = compare(Case("ones", "peer", ours, theirs, memory_reach=0.5), ONCE)
        assert row.reached == lean
        assert row.note.startswith("peak memory ") and row.note.endswith("at most 0.50")


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        ([], "1 answers and 0"),
        ([torch.ones(2)], "shapes"),
        ([torch.full((3,), torch.nan)], "differ by nan"),
    ],
)
def test_answers_that_cannot_agree_are_refused(theirs, reason):
    with pytest.raises(GeodlError, match=reason):
        hold_same("sum", [torch.ones(3)], theirs)
    with pytest.raises(GeodlError, match="0 answers and 0"):
        hold_same("sum", [], [])


@pytest.mark.parametrize(
    "name", ["conv2d", "group-conv", "spmm", "pool", "lstm", "tree", "attention", "deepsets", "gpt"]
)
def test_a_planted_fault_is_not_timed(name, monkeypatch):
    straight, made = harness.step, itertools.count()

    def crooked(function, inputs, upstream):
        call = straight(function, inputs, upstream)
        return (lambda: [1.01 * t + 0.01 for t in call()]) if next(made) % 2 else call

    for module in (conv2d, group_conv, spmm, pool, lstm, tree, attention, deepsets, gpt):
        monkeypatch.setattr(module, "step", crooked)
    rows = list(measured(name, TINY[name](), ONCE))
    assert any("differ by" in row.note or "not installed" in row.note for row in rows)


def test_a_case_that_raises_stops_no_other():
    def broken():
        raise RuntimeError("out of order")

    fine = Side(lambda: None, lambda: [torch.ones(1)])
    rows = list(
        measured(
            "a", [Case("one", "p", Side(broken, broken), fine), Case("two", "p", fine, fine)], ONCE
        )
    )
    assert [row.note for row in rows] == ["not timed: out of order", ""]
    assert [row.ours_ms is None for row in rows] == [True, False]


def test_missing_peers_and_data_say_what_to_do(monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    peers.escnn_missing.cache_clear()
    try:
        rows = [
            *measured("g", TINY["group-conv"](), ONCE),
            *measured("p", TINY["p4cnn-step"](), ONCE),
        ]
    finally:
        peers.escnn_missing.cache_clear()
    assert [harness.PEER_INSTALL in row.note for row in rows] == [True] * 6 + [False] * 2
    assert [row.reached for row in rows[:6]] == [False] * 6

    def absent(*, sparse):
        raise GeodlError("Cora", "no file", "set GEODL_MIRROR")

    rows = list(measured("c", cora_epoch.cases(cora_epoch.Sizes(4, absent)), ONCE))
    assert ["set GEODL_MIRROR" in row.note for row in rows] == [True, True]


def test_added_microseconds_become_a_ratio():
    side = Side(lambda: None, lambda: [torch.ones(1)])
    row = compare(Case("nothing", "nothing", side, side, added_us=1e6), ONCE)
    assert row.reached
    assert row.reach == pytest.approx(1 + 1e3 / row.peer_ms)
    assert "at most 1000000" in row.note


def test_an_unknown_row_suggests_the_nearest():
    with pytest.raises(GeodlError, match="did you mean 'lstm'"):
        bench.run(["lstn"])


def test_run_measures_twice_and_reports(monkeypatch):
    monkeypatch.setattr(bench, "ROWS", {"import": TINY["import"]})
    monkeypatch.setattr(bench, "trimming_off", lambda name: {("import json", "import json"): 0.5})
    seen = []
    rows = bench.run(["import"], seen.append)
    assert rows == seen
    assert [row.ratio_trimming_off for row in rows] == [0.5]


def test_the_second_measurement_keeps_its_memory(monkeypatch):
    def told(command, env, **_):
        save(
            [BenchRow("lstm", "a", "b", 1.0, 2.0, 0.5, note=env["MALLOC_TRIM_THRESHOLD_"])],
            command[-1],
        )
        assert command[1:4] == ["-m", "geodl.bench", "lstm"]
        assert env["MALLOC_MMAP_THRESHOLD_"] == str(4 << 30)
        return bench.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(bench.subprocess, "run", told)
    assert bench.trimming_off("lstm") == {("a", "b"): 0.5}
    monkeypatch.setattr(
        bench.subprocess, "run", lambda *a, **k: bench.subprocess.CompletedProcess(a, 1)
    )
    assert bench.trimming_off("lstm") == {}


def test_rows_survive_a_file(tmp_path):
    rows = [
        BenchRow("lstm", "LSTM", "nn.LSTM", 1.5, 3.0, 0.5, 0.6, 1.05, 2.0, 3.0, True),
        BenchRow("spmm", "GCN", "PyG", reach=0.1, note="not timed: gone"),
    ]
    path = tmp_path / "rows.json"
    save(rows, path)
    assert load(path) == rows
    assert json.loads(path.read_text())[1]["ours_ms"] is None
    assert [p.name for p in tmp_path.iterdir()] == ["rows.json"]
    with pytest.raises(GeodlError, match="a folder that exists"):
        save(rows, tmp_path / "nowhere" / "rows.json")
    text = table(rows)
    assert "1 of 2 targets reached" in text
    assert "not timed: gone" in text
