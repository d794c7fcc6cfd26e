"""Sparse values: Conv and Attention read them as they read dense ones, and every other layer
refuses them.
"""

import pytest
import torch
from torch import nn

import geodl as g
from geodl.lowering import spmm
from tests.bad_input import RING, twice

SPARSE = torch.eye(4).to_sparse_csr()
READS_DENSE = {
    "pool": lambda: g.Pool(g.whole()),
    "message": lambda: g.Message(twice, g.adjacency(self_loops=True)),
    "norm": lambda: g.BatchNorm(4),
    "relu": lambda: g.Sequential(nn.ReLU()),
}


@pytest.mark.parametrize("name", READS_DENSE)
def test_other_layers_refuse_sparse_values(name):
    with pytest.raises(
        g.GeodlError,
        match="sparse values, which only Conv, Attention and Dropout read; give dense ones",
    ):
        READS_DENSE[name]()(g.Signal(SPARSE, RING))
    with pytest.raises(g.GeodlError, match="sparse values"):
        g.Recurrent(4, 2)(g.Signal(SPARSE, g.Chain(4)))


@pytest.mark.parametrize("root", [False, "gated"])
@pytest.mark.parametrize("score", ["gat", "gatv2", "dot"])
@pytest.mark.parametrize("lowering", ["auto", "edges"])
def test_attention_to_sparse_values_is_attention_to_dense_ones(score, root, lowering):
    torch.manual_seed(0)
    rule = g.adjacency(self_loops=True)
    layer = g.Attention(4, rule, 2, score, channels_out=6, out_proj=False, root=root).double()
    layer.lowering = lowering
    values = torch.randn(4, 4, dtype=torch.float64) * (torch.rand(4, 4) > 0.4)
    sparse = values.to_sparse_csr()
    y, wanted = layer(g.Signal(sparse, RING)).x, layer(g.Signal(values[None], RING)).x
    up, parameters = torch.randn_like(wanted), list(layer.parameters())
    theirs = torch.autograd.grad(wanted, parameters, up)
    ours = torch.autograd.grad(y, parameters, up)
    assert y.shape == wanted.shape and (y - wanted).abs().max() < 1e-12
    assert all((a - b).abs().max() < 1e-12 for a, b in zip(ours, theirs, strict=True))
    weights = [layer.weights(g.Signal(x, RING)).x for x in (sparse, values[None])]
    assert (weights[0] - weights[1]).abs().max() < 1e-12


def test_a_product_of_sparse_values_reads_rows_that_lie_together(monkeypatch):
    """A projection's weight is read turned; of matrices whose rows lie apart, torch's kernel takes
    ten times as long.
    """
    read = []
    usual = spmm.csr_matmul
    monkeypatch.setattr(spmm, "csr_matmul", lambda *a: read.append(a[3]) or usual(*a))
    rule = g.adjacency(self_loops=True)
    layer = g.Attention(4, rule, 2, "gat", channels_out=6, out_proj=False)
    y = layer(g.Signal(SPARSE, RING)).x
    y.backward(torch.randn_like(y))
    assert len(read) == 2 and all(x.is_contiguous() for x in read)


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
