"""Whole networks of escnn, both ways; skipped where escnn is not installed.

escnn samples its bases in single precision and pools over the group in it: networks agree to 1e-4.
"""

import importlib
import threading
import warnings
from typing import Any

import pytest
import torch

import geodl as g
from geodl.interop import building_escnn, from_escnn, to_escnn, to_torch
from geodl.interop.escnn_basis import group_of, space_of
from geodl.testing import error

pytestmark = pytest.mark.filterwarnings("ignore")
BOUND = 1e-4


@pytest.fixture(scope="module")
def escnn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("escnn.nn", exc_type=ImportError)
        return importlib.import_module("escnn")


def network(escnn, space, size=9):
    """Two trivial fields of a square image to three, by every module that has a twin."""
    nn = escnn.nn
    read, hidden = (
        nn.FieldType(space, [kind] * 2) for kind in (space.trivial_repr, space.regular_repr)
    )
    made = nn.FieldType(space, [space.regular_repr] * 3)
    lifted = nn.R2Conv(read, hidden, 3, padding=1), nn.InnerBatchNorm(hidden)
    block = nn.SequentialModule(
        nn.R2Conv(hidden, hidden, 3, padding=1, bias=False),
        nn.InnerBatchNorm(hidden, affine=False),
        nn.ELU(hidden, alpha=0.5, inplace=True),
        nn.SequentialModule(nn.LeakyReLU(hidden, 0.2), nn.PointwiseNonLinearity(hidden, "p_tanh")),
    )
    return nn.SequentialModule(
        nn.MaskModule(read, size, margin=10.0),
        *lifted,
        nn.ReLU(hidden, inplace=True),
        nn.PointwiseMaxPool(hidden, 3, stride=1, padding=1),
        block,
        nn.PointwiseAvgPoolAntialiased(hidden, sigma=0.66, stride=2),
        nn.PointwiseMaxPoolAntialiased(hidden, 2, stride=1),
        nn.PointwiseDropout(hidden, p=0.0),
        nn.IdentityModule(hidden),
        nn.PointwiseAvgPool(hidden, 2, stride=2),
        nn.R2Conv(hidden, made, 4, padding=1),
        nn.PointwiseAdaptiveAvgPool2D(made, 1),
        nn.GroupPooling(made),
    )


def drawn(module):
    """With parameters and running statistics drawn, in float64."""
    # In evaluation escnn keeps the filters that it had before.
    module = module.double().train()
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif name.endswith("running_mean") or value.requires_grad:
                value.normal_()
    return module


def outputs(twin, layer, x):
    """Both logits `[B, C, rows, columns]`."""
    return twin(twin.in_type(x)).tensor, layer(g.Signal.image(x)).to_image()


def assert_same(twin, layer, again, size):
    """Logits in both modes, running statistics, and every gradient.

    The conversion of parameters is linear, so that both gradients agree along what it makes of a
    direction; `again` converts a network whose parameters are one.
    """
    a = torch.randn(3, 2, size, size, dtype=torch.float64, requires_grad=True)
    b = a.detach().clone().requires_grad_()
    theirs, _ = outputs(twin.eval(), layer.eval(), a)
    _, ours = outputs(twin, layer, b)
    assert error(ours, theirs) <= BOUND
    theirs, _ = outputs(twin.train(), layer.eval(), a)
    _, ours = outputs(twin.eval(), layer.train(), b)
    assert error(ours, theirs) <= BOUND
    statistics = [
        [value for name, value in module.named_buffers() if "running" in name]
        for module in (twin, layer)
    ]
    assert len(statistics[0]) == len(statistics[1]) > 0
    assert all(error(found, wanted) <= BOUND for wanted, found in zip(*statistics, strict=True))
    upstream = torch.randn_like(ours)
    # Masks are parameters of escnn that do not learn.
    parameters = [[p for p in module.parameters() if p.requires_grad] for module in (twin, layer)]
    wanted = torch.autograd.grad(theirs, [a, *parameters[0]], upstream)
    found = torch.autograd.grad(ours, [b, *parameters[1]], upstream)
    assert error(found[0], wanted[0]) <= BOUND
    directions = [p for p in again(drawn(twin)).parameters() if p.requires_grad]
    theirs = along(parameters[0], wanted[1:])
    ours = along(directions, found[1:])
    assert (ours.sum() - theirs.sum()).abs() <= BOUND * (1 + theirs.abs().sum())


