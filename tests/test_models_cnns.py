"""Classic convolutional networks: published sizes, torchvision's weights both ways, symmetry."""

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models
from geodl.testing import error
from geodl.train import RECIPES
from tests import torchvision_twins as twins
from tests.test_models import size

PUBLISHED = {
    "lenet5": (models.lenet5, 61_706),
    "alexnet": (models.alexnet, 61_100_840),
    "alexnet of 2012": (lambda: models.alexnet(towers=2), 60_965_224),
    "zfnet": (models.zfnet, 62_357_608),
    "vgg11": (lambda: models.vgg(11), 132_863_336),
    "vgg13": (lambda: models.vgg(13), 133_047_848),
    "vgg16": (models.vgg, 138_357_544),
    "vgg19": (lambda: models.vgg(19), 143_667_240),
    "googlenet": (models.googlenet, 6_624_904),
    "googlenet of the paper": (lambda: models.googlenet(batch_norm=False), 6_998_552),
    "resnet18": (models.resnet, 11_689_512),
    "resnet34": (lambda: models.resnet(34), 21_797_672),
    "resnet50": (lambda: models.resnet(50), 25_557_032),
    "resnet20": (models.cifar_resnet, 269_722),
    "resnet32": (lambda: models.cifar_resnet(32), 464_154),
    "resnet44": (lambda: models.cifar_resnet(44), 658_586),
    "resnet20, projected": (lambda: models.cifar_resnet(shortcuts="projection"), 272_474),
    "plain20": (lambda: models.cifar_resnet(shortcuts="none"), 269_722),
    "mobilenet": (models.mobilenet, 4_231_976),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name):
    make, count = PUBLISHED[name]
    with torch.device("meta"):
        assert size(make()) == count


def test_large_images_end_on_one_node():
    with torch.device("meta"):
        image = g.Signal.image(torch.zeros(2, 3, 224, 224))
        makes = (models.alexnet, models.zfnet, models.vgg, models.resnet, models.mobilenet)
        for make in makes:
            assert make()(image).x.shape == (2, 1, 1000)


@pytest.mark.parametrize(
    ("make", "twin"),
    [
        (models.alexnet, twins.alexnet),
        (lambda: models.vgg(11, batch_norm=True), twins.vgg11),
        (
            lambda: models.resnet(34),
            lambda: twins.ResNet((3, 4, 6, 3), 64, 1000, False),
        ),
    ],
    ids=["alexnet", "vgg", "resnet34"],
)
def test_names_and_shapes_are_torchvisions(make, twin):
    with torch.device("meta"):
        ours, theirs = make(), twin()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    given = g.interop.torch_state(ours, theirs)
    assert {n: v.shape for n, v in given.items()} == {
        n: v.shape for n, v in theirs.state_dict().items()
    }


def drawn(net: nn.Module) -> nn.Module:
    """A network in which no parameter and no statistic has its first value."""
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if "running_var" in name else value.add_(
                0.1 * torch.randn_like(value)
            )
    return net.double().eval()


