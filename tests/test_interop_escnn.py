"""escnn's group convolutions, both ways; skipped where escnn is not installed.

escnn samples its basis in single precision, so numbers agree to 1e-5 and not to 1e-10. Networks are
in `tests/test_interop_escnn_networks.py`.
"""

import importlib
import warnings
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import geodl as g
from geodl.interop import building_escnn, from_escnn, to_escnn
from geodl.interop.escnn_basis import space_of
from geodl.testing import error

pytestmark = pytest.mark.filterwarnings("ignore")
SQUARE = (g.C(1), g.D(1), g.C(2), g.D(2), g.C(4), g.D(4))
SIDES = {"isotropic": (False, False), "lift": (False, True), "window": (True, True)}
BOUND = 1e-5


@pytest.fixture(scope="module")
def escnn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("escnn.nn", exc_type=ImportError)
        with building_escnn():
            yield importlib.import_module("escnn")


def module(escnn, space, sides, **options):
    """An R2Conv in float64 with two fields in and three out, parameters drawn."""
    kinds = [space.regular_repr if side else space.trivial_repr for side in sides]
    twin = escnn.nn.R2Conv(
        escnn.nn.FieldType(space, 2 * [kinds[0]]),
        escnn.nn.FieldType(space, 3 * [kinds[1]]),
        **options,
    )
    return redrawn(twin.double().eval()).train()


def redrawn(twin):
    with torch.no_grad():
        for p in twin.parameters():
            p.copy_(torch.randn(p.shape, dtype=torch.float64))
    return twin


def order_of(space, group):
    """Where our elements stand among escnn's, by what they do to the corner of an image."""
    corner = torch.tensor([2.0, 1.0], dtype=torch.float64)  # (x, y); rows count downwards
    image = torch.tensor([-corner[1], corner[0]]).double()
    moved = [
        torch.as_tensor(space.basespace_action(e)).double() @ corner
        for e in space.fibergroup.elements
    ]
    places = [(-float(y.round()), float(x.round())) for x, y in moved]
    return [places.index(tuple((e.double() @ image).tolist())) for e in group.action.matrices]


def reordered(x, fields, order):
    """escnn's planes `c * |G| + h`, in its order of elements, as ours."""
    return x.unflatten(1, (fields, len(order)))[:, :, order].transpose(1, 2).flatten(1, 2)


def assert_same(escnn, twin, layer, group, sides, size):
    """Outputs, and gradients of the input and of the weights."""
    orders = [order_of(twin.space, group) if side else [0] for side in sides]
    x = torch.randn(2, 2 * len(orders[0]), size, size, dtype=torch.float64)
    grid = g.Grid(size, size, periodic=twin.padding_mode == "circular")
    domain = g.GroupGrid(grid, group) if sides[0] else grid
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    theirs = reordered(twin(escnn.nn.GeometricTensor(a, twin.in_type)).tensor, 3, orders[1])
    values = reordered(b, 2, orders[0]).movedim(1, -1).reshape(2, domain.num_nodes, 2)
    ours = layer(g.Signal(values, domain)).to_image()
    assert error(ours, theirs) <= BOUND
    upstream = torch.randn_like(ours)
    wanted = torch.autograd.grad(theirs, [a, *twin.parameters()], upstream)
    found = torch.autograd.grad(ours, [b, *layer.parameters()], upstream)
    assert error(found[0], wanted[0]) <= BOUND
    # The conversion is linear, so that both gradients agree along what it makes of a direction.
    direction = from_escnn(redrawn(twin))
    theirs = along(twin, wanted[1:])
    ours = along(direction, found[1:])
    assert (ours.sum() - theirs.sum()).abs() <= BOUND * (1 + theirs.abs().sum())


def along(module, gradients):
    """The products of each parameter with its gradient."""
    pairs = zip(module.parameters(), gradients, strict=True)
    return torch.cat([(p * gradient).flatten() for p, gradient in pairs])


