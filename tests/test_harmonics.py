"""Groups that do not map the lattice to itself: what their windows compute, which of their turns
are proved, and how far the others are off.
"""

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import geodl as g
from geodl.bench import peers
from geodl.neighborhood.bank import Bank
from geodl.symmetry.interpolation import inner_nodes, turn_values
from geodl.testing import assert_parity, error
from tests.bad_input import assert_refused

C8, D3 = g.C(8), g.D(3)


def smooth(side: int, batch: int = 1) -> g.Signal:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(batch, 1, 8, 8, generator=generator, dtype=torch.float64)
    image = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=True)
    return g.Signal.image(image)


def network(group: g.Group | None, size: int = 5) -> g.Sequential:
    """Two layers, of which a group's answer is pooled over the fiber."""
    torch.manual_seed(0)
    if group is None:
        parts = [g.Conv(1, 4, g.window(size)), nn.ReLU(), g.Conv(4, 4, g.window(size))]
    else:
        rules = g.lift(size, group=group), g.window(size, group=group)
        parts = [g.Conv(1, 4, rules[0]), nn.ReLU(), g.Conv(4, 4, rules[1]), g.Pool(g.fiber())]
    net = g.Sequential(*parts).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, dtype=torch.float64))
    return net


@pytest.mark.parametrize("group", [g.C(3), C8, D3], ids=str)
def test_windows_run_on_the_harmonic_basis(group):
    grid = g.Grid(3, 3)
    first, last = g.Conv(2, 3, g.lift(3, group=group)), g.Conv(3, 2, g.window(3, group=group))
    functions = g.window(3, basis=g.harmonics()).num_edge_types
    assert first.rule == g.lift(3, group=group, basis=g.harmonics())
    assert len(first.weight) == functions and len(last.weight) == functions * group.order
    s = g.Signal(torch.randn(2, 9, 2, dtype=torch.float64), grid)
    assert "lattice" in assert_parity(first.double(), s)
    assert "lattice" in assert_parity(last.double(), first(s))
    flat = g.Conv(2, 2, g.isotropic(4, group=group, padding="valid"))
    t = g.Signal(torch.randn(2, 25, 2, dtype=torch.float64), g.Grid(5, 5))
    assert "lattice" in assert_parity(flat.double(), t)


def test_filters_are_the_turned_functions():
    """Every filter of D(3), function by function from the formula, without a group's tables."""
    size, group = 4, D3
    rule = g.window(size, group=group, padding="valid")
    basis, matrices = g.harmonics(), group.action.matrices.double().numpy()
    found = rule.bank()
    assert found.basis is not None
    places = [np.array(p) - 1.5 for p in np.ndindex(size, size)]

    def functions(point: np.ndarray) -> np.ndarray:
        radius, angle = np.hypot(*point), math.atan2(point[1], point[0])
        rows = []
        for ring, width in ((0.5, basis.width), (1.5, basis.outer_width)):
            height = math.exp(-((radius - ring) ** 2) / (2 * width**2))
            rows.append(height)
            for m in range(1, math.floor(basis.cutoff * ring) + 1):
                rows += [height * math.cos(m * angle), height * math.sin(m * angle)]
        return np.array(rows)

    turned = np.array([[functions(np.linalg.inv(s) @ o) for o in places] for s in matrices])
    norms = np.sqrt((turned**2).sum(1).mean(0))
    for s, r in np.ndindex(group.order, group.order):
        quotient = np.linalg.inv(matrices[s]) @ matrices[r]
        (q,) = [k for k, m in enumerate(matrices) if np.allclose(m, quotient)]
        dense = torch.zeros(size**2, rule.num_edge_types, dtype=torch.float64)
        dense[:, found.edge_type[s, r]] = found.basis[s, r]
        wanted = np.zeros(tuple(dense.shape))
        wanted[:, q :: group.order] = turned[s] / norms
        assert error(dense, torch.from_numpy(wanted)) < 1e-12


def test_every_second_filter_of_c8_is_one_of_c4():
    eight = g.lift(5, group=C8).bank()
    four = g.lift(5, group=g.C(4), basis=g.harmonics()).bank()
    assert eight.basis is not None and four.basis is not None
    # Each has norm 1 in the mean over its own turns.
    share = eight.basis[::2].norm(dim=2, keepdim=True) / four.basis.norm(dim=2, keepdim=True)
    assert error(eight.basis[::2], four.basis * share) < 1e-12


