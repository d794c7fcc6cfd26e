"""Sparse values: Conv reads them as it reads dense ones, and every other layer refuses them."""

import pytest
import torch
from torch import nn

import geodl as g
from tests.bad_input import RING, twice

SPARSE = torch.eye(4).to_sparse_csr()
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