@pytest.mark.parametrize("group", SQUARE, ids=str)
@pytest.mark.parametrize("kind", SIDES)
@pytest.mark.parametrize(
    "options",
    [{"padding": 1}, {"stride": 2}, {"padding": 1, "padding_mode": "circular", "bias": False}],
)
def test_group_convolution_both_ways(escnn, group, kind, options):
    sides = SIDES[kind]
    twin = module(escnn, space_of("", group), sides, kernel_size=3, **options)
    layer = from_escnn(twin)
    # Of the group of one element, a regular field is a trivial one.
    made = "isotropic" if group.order == 1 else kind
    assert str(layer.rule).startswith(f"{made}(3x3")
    assert layer.rule.group == group
    assert not any(type(part).__module__.startswith("escnn") for part in layer.modules())
    back: Any = to_escnn(layer)
    assert back.padding_mode == options.get("padding_mode", "zeros")
    assert (back.stride, back.padding) == (options.get("stride", 1), options.get("padding", 0))
    assert back.training == twin.training
    for found, wanted in zip(back.expand_parameters(), twin.expand_parameters(), strict=True):
        assert (found is None) == (wanted is None)
        assert found is None or error(found, wanted) <= BOUND
    assert error(from_escnn(back).weight, layer.weight) <= BOUND
    if made == kind:
        assert_same(escnn, twin, layer, group, sides, 7)


@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    group=st.sampled_from(SQUARE[1:]),
    kind=st.sampled_from(list(SIDES)),
    size=st.integers(5, 9),
    options=st.fixed_dictionaries(
        {
            "kernel_size": st.sampled_from([1, 3, 4, 5]),
            "padding": st.integers(0, 2),
            "stride": st.integers(1, 3),
            "dilation": st.integers(1, 2),
            "bias": st.booleans(),
            "padding_mode": st.sampled_from(["zeros", "circular"]),
        }
    ),
)
def test_options(escnn, group, kind, size, options):
    reach = options["dilation"] * (options["kernel_size"] - 1)
    assume(reach < size + 2 * options["padding"])
    twin = module(escnn, space_of("", group), SIDES[kind], **options)
    layer = from_escnn(twin)
    back: Any = to_escnn(layer)
    names = ("kernel_size", "padding", "stride", "dilation", "padding_mode")
    assert [getattr(back, name) for name in names] == [getattr(twin, name) for name in names]
    for found, wanted in zip(back.expand_parameters(), twin.expand_parameters(), strict=True):
        assert found is None or error(found, wanted) <= BOUND
    try:
        assert_same(escnn, twin, layer, group, SIDES[kind], size)
    except g.GeodlError as refusal:
        # A size at which the group would hold only approximately, which escnn does not say.
        assert "the window's steps are not symmetric" in str(refusal)  # noqa: PT017


@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_padding_is_kept_or_refused(escnn, mode):
    space = space_of("", g.C(4))
    twin = module(escnn, space, (False, True), kernel_size=3, padding=1, padding_mode=mode)
    layer = from_escnn(twin)
    fits, other = (g.Grid(5, 5, periodic=p) for p in (mode == "circular", mode == "zeros"))
    x = torch.randn(1, 25, 2, dtype=torch.float64)
    assert error(from_escnn(twin, on=fits)(x), layer(g.Signal(x, fits)).x) <= 1e-12
    for refused in (
        lambda: layer(g.Signal(x, other)),
        lambda: from_escnn(twin, on=other),
        lambda: to_escnn(layer, on=other),
    ):
        with pytest.raises(g.GeodlError, match=f"{mode[:4]}.* padding on an axis"):
            refused()
    for back in (to_escnn(layer), to_escnn(layer, on=fits)):
        assert back.padding_mode == mode


