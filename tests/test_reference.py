"""The reference against numbers worked out by hand, against dense algebra, and against finite
differences.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

import geodl as g
from geodl import reference
from geodl.lowering.cells import CELLS, LSTM
from geodl.lowering.scores import dot
from geodl.neighborhood import Edges

# node 1 hears 0 twice (parallel), 0 and 2 hear themselves, 3 hears no one and is heard by no one
HAND = Edges(
    torch.tensor([1, 1, 0, 2, 2]), torch.tensor([0, 0, 0, 2, 1]), torch.tensor([0, 1, 0, 0, 1])
)
WEIGHTED = HAND._replace(weight=torch.tensor([2.0, 0.5, 1.0, 0.0, -1.0], dtype=torch.float64))
NONE = Edges(*(torch.zeros(0, dtype=torch.long) for _ in range(3)))
X = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]], dtype=torch.float64)
W = torch.tensor([[[10.0]], [[100.0]]], dtype=torch.float64)  # type 0 by ten, type 1 by a hundred


def column(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[None, :, None]


def ones_score(q: torch.Tensor, k: torch.Tensor, edge: torch.Tensor | None) -> torch.Tensor:
    return (q * k).sum(-1)


def test_convolve_by_hand():
    assert torch.equal(reference.convolve(X, HAND, W, None, 4), column(10, 110, 30 + 200, 0))
    assert torch.equal(
        reference.convolve(X, HAND, W, torch.ones(1).double(), 4), column(11, 111, 231, 1)
    )
    assert torch.equal(reference.convolve(X, WEIGHTED, W, None, 4), column(10, 20 + 50, -200, 0))


def test_convolve_without_edges_or_batch():
    assert torch.equal(reference.convolve(X, NONE, W, None, 2), column(0, 0))
    assert reference.convolve(X[:0], HAND, W, None, 4).shape == (0, 4, 1)
    one = Edges(*(torch.zeros(1, dtype=torch.long) for _ in range(3)))
    assert torch.equal(reference.convolve(column(3), one, W, None, 1), column(30))


def test_convolve_between_two_domains():
    down = Edges(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 3]), torch.zeros(3, dtype=torch.long))
    assert torch.equal(reference.convolve(X, down, W, None, 2), column(30, 40))


def test_attend_by_hand():
    q = torch.tensor([[[[1.0]], [[1.0]], [[0.0]], [[1.0]]]], dtype=torch.float64)
    k = torch.tensor([[[[0.0]], [[math.log(2)]], [[5.0]], [[7.0]]]], dtype=torch.float64)
    y = reference.attend(q, k, X[..., None], HAND, ones_score, None, 0.0, 4)
    # 0: itself. 1: node 0 twice. 2 (query 0): equal weights on nodes 2 and 1. 3: no one.
    assert torch.allclose(y[..., 0], column(1, 1, 2.5, 0), rtol=0, atol=1e-12)
    bias = torch.tensor([[0.0], [math.log(3)]], dtype=torch.float64)
    y = reference.attend(q, k, X[..., None], HAND, ones_score, bias, 0.0, 4)
    assert torch.allclose(y[..., 0], column(1, 1, 3 / 4 + 2 * 3 / 4, 0), rtol=0, atol=1e-12)
    one = Edges(torch.tensor([3, 3]), torch.tensor([0, 1]), torch.tensor([0, 0]))
    y = reference.attend(q, k, X[..., None], one, ones_score, None, 0.0, 4)
    assert torch.allclose(y[..., 0], column(0, 0, 0, 1 / 3 + 2 * 2 / 3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("edges", [HAND, NONE], ids=["some hear no one", "no one hears"])
def test_attention_rows_without_senders_are_zero_in_value_and_gradient(edges):
    q, k, v = (torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    bias = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    y = reference.attend(q, k, v, edges, dot, bias, 0.0, 4)
    grads = torch.autograd.grad(y.square().sum() + y.sum(), (q, k, v, bias))
    assert torch.equal(y[:, 3], torch.zeros(2, 2, 3).double())
    assert all(bool(torch.isfinite(grad).all()) for grad in grads)
    assert all(torch.equal(grad[:, 3], torch.zeros(2, 2, 3).double()) for grad in grads[:3])


def test_attention_of_large_scores_does_not_overflow():
    q = torch.full((1, 1, 1, 1), 1e4, dtype=torch.float64)
    edges = Edges(torch.tensor([0, 0]), torch.tensor([0, 1]), torch.tensor([0, 0]))
    y = reference.attend(
        q,
        torch.stack((q[0], -q[0]), 1).view(1, 2, 1, 1),
        X[:, :2, None],
        edges,
        ones_score,
        None,
        0.0,
        1,
    )
    assert y.item() == 1.0


def test_message_by_hand():
    def apart(x_i, x_j, e_ij):
        return (x_i - x_j) * (1 if e_ij is None else e_ij)

    # messages in the order of the edges: 1 <- 0: 1, again 1, 0 <- 0: 0, 2 <- 2: 0, 2 <- 1: 1
    assert torch.equal(reference.message(X, X, None, HAND, apart, ["sum"], 4), column(0, 2, 1, 0))
    assert torch.equal(
        reference.message(X, X, None, HAND, apart, ["mean"], 4), column(0, 1, 0.5, 0)
    )
    edge = column(1, -2, 5, 5, -4)
    assert torch.equal(reference.message(X, X, edge, HAND, apart, ["max"], 4), column(0, 1, 0, 0))
    assert torch.equal(reference.message(X, X, edge, HAND, apart, ["min"], 4), column(0, -2, -4, 0))


def test_reductions_by_hand():
    """Messages 1 and 3 deviate from their mean by 1; e and e^3 are their weights."""
    pair = Edges(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1]), torch.tensor([0, 0, 0]))
    y = reference.message(X, X, None, pair, lambda a, b, e: b, ["std", "softmax", "sum"], 3)
    weighted = (1 + 3 * math.exp(2)) / (1 + math.exp(2))
    wanted = torch.tensor([[1, weighted, 4], [0, 2, 2], [0, 0, 0]], dtype=torch.float64)
    assert torch.allclose(y[0], wanted, rtol=0, atol=1e-12)


def test_messages_read_the_state_of_the_receivers_graph():
    pair = Edges(torch.tensor([0, 2]), torch.tensor([1, 1]), torch.tensor([0, 0]))
    u = column(10, 20, 30, 40)
    y = reference.message(X, X, None, pair, lambda a, b, e, u: b * u, ["sum"], 4, u)
    assert torch.equal(y, column(20, 0, 60, 0))


@pytest.mark.parametrize(
    ("reduction", "wanted"),
    [("sum", (1, 2, 5, 0)), ("mean", (1, 1, 2.5, 0)), ("max", (1, 1, 3, 0)), ("min", (1, 1, 2, 0))],
)
def test_pool_by_hand(reduction, wanted):
    assert torch.equal(reference.pool(X, HAND, reduction, 4), column(*wanted))
    assert torch.equal(reference.pool(-X, NONE, reduction, 2), column(0, 0))


def test_recur_by_hand_on_a_chain():
    w, u, b, d = (torch.tensor(t, dtype=torch.float64) for t in ([[0.5]], [[0.25]], [0.1], [-0.2]))
    chain = Edges(torch.tensor([1, 2]), torch.tensor([0, 1]), torch.tensor([0, 0]))
    (h,) = reference.recur(
        X[:, :3], chain, CELLS["rnn_tanh"].cell(w, u, b, d), (column(1, 9, 9),), 3
    )
    first = math.tanh(0.5 * 1 + 0.25 * 1 - 0.1)
    second = math.tanh(0.5 * 2 + 0.25 * first - 0.1)
    assert torch.allclose(
        h, column(first, second, math.tanh(1.5 + 0.25 * second - 0.1)), rtol=0, atol=1e-12
    )


def test_tree_lstm_with_two_children_by_hand():
    sigmoid = lambda z: 1 / (1 + math.exp(-z))  # noqa: E731
    w = torch.tensor([[0.1], [0.2], [0.3], [0.4]], dtype=torch.float64)  # i, f, g, o
    u = torch.tensor([[0.5], [0.6], [0.7], [0.8]], dtype=torch.float64)
    b, d = torch.full((4,), 0.01, dtype=torch.float64), torch.full((4,), 0.02, dtype=torch.float64)
    tree = Edges(torch.tensor([2, 2]), torch.tensor([0, 1]), torch.tensor([0, 0]))
    h, c = reference.recur(
        X[:, :3], tree, LSTM(w, u, b, d), (torch.zeros(1, 3, 1).double(),) * 2, 3
    )
    states = []
    for x in (1.0, 2.0):
        kept = sigmoid(0.1 * x + 0.03) * math.tanh(0.3 * x + 0.03)
        states.append((sigmoid(0.4 * x + 0.03) * math.tanh(kept), kept))
    (h0, c0), (h1, c1) = states
    together = h0 + h1
    forgotten = sigmoid(0.2 * 3 + 0.6 * h0 + 0.03) * c0 + sigmoid(0.2 * 3 + 0.6 * h1 + 0.03) * c1
    c2 = (
        sigmoid(0.1 * 3 + 0.5 * together + 0.03) * math.tanh(0.3 * 3 + 0.7 * together + 0.03)
        + forgotten
    )
    h2 = sigmoid(0.4 * 3 + 0.8 * together + 0.03) * math.tanh(c2)
    assert torch.allclose(h, column(h0, h1, h2), rtol=0, atol=1e-12)
    assert torch.allclose(c, column(c0, c1, c2), rtol=0, atol=1e-12)


def test_a_cycle_in_recur_is_named():
    cycle = Edges(
        torch.tensor([1, 2, 3, 1]), torch.tensor([0, 1, 2, 3]), torch.zeros(4, dtype=torch.long)
    )
    with pytest.raises(g.GeodlError, match="the cycle 1 <- 3 <- 2 <- 1"):
        reference.recur(
            X, cycle, CELLS["rnn_tanh"].cell(*[torch.ones(1, 1)] * 2, *[torch.ones(1)] * 2), (X,), 4
        )
    with pytest.raises(g.GeodlError, match="the cycle 0 <- 0"):
        reference.topological_order([[0], []])
    assert reference.topological_order([[1, 2], [2], []]) == [2, 1, 0]


@st.composite
def random_edges(draw: st.DrawFn) -> tuple[Edges, int, int, int, torch.Generator]:
    m, n, types = draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    count = draw(st.integers(0, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    parts = [torch.randint(high, (count,), generator=generator) for high in (m, n, types)]
    weight = (
        torch.randn(count, generator=generator, dtype=torch.float64)
        if draw(st.booleans())
        else None
    )
    return Edges(*parts, weight), m, n, types, generator


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@given(random_edges())
def test_convolve_is_dense_algebra(drawn):
    edges, m, n, types, generator = drawn
    x, w = normal(generator, 2, n, 3), normal(generator, types, 3, 2)
    entries = torch.ones(len(edges.dst)).double() if edges.weight is None else edges.weight
    shift = (
        torch.zeros(types, m, n)
        .double()
        .index_put((edges.type, edges.dst, edges.src), entries, accumulate=True)
    )
    dense = torch.einsum("tmn,bnc,tcd->bmd", shift, x, w)
    assert torch.allclose(reference.convolve(x, edges, w, None, m), dense, rtol=0, atol=1e-12)


@given(random_edges())
def test_attend_is_a_softmax_over_each_receivers_edges(drawn):
    edges, m, n, types, generator = drawn
    q, k, v = (
        normal(generator, 2, m, 2, 3),
        normal(generator, 2, n, 2, 3),
        normal(generator, 2, n, 2, 3),
    )
    bias = normal(generator, types, 2)
    y = reference.attend(q, k, v, edges, dot, bias, 0.0, m)
    for i in range(m):
        mine = (edges.dst == i).nonzero()[:, 0]
        score = (
            torch.einsum("bhd,behd->beh", q[:, i], k[:, edges.src[mine]]) / math.sqrt(3)
            + bias[edges.type[mine]]
        )
        wanted = torch.einsum("beh,behd->bhd", score.softmax(1), v[:, edges.src[mine]])
        assert torch.allclose(y[:, i], wanted, rtol=0, atol=1e-12)


@given(random_edges(), st.sampled_from(("sum", "mean", "max", "min")))
def test_reductions_are_those_of_each_receivers_list(drawn, reduction):
    edges, m, n, _, generator = drawn
    x = normal(generator, 2, n, 3)
    y = reference.message(
        normal(generator, 2, m, 1), x, None, edges, lambda a, b, e: a + 2 * b, [reduction], m
    )
    receivers = y - reference.pool(x, edges, reduction, m) * 2
    for i in range(m):
        heard = x[:, edges.src[edges.dst == i]]
        if heard.shape[1] == 0:
            assert torch.equal(y[:, i], torch.zeros(2, 3).double())
            continue
        wanted = {"sum": heard.sum, "mean": heard.mean, "max": heard.amax, "min": heard.amin}[
            reduction
        ](dim=1)
        assert torch.allclose(
            reference.pool(x, edges, reduction, m)[:, i], wanted, rtol=0, atol=1e-12
        )
        assert float((receivers[:, i] - receivers[:, i, :1]).abs().max()) < 1e-12


def grads(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("edges", [HAND, WEIGHTED, NONE], ids=["plain", "weighted", "none"])
def test_gradients_of_convolve(edges):
    assert gradcheck(
        lambda x, w, b: reference.convolve(x, edges, w, b, 4),
        (grads(2, 4, 2), grads(2, 2, 3), grads(3)),
    )


def test_gradients_of_attend():
    inputs = (grads(2, 4, 2, 2), grads(3, 4, 2, 2)[:2], grads(2, 4, 2, 2), grads(2, 2))
    assert gradcheck(lambda q, k, v, b: reference.attend(q, k, v, HAND, dot, b, 0.0, 4), inputs)


@pytest.mark.parametrize("reduction", ["sum", "mean", "max", "min", "std", "softmax"])
def test_gradients_of_message_and_pool(reduction):
    single = Edges(
        *(part[1:] for part in HAND[:3])
    )  # parallel edges tie, and a tie has no derivative
    inputs = (grads(2, 4, 2), grads(1, 2, 4, 2)[0], grads(2, 4, 1))

    def message(x, y, e):
        return reference.message(
            x, y, e, single, lambda a, b, c: torch.tanh(a) * b * c, [reduction], 4
        )

    assert gradcheck(message, inputs)
    assert gradcheck(lambda x: reference.pool(x, single, reduction, 4), (grads(2, 4, 2),))


@pytest.mark.parametrize("reduction", ["max", "min"])
def test_the_gradient_of_a_zero_is_whole(reduction):
    """The largest of equal messages shares its gradient among them alone, also where they equal the
    0 of who hears no one.
    """
    x = torch.zeros(1, 4, 1, requires_grad=True)
    pairs = Edges(
        torch.tensor([1, 0, 0]), torch.tensor([0, 2, 3]), torch.zeros(3, dtype=torch.long)
    )
    reference.pool(x, pairs, reduction, 4).sum().backward()
    assert x.grad is not None and x.grad.flatten().tolist() == [1.0, 0.0, 0.5, 0.5]


@pytest.mark.parametrize("name", CELLS)
def test_gradients_of_recur(name):
    kind, tree = (
        CELLS[name],
        Edges(torch.tensor([2, 2, 3]), torch.tensor([0, 1, 2]), torch.zeros(3, dtype=torch.long)),
    )
    initial = [grads(2, 4, 2) for _ in range(kind.states)]
    weights = (
        grads(2 * kind.gates, 3),
        grads(2 * kind.gates, 2),
        grads(2 * kind.gates),
        grads(2 * kind.gates, 1)[:, 0],
    )

    def run(x, w, u, b, d, *state):
        return reference.recur(x, tree, kind.cell(w, u, b, d), state, 4)

    assert gradcheck(run, (grads(2, 4, 3), *weights, *initial))
