"""Padding, resizing and pooling of lattices by torch's functions and modules, as layers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import geodl as g
from geodl.interop import from_torch, to_torch
from geodl.interop.resampling import padding_rule, pooling_rule, resizing_rule, slicing_rule
from geodl.testing import error
from tests.compilation import compiled
from tests.twins import drawn

FUNCTIONS = {
    "zeros": lambda x: F.pad(x, (1, 2, 0, 1)),
    "cut off": lambda x: F.pad(x, (-1, 0, 0, -2)),
    "one axis": lambda x: F.pad(x, (2, 1)),
    "mirrored": lambda x: F.pad(x, (1, 2, 2, 1), mode="reflect"),
    "clamped": lambda x: F.pad(x, (1, 2, 2, 1), mode="replicate"),
    "wrapped": lambda x: F.pad(x, (1, 2, 2, 1), mode="circular"),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "corners": lambda x: F.interpolate(x, size=(9, 7), mode="bilinear", align_corners=True),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2.0, mode="bicubic"),
    "nearest": lambda x: F.interpolate(x, size=(9, 7)),
    "by half": lambda x: F.interpolate(x, scale_factor=1.5),
    "mean": lambda x: F.adaptive_avg_pool2d(x, (4, 3)),
    "max": lambda x: F.adaptive_max_pool2d(x, (4, None)),
    "shuffle": lambda x: F.pixel_shuffle(x, 2),
    "filled": lambda x: F.pad(x, (1, 2, 0, 1), value=-torch.inf).exp(),
    "area": lambda x: F.interpolate(x, size=(4, 3), mode="area"),
    "anew": lambda x: F.interpolate(
        x, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True
    ),
    "sliced": lambda x: x[:, :, 1:-1, ::2],
    "begun": lambda x: x[..., :3],
    "one of one": lambda x: torch.cat([x], 1),
    "largest channel": lambda x: x.max(1, keepdim=True)[0],
    "smallest node": lambda x: x.flatten(2).min(dim=2).values,
    "pool of all": lambda x: F.avg_pool2d(x, kernel_size=x.size()[2:]),
    "power": lambda x: F.lp_pool2d(x.exp(), 3, 2, stride=1),
    "gated": lambda x: F.glu(x, dim=1),
    "all axes": lambda x: F.layer_norm(x, x.shape[1:]),
}
MODULES = {
    "reflection": nn.ReflectionPad2d(2),
    "replication": nn.ReplicationPad2d((1, 0, 2, 1)),
    "zero": nn.ZeroPad2d(1),
    "upsample": nn.Upsample(scale_factor=2, mode="bilinear"),
    "corners": nn.UpsamplingBilinear2d(scale_factor=2),
    "shuffle": nn.PixelShuffle(2),
    "unshuffle": nn.Sequential(nn.Upsample(scale_factor=2), nn.PixelUnshuffle(2)),
    "channels": nn.Sequential(nn.ChannelShuffle(2), nn.Conv2d(4, 3, 1)),
    "constant": nn.ConstantPad2d((1, 0, 2, 1), 0.5),
    "power": nn.LPPool2d(2, (2, 3), stride=2),
    "softmax": nn.Softmax2d(),
    "gated": nn.GLU(1),
    "slopes": nn.PReLU(4),
    "one slope": nn.PReLU(),
    "dropped": nn.Dropout2d(0.5),
    "pixels": nn.LayerNorm([6, 5]),
    "everything": nn.LayerNorm([4, 6, 5], bias=False),
    "sizes": nn.RMSNorm([4, 6, 5]),
    "reflecting": nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    "replicating": nn.Conv2d(4, 4, 5, padding=(2, 1), stride=2, padding_mode="replicate"),
}


class Then(nn.Module):
    """A convolution, and what is tried."""

    def __init__(self, after):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.after = after

    def forward(self, x):
        return self.after(self.conv(x))


@pytest.mark.parametrize("name", [*FUNCTIONS, *(f"nn: {name}" for name in MODULES)])
def test_what_torch_does_to_a_lattice_is_a_layer(name):
    after = FUNCTIONS.get(name) or MODULES[name.removeprefix("nn: ")]
    model = drawn(Then(after)).eval()
    x = torch.randn(2, 2, 6, 5, dtype=torch.float64)
    network = from_torch(model, x)
    assert network.opaque() == {}
    shapes = [(2, 2, 6, 5), (1, 2, 7, 8)]
    if hasattr(after, "normalized_shape"):
        # Parameters at places: these lattices alone.
        with pytest.raises(g.GeodlError, match="for which it has parameters"):
            network(torch.zeros(shapes.pop(), dtype=torch.float64))
    # A lattice of another size, too.
    for shape in shapes:
        given = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        y, wanted = network(given), model(given)
        assert error(y, wanted) <= 1e-12
        upstream = torch.randn_like(wanted)
        slopes = [torch.autograd.grad((one * upstream).sum(), given)[0] for one in (y, wanted)]
        assert error(*slopes) <= 1e-12
        assert error(to_torch(network)(given), wanted) <= 1e-12


def to_lengths(x, y):
    return F.interpolate(y, size=x.shape[2:], mode="bilinear")


def to_named_lengths(x, y):
    return F.interpolate(y, (x.size(2), x.size(-1)))


def by_own_lengths(x, y):
    return F.interpolate(y, (2 * y.shape[2] - x.shape[2] % 2, y.shape[3] * 2 - x.shape[3] % 2))


def by_differences(x, y):
    y = F.interpolate(y, scale_factor=2)
    rows, columns = x.size(2) - y.size(2), x.size(3) - y.size(3)
    return F.pad(y, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])


@pytest.mark.parametrize("change", [to_lengths, to_named_lengths, by_own_lengths, by_differences])
def test_lengths_that_a_model_computes(change):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.beside = nn.Conv2d(2, 3, 3, 2, 1), nn.Conv2d(2, 3, 1)

        def forward(self, x):
            return self.beside(x) + change(x, self.down(x))

    model = drawn(Half()).eval()
    network = from_torch(model, torch.randn(2, 2, 5, 8, dtype=torch.float64))
    assert network.opaque() == {}
    for shape in ((2, 2, 5, 8), (1, 2, 7, 6), (1, 2, 8, 9)):
        x = torch.randn(shape, dtype=torch.float64)
        assert error(network(x), model(x)) <= 1e-12
        assert error(to_torch(network)(x), model(x)) <= 1e-12


RULES = {
    "nearest": resizing_rule((None, None), (1.5, 2.0), "nearest"),
    "bilinear": resizing_rule((5, 3), (None, None), "bilinear", False),
    "mirrored": padding_rule([(2, 1), (0, 3)], "reflect"),
    "sliced": slicing_rule([(1, None, 2), (None, -1, None)]),
    "mean": pooling_rule((3, 2), "mean"),
}


@pytest.mark.filterwarnings("ignore:<class .torch.autograd.function.Function")
@pytest.mark.parametrize("name", RULES)
def test_resamplings_are_differentiated_transformed_and_compiled(name):
    layer, domain = g.Propagate(RULES[name]), g.Grid(4, 4)
    x = torch.randn(3, 16, 2, dtype=torch.float64, requires_grad=True)
    g.prepare(layer, g.Signal(x.detach(), domain))

    def resampled(x):
        return layer(g.Signal(x, domain)).x

    def total(x):
        return resampled(x[None]).sin().sum()

    reference = g.Propagate(RULES[name])
    g.set_lowering(reference, "edges")
    wanted = reference(g.Signal(x, domain)).x
    assert error(resampled(x), wanted) <= 1e-12
    few = x[:1, :, :1].detach().requires_grad_()
    assert torch.autograd.gradcheck(resampled, few) and torch.autograd.gradgradcheck(resampled, few)
    (slope,) = torch.autograd.grad(wanted.sin().sum(), x)
    assert error(torch.func.vmap(torch.func.grad(total))(x), slope) <= 1e-12
    if name in ("nearest", "bilinear"):
        # Edges without weights, and with some: a compiler follows no other difference.
        y = compiled(layer)(g.Signal(x, domain)).x
        assert error(y, wanted) <= 1e-12
        assert error(torch.autograd.grad(y.sin().sum(), x)[0], slope) <= 1e-12
    # An empty batch, one graph of it, and values out of order in memory.
    for part in (x[:0], x[:1], x.transpose(0, 1).contiguous().transpose(0, 1)):
        assert error(resampled(part), reference(g.Signal(part, domain)).x) <= 1e-12


def test_a_resampling_says_where_it_cannot_be():
    rule = padding_rule([(3, 0), (0, 0)], "reflect")
    with pytest.raises(g.GeodlError, match="an axis of 3 cannot be reflected over 3 nodes"):
        g.Propagate(rule)(g.Signal.image(torch.zeros(1, 1, 3, 3)))
    with pytest.raises(g.GeodlError, match="a lattice that wraps"):
        g.Propagate(rule)(g.Signal.image(torch.zeros(1, 1, 9, 9), periodic=True))
    with pytest.raises(g.GeodlError, match="mode='lanczos'"):
        resizing_rule((2,), (None,), "lanczos", None)


def test_an_example_of_another_shape_is_told_with_its_line():
    class Views(nn.Module):
        def forward(self, x):
            return x.view(-1, 12)

    with pytest.raises(g.GeodlError) as found:
        from_torch(nn.Sequential(nn.ReLU(), Views()), torch.ones(2, 5))
    said = str(found.value)
    assert "shape '[-1, 12]' is invalid" in said
    assert "test_imports_lattices.py, line" in said
    assert "return x.view(-1, 12)" in said
    assert "an example of the shapes that the model takes" in said
    with pytest.raises(g.GeodlError, match="mat1 and mat2 shapes"):
        from_torch(nn.Linear(3, 2), torch.ones(2, 5))


def test_a_part_that_cannot_be_followed_says_where_and_what_to_do():
    class Decides(nn.Module):
        def forward(self, x):
            if x.mean() > 0:
                return x + 1
            return x - 1

    network = from_torch(nn.Sequential(nn.Linear(2, 2), Decides()), torch.ones(3, 2))
    (reason,) = network.opaque().values()
    assert "test_imports_lattices.py, line" in reason
    assert "if x.mean() > 0:; write torch.where(...)" in reason


ANSWERS = {
    "as it is": (lambda y: y, True),
    "channels last": (lambda y: y.permute(0, 2, 3, 1), True),
    "nodes in a row": (lambda y: y.flatten(2).transpose(1, 2), True),
    "one node": (lambda y: y.mean((2, 3)), True),
    "transposed": (lambda y: y.transpose(2, 3), False),
    "nodes among channels": (lambda y: y.flatten(1), False),
    "one of two transposed": (lambda y: (y, y.transpose(2, 3)), False),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_certificates_speak_of_the_answer_as_it_is_read(name):
    read, exact = ANSWERS[name]

    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Conv2d(2, 3, 1)

        def forward(self, x):
            return read(self.mix(x))

    network = g.interop.from_torch(Reading(), torch.zeros(1, 2, 5, 5))
    certificate = g.certify(network, g.Grid(5, 5), g.C(4))
    assert certificate.exact == exact
    assert exact or "is read as" in str(certificate)