def along(directions, gradients):
    """The products of each direction with its gradient."""
    pairs = zip(directions, gradients, strict=True)
    return torch.cat([(p * gradient).flatten() for p, gradient in pairs])


@pytest.mark.parametrize("group", [g.C(4), g.C(8)], ids=str)
def test_a_network_both_ways(escnn, group):
    with building_escnn():
        twin = drawn(network(escnn, space_of("", group)))
    layer = from_escnn(twin)
    assert layer.training
    assert not any(type(part).__module__.startswith("escnn") for part in layer.modules())
    parts = [type(part).__name__ for part in layer]
    assert parts[:6] == ["Mask", "Conv", "BatchNorm", "ReLU", "Pool", "Sequential"]
    assert_same(twin, layer, from_escnn, 9)
    layer = from_escnn(twin)
    back: Any = to_escnn(layer)
    assert back.in_type == twin.in_type
    # Each convolution is in escnn's own basis again: its state fits the network it came from.
    weights = [[p.shape for p in module.parameters()] for module in (back, twin)]
    assert weights[0] == weights[1]
    x = torch.randn(2, 2, 9, 9, dtype=torch.float64)
    wanted, found = outputs(twin.eval(), from_escnn(back).eval(), x)
    assert error(found, wanted) <= BOUND
    assert error(back.eval()(back.in_type(x)).tensor, wanted) <= BOUND


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("sides", [g.isotropic, g.lift, g.window])
def test_any_filters_over_a_group_of_the_lattice_go_to_escnn(escnn, sides, size):
    layer = g.Conv(2, 3, sides(size, group=g.C(4), padding="valid", dilation=2)).double()
    twin: Any = to_escnn(layer)
    again: Any = from_escnn(twin)
    assert again.rule == layer.rule
    assert error(again.weight, layer.weight) <= BOUND
    assert error(again.bias, layer.bias) <= BOUND


@pytest.mark.parametrize(
    "basis", [g.harmonics(), g.harmonics(3.0, width=0.7, outer_width=0.5)], ids=str
)
@pytest.mark.parametrize("size", [4])
def test_circular_harmonics_go_to_escnn(escnn, basis, size):
    rules = (
        g.lift(size, group=g.C(8), padding=1, basis=basis),
        g.window(size, group=g.C(8), padding=1, basis=basis),
    )
    first, second = g.Conv(2, 2, rules[0]), g.Conv(2, 3, rules[1])
    model = g.Sequential(first, torch.nn.ReLU(), second, g.Pool(g.fiber())).double()
    twin: Any = to_escnn(model)
    x = torch.randn(2, 2, 7, 7, dtype=torch.float64)
    wanted, found = outputs(twin, model, x)
    assert error(found, wanted) <= BOUND
    again = from_escnn(twin)
    assert error(again(g.Signal.image(x)).to_image(), wanted) <= BOUND


def test_a_network_of_ours_with_any_weights(escnn):
    model = g.models.digits_p4cnn(channels=2)
    twin: Any = to_escnn(model)
    assert twin.in_type.size == 1
    wanted, found = outputs(twin, model, torch.randn(2, 1, 8, 8))
    assert error(found, wanted) <= BOUND
    part = to_escnn(g.Sequential(*model[:3], g.Dropout(0.25)))
    assert (part.out_type.size, part[3].p) == (8, 0.25)