def test_the_filters_of_escnn_are_sums_of_ours():
    if reason := peers.escnn_missing():
        pytest.skip(reason)
    kind = peers.regular(1, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filters, _ = peers.escnn().R2Conv(kind, kind, 3).expand_parameters()
    theirs = filters.detach().double().view(8, 8, 9)[0]  # of the identity, for each sender's sheet
    ours = g.window(3, basis=g.harmonics()).bank().basis
    assert ours is not None
    weight = torch.linalg.lstsq(ours[0, 0], theirs.T).solution
    assert error(ours[0, 0] @ weight, theirs.T) < 1e-6  # escnn samples in single precision


@pytest.mark.parametrize(("group", "elements"), [(C8, "C8 element 2"), (g.D(8), "D8 element 8")])
def test_the_turns_of_the_lattice_are_proved_and_others_are_not(group, elements):
    net = network(group, 3)
    found = g.certify(net, g.Grid(4, 4))
    assert not found.exact and not found.violations
    assert elements in found.proved
    (words,) = found.approximate
    assert words.startswith(f"{group} element 1, a turn by 45 degrees, does not map")
    assert "g.equivariance_error" in str(found)
    assert g.certify(net, g.Grid(4, 4), g.C(4)).exact
    assert g.certify(network(g.C(4), 3), g.Grid(4, 4)).approximate == ()


def test_a_wrong_value_of_one_function_is_found(monkeypatch):
    rule, domain = g.window(3, group=C8), g.GroupGrid(g.Grid(3, 3), C8)
    few = rule.edges_to_compare(domain, domain)
    assert 3 * len(few.dst) < len(rule.edges(domain).dst) and few.weight is None
    assert g.certify(rule, domain).proved == ("C8 element 2",)
    bank = rule.bank()
    assert bank.basis is not None
    values = bank.basis.clone()
    values[2, 3, 4, 0] += 1e-6
    monkeypatch.setattr(type(rule), "bank", lambda self: Bank(bank.edge_type, values))
    found = g.certify(rule, domain)
    assert found.proved == () and "C8 element 2" in found.violations[0]


@pytest.mark.parametrize("stride", [1, 2])
def test_quarter_turns_are_exact_on_numbers(stride):
    rules = g.lift(3, group=C8, stride=stride), g.window(2, group=C8, padding="valid")
    net = g.Sequential(g.Conv(1, 2, rules[0]), nn.Tanh(), g.Conv(2, 2, rules[1])).double()
    s = g.Signal(torch.randn(2, 49, 1, dtype=torch.float64), g.Grid(7, 7))
    assert max(g.equivariance_error(net, s, g.C(4)).values()) < 1e-12


def test_sizes_that_break_the_quarter_turns_are_refused():
    layer = g.Conv(1, 2, g.lift(3, group=C8, stride=2)).double()
    case = (lambda: layer(smooth(8)), "on Grid(8, 8)", "not symmetric", "lengths 7 and 9")
    assert_refused(case)


def eighth(net: nn.Module, s: g.Signal) -> float:
    errors = g.equivariance_error(net, s, C8)
    (name,) = [name for name in errors if "approximate" in name]
    assert "a turn by 45 degrees, interpolated" in name
    return errors[name]


def test_errors_at_45_degrees_are_small_and_not_zero():
    """Measured on 29 x 29: 0.12 over C(8), 0.61 over C(4), 0.66 of a CNN."""
    s = smooth(21)
    plain, four, eight = (eighth(network(group), s) for group in (None, g.C(4), C8))
    assert 1e-3 < eight < 0.5 * min(plain, four)


def test_an_interpolated_turn_of_a_turnable_function():
    grid = g.GroupGrid(g.Grid(15, 15), C8)
    row, column = torch.meshgrid(torch.arange(15.0) - 7, torch.arange(15.0) - 7, indexing="ij")
    wave = torch.exp(-(row**2 + column**2) / 40)

    def values(k: int) -> Tensor:
        """A bump that leans towards the direction of sheet k, on every sheet h that of k + h."""
        sheets = []
        for h in range(8):
            angle = 2 * math.pi * (k - h) / 8
            sheets.append(wave * (1 + 0.1 * (math.cos(angle) * row + math.sin(angle) * column)))
        return torch.stack(sheets, -1).reshape(1, -1, 1)

    # The turn by 45 degrees carries (1, 0) to (cos, sin), and sheet h to h + 1: direction k - h on
    # sheet h becomes k - h + 1 there, that is k + 2 - (h + 1).
    turned = turn_values(values(0), grid, C8, 1)
    inner = inner_nodes(grid)
    assert error(turned[:, inner], values(2)[:, inner]) < 0.02
    exact = turn_values(values(0), grid, C8, 2)
    assert error(exact, values(4)) < 1e-5


def test_errors_of_an_empty_batch_and_in_half_precision():
    net = network(C8, 3)
    empty = smooth(9)
    assert g.equivariance_error(net, empty.with_x(empty.x[:0]), C8) == {}
    wide, half = eighth(net, smooth(9)), eighth(net.bfloat16(), smooth(9).to(torch.bfloat16))
    assert abs(half - wide) < 0.1


BAD = {
    "numbers of words": (
        lambda: g.equivariance_error(
            nn.Identity(), g.Signal(torch.ones(1, 25, 1, dtype=torch.long), g.Grid(5, 5)), C8
        ),
        "values of torch.int64",
        "embed them first",
    ),
    "a torus": (
        lambda: g.equivariance_error(
            network(C8, 3), g.Signal(torch.ones(1, 25, 1).double(), g.Grid(5, 5, periodic=True))
        ),
        "a lattice that wraps",
        "a bounded grid",
    ),
    "given values": (
        lambda: g.lift(3, group=C8, basis=torch.eye(9).view(3, 3, 9)),
        "off the others",
        "harmonics()",
    ),
    "oblong": (lambda: g.lift((3, 5), group=C8), "circles", "a square window"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_calls_are_refused(name):
    call, found, do = BAD[name]
    assert_refused((call, "", found, do))
