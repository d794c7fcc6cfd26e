"""Bad input is refused in words: what was asked, what was found, what to do.

Nothing is cast, broadcast or ignored.
"""

import pytest
import scipy.sparse as sp
import torch
from torch import nn

import geodl as g

GRID, RING = g.Grid(4, 4), g.Graph([[0, 1, 2, 3], [1, 2, 3, 0]], 4)
P4 = g.C(4)
SPARSE = torch.eye(4).to_sparse_csr()


def on(domain: g.Domain, channels: int = 2, batch: int = 1, **options) -> g.Signal:
    return g.Signal(torch.zeros(batch, domain.num_nodes, channels, **options), domain)


def attention(rule: g.Neighborhood | None = None) -> g.Attention:
    return g.Attention(2, g.all_pairs() if rule is None else rule, heads=1)


def conv(rule=None) -> g.Conv:
    return g.Conv(2, 3, g.window(3) if rule is None else rule)


def forced(name: str, layer):
    layer.lowering = name
    return layer


THREE, TWO = on(g.Chain(3)), on(g.Chain(2))


def twice(x_i, x_j, e_ij):
    return 2 * x_j


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
        "no permutation",
        "each of 0..3 once",
    ),
    "relabel places": (
        lambda: GRID.relabel(torch.arange(16)),
        "relabelling",
        "nodes that are places",
        "a Graph",
    ),
    "no permutation": (
        lambda: g.GSet([[0, 0, 1]]),
        "GSet(generators)",
        "no permutation",
        "each of 0..N-1 once",
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
    "C(3)": (lambda: g.C(3), "C(3)", "3-fold rotations", "n = 1, 2 or 4"),
    "D(True)": (lambda: g.D(True), "D(True)", "", "n = 1, 2 or 4"),
    "S(9)": (lambda: g.S(9), "S(9)", "outside 1 to 8", "GSet"),
}
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
    "group without axes": (lambda: g.lift(3, group=g.S(3)), "", "group S3", "a group that acts"),
    "unequal box": (lambda: g.lift((3, 5), group=P4), "(3, 5)", "out of the box", "equal sizes"),
    "unequal strides": (
        lambda: g.lift(3, group=P4, stride=(1, 2)),
        "",
        "axes that C4 exchanges",
        "equal strides",
    ),
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
    "oblong": (
        lambda: conv(g.lift(3, group=P4))(on(g.Grid(4, 5))),
        "Grid(4, 5)",
        "unequal axes, which C4",
        "equal axes",
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
        "use adjacency() on",
    ),
    "onto": (
        lambda: conv(g.window(3, stride=2).reverse(onto=g.Grid(9, 9)))(on(GRID)),
        "",
        "Grid(9, 9) to Grid(5, 5)",
        "fits",
    ),
}
TYPED = g.Conv(2, 3, g.all_pairs("offset"), on=g.Chain(5))
LAYERS = {
    "channels": (lambda: conv()(on(GRID, 5)), "Conv(2, 3", "5 channels", "give 2 channels"),
    "tensor": (lambda: conv()(torch.zeros(1, 16, 2)), "Conv(2, 3", "a Tensor", "give a Signal"),
    "tensor in a row": (
        lambda: g.Sequential(nn.ReLU())(torch.zeros(1, 16, 2)),
        "ReLU",
        "a Tensor",
        "give a Signal",
    ),
    "tensor to a norm": (
        lambda: g.BatchNorm(2)(torch.zeros(1, 16, 2)),
        "BatchNorm(2)",
        "a Tensor",
        "give a Signal",
    ),
    "signal": (lambda: TYPED(on(g.Chain(5))), "on=Chain(5)", "a Signal", "give a tensor"),
    "placed nodes": (lambda: TYPED(torch.zeros(1, 6, 2)), "Chain(5)", "6 nodes", "give [B, 5, C]"),
    "placed list": (lambda: TYPED([1.0]), "a Signal", "a list", "give a tensor"),
    "edge types": (
        lambda: TYPED.over(g.window(3, axes=1)),
        "",
        "3 edge types in place of 9",
        "as many types",
    ),
    "edge types of the domain": (
        lambda: g.Conv(2, 3, g.all_pairs("orbit"), on=g.Grid(5, periodic=True))._propagate(
            on(g.Grid(8, periodic=True)), None
        ),
        "",
        "weights for 3 edge types where the domain has 5",
        "on=domain",
    ),
    "dtype": (
        lambda: conv().double()(on(GRID)),
        "Conv",
        "torch.float32 and parameters of torch.float64",
        ".to(dtype)",
    ),
    "device": (
        lambda: conv().to("meta")(on(GRID)),
        "Conv",
        "the signal on cpu and the layer on meta",
        ".to(device)",
    ),
    "refusing lowering": (
        lambda: forced("lattice", conv(g.adjacency("sym", self_loops=True)))(on(RING)),
        "'lattice'",
        "no window",
        "'auto'",
    ),
    "refusing mean": (
        lambda: forced("mean", conv())(on(GRID)),
        "'mean'",
        "not everyone hears everyone",
        "'auto'",
    ),
    "unknown lowering": (
        lambda: forced("latice", conv()),
        "'latice'",
        "",
        "did you mean 'lattice'?",
    ),
    "unknown everywhere": (
        lambda: g.set_lowering(conv(), "spm"),
        "'spm'",
        "",
        "did you mean 'spmm'?",
    ),
    "score": (lambda: g.Attention(8, g.all_pairs(), score="dto"), "score='dto'", "", "dot"),
    "cell": (lambda: g.Recurrent(1, 1, "lstn"), "cell='lstn'", "", "did you mean 'lstm'?"),
    "reduce": (lambda: g.Pool(g.whole(), "men"), "reduce='men'", "", "did you mean 'mean'?"),
    "message reduce": (
        lambda: g.Message(twice, g.past(), "summ"),
        "reduce='summ'",
        "",
        "did you mean 'sum'?",
    ),
    "heads": (
        lambda: g.Attention(10, g.all_pairs(), heads=4),
        "heads=4",
        "do not divide",
        "head_dim",
    ),
    "no heads": (
        lambda: g.Attention(8, g.all_pairs(), heads=0),
        "heads=0",
        "the size 0",
        "positive integers",
    ),
    "negative heads": (
        lambda: g.Attention(8, g.all_pairs(), heads=-2),
        "heads=-2",
        "the size -2",
        "positive integers",
    ),
    "no head": (
        lambda: g.Attention(8, g.all_pairs(), heads=2, head_dim=0),
        "head_dim=0",
        "the size 0",
        "positive integers",
    ),
    "dropout of no weights": (
        lambda: g.Attention(8, g.past(), score="linear", dropout=0.1),
        "score='linear', dropout=0.1",
        "in which no single weight stands",
        "leave it 0",
    ),
    "dropout": (lambda: g.Dropout(1.0), "Dropout(1.0)", "", "in [0, 1)"),
    "no channels": (
        lambda: g.Conv(0, 3, g.window(3)),
        "Conv(0, 3)",
        "the size 0",
        "positive integers",
    ),
    "float channels": (
        lambda: g.Conv(2, 3.0, g.window(3)),
        "Conv(2, 3.0)",
        "the size 3.0",
        "positive integers",
    ),
    "no hidden": (lambda: g.Recurrent(2, 0), "Recurrent(2, 0)", "the size 0", "positive integers"),
    "no norm": (lambda: g.BatchNorm(-1), "BatchNorm(-1)", "the size -1", "positive integers"),
    "a number for a rule": (lambda: g.Conv(2, 3, 3), "over 3", "a int", "give a rule"),
    "a function for a rule": (lambda: g.Pool(g.whole), "Pool", "a function", "give a rule"),
    "conv2d": (
        lambda: g.Sequential(nn.Conv2d(2, 3, 3)),
        "nn.Conv2d",
        "another axis",
        "geodl's own layers",
    ),
    "nested": (
        lambda: g.Residual(nn.Sequential(nn.BatchNorm2d(2))),
        "nn.BatchNorm2d",
        "another axis",
        "geodl's own",
    ),
    "norm of nodes": (
        lambda: g.Sequential(nn.LayerNorm([16, 2])),
        "nn.LayerNorm",
        "another axis",
        "geodl's own",
    ),
    "slope per node": (lambda: g.Concat(nn.PReLU(16)), "nn.PReLU", "another axis", "geodl's own"),
    "softmax of nodes": (
        lambda: g.Sequential(nn.Softmax(dim=1)),
        "nn.Softmax",
        "another axis",
        "geodl's own",
    ),
    "layer in torch": (
        lambda: g.Sequential(nn.Sequential(conv())),
        "Conv inside a plain Sequential",
        "",
        "geodl's own",
    ),
    "class": (lambda: g.Sequential(nn.ReLU), "a container", "a type", "nn.ReLU()"),
    "no parts": (lambda: g.Concat(), "Concat()", "no layers", "at least one"),
    "shortcut": (
        lambda: g.Residual(conv())(on(GRID)),
        "Residual",
        "[1, 16, 3]",
        "keep domain and channels",
    ),
    "sides": (
        lambda: g.Concat(conv(), g.Readout())(on(GRID)),
        "Concat",
        "Complete(1)",
        "on one domain",
    ),
    "cross batch": (
        lambda: attention()(on(g.Chain(3), batch=3), on(g.Chain(2), batch=2)),
        "from Chain(2)",
        "a batch of 2 heard by a batch of 3",
        "equal batches",
    ),
    "conv batch": (
        lambda: conv(g.all_pairs())(on(g.Chain(3), batch=3), on(g.Chain(2), batch=2)),
        "",
        "a batch of 2",
        "equal",
    ),
    "cross channels": (lambda: attention()(on(g.Chain(3), 5), TWO), "", "receivers of 5", "give 2"),
    "cross device": (
        lambda: conv(g.all_pairs())(on(g.Chain(3), device="meta"), TWO),
        "",
        "receivers on meta",
        "one device",
    ),
    "cross tensor": (
        lambda: conv(g.all_pairs())(torch.zeros(1, 3, 2), TWO),
        "",
        "a Tensor that hears",
        "two Signals",
    ),
    "cross window": (
        lambda: conv(g.window(3, axes=1))(on(g.Chain(7)), on(g.Chain(5))),
        "Chain(5) to Chain(7)",
        "receivers on Chain(7) in place of Chain(5)",
        "all_pairs",
    ),
    "cross self": (
        lambda: conv(g.all_pairs("self"))(THREE, TWO),
        "",
        "another domain",
        "all_pairs()",
    ),
    "no queries": (
        lambda: attention(g.window(2, stride=2))(on(GRID)),
        "",
        "receivers on Grid(2, 2)",
        "layer(receiver, sender)",
    ),
    "no receivers": (
        lambda: g.Message(twice, g.whole())(on(GRID)),
        "",
        "receivers on Complete(1)",
        "layer(receiver, sender)",
    ),
    "sender of a cell": (
        lambda: g.Recurrent(2, 2)(THREE, THREE),
        "",
        "a second signal",
        "its own domain",
    ),
    "sender of a norm": (
        lambda: g.BatchNorm(2)(THREE, THREE),
        "",
        "a second signal",
        "its own domain",
    ),
    "sender of a module": (
        lambda: g.Sequential(nn.ReLU())(on(GRID), on(GRID)),
        "ReLU with a sender",
        "one input",
        "hears two",
    ),
    "state": (
        lambda: g.Recurrent(2, 2).step(THREE, (torch.zeros(1, 1, 2),)),
        "a state",
        "[1, 1, 2]",
        "what step returned",
    ),
    "state dtype": (
        lambda: g.Recurrent(2, 2).step(THREE, (torch.zeros(1, 1, 2).double(),) * 2),
        "",
        "float64",
        "[1, 1, 2]",
    ),
    "state of numbers": (
        lambda: g.Recurrent(2, 2).step(THREE, 5),
        "a state",
        "['int']",
        "what step returned",
    ),
    "state of keys": (
        lambda: attention(g.past()).step(THREE, (torch.zeros(1, 2, 1, 3),) * 2),
        "a state",
        "[1, 2, 1, 3]",
        "[1, any, 1, 2] and [1, any, 1, 2]",
    ),
    "state of two lengths": (
        lambda: attention(g.past()).step(THREE, (torch.zeros(1, 4, 1, 2), torch.zeros(1, 2, 1, 2))),
        "a state",
        "[1, 4, 1, 2]",
        "[1, any, 1, 2] and",
    ),
    "over no rule": (lambda: attention().over(5), "over 5", "a int", "give a rule"),
    "cell elsewhere": (
        lambda: g.Recurrent(2, 2, rule=g.window(1, 1, stride=2))(on(g.Chain(4))),
        "recurs",
        "receivers on Chain(2)",
        "stays on its domain",
    ),
    "tokens in a list": (lambda: g.Signal.tokens([[1]]), "Signal.tokens", "a list", "give [B, T]"),
    "state of a window": (
        lambda: conv(g.window(3, axes=1, padding="causal")).step(THREE, torch.zeros(2, 2, 2)),
        "a state",
        "[2, 2, 2]",
        "[1, any, 2] like",
    ),
    "state of a row": (
        lambda: g.Sequential(g.Recurrent(2, 2)).step(THREE, (None, None)),
        "Sequential unrolled",
        "2 states of 1 layers",
        "what step returned",
    ),
    "state of no row": (
        lambda: g.Concat(g.Recurrent(2, 2)).step(THREE, 5),
        "Concat unrolled",
        "a int",
        "what step",
    ),
    "unrolled tensor": (
        lambda: conv(g.window(3, axes=1, padding="causal")).step(torch.zeros(1, 3, 2)),
        "Conv",
        "a Tensor",
        "give a Signal",
    ),
    "edge tensor": (
        lambda: g.Message(twice, g.past())(TWO, edge=torch.zeros(1, 3, 1)),
        "edge=",
        "a Tensor",
        "a Signal",
    ),
    "edge count": (
        lambda: g.Message(twice, g.past())(TWO, edge=on(g.Complete(2))),
        "",
        "3 edges",
        "one row for each",
    ),
    "certify": (lambda: g.certify(3, GRID), "certify(3)", "a int", "give a neighborhood"),
}
ROOMS = {"signal": SIGNALS, "domain": DOMAINS, "rule": RULES, "layer": LAYERS}
CASES = {f"{room}: {name}": case for room, cases in ROOMS.items() for name, case in cases.items()}


