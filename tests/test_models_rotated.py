"""Networks on rotated images, solids and photographs: sizes, shapes, and the symmetry that they
promise.
"""

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models
from geodl.data import rotate, voxels
from geodl.train import RECIPES
from tests.test_models import randomised, size, turned

C4, D4 = g.C(4), g.D(4)


def convolutions(model: nn.Module) -> list[g.Conv]:
    return [part for part in model.modules() if isinstance(part, g.Conv)]


def test_mirrors_and_rotation_pooling_have_the_shape_of_cohen_and_welling():
    c = 7
    assert (
        size(models.p4mcnn())
        == (9 * c + c) + 5 * (8 * 9 * c * c + c) + (8 * 16 * c * 10 + 10) + 6 * 2 * c
    )
    assert size(models.p4cnn_rotation_pooling()) == size(models.z2cnn()) == 21_750
    for net, pools in ((models.p4mcnn(), 2), (models.p4cnn_rotation_pooling(), 8)):
        assert [conv.rule.size for conv in convolutions(net)] == [(3, 3)] * 6 + [(4, 4)]
        assert len([part for part in net if isinstance(part, g.Pool)]) == pools
    pooled = models.p4cnn_rotation_pooling(channels=2)
    with g.trace(pooled) as events:
        end = pooled.eval()(g.Signal.image(torch.zeros(1, 1, 28, 28)))
    assert end.domain == g.Grid(1, 1)
    domains = [event.target for event in events if isinstance(event.layer, g.Conv)]
    assert all(domain.fiber == C4 for domain in domains)


@pytest.mark.parametrize(
    ("make", "group", "lengths"),
    [
        (lambda: models.p4mcnn(channels=2), D4, (28, 28)),
        (lambda: models.p4cnn_rotation_pooling(channels=2), C4, (28, 28)),
        (lambda: g.symmetrize(models.resnet8(channels=4), C4, pool="mean"), C4, (8, 8)),
    ],
)
def test_certified_exact(make, group, lengths):
    certificate = g.certify(make(), g.Grid(*lengths))
    assert certificate.exact
    assert certificate.group == group


def test_mirrors_leave_the_answer():
    image = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    net = randomised(models.p4mcnn(channels=2))
    straight, *others = turned(net, image)
    mirrored = net(g.Signal.image(image.flip(3).contiguous())).x
    assert straight.std() > 1e-3
    assert max((y - straight).abs().max() for y in (*others, mirrored)) < 1e-10


def test_turned_solids_have_one_answer():
    chance = torch.Generator().manual_seed(0)
    cloud = 2 * torch.rand(1, 60, 3, dtype=torch.float64, generator=chance) - 1
    about_z = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).double()
    images = [voxels(points, 16) for points in (cloud, cloud @ about_z.T)]
    assert torch.equal(images[1][0, 0], images[0][0, 0].rot90(1, (0, 1)))
    net = randomised(models.octahedral_cnn(channels=1))
    here, there = (net(g.Signal.image(image)).x for image in images)
    assert here.std() > 1e-3
    assert (here - there).abs().max() < 1e-10
    plain = randomised(models.voxel_cnn(channels=2))
    here, there = (plain(g.Signal.image(image)).x for image in images)
    assert (here - there).abs().max() > 1e-3


def test_resnets_of_equal_parameters():
    planar = models.resnet8()
    assert size(planar) == 78_042
    others = [RECIPES[f"cifar10-resnet8-{name}"] for name in ("p4", "p4m")]
    networks = [recipe.build(recipe.options) for recipe in others]
    assert [size(net) for net in networks] == [77_170, 78_146]
    assert len(convolutions(planar)) == 7 + 2  # two projections beside the seven
    widths = [conv.channels_out for conv in convolutions(networks[1])]
    assert sorted(set(widths)) == [6, 11, 23]
    end = planar.eval()(g.Signal.image(torch.zeros(2, 3, 32, 32)))
    assert end.x.shape == (2, 1, 10)


def test_sfcnn_of_the_paper():
    net = models.sfcnn(group=C4).eval()
    shapes = [(conv.channels_out, *conv.rule.size) for conv in convolutions(net)]
    assert shapes == [
        *((24, 9, 9), (32, 7, 7), (36, 7, 7), (36, 7, 7), (64, 7, 7), (96, 5, 5)),
    ]
    kinds = [type(part).__name__ for part in net]
    assert kinds.count("Dropout") == kinds.count("Linear") == 3
    small = models.sfcnn(group=C4, channels=(2, 3), sizes=(5, 3), halved_after=(1,))
    assert small.eval()(g.Signal.image(torch.zeros(2, 1, 28, 28))).x.shape == (2, 1, 10)


@pytest.mark.parametrize("group", [g.C(8), g.C(16), g.D(8)])
def test_filters_of_harmonics_turn_exactly_by_quarters_and_about_by_less(group):
    net = models.sfcnn(group=group, channels=(2, 2), sizes=(9, 5), halved_after=(), dropout=0.0)
    net = randomised(net)
    image = torch.rand(1, 1, 5, 5, dtype=torch.float64)
    smooth = torch.nn.functional.interpolate(image, 29, mode="bicubic", align_corners=True)
    straight, *others = turned(net, smooth)
    assert straight.std() > 1e-3
    assert max((y - straight).abs().max() for y in others) < 1e-10
    certificate = g.certify(net, g.Grid(29, 29))
    assert not certificate.exact
    about = net(g.Signal.image(rotate(smooth, 45))).x
    assert (about - straight).abs().max() > 1e-8, "45 degrees are not exact"


@pytest.mark.parametrize("channels", [(2,), ()])
def test_an_sfcnn_of_other_sizes_than_channels_is_refused(channels):
    with pytest.raises(g.GeodlError, match="one of each for every layer"):
        models.sfcnn(group=C4, channels=channels, sizes=(5, 3) * len(channels))
