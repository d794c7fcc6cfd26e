"""Famous networks: as many parameters as the papers count, and the symmetry that they promise."""

import itertools

import pytest
import torch
from torch import nn

import geodl as g
from geodl import models


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def randomised(model: nn.Module) -> nn.Module:
    """The model in float64 with every parameter and running statistic drawn anew, ready to be
    judged.
    """
    torch.manual_seed(0)
    model = model.double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
        for name, b in model.named_buffers():
            if b.is_floating_point():
                b.copy_(
                    torch.rand_like(b) + 0.5 if name.endswith("var") else 0.1 * torch.randn_like(b)
                )
    return model


def turned(model: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return [
            model(g.Signal.image(torch.rot90(image, k, (2, 3)).contiguous())).x for k in range(4)
        ]


@pytest.mark.parametrize("channels", [(8, 4), (8, 16, 4), (3, 5, 7, 2)])
def test_mlp_is_linear_layers(channels):
    torch.manual_seed(0)
    ours = models.mlp(*channels).double()
    pairs = list(itertools.pairwise(channels))
    twin = nn.Sequential(*[m for a, b in pairs for m in (nn.Linear(a, b), nn.ReLU())][:-1]).double()
    convs = [m for m in ours if isinstance(m, g.Conv)]
    with torch.no_grad():
        for linear, conv in zip((m for m in twin if isinstance(m, nn.Linear)), convs, strict=True):
            linear.weight.copy_(conv.weight[0].T)
            linear.bias.copy_(conv.bias)
    x = torch.randn(2, 6, channels[0], dtype=torch.float64)
    y = ours(g.Signal(x, g.Complete(6))).x
    assert (y - twin(x)).abs().max() < 1e-12 and size(ours) == sum(a * b + b for a, b in pairs)


def test_gcn_of_the_paper():
    net = models.gcn(1433, 16, 7)
    assert size(net) == 1433 * 16 + 16 + 16 * 7 + 7
    assert [type(m).__name__ for m in net] == ["Dropout", "Conv", "ReLU", "Dropout", "Conv"]
    assert net[0].p == 0.5 and str(net[1].rule) == "adjacency('sym', self_loops=True)"
    graph = g.Graph([[0, 1, 1, 2], [1, 0, 2, 1]], 5)
    dense = torch.randn(1, 5, 1433)
    y = net.eval()(g.Signal(dense, graph)).x
    sparse = net(g.Signal(dense[0].to_sparse_csr(), graph)).x
    assert y.shape == sparse.shape == (1, 5, 7) and (y - sparse).abs().max() < 1e-4


def test_sizes_of_cohen_and_welling():
    planar = (9 * 20 + 20) + 5 * (9 * 20 * 20 + 20) + (16 * 20 * 10 + 10) + 6 * 2 * 20
    p4 = (9 * 10 + 10) + 5 * (4 * 9 * 10 * 10 + 10) + (4 * 16 * 10 * 10 + 10) + 6 * 2 * 10
    assert size(models.z2cnn()) == planar == 21_750
    assert size(models.p4cnn()) == p4 == 24_680
    for net in (models.z2cnn(), models.p4cnn()):
        convs = [m for m in net if isinstance(m, g.Conv)]
        assert len(convs) == 7 and [m.rule.size for m in convs] == [(3, 3)] * 6 + [(4, 4)]
        s = net.eval()(g.Signal.image(torch.zeros(2, 1, 28, 28)))
        assert s.x.shape == (2, 1, 10) and s.domain == g.Grid(1, 1)
    assert [m.p for m in models.z2cnn() if isinstance(m, g.Dropout)] == [0.3] * 5
    assert not [m for m in models.p4cnn() if isinstance(m, g.Dropout)]
    kinds = [type(m).__name__ for m in models.p4cnn()]
    assert kinds[:7] == [
        "Conv",
        "BatchNorm",
        "ReLU",
        "Conv",
        "BatchNorm",
        "ReLU",
        "Pool",
    ] and kinds[-2:] == ["Conv", "Pool"]
    assert models.z2cnn(7, channels=4)(g.Signal.image(torch.zeros(3, 1, 28, 28))).x.shape == (
        3,
        1,
        7,
    )


@pytest.mark.parametrize("make", [models.p4cnn, models.digits_p4cnn])
def test_p4_is_exactly_invariant(make):
    length = 28 if make is models.p4cnn else 8
    image = torch.rand(3, 1, length, length, dtype=torch.float64)
    net = randomised(make())
    straight, *others = turned(net, image)
    assert straight.std() > 1e-3, "not because nothing is said"
    assert max((y - straight).abs().max() for y in others) < 1e-10
    mirrored = net(g.Signal.image(image.flip(3).contiguous())).x
    assert (mirrored - straight).abs().max() > 1e-3, "p4 knows no mirrors"


@pytest.mark.parametrize("make", [models.z2cnn, models.digits_cnn])
def test_z2_is_not(make):
    length = 28 if make is models.z2cnn else 8
    straight, *others = turned(
        randomised(make()), torch.rand(3, 1, length, length, dtype=torch.float64)
    )
    assert min((y - straight).abs().max() for y in others) > 1e-2


def test_p4_trains_to_the_same_invariance():
    torch.manual_seed(0)
    net = models.digits_p4cnn(channels=4).double()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    image, label = torch.rand(8, 1, 8, 8, dtype=torch.float64), torch.arange(8)
    for _ in range(3):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(g.Signal.image(image)).x[:, 0], label).backward()
        optimiser.step()
    straight, *others = turned(net.eval(), image)
    assert max((y - straight).abs().max() for y in others) < 1e-10
