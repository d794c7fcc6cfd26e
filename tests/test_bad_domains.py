"""Signals and domains that cannot be are refused in words; nothing is cast or ignored."""

import pickle

import pytest
import scipy.sparse as sp
import torch

import geodl as g
from tests.bad_input import GRID, P4, RING, assert_refused, on

SIGNALS = {
    "nodes": (
        lambda: g.Signal(torch.zeros(1, 5, 2), GRID),
        "Grid(4, 4)",
        "5 nodes",
        "give [B, 16, C]",
    ),
    "no batch axis": (
        lambda: g.Signal(torch.zeros(16, 2), GRID),
        "Grid(4, 4)",
        "shape [16, 2]",
        "x[None]",
    ),
    "integers": (
        lambda: g.Signal(torch.zeros(1, 16, 2, dtype=torch.int64), GRID),
        "",
        "int64",
        "x.float()",
    ),
    "bool": (
        lambda: g.Signal(torch.zeros(1, 16, 2, dtype=torch.bool), GRID),
        "",
        "torch.bool",
        "x.float()",
    ),
    "a list": (
        lambda: g.Signal([[[1.0]]], g.Grid(1)),
        "a Signal",
        "a list on a Grid",
        "give a tensor [B, N, C]",
    ),
    "no domain": (
        lambda: g.Signal(torch.zeros(1, 3, 1), 3),
        "a Signal",
        "a Tensor on a int",
        "and a domain",
    ),
    "coo": (
        lambda: g.Signal(torch.zeros(1, 16, 2).to_sparse(), GRID),
        "",
        "layout torch.sparse_coo",
        "x.to_dense()",
    ),
    "no tokens": (
        lambda: g.Signal.sequence(torch.zeros(1, 0, 3)),
        "Signal.sequence(x)",
        "without a token",
        "one token at least",
    ),
    "two devices": (
        lambda: g.Signal(torch.zeros(1, 4, 2, device="meta"), RING),
        "",
        "on meta and the domain on cpu",
        "move",
    ),
    "tokens in a list": (lambda: g.Signal.tokens([[1]]), "Signal.tokens", "a list", "give [B, T]"),
}
DOMAINS = {
    "no nodes": (
        lambda: g.Graph(torch.zeros(2, 0)),
        "Graph with 0 nodes",
        "no nodes",
        "num_nodes of at least 1",
    ),
    "zero length": (lambda: g.Grid(0, 3), "Grid(0, 3)", "the size 0", "positive integers"),
    "negative length": (lambda: g.Chain(-1), "Chain(-1)", "the size -1", "positive integers"),
    "bool length": (
        lambda: g.Complete(True),
        "Complete(True)",
        "the size True",
        "positive integers",
    ),
    "float length": (lambda: g.Grid(2.0), "Grid", "the size 2.0", "positive integers"),
    "no axes": (lambda: g.Grid(), "Grid()", "0 axes", "one to three lengths"),
    "four axes": (lambda: g.Grid(1, 1, 1, 1), "Grid", "4 axes", "one to three lengths"),
    "periodic": (
        lambda: g.Grid(5, periodic=(True, False)),
        "Grid",
        "periodic=(True, False)",
        "one bool",
    ),
    "periodic number": (lambda: g.Grid(5, periodic=1), "Grid", "periodic=1", "one bool"),
    "too large": (lambda: g.Graph([[0, 3], [1, 0]], 3), "3 nodes", "from 0 to 3", "lie in 0..2"),
    "negative node": (
        lambda: g.Graph([[0, -1], [1, 0]], 3),
        "3 nodes",
        "from -1 to 1",
        "lie in 0..2",
    ),
    "float nodes": (
        lambda: g.Graph(torch.zeros(2, 3)),
        "Graph(edge_index)",
        "dtype torch.float32",
        "edge_index.long()",
    ),
    "bool nodes": (
        lambda: g.Graph(torch.zeros(2, 3, dtype=torch.bool)),
        "",
        "dtype torch.bool",
        "edge_index.long()",
    ),
    "three rows": (
        lambda: g.Graph([[0], [0], [0]]),
        "Graph(edge_index)",
        "shape [3, 1]",
        "give [2, E]",
    ),
    "pairs in rows": (lambda: g.Graph([[0, 1], [1, 2], [2, 0]]), "", "shape [3, 2]", "row 0 sends"),
    "NaN weight": (
        lambda: g.Graph([[0], [1]], edge_weight=[float("nan")]),
        "2 nodes",
        "NaN",
        "clean the weights",
    ),
    "infinite weight": (
        lambda: g.Graph([[0], [1]], edge_weight=[float("inf")]),
        "",
        "infinite",
        "clean the weights",
    ),
    "NaN in scipy": (
        lambda: g.Graph.from_scipy(sp.csr_matrix([[0, float("nan")], [1, 0]])),
        "",
        "NaN",
        "clean the weights",
    ),
    "weights": (
        lambda: g.Graph([[0], [1]], edge_weight=[1.0, 2.0]),
        "",
        "edge_weight of shape [2]",
        "shape [1]",
    ),
    "attributes": (
        lambda: g.Graph([[0], [1]], edge_attr=torch.zeros(2, 3)),
        "",
        "edge_attr of shape [2, 3]",
        "[1, ...]",
    ),
    "float types": (
        lambda: g.Graph([[0], [1]], edge_type=[0.5]),
        "",
        "edge_type with dtype",
        "relation numbers from 0",
    ),
    "negative types": (
        lambda: g.Graph([[0], [1]], edge_type=[-1]),
        "",
        "negative numbers",
        "relation numbers from 0",
    ),
    "device of weights": (
        lambda: g.Graph([[0], [1]], edge_weight=torch.ones(1, device="meta")),
        "",
        "on meta",
        "one device",
    ),
    "relabel": (
        lambda: RING.relabel(torch.tensor([0, 0, 1, 2])),
        "relabelling",
        "not a permutation",
        "each of 0..3 once",
    ),
    "relabel places": (
        lambda: GRID.relabel(torch.arange(16)),
        "relabelling",
        "nodes that are fixed by their coordinates",
        "a Graph",
    ),
    "no permutation": (
        lambda: g.GSet([[0, 0, 1]]),
        "GSet(generators)",
        "not a permutation",
        "each of 0..2 once",
    ),
    "empty batch": (lambda: g.Batch([]), "Batch([])", "no members", "at least one"),
    "group on a chain": (
        lambda: g.GroupGrid(g.Chain(3), P4),
        "C4 over Chain(3)",
        "2 axes and a lattice of 1",
        "on two axes",
    ),
    "group on a set": (lambda: g.GroupGrid(g.Complete(3), P4), "", "a lattice of 0", "on two axes"),
    "S5 on a grid": (
        lambda: g.GroupGrid(GRID, g.S(5)),
        "S5 over",
        "a group on 0 axes",
        "C(n) or D(n)",
    ),
    "C(0)": (lambda: g.C(0), "C(0)", "the size 0", "positive integers"),
    "D(True)": (lambda: g.D(True), "D(True)", "the size True", "positive integers"),
    "S(2.0)": (lambda: g.S(2.0), "S(2.0)", "the size 2.0", "positive integers"),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_signals_are_refused_in_words(name):
    assert_refused(SIGNALS[name])


@pytest.mark.parametrize("name", DOMAINS)
def test_domains_are_refused_in_words(name):
    assert_refused(DOMAINS[name])


def test_a_union_is_no_single_order():
    with pytest.raises(g.GeodlError, match="without one order"):
        on(g.Batch([g.Chain(2), g.Complete(3)])).to_sequence()


def test_the_error_survives_a_process_border():
    error = pickle.loads(pickle.dumps(g.GeodlError("asked", "found", "do")))
    assert str(error) == "asked: found found; do" and isinstance(error, ValueError)