def test_a_window_of_our_own_takes_the_mode_of_its_domain(escnn):
    twin = module(escnn, space_of("", g.C(4)), (False, True), kernel_size=3, padding=1)
    own = g.Conv(2, 3, g.lift(3, group=g.C(4))).double()
    own.load_state_dict(from_escnn(twin).state_dict())
    assert to_escnn(own).padding_mode == "zeros"
    assert to_escnn(own, on=g.Grid(5, 5, periodic=True)).padding_mode == "circular"


def test_another_mirror_comes_back_in_another_order(escnn):
    space = escnn.gspaces.flipRot2dOnR2(4, axis=torch.pi / 4)
    twin = module(escnn, space, (True, True), kernel_size=3, padding=1)
    layer = from_escnn(twin)
    assert_same(escnn, twin, layer, g.D(4), (True, True), 5)
    layer = from_escnn(twin)
    back: Any = to_escnn(layer)
    assert back.space != space
    assert order_of(back.space, g.D(4)) != order_of(space, g.D(4))
    assert_same(escnn, back, layer, g.D(4), (True, True), 5)


def test_frozen_parameters_stay_frozen(escnn):
    twin = module(escnn, space_of("", g.C(4)), (True, True), kernel_size=3)
    twin.weights.requires_grad_(False)
    layer = from_escnn(twin)
    assert (layer.weight.requires_grad, layer.bias.requires_grad) == (False, True)
    back: Any = to_escnn(layer)
    assert (back.weights.requires_grad, back.bias.requires_grad) == (False, True)


def test_modes_of_the_caller_stay_outside(escnn):
    twin = module(escnn, space_of("", g.C(4)), (True, True), kernel_size=3)
    wanted = from_escnn(twin).weight
    for mode in (
        torch.inference_mode(),
        torch.device("meta"),
        torch.autocast("cpu", torch.bfloat16),
    ):
        random = torch.random.get_rng_state()
        with mode:
            layer = from_escnn(twin)
            back: Any = to_escnn(layer)
        assert torch.equal(layer.weight, wanted)
        assert error(back.weights, twin.weights) <= BOUND
        assert not layer.weight.is_inference()
        assert torch.equal(torch.random.get_rng_state(), random)


def test_what_escnn_has_no_twin_for(escnn):
    nn, spaces = escnn.nn, escnn.gspaces
    r4, so2, o2 = (spaces.rot2dOnR2(4), spaces.rot2dOnR2(-1), spaces.flipRot2dOnR2(-1))
    tilted, other = spaces.flipRot2dOnR2(4, axis=0.3), spaces.flip2dOnR2(axis=0.0)
    regular, trivial = nn.FieldType(r4, [r4.regular_repr]), nn.FieldType(r4, [r4.trivial_repr])
    irrep, quotient = nn.FieldType(r4, [r4.irrep(1)]), nn.FieldType(r4, [r4.quotient_repr(2)])
    groups = r"use C\(n\) or D\(n\), with mirrors about escnn's default axis"
    fields = "use trivial fields only, or regular fields only"
    for space, why in (
        (tilted, rf"D4_on_R2.*, whose action is none of C\(n\) or D\(n\) here; {groups}"),
        (other, "whose action is none of"),
        (so2, rf"SO\(2\)_on_R2.*, a continuous group; {groups}"),
        (o2, rf"O\(2\)_on_R2.*, a continuous group; {groups}"),
    ):
        kind = nn.FieldType(space, [space.trivial_repr])
        with pytest.raises(g.GeodlError, match=why) as refusal:
            from_escnn(nn.R2Conv(kind, kind, 3))
        assert "\n" not in str(refusal.value)
    for twin, why in (
        (
            nn.R2Conv(nn.FieldType(so2, [so2.trivial_repr]), nn.FieldType(so2, [so2.irrep(1)]), 3),
            "a continuous group",
        ),
        (nn.R2Conv(irrep, regular, 3), rf"fields of kinds \['irrep_1'\]; {fields}"),
        (nn.R2Conv(regular, quotient, 3), rf"fields of kinds \['quotient\[2\]'\]; {fields}"),
        (nn.ReLU(regular + trivial), rf"fields of kinds \['irrep_0', 'regular'\]; {fields}"),
        (nn.SequentialModule(nn.NormNonLinearity(irrep)), "fields of kinds"),
        (nn.R2Conv(regular, trivial, 3), r"trivial ones out; convolve to regular fields, then po"),
        (
            nn.R2Conv(regular, regular, 3, padding_mode="reflect"),
            "groups=1 and padding_mode='reflect'",
        ),
        (
            nn.R2Conv(regular + regular, regular + regular, 3, groups=2),
            "groups=2 and padding_mode='zeros'",
        ),
        (nn.FieldDropout(regular), r"FieldDropout\): found dropout of whole fields; use Pointwise"),
        (nn.R2ConvTransposed(regular, regular, 3), r"R2ConvTransposed\): found a type with no"),
        (torch.nn.Linear(2, 2), r"from_escnn\(Linear\): found a type with no converter"),
    ):
        with pytest.raises(g.GeodlError, match=why):
            from_escnn(twin)
    with pytest.raises(g.GeodlError, match=r"from_torch\(ReLU\): found a type with no converter"):
        g.interop.from_torch(nn.ReLU(regular))


