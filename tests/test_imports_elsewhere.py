"""The weights of an import on other edges: a CNN on a torus, attention over a window."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import geodl as g
from geodl.interop import from_torch, over
from geodl.testing import error
from tests import foreign_images as images
from tests import foreign_sequences as sequences
from tests.twins import drawn

TORUS = g.Grid(6, 6, periodic=True)


def cnn(mode):
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, padding_mode=mode),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 3, padding=1, padding_mode=mode),
    )
    return drawn(model).eval()


def test_a_cnn_on_a_torus_is_one_that_pads_around():
    model, around = cnn("zeros"), cnn("circular")
    around.load_state_dict(model.state_dict())
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    network = from_torch(model, x)
    assert not g.certify(network, g.Grid(6, 6)).exact
    wraps = over(network, TORUS)
    assert error(wraps(x), around(x)) <= 1e-12
    assert error(wraps(g.Signal.image(x, periodic=True)).to_image(), around(x)) <= 1e-12
    assert error(network(x), model(x)) <= 1e-12
    assert error(over(wraps, g.Grid(6, 6))(x), model(x)) <= 1e-12
    assert {id(p) for p in wraps.parameters()} == {id(p) for p in network.parameters()}
    certificate = g.certify(over(from_torch(model[0], x), TORUS), TORUS)
    assert certificate.exact


def test_patches_read_those_around_them():
    model = drawn(sequences.ViT(token=False)).eval()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    network = from_torch(model, x)
    near = over(network, g.window(3))
    # On two by two patches a window of three is all of them.
    assert error(near(x), network(x)) <= 1e-12
    rules = {str(choice.neighborhood) for choice in g.explain(near, x).choices}
    assert str(g.window(3)) in rules and str(g.all_pairs()) not in rules
    assert error(over(network, g.itself())(x), network(x)) > 1e-6


def test_an_import_becomes_a_group_network():
    model = cnn("zeros")
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    turned = g.symmetrize(from_torch(model, x), g.C(4))
    assert max(g.equivariance_error(turned, g.Signal.image(x), g.C(4)).values()) <= 1e-10


@pytest.mark.parametrize("options", [(4, 2, 1), (3, 2, 1, 1), (2, 2), (3, 1, 1)])
def test_a_transposed_convolution_wraps(options):
    model = drawn(nn.Sequential(nn.ConvTranspose2d(2, 3, *options))).eval()
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    wraps = over(from_torch(model, x), TORUS)
    stride = options[1]
    # The middle of a transposed convolution of the image with copies of itself around it.
    around = model(F.pad(x, (2, 2, 2, 2), mode="circular"))
    wanted = around[:, :, 2 * stride : 8 * stride, 2 * stride : 8 * stride]
    y = wraps(x)
    upstream = torch.randn_like(wanted)
    assert error(y, wanted) <= 1e-12
    slopes = [torch.autograd.grad((one * upstream).sum(), x)[0] for one in (y, wanted)]
    assert error(*slopes) <= 1e-12
    assert g.certify(wraps, TORUS).exact
    g.set_lowering(wraps, "edges")
    assert error(wraps(x), wanted) <= 1e-12


def test_networks_that_make_lattices_larger_wrap():
    unet = over(from_torch(drawn(images.UNet()).eval(), torch.ones(1, 3, 8, 8).double()), TORUS)
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    moved = unet(x.roll((4, 4), (2, 3)))
    assert error(moved, unet(x).roll((4, 4), (2, 3))) <= 1e-12
    z = torch.randn(1, 6, 1, 1, dtype=torch.float64)
    generator = from_torch(drawn(images.Generator()).eval(), z)
    wraps = over(generator, TORUS)
    assert wraps(g.Signal.image(z)).domain == g.Grid(16, 16, periodic=True)
    assert error(wraps(z), generator(z)) > 1e-6
    # The first layer makes 4 by 4 nodes of one; what follows knows no place on the torus.
    first, later = list(wraps)[:3], list(wraps)[3:]
    signal = g.Signal.image(z)
    for name in first:
        signal = g.Sequential(wraps[name])(signal)
    assert signal.domain == g.Grid(4, 4, periodic=True)
    shifted = g.Signal.image(signal.to_image().roll(1, 2), periodic=True)
    for name in later:
        signal, shifted = g.Sequential(wraps[name])(signal), g.Sequential(wraps[name])(shifted)
    assert error(shifted.to_image(), signal.to_image().roll(4, 2)) <= 1e-12


def test_what_has_no_place_elsewhere_is_refused():
    mirrored = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReflectionPad2d(1))
    with pytest.raises(g.GeodlError, match=r"1, which is resampling\(reflect\) and needs a border"):
        over(from_torch(mirrored, torch.ones(1, 2, 6, 6)), TORUS)
    with pytest.raises(g.GeodlError, match="no window of an import"):
        over(from_torch(nn.Linear(2, 2)), TORUS)
    with pytest.raises(g.GeodlError, match="all of whose axes wrap or none"):
        over(from_torch(nn.Conv2d(2, 2, 3, padding=1)), g.Grid(4, 4, periodic=(True, False)))
    with pytest.raises(g.GeodlError, match="no self-attention"):
        over(from_torch(nn.Conv2d(2, 2, 3)), g.past())
