"""A convolutional network over a group in one call: the same architecture, exact, or refused."""

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models
from geodl.interop import from_torch

P4, P4M = g.C(4), g.D(4)


def turned_apart(net: nn.Module, lengths: tuple[int, ...], group: g.Group, channels: int) -> float:
    torch.manual_seed(0)
    domain = g.Grid(*lengths)
    s = g.Signal(torch.randn(2, domain.num_nodes, channels, dtype=torch.float64), domain)
    return max(g.equivariance_error(net.double().eval(), s, group).values())


def test_the_planar_network_becomes_the_hand_written_one():
    twin, p4 = g.symmetrize(models.z2cnn(), P4), models.p4cnn()
    for part in p4.modules():
        if isinstance(part, g.BatchNorm):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    twin.load_state_dict(p4.state_dict())
    s = g.Signal.image(torch.randn(2, 1, 28, 28))
    assert torch.equal(twin.eval()(s).x, p4.eval()(s).x)
    assert [m.p for m in twin if isinstance(m, g.Dropout)] == [0.3] * 5
    assert g.certify(twin, g.Grid(28, 28)).exact
    assert twin.scaling.widths == ((20, 10),) and twin.scaling.parameters == (21_750, 24_680)
    planes = g.symmetrize(models.z2cnn(), P4M, keep="planes")
    assert planes.scaling.widths == ((20, 2),) and "planes kept" in str(planes.scaling)


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3)
        self.f1, self.f2 = nn.Linear(8 * 9, 12), nn.Linear(12, 5)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.c1(x)), 2)
        x = torch.relu(self.c2(x)).flatten(1)
        return torch.log_softmax(self.f2(torch.relu(self.f1(x))), 1)


@pytest.mark.parametrize("group", [P4, P4M], ids=str)
def test_an_imported_lenet_in_one_line(group):
    net = from_torch(LeNet(), torch.randn(1, 1, 10, 10))
    twin = g.symmetrize(net, group).double()
    assert g.certify(twin, g.Grid(10, 10)).exact
    x = torch.randn(2, 1, 10, 10, dtype=torch.float64)
    assert (twin(x) - twin(x.rot90(1, (2, 3)))).abs().max() < 1e-12
    assert twin(x).exp().sum(1).sub(1).abs().max() < 1e-12 and len(twin.c1.weight) == 9
    assert twin.f1.rule.size == (3, 3), "the linear layer reads the whole lattice"
    # What decides the answer's channels keeps them, where the lattice is flattened and where not.
    straight = from_torch(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3)), torch.randn(1, 1, 4, 4)
    )
    assert g.symmetrize(straight, group)(torch.randn(2, 1, 4, 4)).shape == (2, 3)


def block(before: int, after: int, stride: int) -> g.Residual:
    step = g.window(3, stride=stride, padding=1)
    layers = [g.Conv(before, after, step), g.BatchNorm(after), nn.ReLU()]
    layers += [g.Conv(after, after, g.window(3)), g.GroupNorm(2, after)]
    if stride == 1:
        return g.Residual(*layers)
    shortcut = g.Conv(before, after, g.window(1, axes=2, stride=stride), bias=False)
    return g.Residual(*layers, shortcut=g.Sequential(shortcut, g.InstanceNorm(after, affine=True)))


def resnet() -> g.Sequential:
    stem = g.Conv(2, 8, g.window(3)), g.BatchNorm(8), nn.ReLU()
    head = g.Readout(), g.Conv(16, 24, g.itself()), nn.Linear(24, 3)
    return g.Sequential(*stem, block(8, 8, 1), block(8, 16, 2), *head)


def vgg() -> g.Sequential:
    """Depthwise and 1x1 convolutions, a concatenation, gates, norms of a node's channels."""
    both = g.Concat(g.Conv(8, 8, g.window(3)), g.Sequential(nn.Linear(8, 8), nn.GELU()))
    parts = [g.Conv(2, 8, g.window(3)), nn.LayerNorm(8), nn.ReLU(), both, nn.GLU()]
    parts += [g.Conv(8, 8, g.window(3), groups=8), g.Conv(8, 16, g.itself()), g.Dropout(0.1)]
    parts += [g.Pool(g.window(2, stride=2)), g.Conv(16, 16, g.window(3), groups=4), nn.ReLU()]
    return g.Sequential(*parts, g.Conv(16, 3, g.window(3)), nn.Softmax(-1))


def unet() -> g.Network:
    halves = g.window(2, stride=2)
    nodes = {
        "down": (g.Conv(2, 8, g.window(3)), "image"),
        "pooled": (g.Pool(halves), "down"),
        "deep": (g.Conv(8, 8, g.window(3)), "pooled"),
        "up": (g.Conv(8, 8, halves.reverse()), "down", "deep"),
        "wide": (g.Propagate(halves.reverse()), "deep"),
        "both": ("cat", "down", "up"),
        "out": (g.Conv(16, 8, g.window(3)), "both"),
        "sum": ("add", "out", "wide"),
        "answer": (g.Conv(8, 3, g.itself()), "sum"),
    }
    return g.Network("image", nodes)


