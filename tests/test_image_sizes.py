"""At which sizes of the image a whole model is exact, and refusals that name them."""

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models

P4 = g.C(4)
HALVED = g.window(3, group=P4, stride=2, padding=1)


def strided() -> g.Sequential:
    """Two strides of 2 over the group: exact where 4 divides n - 1."""
    lifted = g.Conv(1, 2, g.lift(3, group=P4, stride=2, padding=1))
    residual = g.Residual(
        g.Conv(2, 2, HALVED), shortcut=g.Conv(2, 2, g.window(1, group=P4, stride=2, padding=0))
    )
    return g.Sequential(lifted, nn.ReLU(), residual, g.Pool(g.fiber()))


class Own(nn.Module):
    """Code of its own around layers; pools that name no group."""

    def __init__(self):
        super().__init__()
        self.conv = g.Conv(1, 2, g.isotropic(3, group=g.D(4)))
        self.pool = g.Pool(g.window(2, stride=2))

    def forward(self, image):
        return self.pool(self.pool(self.conv(image)))


CASES = {
    "the paper's network": (models.p4cnn, (27, 27), ((28, 28), (30, 30))),
    "exact already": (models.p4cnn, (28, 28), ((28, 28), (30, 30))),
    "strides": (strided, (15, 15), ((13, 13), (17, 17))),
    "oblong": (strided, (14, 24), ((13, 25), (13, 21))),
    "a model of one's own": (Own, (10, 21), ((8, 20), (12, 20))),
    "reversed": (
        lambda: g.Sequential(
            g.Conv(1, 2, g.lift(3, group=P4)),
            g.Conv(2, 1, g.window(2, group=P4, stride=2).reverse()),
        ),
        (5, 6),
        ((5, 6), (5, 5)),
    ),
    "axes that nothing reflects": (
        lambda: g.Conv(1, 1, g.isotropic(2, group=g.D(1), stride=2)),
        (5, 5),
        ((5, 4), (5, 6)),
    ),
    "none": (
        lambda: g.Sequential(
            g.Conv(1, 2, g.lift(2, group=P4, padding=((0, 1), (0, 1)))), g.Pool(g.fiber())
        ),
        (6, 6),
        (),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_nearest_sizes_are_exact_and_no_nearer_ones(name):
    make, near, wanted = CASES[name]
    model = make()
    before = {
        part: part.rule for part in model.modules() if isinstance(part, g.layer.MessagePassing)
    }
    assert g.sizes(model, near) == wanted
    assert all(part.rule is rule for part, rule in before.items()), "the model stays as it is"
    if name == "the paper's network":
        return
    for size in wanted:
        assert g.certify(model, g.Grid(*size)).exact
    if near not in wanted:
        with pytest.raises((g.GeodlError, AssertionError), match="exact"):
            assert g.certify(model, g.Grid(*near)).exact, "not exact"


def test_tori():
    model = g.Sequential(g.Conv(1, 1, g.isotropic(3, group=P4, stride=2, padding=1)))
    assert g.sizes(model, (7, 7), periodic=True) == ((6, 6), (8, 8))
    assert g.sizes(model, (7, 7)) == ((7, 7), (5, 5)), "at a border odd lengths are"


def test_refusals_name_the_image_and_not_the_lattice_inside():
    model, image = strided(), g.Signal.image(torch.zeros(1, 1, 15, 15))
    words = r"found an axis of 8 .*sizes of 13 x 13 and 17 x 17 of the whole image would be exact"
    nested = g.Sequential(g.Sequential(model[0]), *list(model)[1:])
    network = g.Network("image", {"first": (model[0], "image"), "rest": (model[2], "first")})
    for net in (model, nested, network):
        with pytest.raises(g.GeodlError, match=words):
            net(image)
        with pytest.raises(g.GeodlError, match=words):
            g.certify(net, image.domain)
    inner = g.Sequential(model[2])
    fibered = g.Signal(torch.zeros(1, 8 * 8 * 4, 2), g.GroupGrid(g.Grid(8, 8), P4))
    with pytest.raises(g.GeodlError, match="7 x 7 and 9 x 9"):
        inner(fibered)
    odd = CASES["none"][0]()
    with pytest.raises(g.GeodlError, match="no size near 6 x 6 is exact"):
        odd(g.Signal.image(torch.zeros(1, 1, 6, 6)))


def test_refused_in_words():
    for call, words in (
        (lambda: g.sizes(models.z2cnn(), (28, 28)), "no rule that names a group; .*g.symmetrize"),
        (lambda: g.sizes(models.p4cnn(), 28), "28; give a length for each axis"),
        (lambda: g.sizes(models.p4cnn(), "28x28"), "give a length for each axis"),
        (lambda: g.sizes(models.p4cnn(), (28,)), "1 lengths, and C4, which acts on 2 axes"),
        (lambda: g.sizes(models.p4cnn(), (28, 0)), "at least 1|positive"),
        (lambda: g.sizes(models.p4cnn(), (28, 28), count=0), "at least 1|positive"),
        (lambda: g.sizes(3, (28, 28)), "a int"),
    ):
        with pytest.raises(g.GeodlError, match=words):
            call()