@pytest.mark.parametrize("name", CASES)
def test_refused_in_words(name):
    call, asked, found, do = CASES[name]
    with pytest.raises(g.GeodlError) as refusal:
        call()
    parts = refusal.value.args
    assert all(words in part for words, part in zip((asked, found, do), parts, strict=True)), str(
        refusal.value
    )
    assert parts[0] and parts[2], "every refusal says what was asked and what to do"
    assert str(refusal.value).startswith(parts[0]) and str(refusal.value).endswith(parts[2])


READS_DENSE = {
    "attention": lambda: g.Attention(4, g.adjacency(self_loops=True), heads=2),
    "pool": lambda: g.Pool(g.whole()),
    "message": lambda: g.Message(twice, g.adjacency(self_loops=True)),
    "norm": lambda: g.BatchNorm(4),
    "relu": lambda: g.Sequential(nn.ReLU()),
    "weights": lambda: g.Attention(4, g.adjacency(self_loops=True), heads=2).weights,
}


@pytest.mark.parametrize("name", READS_DENSE)
def test_sparse_values_are_for_conv(name):
    with pytest.raises(
        g.GeodlError, match="sparse values, which only Conv and Dropout read; give dense ones"
    ):
        READS_DENSE[name]()(g.Signal(SPARSE, RING))
    with pytest.raises(g.GeodlError, match="sparse values"):
        g.Recurrent(4, 2)(g.Signal(SPARSE, g.Chain(4)))