NO_GROUP = "no convolution over a group's window; give a Conv over lift"


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (g.Conv(2, 3, g.window(3)), NO_GROUP),
        (g.Conv(2, 3, g.adjacency("sym", self_loops=True)), NO_GROUP),
        (g.Pool(g.window(2, stride=2)), NO_GROUP),
        (torch.nn.Linear(2, 2), rf"to_escnn\(Linear\): found {NO_GROUP}"),
        (
            g.Conv(2, 3, g.lift((3, 5), group=g.C(2), exact=False)),
            "R2Conv has square windows, the same on both axes",
        ),
        (
            g.Conv(1, 1, g.lift(5, group=g.C(8), basis=g.gabor())),
            "rings under a group that moves places off others; use harmonics|use harmonics",
        ),
        (
            g.Sequential(g.Conv(1, 1, g.lift(3, group=g.C(4))), torch.nn.Linear(1, 1)),
            r"to_escnn\(Linear.*convert what stands before it: Sequential\(\*model\[:k\]\)",
        ),
        (
            g.Sequential(g.Conv(1, 1, g.lift(3, group=g.C(4))), g.Pool(g.fiber(), "mean")),
            r"these have twins: Pool over fiber\(\), the maximum",
        ),
        (
            g.Sequential(
                g.Conv(1, 1, g.lift(3, group=g.C(4))), g.Conv(2, 1, g.window(3, group=g.C(4)))
            ),
            "give each layer what it takes",
        ),
        (5, r"to_escnn\(int\): found a int; give a module of torch.nn, or a layer"),
    ],
)
def test_what_has_no_twin_in_escnn(escnn, layer, why):
    with pytest.raises(g.GeodlError, match=why):
        to_escnn(layer)


def test_a_filter_outside_the_basis_is_refused_with_its_residual(escnn):
    twin = module(escnn, space_of("", g.C(4)), (True, True), kernel_size=3)
    twin.expand_parameters = lambda: (torch.randn(12, 8, 3, 3, dtype=torch.float64), None)
    with pytest.raises(
        g.GeodlError, match=r"residual of \d\.\de.*; a filter that does not commute with its group"
    ):
        from_escnn(twin)


def test_a_default_dtype_in_which_escnn_builds_nothing(escnn):
    layer = g.Conv(2, 3, g.lift(3, group=g.C(4)))
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(g.GeodlError, match="torch.float64, in which escnn builds no layer"):
            to_escnn(layer)
    finally:
        torch.set_default_dtype(torch.float32)