@pytest.mark.parametrize("group", [P4, P4M], ids=str)
@pytest.mark.parametrize("make", [resnet, vgg, unet], ids=lambda make: make.__name__)
def test_exact_where_it_is_proved_and_seen(make, group):
    planar, lengths = make(), (6, 10)
    if make is resnet:
        lengths = (5, 9)
    twin = g.symmetrize(planar, group)
    certificate = g.certify(twin, g.Grid(*lengths))
    assert certificate.exact, str(certificate)
    assert turned_apart(twin, lengths, group, 2) < 1e-11
    assert turned_apart(planar, lengths, group, 2) > 1e-3
    s = g.Signal.image(torch.randn(2, 2, *lengths, dtype=torch.float64))
    assert twin(s).shape == planar.double()(s).shape and twin(s).domain == planar(s).domain
    names = {name for name, _ in planar.named_parameters()}
    ours = {name for name, _ in twin.named_parameters()}
    # Those of nn.Linear have other shapes, names stay.
    assert ours == names


def test_where_it_is_not_exact_the_layer_and_the_size_are_named():
    twin = g.symmetrize(resnet(), P4)
    with pytest.raises(g.GeodlError, match="an axis of 6 on which the window's steps"):
        g.certify(twin, g.Grid(6, 6))
    loose = g.Sequential(
        g.Conv(2, 4, g.window(3)),
        g.Conv(4, 4, g.window(3, stride=2, padding=1, exact=False)),
    )
    certificate = g.certify(g.symmetrize(loose, P4), g.Grid(6, 6))
    assert certificate.violations[0].startswith("1: window(3x3, stride=2")
    assert "Grid(6, 6)" in certificate.violations[0]


def test_volumes_and_the_rotations_of_the_cube():
    net = g.Sequential(g.Conv(1, 5, g.window(2, axes=3, padding="valid")), nn.ReLU(), g.Readout())
    twin = g.symmetrize(net, g.O())
    assert g.certify(twin, g.Grid(3, 3, 4)).exact and twin[0].channels_out == 5
    hidden = g.Sequential(*net, nn.Linear(5, 2))
    assert g.symmetrize(hidden, g.O())[0].channels_out == 1, "5 / sqrt(24), rounded"


def test_eight_turns_are_labelled_approximate():
    net = g.Sequential(g.Conv(2, 8, g.window(5)), nn.ReLU(), nn.Linear(8, 4), g.Readout())
    twin = g.symmetrize(net, g.C(8))
    certificate = g.certify(twin, g.Grid(9, 7))
    assert not certificate.exact and certificate.proved == ("C8 element 2",)
    assert "approximate" in str(certificate) and not certificate.violations
    assert twin[0].channels_out == 3 and twin[2].channels_out == 4


def test_modes_dtypes_and_parameters():
    net = vgg().double().eval()
    state = {name: p.clone() for name, p in net.named_parameters()}
    twin = g.symmetrize(net, P4)
    assert not any(part.training for part in twin.modules())
    assert {p.dtype for p in twin.parameters()} == {torch.float64}
    assert all(p.requires_grad for p in twin.parameters())
    assert all(torch.equal(p, state[name]) for name, p in net.named_parameters())
    net.train()[0].eval()
    twin = g.symmetrize(net, P4)
    assert not twin[0].training and twin[1].training and twin.training
    torch.manual_seed(1)
    one, other = g.symmetrize(net, P4), g.symmetrize(net, P4)
    assert not torch.equal(one[0].weight, other[0].weight), "drawn anew"


class Half(nn.Module):
    def forward(self, x):
        return x[..., :4]


