"""Where several senders attain a maximum: who gets the gradient."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

import geodl as g

TIED = g.Grid(4, 4)


def gradient(layer: g.Layer, lowering: str = "auto") -> Tensor:
    """Of the sum of the answers to equal values on a grid of four rows and columns."""
    layer.lowering = lowering
    x = torch.zeros(1, 16, 1, requires_grad=True)
    layer(g.Signal(x, TIED)).x.sum().backward()
    assert x.grad is not None
    return x.grad.view(4, 4)


def sender(x_i: Tensor, x_j: Tensor, e_ij: Tensor) -> Tensor:
    return x_j


@pytest.mark.parametrize("reduce", ["max", "min"])
def test_ties(reduce):
    """`lattice` is torch's pooling, whose kernels pick one; all others share equally, which alone
    commutes with a relabelling.
    """
    blocks = g.window(2, stride=2)
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    max_pool2d(x, 2).sum().backward()
    assert x.grad is not None
    assert torch.equal(gradient(g.Pool(blocks, reduce), "lattice"), x.grad[0, 0])
    quarter = torch.full((4, 4), 0.25)
    for lowering in ("segment", "edges"):
        assert torch.equal(gradient(g.Pool(blocks, reduce), lowering), quarter)
    for lowering in ("auto", "segment", "edges"):
        assert torch.equal(gradient(g.Readout(reduce), lowering), torch.full((4, 4), 1 / 16))
    # of 16 receivers each node gets a 16th, also where a receiver's messages lie in several pieces
    for layer in (
        g.Message(sender, g.all_pairs(), reduce),
        g.Message(sender, g.all_pairs(), reduce, max_edges=5),
    ):
        for lowering in ("segment", "edges"):
            assert torch.equal(gradient(layer, lowering), torch.ones(4, 4))
