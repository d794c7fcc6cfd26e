"""Functions of several nodes or of several values, imported: layers, with the same numbers."""

import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import geodl as g
from geodl.interop import from_torch, to_torch
from geodl.interop.along_nodes import AlongNodes
from geodl.interop.entry_dropout import EntryDropout
from geodl.testing import error
from tests.twins import drawn


def of_gates(x):
    return x * x.mean((2, 3), keepdim=True).sigmoid().expand_as(x)


def of_sizes(x):
    b, c, h, w = x.shape
    return x - F.adaptive_avg_pool2d(x, 1).view(b, c, 1, 1).expand(b, c, h, w)


def of_heads(x):
    b, c, h, w = x.shape
    heads = x.flatten(2).transpose(1, 2).view(b, h * w, 2, c // 2).transpose(1, 2)
    return F.layer_norm(heads, (c // 2,)).transpose(1, 2).reshape(b, h * w, c)


def of_unit_heads(x):
    b, c, h, w = x.shape
    heads = x.flatten(2).transpose(1, 2).view(b, h * w, 2, c // 2).transpose(1, 2)
    return F.normalize(heads, dim=-1).softmax(-1).transpose(1, 2).flatten(2)


def of_attention(x):
    weights = x[:, :1].flatten(1).softmax(1)
    return (weights.unsqueeze(-1) * x.flatten(2).transpose(1, 2)).sum(1)


def of_halves(x):
    b, c, h, w = x.shape
    shuffled = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
    one, other = shuffled.chunk(2, 1)
    return torch.cat((one * 2, other), 1)


def of_patches(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, (h // 1) * (w // 1)).permute(0, 2, 1) * 2


def of_windows(x):
    b, c, h, w = x.shape
    rows = F.unfold(x, 3, padding=1).transpose(1, 2)
    return (rows * 2).transpose(1, 2).reshape(b, c * 9, h, w)


def of_largest(x):
    rows = x.flatten(2)
    largest = rows.max(2, keepdim=True)[0].repeat(1, 1, rows.size(2))
    return torch.cat((rows, 2 * largest), 1)


def of_capsules(x):
    b, c, h, w = x.shape
    parts = x.view(b, 2, c // 2, h * w)
    size = (parts**2).sum(2, keepdim=True)
    return (parts * size / (1 + size)).norm(dim=1)


# Of images [B, 4, H, W].
FUNCTIONS = {
    "repeated": of_largest,
    "capsules": of_capsules,
    "stacked": lambda x: torch.stack((x, x.sin(), x.cos())).mean(0),
    "stacked behind": lambda x: torch.stack((x[:, ::1], -x), -1).amax(-1),
    "softmax between": lambda x: torch.stack((x, x.sin()), 1).softmax(1)[:, 0] * x,
    "expanded": of_gates,
    "expanded to sizes": of_sizes,
    "as it was": lambda x: x.expand_as(x).expand(-1, -1, -1, -1),
    "normed heads": of_heads,
    "unit heads": of_unit_heads,
    "weighted sum": of_attention,
    "halves of a shuffle": of_halves,
    "patches": of_patches,
    "windows": of_windows,
    "windows apart": lambda x: F.unfold(x, (2, 3), dilation=(2, 1), stride=2, padding=1),
    "softmax over nodes": lambda x: x.flatten(2).softmax(-1),
    "its logarithm": lambda x: F.log_softmax(x.flatten(2).transpose(1, 2), dim=1),
    "unit length": lambda x: F.normalize(x),
    "unit length over nodes": lambda x: F.normalize(x.flatten(2), p=3, dim=2),
    "deviation": lambda x: x.std((2, 3)),
    "deviation, biased": lambda x: (x - x.mean((2, 3), True)) / x.std((2, 3), False, True),
    "variance": lambda x: torch.var(x, dim=(2, 3), correction=0, keepdim=True) * x,
    "variance of channels": lambda x: x.var(1, keepdim=True),
    "response": lambda x: x * torch.norm(x, p=2, dim=(2, 3), keepdim=True),
    "length": lambda x: torch.linalg.vector_norm(x, dim=1),
    "larger": lambda x: torch.maximum(x, -x / 3),
    "smaller": lambda x: torch.min(x, x.mean((2, 3), keepdim=True)),
    "larger of channels": lambda x: torch.max(x, x[:, :1]),
    "cosine": lambda x: F.cosine_similarity(x, x.sin(), dim=1),
    "cosine of rows": lambda x: F.cosine_similarity(x.mean((2, 3)), x.amax((2, 3)), dim=-1),
    "group norm": lambda x: F.group_norm(x, 2),
    "instance norm": lambda x: F.instance_norm(x),
    "rms norm": lambda x: F.rms_norm(x.permute(0, 2, 3, 1), (4,)),
    "local response": lambda x: F.local_response_norm(x, 3),
    "smoothed": lambda x: F.interpolate(x, size=(3, 2), mode="bilinear", antialias=True),
    "smoothed by a factor": lambda x: F.interpolate(
        x, scale_factor=0.5, mode="bicubic", antialias=True
    ),
    "numbers": lambda x: x.clip(-1, 1).log1p().erf() + x.clamp_min(0.1).reciprocal(),
}


class Then(nn.Module):
    """A convolution, and what is tried."""

    def __init__(self, after):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.after = after

    def forward(self, x):
        return self.after(self.conv(x) / 3)


def derivatives(y, x):
    """The first derivative by x, and of its square the second."""
    upstream = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    (first,) = torch.autograd.grad((y * upstream).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad((first.square() + 0 * x).sum(), x)
    return first, second


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_a_layer(name):
    model = drawn(Then(FUNCTIONS[name])).eval()
    network = from_torch(model, torch.randn(2, 2, 6, 5, dtype=torch.float64))
    assert network.opaque() == {}
    shapes = [(2, 2, 6, 5), (1, 2, 7, 8)]
    if not name.startswith(("deviation", "variance")):
        # Of no number torch itself warns.
        shapes.append((0, 2, 5, 5))
    for shape in shapes:
        given = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        y, wanted = network(given), model(given)
        assert error(y, wanted) <= 1e-12
        slopes = derivatives(y, given), derivatives(wanted, given)
        assert max(map(error, *slopes)) <= 1e-10
        assert error(to_torch(network)(given), wanted) <= 1e-12
    pickle.loads(pickle.dumps(network.state_dict()))


def test_equal_numbers_share_the_gradient_of_the_larger_one():
    class Both(nn.Module):
        def forward(self, x, y):
            return torch.maximum(x, y)

    pair = [torch.ones(2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    network = from_torch(Both(), tuple(pair))
    slopes = torch.autograd.grad(network(*pair).sum(), pair)
    assert network.opaque() == {} and all(torch.equal(one, pair[0] / 2) for one in slopes)


def test_a_batch_as_long_as_a_row_is_no_row():
    class Repeated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(2, 3, 1)

        def forward(self, x):
            return self.conv(x).mean(2, keepdim=True).repeat(1, 1, x.size(0))

    model = drawn(Repeated())
    network = from_torch(model, torch.randn(4, 2, 4, dtype=torch.float64))
    for shape in ((4, 2, 4), (2, 2, 5)):
        x = torch.randn(shape, dtype=torch.float64)
        assert error(network(x), model(x)) <= 1e-12


def test_own_weights_of_norms_are_functions_too():
    class Norms(nn.Module):
        def __init__(self):
            super().__init__()
            self.group, self.instance = nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)
            self.rms, self.query = nn.RMSNorm(4), nn.LayerNorm(2)

        def forward(self, x):
            x = F.group_norm(x, 2, self.group.weight, self.group.bias)
            x = F.instance_norm(x, weight=self.instance.weight, bias=self.instance.bias)
            x = F.rms_norm(x.flatten(2).mT, (4,), self.rms.weight)
            return self.query(x.unflatten(2, (2, 2)).transpose(1, 2))

    model = drawn(Norms())
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    network = from_torch(model, x)
    assert network.opaque() == {}
    assert error(network(x), model(x)) <= 1e-12
    assert error(to_torch(network)(x), model(x)) <= 1e-12
    wanted = torch.autograd.grad(model(x).square().sum(), [x, *model.parameters()])
    slopes = torch.autograd.grad(network(x).square().sum(), [x, *network.parameters()])
    assert len(slopes) == len(wanted)
    for slope in slopes:
        assert min(error(slope, w) for w in wanted if w.shape == slope.shape) <= 1e-10


@pytest.mark.parametrize("function", ["softmax", "std"])
def test_members_are_treated_one_by_one_and_nodes_alike(function):
    layer = AlongNodes(function, {})
    members = [g.Graph([[0], [1]], 3), g.Graph([[], []], 2)]
    x = torch.randn(2, 5, 4)
    y = layer(g.Signal(x, g.Batch(members))).x
    parts = [layer(g.Signal(x[:, :3], members[0])).x, layer(g.Signal(x[:, 3:], members[1])).x]
    assert torch.equal(y, torch.cat(parts, 1))
    net = g.Sequential(g.Conv(1, 2, g.window(3)), layer)
    assert g.certify(net, g.Grid(4, 5, periodic=True)).exact
    g.testing.assert_permutation_equivariant(layer, g.Signal(x[:, :3], members[0]))


def stochastic_depth(x, p, mode, training=True):
    """As torchvision's, for the tests that have none of it."""
    if not training or p == 0:
        return x
    shape = [1] * x.dim()
    if mode == "row":
        shape[0] = x.shape[0]
    return x * x.new_empty(shape).bernoulli_(1 - p).div_(1 - p)


torch.fx.wrap("stochastic_depth")


class Deep(nn.Module):
    """A shortcut, beside which some entries are dropped."""

    def __init__(self, mode):
        super().__init__()
        self.conv, self.mode = nn.Conv2d(2, 2, 3, padding=1), mode

    def forward(self, x):
        return x + stochastic_depth(self.conv(x), 0.4, self.mode, self.training)


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_stochastic_depth_draws_the_same_numbers(mode, monkeypatch):
    monkeypatch.setattr(stochastic_depth, "__module__", "torchvision.ops.stochastic_depth")
    model, x = drawn(Deep(mode)), torch.randn(8, 2, 4, 5, dtype=torch.float64)
    network = from_torch(model.eval(), x)
    assert network.opaque() == {}
    assert any(isinstance(part, EntryDropout) for part in network.modules())
    for training in (True, False):
        answers = []
        for one in (network, model, to_torch(network)):
            torch.manual_seed(3)
            answers.append(one.train(training)(x))
        assert error(answers[0], answers[1]) <= 1e-12
        assert error(answers[2], answers[1]) <= 1e-12