FIRST = g.Conv(2, 8, g.window(3))
REFUSED = {
    "attention": (
        lambda: g.Sequential(FIRST, g.Residual(g.Attention(8, g.window(3), relative=True))),
        "1.inner.0: Attention",
        "has no twin over a group",
    ),
    "learned positions": (
        lambda: g.Sequential(FIRST, g.LearnedPositions((5, 5), 8)),
        "1: ",
        "where they stand",
    ),
    "recurrent layers": (
        lambda: g.Sequential(g.Recurrent(2, 8)),
        "0: Recurrent",
        "no twin",
    ),
    "a group of its own": (
        lambda: g.Sequential(FIRST, g.Conv(8, 8, g.isotropic(3, group=P4M))),
        "1: Conv",
        "a group of its own, D4",
    ),
    "a graph": (lambda: g.Sequential(g.Conv(2, 8, g.adjacency())), "0: Conv", "no window"),
    "a fiber": (lambda: g.Sequential(FIRST, g.Pool(g.fiber())), "1: Pool", "no plain window"),
    "oblong windows": (
        lambda: g.Sequential(g.Conv(2, 8, g.window((3, 5)))),
        "0: Conv",
        "carries out of the box",
    ),
    "lines": (lambda: g.Sequential(g.Conv(2, 8, g.window(3, axes=1))), "0: Conv", "1 axes"),
    "a domain": (
        lambda: g.Sequential(g.Conv(2, 8, g.window(3), on=g.Grid(5, 5))),
        "0: Conv",
        "for one domain",
    ),
    "parts of the channels": (
        lambda: g.Sequential(FIRST, g.Pointwise(Half())),
        "1: Pointwise",
        "makes 4 channels of 8, 4 of 4",
    ),
    "a promise with parameters": (
        lambda: g.Sequential(FIRST, g.Pointwise(nn.Linear(8, 8))),
        "1: Pointwise",
        "only its author knows",
    ),
    "a sum across the first window": (
        lambda: g.Residual(g.Conv(2, 2, g.window(3))),
        "the model: Residual",
        "before and behind the first window",
    ),
    "a flattened oblong": (
        lambda: from_torch(
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(12, 2)),
            torch.zeros(1, 1, 4, 5),
        ),
        "2: Conv",
        "6 nodes, of no lattice",
    ),
    "an opaque node": (
        lambda: from_torch(Sorted(), torch.zeros(1, 1, 5, 5)),
        "Opaque",
        "of which nothing is known",
    ),
    "no window": (lambda: g.Sequential(nn.ReLU(), g.Readout()), "", "no window over a lattice"),
}


class Sorted(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return self.conv(x).sort(-1).values


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_and_path(name):
    make, path, words = REFUSED[name]
    with pytest.raises(g.GeodlError) as refusal:
        g.symmetrize(make(), P4)
    assert path in str(refusal.value) and words in str(refusal.value)


def test_bad_arguments():
    for call, words in (
        (lambda: g.symmetrize(3, P4), "a int; give a layer"),
        (lambda: g.symmetrize(resnet(), "C4"), "a str; give a group"),
        (lambda: g.symmetrize(resnet(), g.S(3)), "acts on no lattice"),
        (lambda: g.symmetrize(resnet(), P4, "weights"), "choose from|did you mean"),
        (lambda: g.symmetrize(resnet(), P4, pool="median"), "pool='median'; did you mean 'mean'"),
        (lambda: g.symmetrize(resnet(), g.C(5000)), "5000 elements are too many.* as C.16."),
    ):
        with pytest.raises(g.GeodlError, match=words):
            call()
    hooked = resnet()
    hooked[0].register_forward_hook(lambda *_: None)
    with pytest.raises(g.GeodlError, match="0: Conv.*with hooks"):
        g.symmetrize(hooked, P4)
    twice = g.Conv(4, 4, g.window(3))
    first, last = g.Conv(2, 4, g.window(3)), g.Conv(4, 2, g.window(3))
    shared = g.symmetrize(g.Sequential(first, twice, nn.ReLU(), twice, last), P4)
    assert shared[1] is shared[3]
    with pytest.raises(g.GeodlError, match="in two places"):
        g.symmetrize(g.Sequential(twice, nn.ReLU(), twice), P4)


def test_a_softmax_in_the_end_of_an_import_is_taken_of_what_is_pooled():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.Softmax(1))
    image = torch.randn(2, 1, 5, 5)
    twin = g.symmetrize(from_torch(net, image), g.C(4))
    torch.testing.assert_close(twin(g.Signal.image(image)).x.sum(-1), torch.ones(2, 9))


@pytest.mark.parametrize("norm", [nn.LayerNorm(36), nn.Softmax(1), nn.BatchNorm1d(36)])
def test_what_reads_all_of_a_flattened_lattice_is_refused(norm):
    """Over the channels of each node it would be another network."""
    planar = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), norm, nn.Linear(36, 2))
    network = from_torch(planar, torch.randn(2, 1, 5, 5))
    with pytest.raises(g.GeodlError, match="flattened lattice"):
        g.symmetrize(network, g.C(4))


def test_a_flattened_lattice_is_no_answer():
    """The twin has no nodes side by side that it could give back."""
    network = from_torch(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), torch.randn(2, 1, 5, 5))
    with pytest.raises(g.GeodlError, match="whose answer is a flattened lattice"):
        g.symmetrize(network, g.C(4))


def test_gates_that_cannot_halve_the_scaled_channels_are_refused():
    network = g.Sequential(g.Conv(1, 6, g.window(3)), nn.GLU(), g.Conv(3, 1, g.window(3)))
    with pytest.raises(g.GeodlError, match="1: GLU, which does not take 3 channels"):
        g.symmetrize(network, g.C(4))


def test_an_adaptive_pool_over_a_group_asks_for_lengths_that_divide():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(3))
    over = g.symmetrize(g.interop.from_torch(net, torch.zeros(1, 1, 9, 9)), g.C(4))
    assert g.certify(over, g.Grid(9, 9)).exact
    with pytest.raises(g.GeodlError, match="an axis of 8 over C4; give a multiple of 3"):
        over(g.Signal.image(torch.zeros(1, 1, 8, 9)))