@pytest.mark.parametrize("group", [g.C(4), g.C(8)], ids=str)
def test_to_torch_writes_out_what_escnn_exports(escnn, group):
    nn, space = escnn.nn, space_of("", group)
    read, hidden = (
        nn.FieldType(space, [kind] * 2) for kind in (space.trivial_repr, space.regular_repr)
    )
    twin = nn.SequentialModule(
        nn.R2Conv(read, hidden, 3, padding=1),
        nn.InnerBatchNorm(hidden),
        nn.ReLU(hidden),
        nn.PointwiseMaxPool(hidden, 2),
        nn.R2Conv(hidden, hidden, 3),
        nn.GroupPooling(hidden),
    )
    # escnn exports norms in single precision, whatever they had.
    twin = drawn(twin).float().eval()
    plain = to_torch(from_escnn(twin))
    x = torch.randn(2, 2, 10, 10)
    assert error(plain(x), twin.export()(x)) <= BOUND
    assert not any(type(part).__module__.startswith("geodl") for part in plain.modules())


def test_mirrors_are_built_beside_scikit_learn(escnn):
    numerical: Any = importlib.import_module("escnn.group._numerical")
    kept = numerical.randomized_svd
    inside = []

    def build():
        with building_escnn():
            inside.append(numerical.randomized_svd)

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [None] * 4
    assert numerical.randomized_svd is kept
    layer = g.Conv(1, 1, g.lift(3, group=g.D(4)))
    twin: Any = to_escnn(layer)
    assert numerical.randomized_svd is kept
    assert group_of("", twin.space)[0] == g.D(4)


def test_sizes_that_are_only_approximate_are_asked_for(escnn):
    space = space_of("", g.C(4))
    kinds = [escnn.nn.FieldType(space, [r]) for r in (space.trivial_repr, space.regular_repr)]
    twin = escnn.nn.SequentialModule(escnn.nn.R2Conv(*kinds, 3, stride=2))
    x = torch.randn(1, 1, 8, 8)
    with pytest.raises(g.GeodlError, match="steps are not symmetric"):
        from_escnn(twin)(g.Signal.image(x))
    layer = from_escnn(twin, exact=False)
    y = layer(g.Signal.image(x))
    wanted = twin(twin.in_type(x)).tensor.unflatten(1, (1, 4)).sum(2)
    assert error(y.to_image().unflatten(1, (4, 1)).sum(1), wanted) <= BOUND
    assert not g.certify(layer, g.Grid(8, 8)).exact
    # Pools and blurs have windows, too; their twins are found where the domain is named.
    pools = escnn.nn.PointwiseMaxPool, escnn.nn.PointwiseAvgPoolAntialiased
    twin = escnn.nn.SequentialModule(
        escnn.nn.R2Conv(*kinds, 3, padding=1),
        pools[0](kinds[1], 2, stride=2),
        pools[1](kinds[1], 0.66, stride=2, padding=2),
        escnn.nn.GroupPooling(kinds[1]),
    )
    x = torch.randn(1, 1, 9, 9)
    with pytest.raises(g.GeodlError, match="steps are not symmetric"):
        from_escnn(twin)(g.Signal.image(x))
    layer = from_escnn(twin, exact=False)
    theirs, ours = outputs(twin, layer, x)
    assert error(ours, theirs) <= BOUND
    again = to_escnn(layer, on=g.Grid(9, 9))
    assert error(again(again.in_type(x)).tensor, theirs) <= BOUND


def test_a_mask_fits_one_lattice_and_is_no_proof(escnn):
    space = space_of("", g.C(4))
    twin = escnn.nn.MaskModule(escnn.nn.FieldType(space, [space.trivial_repr]), 5)
    layer = from_escnn(twin)
    with pytest.raises(g.GeodlError, match="give a lattice of 5x5"):
        layer(g.Signal.image(torch.randn(1, 1, 6, 6)))
    model = g.Sequential(layer, g.Conv(1, 1, g.lift(3, group=g.C(4))))
    assert not g.certify(model, g.Grid(5, 5)).exact
    with pytest.raises(g.GeodlError, match="containers|container"):
        from_escnn(escnn.nn.SequentialModule(twin), on=g.Grid(5, 5))
