"""escnn's group convolutions, both ways; skipped where escnn is not installed.

escnn samples its basis in single precision, so numbers agree to 1e-6 and not to 1e-10.
"""

import importlib
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import geodl as g
from geodl.interop import from_escnn, to_escnn
from geodl.testing import error

SPACES = {
    "C4": ("rot2dOnR2", 4),
    "C2": ("rot2dOnR2", 2),
    "D4": ("flipRot2dOnR2", 4),
    "D2": ("flipRot2dOnR2", 2),
}


@pytest.fixture(scope="module")
def escnn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("escnn.nn", exc_type=ImportError)
        numerical: Any = importlib.import_module("escnn.group._numerical")
    plain = numerical.randomized_svd
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # it hands np.matrix to scikit-learn, which no longer takes it
        patch.setattr(
            numerical, "randomized_svd", lambda a, **options: plain(np.asarray(a), **options)
        )
        yield importlib.import_module("escnn")


def module(escnn, name, sides, **options):
    """An R2Conv in float64 with two fields in and three out, parameters drawn; and the number of
    sheets.
    """
    space = getattr(escnn.gspaces, SPACES[name][0])(SPACES[name][1])
    heard, made = (
        escnn.nn.FieldType(space, n * [space.regular_repr if side else space.trivial_repr])
        for n, side in zip((2, 3), sides, strict=True)
    )
    made_module = escnn.nn.R2Conv(heard, made, **options).double().eval()
    with torch.no_grad():
        for p in made_module.parameters():
            p.copy_(torch.randn(p.shape, dtype=torch.float64))
    return made_module.train()


def reordered(x, fields, order):
    """escnn's planes `c * |G| + h`, in its order of elements, as ours."""
    return x.unflatten(1, (fields, len(order)))[:, :, order].transpose(1, 2).flatten(1, 2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize(
    "sides", [(False, True), (True, True), (False, False)], ids=["lift", "window", "isotropic"]
)
@pytest.mark.parametrize(
    "options",
    [{"padding": 1}, {"stride": 2}, {"padding": 1, "padding_mode": "circular", "bias": False}],
)
def test_group_convolution_both_ways(escnn, name, sides, options):
    twin = module(escnn, name, sides, kernel_size=3, **options)
    layer = from_escnn(twin)
    kind = {(False, True): "lift", (True, True): "window", (False, False): "isotropic"}[sides]
    assert str(layer.rule).startswith(f"{kind}(3x3")
    assert str(layer.rule).endswith(f"group={name}" + boundary + ")")
    assert not any(type(part).__module__.startswith("escnn") for part in layer.modules())
    group = {"C": g.C, "D": g.D}[name[0]](int(name[1]))
    orders = [_order(twin.space, group) if side else [0] for side in sides]
    x = torch.randn(2, 2 * len(orders[0]), 7, 7, dtype=torch.float64)
    grid = g.Grid(7, 7, periodic="padding_mode" in options)
    domain = g.GroupGrid(grid, group) if sides[0] else grid
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    theirs = reordered(twin(escnn.nn.GeometricTensor(a, twin.in_type)).tensor, 3, orders[1])
    values = reordered(b, 2, orders[0]).movedim(1, -1).reshape(2, domain.num_nodes, 2)
    ours = layer(g.Signal(values, domain)).to_image()
    assert error(ours, theirs) <= 1e-6
    upstream = torch.randn_like(ours)
    assert (
        error(*(torch.autograd.grad(y, leaf, upstream)[0] for y, leaf in ((ours, b), (theirs, a))))
        <= 1e-6
    )
    back: Any = to_escnn(layer, on=domain)
    assert back.padding_mode == options.get("padding_mode", "zeros")
    for found, wanted in zip(back.expand_parameters(), twin.expand_parameters(), strict=True):
        assert (found is None) == (wanted is None)
        assert found is None or error(found, wanted) <= 1e-6
    again = from_escnn(back, on=domain)
    assert error(again.weight, layer.weight) <= 1e-6


def _order(space, group):
    """Where our elements stand among escnn's, by what they do to the corner of an image."""
    corner = torch.tensor([2.0, 1.0], dtype=torch.float64)  # (x, y); rows count downwards
    image = torch.tensor([-corner[1], corner[0]]).double()
    moved = [
        torch.as_tensor(space.basespace_action(e)).double() @ corner
        for e in space.fibergroup.elements
    ]
    places = [(-float(y.round()), float(x.round())) for x, y in moved]
    return [places.index(tuple((e.double() @ image).tolist())) for e in group.elements]


@pytest.mark.filterwarnings("ignore")
def test_what_escnn_has_no_twin_for(escnn):
    nn, r8 = escnn.nn, escnn.gspaces.rot2dOnR2(8)
    r4 = escnn.gspaces.rot2dOnR2(4)
    regular, trivial = nn.FieldType(r4, [r4.regular_repr]), nn.FieldType(r4, [r4.trivial_repr])
    eight, irrep = nn.FieldType(r8, [r8.regular_repr]), nn.FieldType(r4, [r4.irrep(1)])
    for twin, why in (
        (
            nn.R2Conv(eight, eight, 3),
            "does not map the square lattice to itself; use a group of quarter turns and mirrors",
        ),
        (
            nn.R2Conv(irrep, regular, 3),
            r"fields of kinds \['irrep_1'\]; use trivial fields only, or regular fields only",
        ),
        (
            nn.R2Conv(regular, trivial, 3),
            r"regular fields in, trivial ones out; convolve to regular fields, then Pool\(fiber",
        ),
        (
            nn.R2Conv(regular, regular, 3, padding_mode="reflect"),
            "groups=1 and padding_mode='reflect'",
        ),
        (
            nn.R2Conv(regular + regular, regular + regular, 3, groups=2),
            "groups=2 and padding_mode='zeros'",
        ),
        (nn.ReLU(regular), r"from_escnn\(ReLU\): found a type with no converter"),
    ):
        with pytest.raises(g.GeodlError, match=why):
            from_escnn(twin)


@pytest.mark.filterwarnings("ignore")
def test_a_filter_outside_the_basis_is_refused_with_its_residual(escnn):
    twin = module(escnn, "C4", (True, True), kernel_size=3)
    twin.expand_parameters = lambda: (torch.randn(12, 8, 3, 3, dtype=torch.float64), None)
    with pytest.raises(
        g.GeodlError, match=r"residual of \d\.\de.*; a filter that does not commute with its group"
    ):
        from_escnn(twin)
    for layer, why in (
        (
            g.Conv(2, 3, g.window(3, group=g.C(4))),
            r"residual of \d\.\de.*; escnn's basis is band-limited",
        ),
        (
            g.Conv(2, 3, g.window(3)),
            r"window\(3x3\); give a Conv over isotropic, lift or window for C2, C4, D2, D4",
        ),
        (
            g.Conv(2, 3, g.lift(3, group=g.D(1))),
            "give a Conv over isotropic, lift or window for C2, C4, D2, D4",
        ),
        (
            g.Conv(2, 3, g.adjacency("sym", self_loops=True)),
            "adjacency.*give a Conv over isotropic",
        ),
        (
            g.Conv(2, 3, g.lift((3, 5), group=g.C(2), exact=False)),
            "R2Conv has square windows, alike on both axes",
        ),
        (g.Pool(g.window(2, stride=2)), "give a Conv over isotropic"),
    ):
        with pytest.raises(g.GeodlError, match=why):
            to_escnn(layer)
