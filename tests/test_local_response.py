"""Local response norm: torch's numbers, on nodes of any domain, over a group, both ways."""

import pytest
import torch
from torch import nn

import geodl as g
from geodl.testing import error


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_values_and_derivatives_are_torchs(size):
    options = {"alpha": 0.7, "beta": 0.6, "k": 1.5}
    ours, twin = g.LocalResponseNorm(size, **options), nn.LocalResponseNorm(size, **options)
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, wanted = ours(g.Signal.image(a)).to_image(), twin(b)
    assert error(y, wanted) < 1e-12
    up = torch.randn_like(wanted)
    (mine,) = torch.autograd.grad(y, a, up, create_graph=True)
    (theirs,) = torch.autograd.grad(wanted, b, up, create_graph=True)
    assert error(mine, theirs) < 1e-12
    seconds = [torch.autograd.grad((d * up).sum(), at)[0] for d, at in ((mine, a), (theirs, b))]
    assert error(*seconds) < 1e-11


def test_on_graphs_in_rows_and_empty():
    norm = g.LocalResponseNorm(3, alpha=1.0)
    graph = g.Graph([[0, 1], [1, 2]])
    s = g.Signal(torch.randn(2, 3, 4), graph)
    alone = norm(s).x
    assert error(alone[:, 1], norm(g.Signal(s.x[:, 1:2], g.Complete(1))).x[:, 0]) < 1e-6
    in_a_row = g.Sequential(nn.ReLU(), norm, nn.ReLU())(s).x
    assert error(in_a_row, norm(s.with_x(s.x.relu())).x) < 1e-6
    assert norm(g.Signal(s.x[:0], graph)).x.shape == (0, 3, 4)
    assert torch.func.vmap(norm.on_rows)(s.x).shape == s.x.shape


def test_over_a_group_and_back_to_torch():
    net = g.Sequential(g.Conv(2, 4, g.window(3)), g.LocalResponseNorm(3), g.Readout())
    twin = g.symmetrize(net, g.C(4)).double()
    assert g.certify(twin, g.Grid(5, 5)).exact
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64)
    wanted = twin(g.Signal.image(x)).x[:, 0]
    assert error(g.interop.to_torch(twin)(x), wanted) < 1e-12
    straight = net.double()
    assert error(g.interop.to_torch(straight)(x), straight(g.Signal.image(x)).x[:, 0]) < 1e-12
    kept = g.interop.to_torch(g.interop.from_torch(nn.LocalResponseNorm(5, 5e-4, k=2.0).eval()))
    assert repr(kept) == repr(nn.LocalResponseNorm(5, 5e-4, k=2.0)) and not kept.training


def test_a_size_that_is_none_is_refused():
    with pytest.raises(g.GeodlError, match="the size 0"):
        g.LocalResponseNorm(0)
    with pytest.raises(g.GeodlError, match="LocalResponseNorm"):
        g.LocalResponseNorm(3, alpha="much")  # pyright: ignore[reportArgumentType]
