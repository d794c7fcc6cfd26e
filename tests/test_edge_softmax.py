"""Attention along edges holds one number for each head and edge; linear attention holds no pairs at
all.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import geodl as g
from geodl.compiler import numba_missing
from geodl.lowering import Request, edge_softmax, linear, plan_for, sparse
from geodl.testing import assert_lowered_to, assert_parity, error, outcome


class Largest(TorchDispatchMode):
    """The most numbers in any tensor that an operation returned."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        stored = (
            t.untyped_storage().nbytes() // t.itemsize
            for t in tree_leaves(out)
            if isinstance(t, torch.Tensor)
        )
        self.numbers = max(self.numbers, *stored, 0)
        return out


def largest(layer, signal):
    """Numbers in the largest tensor of a step, its plan made before."""
    g.prepare(layer, signal)
    with Largest() as seen:
        outcome(layer, signal)
    return seen.numbers


def graph(nodes, edges, seed=0):
    return g.Graph(
        torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(seed)), nodes
    )


def noise(domain, channels, scale=1.0):
    return g.Signal(
        scale
        * torch.randn(1, domain.num_nodes, channels, generator=torch.Generator().manual_seed(1)),
        domain,
    )


@pytest.mark.parametrize("score", ["dot", "gat", "linear"])
def test_nothing_stands_for_each_edge_and_channel(score, monkeypatch):
    monkeypatch.setattr(edge_softmax, "numba_missing", lambda: "left out here")
    domain, layer = graph(60, 2000), g.Attention(16, g.adjacency(), 2, score)
    assert_lowered_to("edge_softmax", layer, noise(domain, 16))
    assert largest(layer, noise(domain, 16)) == 2 * 2000
    layer.lowering = "edges"
    assert largest(layer, noise(domain, 16)) >= 16 * 2000


def test_a_gat_score_leaves_nothing_for_each_edge():
    """Where the kernel is compiled; elsewhere a number for each head and edge."""
    domain, layer = graph(60, 2000), g.Attention(16, g.adjacency(), 2, "gat")
    most = 2 * 2000 if numba_missing() else 60 * 16
    assert largest(layer, noise(domain, 16)) == most


def test_linear_attention_is_linear_in_the_nodes():
    chain, layer = g.Chain(1000), g.Attention(8, g.past(), 2, "linear")
    assert_lowered_to("linear", layer, noise(chain, 8))
    assert largest(layer, noise(chain, 8)) <= 1024 * 2 * linear.CHUNK
    layer.lowering = "edge_softmax"
    assert largest(layer, noise(chain, 8)) > 1000 * 1000 // 2


def whole(shape, most, generator):
    """Integers from -most to most."""
    return torch.randint(-most, most + 1, shape, generator=generator).double()


@pytest.mark.parametrize("score", ["dot", "gat"])
def test_scores_far_apart_leave_numbers(score):
    """Scores up to 1e7: a bound from norms would leave 0/0 where the largest score of a receiver is
    far below it.

    What makes scores is drawn in integers and a head has four channels, whose scale is 1/2: every
    score is exact whatever the order of its sum, so that no processor lets another sender win. The
    gradient of a score is a difference that vanishes beside keys of size 1e3, hence the bound.
    """
    domain, layer = graph(20, 60), g.Attention(4, g.adjacency(), 2, score, head_dim=4).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(whole(parameter.shape, 100, generator))
        layer.out_proj.weight /= 100
    signal = g.Signal(whole((1, 20, 4), 9, generator), domain)
    assert layer.weights(signal).x.min() == 0, "scores of one receiver lie far apart"
    assert "edge_softmax" in assert_parity(layer, signal, bound=1e-7)
    for dtype in (torch.float64, torch.float32):
        y, gradients = outcome(layer.to(dtype), g.Signal(signal.x.to(dtype), domain))
        assert all(bool(torch.isfinite(t).all()) for t in (y, *gradients.values()))


def test_who_hears_no_one_gets_zeros_and_gives_no_gradient():
    layer = g.Attention(4, g.adjacency(), 2, "dot", bias=False)
    y, gradients = outcome(layer, noise(g.Graph([[0, 1], [1, 0]], 4), 4))
    assert y[0, 2:].eq(0).all() and y[0, :2].ne(0).any()
    assert all(bool(torch.isfinite(t).all()) for t in gradients.values())


def test_dropped_weights_are_zero_and_the_others_doubled():
    star = g.Graph(torch.stack((torch.arange(1, 101), torch.zeros(100, dtype=torch.long))), 101)
    layer = g.Attention(1, g.adjacency(), 1)
    q, v = (
        torch.zeros(200, 101, 1, 1, requires_grad=True),
        torch.ones(200, 101, 1, 1, requires_grad=True),
    )
    plan = plan_for(Request("attend", "edge_softmax", layer.rule, star, None, q, layer.options))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        y = plan.run(q, q, v, None, None, 0.5, None)[:, 0, 0, 0]
    kept = 50 * y
    assert (
        torch.allclose(kept, kept.round(), atol=1e-3)
        and 4 < kept.std() < 6
        and 48 < kept.mean() < 52
    )
    (dv,) = torch.autograd.grad(y.sum(), v)
    assert torch.allclose(dv[:, :, 0, 0].sum(1), y, atol=1e-4) and set(
        dv.mul(50).round().unique().tolist()
    ) == {0.0, 1.0}


@pytest.mark.parametrize("score", ["dot", "gat", "linear"])
def test_gradients_of_gradients(score):
    domain, layer = graph(5, 9), g.Attention(2, g.adjacency(), 2, score).double()
    x = noise(domain, 2).x.double().requires_grad_()
    assert layer.explain(domain).lowering == "edge_softmax"
    assert torch.autograd.gradgradcheck(lambda x: layer(g.Signal(x, domain)).x, x)


def test_more_edges_than_pairs_of_nodes():
    domain, layer = graph(3, 40), g.Attention(4, g.adjacency(), 2).double()
    errors = assert_parity(layer, g.Signal(noise(domain, 4).x.double(), domain))
    assert errors["edge_softmax"] < 1e-12


def test_a_transpose_in_another_order_is_seen(monkeypatch):
    turned = sparse.transpose
    monkeypatch.setattr(
        sparse, "transpose", lambda pattern: turned(pattern)._replace(cols=pattern.cols)
    )
    with pytest.raises(AssertionError, match="edge_softmax"):
        assert_parity(g.Attention(4, g.adjacency(), 2), noise(graph(9, 30), 4))


@pytest.mark.parametrize("score", ["dot", "gat", "linear"])
def test_half_precision_answers_in_half_precision(score):
    layer, graph = (
        g.Attention(8, g.adjacency(self_loops=True), 2, score=score),
        g.Graph([[0, 1, 2], [1, 2, 0]]),
    )
    x = torch.randn(1, 3, 8)
    wanted = layer(g.Signal(x, graph)).x
    found = layer.bfloat16()(g.Signal(x.bfloat16(), graph)).x
    assert found.dtype == torch.bfloat16 and error(found.float(), wanted) < 0.05