SPARSE_CONVS = {
    "graph": (g.adjacency("sym", self_loops=True), RING),
    "window": (g.window(3, axes=1), g.Chain(4)),
    "itself": (g.itself(), RING),
    "set": (g.all_pairs("self"), g.Complete(4)),
    "union": (g.window(3, axes=1), g.Batch([g.Chain(2), g.Chain(2)])),
}


@pytest.mark.parametrize("name", SPARSE_CONVS)
def test_conv_on_sparse_values_is_conv_on_dense_ones(name):
    rule, domain = SPARSE_CONVS[name]
    torch.manual_seed(0)
    layer = g.Conv(4, 3, rule).double()
    values = (torch.randn(4, 4, dtype=torch.float64) * (torch.rand(4, 4) > 0.4)).requires_grad_()
    kept = values.detach() != 0
    sparse = values.detach().to_sparse_csr().requires_grad_()
    y, wanted = layer(g.Signal(sparse, domain)).x, layer(g.Signal(values[None], domain)).x
    up = torch.randn_like(wanted)
    (theirs, *rest) = torch.autograd.grad(wanted, [values, *layer.parameters()], up)
    (mine, *ours) = torch.autograd.grad(y, [sparse, *layer.parameters()], up)
    assert (y - wanted).abs().max() < 1e-12 and (mine.to_dense() - theirs)[kept].abs().max() < 1e-12
    assert all((a - b).abs().max() < 1e-12 for a, b in zip(ours, rest, strict=True))
    assert layer.explain(g.Signal(sparse, domain)).lowering in ("spmm", "edges")


def test_asked_for_approximately_it_runs():
    rule = g.lift(3, group=P4, stride=2, padding="valid", exact=False)
    assert g.Conv(2, 3, rule)(on(GRID)).domain == g.GroupGrid(g.Grid(1, 1), P4)


def test_a_union_is_no_single_order():
    with pytest.raises(g.GeodlError, match="without one order"):
        on(g.Batch([g.Chain(2), g.Complete(3)])).to_sequence()


def test_the_error_survives_a_process_border():
    import pickle

    error = pickle.loads(pickle.dumps(g.GeodlError("asked", "found", "do")))
    assert str(error) == "asked: found found; do" and isinstance(error, ValueError)