WEIGHTS = {
    "lenet5": (models.lenet5, twins.LeNet, (1, 28)),
    "googlenet": (models.googlenet, twins.GoogLeNet, (3, 56)),  # with odd maps inside
    "resnet18": (
        lambda: models.resnet(18, 7, channels=4),
        lambda: twins.ResNet((2, 2, 2, 2), 4, 7, False),
        (3, 64),
    ),
    "resnet50": (
        lambda: models.resnet(50, 7, channels=4),
        lambda: twins.ResNet((3, 4, 6, 3), 4, 7, True),
        (3, 64),
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_both_ways(name):
    make, build, (channels, side) = WEIGHTS[name]
    torch.manual_seed(0)
    ours, theirs = drawn(make()), drawn(build())
    x = torch.randn(1, channels, side, side, dtype=torch.float64)
    g.interop.load_torch_state(ours, theirs.state_dict())
    wanted = theirs(x)
    assert error(ours(g.Signal.image(x)).x.flatten(1), wanted) < 1e-10
    back = build().double().eval()
    back.load_state_dict(g.interop.torch_state(ours, back))
    assert torch.equal(back(x), wanted)


def test_an_imported_network_gives_its_weights():
    twin = drawn(twins.LeNet())
    x = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    imported, ours = g.interop.from_torch(twin, x), models.lenet5().double().eval()
    back = g.interop.to_torch(imported)
    g.interop.load_torch_state(ours, back.state_dict())
    assert error(ours(g.Signal.image(x)).x.flatten(1), imported(x)) < 1e-12


GIVEN = {
    "lenet5": (models.lenet5, (1, 28)),
    "small_alexnet": (lambda: models.small_alexnet(channels=4, dropout=0.0), (3, 32)),
    "small_zfnet": (lambda: models.small_zfnet(channels=4, head="mean"), (3, 16)),
    "small_vgg": (lambda: models.small_vgg(channels=4), (3, 16)),
    "small_googlenet": (lambda: models.small_googlenet(channels=8), (3, 16)),
    "cifar_resnet": (lambda: models.cifar_resnet(8, channels=4), (3, 16)),
    "plain": (lambda: models.cifar_resnet(8, channels=4, shortcuts="none"), (3, 16)),
    "small_mobilenet": (lambda: models.small_mobilenet(channels=4), (3, 16)),
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_network_becomes_torchs_alone(name):
    make, (channels, side) = GIVEN[name]
    torch.manual_seed(0)
    ours = drawn(make())
    twin = g.interop.to_torch(ours)
    assert not any(type(part).__module__.startswith("geodl") for part in twin.modules())
    x = torch.randn(2, channels, side, side, dtype=torch.float64, requires_grad=True)
    answers = ours(g.Signal.image(x)).x[:, 0], twin(x)
    assert answers[1].shape == (2, 10) and error(answers[0], answers[1]) < 1e-10
    upstream = torch.randn(2, 10, dtype=torch.float64)
    slopes = [torch.autograd.grad(y, x, upstream)[0] for y in answers]
    assert error(*slopes) < 1e-10
    assert size(twin) == size(ours)


def vgg(depth: int, batch_norm: bool = False):
    return lambda: models.vgg(depth, batch_norm=batch_norm)


INSTALLED = {  # what torchvision calls them, and a size of their images
    "alexnet": (models.alexnet, {}, 224),
    **{f"vgg{depth}": (vgg(depth), {}, 224) for depth in (11, 13, 16, 19)},
    **{f"vgg{depth}_bn": (vgg(depth, True), {}, 224) for depth in (11, 13, 16, 19)},
    "googlenet": (models.googlenet, {"aux_logits": False, "init_weights": False}, 64),
    "resnet18": (models.resnet, {}, 64),
    "resnet34": (lambda: models.resnet(34), {}, 64),
    "resnet50": (lambda: models.resnet(50), {}, 64),
}


@pytest.mark.parametrize("name", INSTALLED)
def test_torchvisions_own_networks(name):
    torchvision = pytest.importorskip("torchvision")
    make, options, side = INSTALLED[name]
    theirs = getattr(torchvision.models, name)(weights=None, **options).double().eval()
    x = torch.randn(1, 3, side, side, dtype=torch.float64)
    ours = make().double().eval()
    g.interop.load_torch_state(ours, theirs.state_dict())
    with torch.no_grad():
        assert error(ours(g.Signal.image(x)).x.flatten(1), theirs(x)) < 1e-10
    given = g.interop.torch_state(ours, theirs)
    for path, value in theirs.state_dict().items():
        assert torch.equal(given[path], value)


IMPORTED = (
    *("resnet18", "vgg11_bn", "densenet121", "squeezenet1_1", "shufflenet_v2_x0_5"),
    *("mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "efficientnet_b0", "regnet_y_400mf"),
    *("convnext_tiny", "vit_b_32"),
)


@pytest.mark.parametrize("name", IMPORTED)
def test_torchvisions_networks_are_imported(name):
    torchvision = pytest.importorskip("torchvision")
    side = 224 if name.startswith("vit") else 64
    theirs = drawn(getattr(torchvision.models, name)(weights=None))
    x = torch.randn(2, 3, side, side, dtype=torch.float64)
    network = g.interop.from_torch(theirs, x)
    assert network.opaque() == {}
    with torch.no_grad():
        assert error(network(x[:1]), theirs(x[:1])) < 1e-10


SYMMETRIC = {
    "lenet5": (models.lenet5, (28, 28), 1),
    "small_vgg": (lambda: models.small_vgg(channels=4), (8, 8), 3),
    "small_googlenet": (lambda: models.small_googlenet(channels=8), (8, 8), 3),
    "cifar_resnet": (
        lambda: models.cifar_resnet(8, channels=4, shortcuts="projection"),
        (9, 9),
        3,
    ),
    "identity shortcuts": (lambda: models.cifar_resnet(8, channels=4), (9, 9), 3),
    "small_mobilenet": (lambda: models.small_mobilenet(channels=4), (9, 9), 3),
}


@pytest.mark.parametrize("name", SYMMETRIC)
def test_over_a_group_in_one_line(name):
    make, lengths, channels = SYMMETRIC[name]
    torch.manual_seed(0)
    planar = make()
    twin = g.symmetrize(planar, g.C(4)).double().eval()
    assert g.certify(twin, g.Grid(*lengths)).exact
    x = torch.randn(1, channels, *lengths, dtype=torch.float64)
    one, other = (twin(g.Signal.image(image)).x for image in (x, x.rot90(1, (2, 3))))
    assert error(one, other) < 1e-11 and one.shape == (1, 1, 10)
    assert error(one[:, 0], g.interop.to_torch(twin)(x)) < 1e-10
    assert {n for n, _ in planar.named_parameters()} == {n for n, _ in twin.named_parameters()}


def test_a_shortcut_without_weights_is_every_second_pixel_and_zeros():
    net = models.cifar_resnet(8, channels=4)
    block = net.layer2[0]
    x = torch.randn(2, 4, 8, 8)
    kept = block["downsample"](g.Signal.image(x)).to_image()
    assert torch.equal(kept[:, :4], x[:, :, ::2, ::2]) and not kept[:, 4:].any()
    assert not list(block["downsample"].parameters())


def test_windows_side_by_side_and_in_a_row_see_equally_far():
    def reach(net: nn.Module) -> int:
        with g.trace(net.eval()) as events:
            net(g.Signal.image(torch.zeros(1, 3, 32, 32)))
        first = [e.rule.size[0] for e in events if isinstance(e.layer, g.Conv)]
        return sum(k - 1 for k in first)

    small, large = models.small_vgg(), models.small_vgg(repeats=1, window_size=5)
    assert reach(small) == reach(large) == 12


def test_means_in_place_of_connected_layers_take_any_size():
    with torch.device("meta"):
        for make in (models.alexnet, models.zfnet, models.vgg):
            net = make(head="mean")
            assert net(g.Signal.image(torch.zeros(1, 3, 96, 128))).x.shape == (1, 1, 1000)


NAMES = sorted(
    name
    for name in RECIPES
    if name.startswith("cifar10-") or name in ("mnist-lenet", "mnist-superpixel-attention")
)


@pytest.mark.parametrize("name", NAMES)
def test_recipes_answer_and_learn(name):
    recipe = RECIPES[name]
    net = recipe.build(recipe.options)
    y = net(*recipe.sample()).x
    assert y.shape[-1] == 10 and y.shape[1] == 1
    y.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


SIDES = {
    "lenet5": (1, 28),
    **dict.fromkeys(("alexnet", "zfnet", "vgg"), (3, 224)),
    **dict.fromkeys(("googlenet", "resnet", "mobilenet"), (3, 32)),
    **dict.fromkeys(("small_alexnet", "small_zfnet", "small_vgg"), (3, 32)),
    **dict.fromkeys(("small_googlenet", "cifar_resnet", "small_mobilenet"), (3, 32)),
}
ONE_SIZE = {"lenet5", "alexnet", "zfnet", "vgg", "small_alexnet", "small_zfnet"}


@pytest.mark.parametrize("name", SIDES)
def test_images_of_another_size_or_channel_count(name):
    channels, side = SIDES[name]
    with torch.device("meta"):
        net = getattr(models, name)()
        other = g.Signal.image(torch.zeros(1, channels + 1, side, side))
        wide = g.Signal.image(torch.zeros(2, channels, side, side + 1))
        with pytest.raises(g.GeodlError, match=f"{channels + 1} channels; give {channels} "):
            net(other)
        if name in ONE_SIZE:
            with pytest.raises(g.GeodlError, match=f"give {side} x {side} nodes"):
                net(wide)
        else:
            assert net(wide).x.shape[:2] == (2, 1)


BAD = {
    "another channel count": (
        lambda: models.lenet5()(g.Signal.image(torch.zeros(1, 3, 28, 28))),
        "3 channels; give 1 channels",
    ),
    "a smaller image": (
        lambda: models.lenet5()(g.Signal.image(torch.zeros(1, 1, 20, 20))),
        r"a model of 28 x 28 images called: found Grid\(20, 20\); give 28 x 28 nodes",
    ),
    "a larger image": (
        lambda: models.small_zfnet()(g.Signal.image(torch.zeros(1, 3, 40, 32))),
        r"found Grid\(40, 32\); give 32 x 32 nodes, or build the network with head='mean'",
    ),
    "no such depth": (lambda: models.vgg(12), "give 11, 13, 16 or 19"),
    "no such ResNet": (lambda: models.resnet(20), "give 18, 34 or 50"),
    "no 6n + 2": (lambda: models.cifar_resnet(21), "another 6n"),
    "no such shortcut": (
        lambda: models.cifar_resnet(shortcuts="projections"),  # pyright: ignore[reportArgumentType]
        "projection",
    ),
    "no such head": (lambda: models.vgg(head="average"), "mean|connected"),  # pyright: ignore[reportArgumentType]
    "three towers": (lambda: models.alexnet(towers=3), "give 1 or 2"),
    "no such activation": (
        lambda: models.lenet5(activation="softmax"),  # pyright: ignore[reportArgumentType]
        "activation='softmax'",
    ),
    "no classes": (lambda: models.small_vgg(0), "a network of 0 classes"),
    "classes in words": (lambda: models.small_alexnet("ten"), "'ten' classes.*positive integers"),  # pyright: ignore[reportArgumentType]
    "a list of depths": (lambda: models.vgg([11]), "give 11, 13, 16 or 19"),  # pyright: ignore[reportArgumentType]
    "a width in words": (lambda: models.mobilenet(width="thin"), "at least 1/32"),  # pyright: ignore[reportArgumentType]
    "channels of no eighths": (lambda: models.small_googlenet(channels=12), "a multiple of 8"),
    "no width": (lambda: models.mobilenet(width=0.01), "at least 1/32"),
    "other names": (
        lambda: g.interop.load_torch_state(models.lenet5(), nn.Linear(2, 2).state_dict()),
        "no conv1.weight",
    ),
    "other sizes": (
        lambda: g.interop.load_torch_state(models.lenet5(7), twins.LeNet().state_dict()),
        r"fc3.weight of shape \[10, 84\] for one of \[7, 84\]",
    ),
    "a group": (
        lambda: g.interop.torch_state(models.digits_p4cnn(), models.digits_p4cnn()),
        "a convolution over lift",
    ),
    "a name of a module": (
        lambda: g.Sequential({"forward": nn.ReLU()}),
        "a part named 'forward'",
    ),
    "a name with a dot": (lambda: g.Concat({"a.b": nn.ReLU()}), "without dots"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name):
    call, words = BAD[name]
    with pytest.raises(g.GeodlError, match=words):
        call()
