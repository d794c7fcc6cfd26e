"""Looking into networks on images: weights counted, deconvolution, occlusion, their pictures."""

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import nn

import geodl as g
from geodl import inspection, models, viz
from geodl.inspection import count_weights, deconvolution, occlusion
from geodl.testing import error

COUNTED = {
    "padded": (g.window(3), g.Grid(5, 7)),
    "strided": (g.window(3, stride=2, padding=1), g.Grid(6, 9)),
    "dilated, both ends": (g.window(2, dilation=3, padding=((2, 1), (0, 3))), g.Grid(6, 8)),
    "circular": (g.window(3), g.Grid(5, 5, periodic=True)),
    "one axis": (g.window(4, axes=1, padding="causal"), g.Chain(9)),
    "reversed": (g.window(3, stride=2, padding=1).reverse(), g.Grid(3, 4)),
    "lifted": (g.lift(3, group=g.C(4)), g.Grid(5, 5)),
    "over a group": (g.window(3, group=g.C(4)), g.GroupGrid(g.Grid(5, 5), g.C(4))),
    "everyone": (g.all_pairs(), g.Complete(6)),
    "a graph": (g.adjacency(), g.Graph([[0, 1, 2], [1, 2, 0]])),
    "itself": (g.itself(), g.Grid(3, 3)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_edges_are_counted_as_they_are_written(name):
    rule, domain = COUNTED[name]
    target = rule.target(domain)
    edges = rule.edges(domain, target)
    counts = count_weights(rule, domain)
    assert counts.local == len(edges.dst)
    assert counts.connected == target.num_nodes * domain.num_nodes
    assert counts.shared == rule.num_edge_types


def test_the_weights_of_a_million_pixels():
    counts = count_weights(g.window(10, padding=((4, 5), (4, 5))), g.Grid(1000, 1000))
    assert counts.connected == 10**12 and counts.shared == 100
    assert 0.98e8 < counts.local < 1e8, "the border has fewer"


def test_multiplications_of_networks():
    with torch.device("meta"):
        image = g.Signal.image(torch.zeros(1, 3, 224, 224))
        count = inspection.multiply_adds(models.alexnet(), image)
    # Published with padding counted.
    assert 0.91 < count / 714_188_480 < 1
    net = g.Sequential(g.Conv(2, 4, g.window(3, padding="valid"), groups=2), nn.ReLU())
    s = g.Signal.image(torch.zeros(3, 2, 5, 5))
    assert inspection.multiply_adds(net, s) == 9 * 9 * 2 * 4 // 2
    with pytest.raises(g.GeodlError, match="Attention, which multiplies otherwise"):
        inspection.multiply_adds(
            g.Attention(4, g.all_pairs(), 2), g.Signal.sequence(torch.zeros(1, 3, 4))
        )


def test_without_relu_the_way_back_is_the_reversed_window():
    torch.manual_seed(0)
    forward = g.Conv(2, 3, g.window(3, stride=2, padding=1), bias=False).double()
    image = g.Signal.image(torch.randn(1, 2, 7, 7, dtype=torch.float64))
    found = deconvolution(forward, image, "", channel=1, node=5)
    back = g.Conv(3, 2, g.window(3, stride=2, padding=1).reverse(g.Grid(7, 7)), bias=False).double()
    back.weight.data = forward.weight.data.mT
    alone = torch.zeros(1, 16, 3, dtype=torch.float64)
    alone[0, 5, 1] = forward(image).x[0, 5, 1].detach()
    expected = back(g.Signal(alone, g.Grid(4, 4))).x[0].detach()
    assert error(found.values, expected) < 1e-12 and found.node == 5
    assert found.activation == pytest.approx(float(alone[0, 5, 1]))


def test_relu_rectifies_what_comes_back_and_pools_remember_who_was_largest():
    linear = nn.Linear(2, 1, bias=False)
    linear.weight.data = torch.tensor([[1.0, -1.0]])
    halves = g.Pool(g.window(2, axes=1, stride=2))
    net = g.Sequential(nn.ReLU(), halves, linear)
    x = torch.tensor([[[-1.0, 2.0], [3.0, 1.0], [5.0, 0.5], [4.0, 9.0]]])
    found = deconvolution(net, g.Signal(x, g.Chain(4)), "2", channel=0, node=0)
    # The first receiver has (3, 2), from nodes 1 and 0; the negative weight's share is cut off.
    assert found.activation == 1.0
    assert found.values.tolist() == [[0, 0], [1, 0], [0, 0], [0, 0]]
    # Of an input below zero the gradient is zero; what comes back is not.
    below = g.Signal(torch.tensor([[[-2.0]]]), g.Complete(1))
    one = nn.Linear(1, 1)
    one.weight.data, one.bias.data = torch.ones(1, 1), torch.ones(1)
    assert deconvolution(g.Sequential(nn.ReLU(), one), below, "1", 0).values.tolist() == [[1.0]]
    assert inspection.saliency(g.Sequential(nn.ReLU(), one), below, 0).nodes.tolist() == [[0.0]]


def test_deconvolution_leaves_the_model_alone_and_goes_through_blocks():
    net = models.cifar_resnet(8, channels=4)
    image = g.Signal.image(torch.randn(1, 3, 16, 16))
    before = net.eval()(image).x
    found = deconvolution(net, image, "layer3.0.relu", channel=2)
    assert found.values.shape == (256, 3) and found.values.any()
    assert torch.equal(net(image).x, before) and type(net[2]) is nn.ReLU
    assert all(p.grad is None for p in net.parameters())


def test_hidden_nodes_are_those_of_the_rule():
    torch.manual_seed(0)
    net = models.lenet5()
    x = torch.randn(1, 1, 28, 28)
    rule = g.window(8, stride=5, padding="valid")
    scores = occlusion(net, g.Signal.image(x), rule, fill=0.5, batch_size=7)
    assert scores.domain == g.Grid(5, 5) and scores.x.shape == (1, 25, 10)
    x[:, :, 5:13, 10:18] = 0.5
    assert error(scores.x[0, 7], net.eval()(g.Signal.image(x)).x[0, 0]) < 1e-6
    graph = g.Graph([[0, 1], [1, 2]])
    s = g.Signal(torch.tensor([[[1.0], [2.0], [4.0]]]), graph)
    answers = occlusion(g.Readout("sum"), s, g.adjacency(self_loops=True))
    assert answers.x.flatten().tolist() == [6.0, 4.0, 1.0]


def test_pictures():
    torch.manual_seed(0)
    net, image = models.small_vgg(channels=4), torch.rand(3, 32, 32)
    figure = viz.feature_maps(net, image, "features.2", count=5)
    assert len(figure.axes) == 5 and "4 maps of 32 x 32" in figure.get_suptitle()
    figure = viz.deconvolution(net, image, "features.9", count=3)
    assert len(figure.axes) == 6
    patch = figure.axes[3].images[0].get_array()
    assert patch.shape[0] < 32, "the part of the image that it lies in"
    FigureCanvasAgg(figure).draw()
    figure = viz.occlusion(net, image, size=8, stride=8, channel=3)
    assert figure.axes[1].images[0].get_array().shape == (4, 4)
    assert figure.get_suptitle().startswith("Class 3")
    FigureCanvasAgg(figure).draw()


IMAGE = g.Signal.image(torch.zeros(1, 1, 28, 28))
BAD = {
    "no such layer": (lambda: inspection.feature_maps(models.lenet5(), IMAGE, "conv9"), "conv"),
    "no such channel": (
        lambda: deconvolution(models.lenet5(), IMAGE, "conv1", 6),
        "channel=6 of a layer with 6",
    ),
    "no such node": (
        lambda: deconvolution(models.lenet5(), IMAGE, "conv1", 0, node=-1),
        "node=-1",
    ),
    "two images": (
        lambda: occlusion(models.lenet5(), g.Signal.image(torch.zeros(2, 1, 28, 28)), g.itself()),
        "give one signal",
    ),
    "no answer on one node": (
        lambda: occlusion(g.Sequential(nn.ReLU()), IMAGE, g.itself()),
        "an answer",
    ),
    "a string to fill": (
        lambda: occlusion(models.lenet5(), IMAGE, g.itself(), fill="grey"),  # pyright: ignore[reportArgumentType]
        "give a number",
    ),
    "a million nodes that all hear": (
        lambda: count_weights(g.all_pairs(), g.Complete(10**6)),
        "pairs of nodes, and no record",
    ),
    "a batch of images": (
        lambda: viz.feature_maps(models.lenet5(), torch.zeros(2, 1, 28, 28), "conv1"),
        "give one image",
    ),
    "no lattice": (
        lambda: viz.feature_maps(models.small_vgg(), torch.zeros(3, 32, 32), "classifier.0"),
        "before the image is read out",
    ),
    "no such class": (
        lambda: viz.occlusion(models.lenet5(), torch.zeros(1, 28, 28), channel=10),
        "channel=10 of 10",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name):
    call, words = BAD[name]
    with pytest.raises(g.GeodlError, match=words):
        call()
