"""Networks of one's own as modules of torch: by the twins of their layers."""

import pytest
import torch
from torch import nn

import geodl as g
from geodl.interop import to_torch
from geodl.testing import error


def hand_made() -> g.Network:
    """Two ways through a network of one's own, with a layer that stands in it twice."""
    twice = g.Conv(4, 4, g.window(3))
    nodes = {
        "down.conv": (g.Conv(3, 4, g.window(3)), "image"),
        "down.norm": (g.BatchNorm(4), "down.conv"),
        "once": (twice, "down.norm"),
        "again": (twice, "once"),
        "sum": ("add", "down.norm", "once", "again"),
        "largest": ("max", "sum", "down.conv"),
        "both": ("cat", "sum", "largest"),
        "row": (g.Sequential(nn.ReLU(), g.Pool(g.window(2, stride=2))), "both"),
        "out": (g.Conv(8, 2, g.window(1)), "row"),
    }
    return g.Network("image", nodes, ("out", "sum"))


def test_a_network_of_ones_own_as_a_module_of_torch():
    torch.manual_seed(0)
    net = hand_made().double()
    twin = to_torch(net, on=g.Grid(6, 6))
    state = net.state_dict()
    assert {k: v.numel() for k, v in twin.state_dict().items()} == {
        k: v.numel() for k, v in state.items()
    }
    image = torch.randn(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    ours = [s.to_image() for s in net(g.Signal.image(image))]
    theirs = twin(image)
    assert max(map(error, ours, theirs)) < 1e-12
    slopes = []
    for y in (ours, theirs):
        total = sum(part.sin().sum() for part in y)
        slopes.append(torch.autograd.grad(total, image)[0])
    assert error(*slopes) < 1e-12
    assert {(k, v.item()) for k, v in twin.named_buffers() if v.dim() == 0} == {
        (k, v.item()) for k, v in net.named_buffers() if v.dim() == 0
    }
    # Names of inputs need not be those of arguments.
    rows = g.Network("a b", {"y": (g.Conv(2, 2, g.itself()), "a b"), "z": ("cat", "a b", "y")})
    x = torch.randn(2, 5, 2)
    assert error(to_torch(rows)(x), rows(g.Signal.sequence(x)).x) < 1e-6


def test_blocks_inside_of_blocks_read_channels_where_those_around_do():
    torch.manual_seed(0)
    beside = g.Network("x", {"relu": (nn.ReLU(), "x"), "both": ("cat", "x", "relu")})
    halve = g.window(3, stride=2, padding=1)
    projection = g.Conv(8, 6, g.window(1, axes=2, stride=2))
    block = g.Residual(
        g.Conv(8, 6, halve), nn.ReLU(), g.Conv(6, 6, g.window(3)), shortcut=projection
    )
    net = g.Sequential(g.Conv(3, 4, g.window(3)), beside, block, g.Pool(g.window(2, stride=2)))
    net = net.double()
    image = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for periodic in (False, True):
        twin = to_torch(net, on=g.Grid(8, 8, periodic=periodic))
        wanted = net(g.Signal.image(image, periodic=periodic)).to_image()
        assert error(twin(image), wanted) < 1e-12
    assert twin.state_dict().keys() == net.state_dict().keys()
    x = torch.randn(2, 5, 2)
    rows = g.Sequential(g.Conv(2, 2, g.itself()), beside, g.Residual(g.Conv(4, 4, g.itself())))
    assert error(to_torch(rows)(x), rows(g.Signal.sequence(x)).x) < 1e-6


def test_what_torch_has_no_module_for_does_not_go_there():
    cross = g.Attention(2, g.all_pairs(), 1)
    nodes = {"a": (g.Conv(2, 2, g.itself()), "x"), "y": (cross, "a", "x")}
    with pytest.raises(g.GeodlError, match="a Network that no torch.nn module computes"):
        to_torch(g.Network("x", nodes))
    up = g.Conv(2, 2, g.window(2, stride=2).reverse())
    with pytest.raises(g.GeodlError, match="receives from a second signal"):
        to_torch(g.Network("x", {"a": (nn.ReLU(), "x"), "y": (up, "x", "a")}))
    with pytest.raises(g.GeodlError, match="to_torch"):
        to_torch(g.Network("x", {"y": (g.Conv(2, 2, g.adjacency()), "x")}))
