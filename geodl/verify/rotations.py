"""Row 11: a group CNN is convolution on a group."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodl import (
    C,
    Conv,
    D,
    Domain,
    Grid,
    Group,
    GroupGrid,
    O,
    Oh,
    Pool,
    Sequential,
    Signal,
    fiber,
    lift,
    window,
)
from geodl.verify.base import (
    Row,
    above,
    as_leaves,
    count_edges,
    difference,
    equal,
    normal,
    randomised,
    row,
    signal,
)
from geodl.verify.lattices import nodes, planes

BOUND = 1e-11
Act = Callable[[Tensor], Tensor]


class Acts(NamedTuple):
    """A point group by its action on the last axes of a tensor.

    Attributes:
        each: the action of each element.
        product: `[|G|, |G|]`, the number of the element `a b`, read off from the actions.
    """

    each: tuple[Act, ...]
    product: Tensor


def square(group: Group) -> Acts:
    """C4 or D4 by `torch.rot90` and a flip: element k + 4 m rotates k times after m flips."""

    def act(k: int, m: int) -> Act:
        flipped_axes = [-1] * m
        return lambda f: torch.rot90(f.flip(flipped_axes), k, (-2, -1))

    actions = [act(e % 4, e // 4) for e in range(group.order)]
    return _with_products(actions, torch.arange(9).reshape(3, 3))


def cubic(group: Group) -> Acts:
    """O or Oh by permuting and flipping axes, in the order of the group's matrices."""

    def act(matrix: Tensor) -> Act:
        # Row `axis` of a signed permutation matrix has its one entry at the axis that goes there.
        sources = [axis - 3 for axis in matrix.abs().argmax(1).tolist()]
        flips = [axis - 3 for axis in range(3) if matrix[axis].sum() < 0]
        return lambda f: f.movedim(sources, (-3, -2, -1)).flip(flips)

    actions = [act(matrix) for matrix in group.action.matrices]
    return _with_products(actions, torch.arange(27).reshape(3, 3, 3))


def _with_products(actions: Sequence[Act], probe: Tensor) -> Acts:
    """Actions and their products, told apart by what they do to a tensor of different numbers."""

    def moved_numbers(x: Tensor) -> tuple[int, ...]:
        return tuple(x.flatten().tolist())

    number = {moved_numbers(act(probe)): e for e, act in enumerate(actions)}
    table = [[number[moved_numbers(a(b(probe)))] for b in actions] for a in actions]
    return Acts(tuple(actions), torch.tensor(table))


def bank(layer: Conv, acts: Acts, size: Sequence[int], has_fiber: bool) -> Tensor:
    """The filters of all sheets, rotated one by one: `[S C_out, R C_in, *size]`; the senders have
    R = |G| sheets, or one where they have no fiber.
    """
    d = len(size)
    filters = layer.weight.unflatten(0, (*size, -1))  # [*size, R, C_in, C_out]
    filters = filters.movedim(tuple(range(d)), tuple(range(-d, 0)))
    filters = filters.transpose(1, 2)  # [R, C_out, C_in, *size]
    sheets = torch.zeros(1, dtype=torch.long)
    rotated = []
    for e, act in enumerate(acts.each):
        if has_fiber:
            # The filter of receiver e for sender r is that of e^-1 r, rotated by e.
            sheets = acts.product[e].argsort()
        rotated.append(act(filters)[sheets].transpose(0, 1).flatten(1, 2))
    return torch.cat(rotated)


def banks() -> Iterator[Row]:
    """Lifting, p4 and p4m against `conv2d`, and the cube's groups against `conv3d`."""
    for group, name in ((C(4), "p4"), (D(4), "p4m")):
        acts = square(group)
        for side, size, stride, padding, circular in (
            (6, 3, 1, 1, False),
            (7, 3, 2, 1, False),
            (6, 2, 1, 0, False),
            (6, 2, 2, 0, False),
            (6, 4, 2, 1, False),
            (7, 5, 1, 2, False),
            (6, 3, 1, 1, True),
        ):
            grid, numbers = Grid(side, side, periodic=circular), (size, stride, padding)
            yield _bank(f"lifting to {name}", group, acts, grid, numbers)
            yield _bank(name, group, acts, GroupGrid(grid, group), numbers)
    cube = Grid(4, 4, 4)
    for group in (O(), Oh()):
        yield _bank(f"lifting to {group}", group, cubic(group), cube, (3, 1, 1))
    yield _bank("group O", O(), cubic(O()), GroupGrid(Grid(3, 3, 3), O()), (2, 1, 0))


def _bank(
    name: str, group: Group, acts: Acts, domain: Domain, numbers: tuple[int, int, int]
) -> Row:
    """The row of a claim that a layer is a convolution with a rotated bank; its size, stride and
    padding are `numbers`.
    """
    size, stride, padding = numbers
    lattice, has_fiber = domain.lattice or (), domain.fiber is not None
    d = len(lattice)
    sheets = group.order if has_fiber else 1
    make = window if has_fiber else lift
    rule = make(size, group=group, stride=stride, padding=padding)
    layer = randomised(Conv(2, 3, rule), normal(70))
    kind, mode = f"padding {padding}", "constant"
    if any(domain.periodic):
        kind, mode = "circular padding", "circular"

    def peer(x: Tensor) -> Tensor:
        image = planes(x.reshape(len(x), -1, sheets * 2), lattice)
        image = F.pad(image, (padding, padding) * d, mode=mode)
        assert layer.bias is not None
        filters, bias = bank(layer, acts, (size,) * d, has_fiber), layer.bias.repeat(group.order)
        y = (F.conv2d, F.conv3d)[d - 2](image, filters, bias, stride)
        return nodes(y).reshape(len(x), -1, 3)

    shape = "x".join([str(size)] * d)
    claim = f"11 {name} {shape}, stride {stride}, {kind} = conv{d}d with a rotated bank"
    return equal(claim, layer, [signal(domain, 2)], peer, BOUND)


def moved(s: Signal, act: Act, sheets: Tensor | None = None) -> Signal:
    """A signal carried along by an element: its points by `act`, and sheet k to sheet
    `sheets[k]`.
    """
    assert s.domain.lattice is not None
    count = s.domain.fiber.order if s.domain.fiber else 1
    image = planes(s.x.reshape(len(s.x), -1, count * s.x.shape[2]), s.domain.lattice)
    rotated = act(image.unflatten(1, (count, -1)))
    if sheets is not None and count > 1:
        rotated = rotated[:, sheets.argsort()]
    domain, lattice = s.domain, tuple(rotated.shape[3:])
    if lattice != domain.lattice:
        domain = domain.replace(lattice, domain.fiber)
    return Signal(nodes(rotated.flatten(1, 2)).reshape(s.x.shape), domain)


def network(group: Group) -> Sequential:
    """A small group CNN: lifted, and convolved over the group."""
    layers = (Conv(2, 3, lift(3, group=group)), nn.Tanh(), Conv(3, 3, window(3, group=group)))
    return randomised(Sequential(*layers), normal(71), 0.3)


def elements() -> Iterator[Row]:
    """Every element of C4, D4 and the rotations of the cube, through two layers; a turn of unequal
    axes leads to the turned lattice.
    """
    for group, acts, lattices in (
        (C(4), square(C(4)), ((7, 7), (6, 6), (5, 8))),
        (D(4), square(D(4)), ((7, 7), (6, 6), (5, 8))),
        (O(), cubic(O()), ((3, 3, 3), (2, 3, 4))),
    ):
        for lattice in lattices:
            claim = f"11 all {group.order} elements of {group} through 2 layers"
            yield _commutes(claim, network(group), Grid(*lattice), _all_of(acts))
    for group in (C(4), D(4)):
        claim = f"11 all {group.order} elements of {group} through windows of 4x4 and 2x2"
        wide = Conv(2, 2, lift(4, group=group, padding="valid"))
        small = Conv(2, 3, window(2, group=group, padding="valid"))
        even = randomised(Sequential(wide, nn.Tanh(), small), normal(77), 0.3)
        yield _commutes(claim, even, Grid(7, 7), _all_of(square(group)))
    first = Conv(2, 3, lift(3, group=C(4)))
    last = Conv(3, 3, window(3, group=C(4), stride=2))
    coarse = randomised(Sequential(first, Pool(window(2, stride=2)), last), normal(72))
    claim = "11 all 4 elements of C4 through max pooling and stride 2"
    for lattice in ((10, 10), (6, 10)):
        yield _commutes(claim, coarse, Grid(*lattice), _all_of(square(C(4))))


def _all_of(acts: Acts) -> Iterable[tuple[Act, Tensor]]:
    """Each element's action on points, and on sheets."""
    return zip(acts.each, acts.product, strict=True)


def _commutes(
    claim: str, net: nn.Module, domain: Domain, elements: Iterable[tuple[Act, Tensor | None]]
) -> Row:
    """The network of the moved signal is the moved output of the network, with all gradients, for
    each element.
    """
    s = as_leaves([signal(domain, 2)])[0]
    leaves = [s.x, *net.parameters()]
    differences = []
    for act, sheets in elements:
        differences.append(difference(net(moved(s, act)).x, moved(net(s), act, sheets).x, leaves))
    return row(claim, count_edges(net, s), differences, BOUND)


def translations() -> Iterator[Row]:
    """Exact on the torus; under zero padding only away from the border."""
    layers = (Conv(2, 3, window(3)), nn.Tanh(), Conv(3, 3, window(3)))
    plain = randomised(Sequential(*layers), normal(73))
    for name, net in (("CNN", plain), ("p4 CNN", network(C(4)))):
        steps = ((0, 1), (1, 0), (3, 2), (5, 4))
        shifts = [(_shift(down, right), None) for down, right in steps]
        claim = f"11 {name}: translations on the torus"
        yield _commutes(claim, net, Grid(6, 6, periodic=True), shifts)
        yield from _zero_padding(f"11 {name}: translations under zero padding", net)


def _zero_padding(claim: str, net: nn.Module) -> Iterator[Row]:
    """A shift by one row on a bounded grid, away from the border and near it."""
    s, act = as_leaves([signal(Grid(11, 11), 2)])[0], _shift(1, 0)
    away = torch.zeros(11, 11, dtype=torch.bool)
    # Two layers of reach 1 see 2 nodes far, and what came to row 0 had left at row 10.
    away[3:-2, 2:-2] = True
    ours = net(moved(s, act)).x.unflatten(1, (11, 11, -1))
    theirs = moved(net(s), act).x.unflatten(1, (11, 11, -1))
    leaves, where = [s.x, *net.parameters()], count_edges(net, s)
    differences = [difference(ours[:, away], theirs[:, away], leaves)]
    yield row(f"{claim}, away from the border", where, differences, BOUND)
    near, _ = difference(ours[:, ~away], theirs[:, ~away], [])
    yield above(f"{claim}, near the border: error", where, near, 1e-2)


def _shift(down: int, right: int) -> Act:
    return lambda f: f.roll((down, right), (-2, -1))


def limits() -> Iterator[Row]:
    """What does not hold: rotations of a plain CNN, and sizes that violate the stride rule."""
    acts = square(C(4))
    plain = randomised(Conv(2, 3, window(3)), normal(74))
    s = signal(Grid(7, 7), 2)
    error = max(_error(plain, s, act) for act in acts.each[1:])
    claim = "11 a plain CNN under quarter turns: error"
    yield above(claim, count_edges(plain, s), error, 1e-2)
    strided = randomised(Conv(2, 3, lift(3, group=C(4), stride=2, exact=False)), normal(75))
    s = signal(Grid(8, 8), 2)
    error = max(_error(strided, s, acts.each[e], acts.product[e]) for e in range(1, 4))
    claim = "11 p4, stride 2 on 8 nodes, (8 + 2 - 2 - 1) mod 2 = 1, under quarter turns: error"
    yield above(claim, count_edges(strided, s), error, 1e-2)


def steered() -> Iterator[Row]:
    """C8 on the harmonic basis: its quarter turns are exact, 45 degrees an approximation that is
    nearer than that of p4.
    """
    acts, sheets = square(C(4)), torch.arange(8)
    quarters = [(act, (sheets + 2 * k) % 8) for k, act in enumerate(acts.each)]
    yield _commutes("11 quarter turns of C8 through 2 layers", network(C(8)), Grid(5, 5), quarters)
    s, disc = _smooth()
    shares = {}
    for group in (C(4), C(8)):
        net = Sequential(*network(group), Pool(fiber()))
        with torch.no_grad():
            ours, theirs = net(moved(s, _rotation(45.0))).x, moved(net(s), _rotation(45.0)).x
        shares[group] = float(((ours - theirs) * disc).norm() / (theirs * disc).norm())
    where = count_edges(net, s)
    claim = "11 C8 is not exact under 45 degrees, interpolated: share of the answer's norm"
    yield above(claim, where, shares[C(8)], 1e-3)
    claim = "11 error of C8 under 45 degrees, by that of p4"
    yield row(claim, where, [(shares[C(8)] / shares[C(4)], 0.0)], 0.5)


def interpolated() -> Iterator[Row]:
    """A bilinear rotation of a smooth image: exact at 90 degrees, and not at 45."""
    net = Sequential(*network(C(4)), Pool(fiber()))
    s, disc = _smooth()
    where = count_edges(net, s)
    quarter = _error(net, s, _rotation(90.0), at=disc)
    yield row("11 p4 under 90 degrees, interpolated", where, [(quarter, 0.0)], BOUND)
    eighth = _error(net, s, _rotation(45.0), at=disc)
    claim = "11 p4 is not exact under 45 degrees, interpolated: error"
    yield above(claim, where, eighth, 1e-3)


def _smooth() -> tuple[Signal, Tensor]:
    """A smooth image, and the disc `[N, 1]` from which all that two layers see stays on the map
    under every rotation.
    """
    coarse = normal(76)(1, 2, 5, 5)
    image = F.interpolate(coarse, (17, 17), mode="bicubic", align_corners=True)
    step = torch.arange(17) - 8
    down, right = torch.meshgrid(step, step, indexing="ij")
    return Signal.image(image), (down**2 + right**2 <= 25).flatten()[:, None]


def _error(
    net: nn.Module, s: Signal, act: Act, sheets: Tensor | None = None, at: Tensor | float = 1.0
) -> float:
    """How far the network of the moved signal is from the moved output, where `at` is not 0."""
    ours, theirs = net(moved(s, act)).x, moved(net(s), act, sheets).x
    outputs, _ = difference(ours * at, theirs * at, [])
    return outputs


def _rotation(degrees: float) -> Act:
    """Rotate the last two axes by an angle, with bilinear interpolation."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]], dtype=torch.float64)

    def act(f: Tensor) -> Tensor:
        flat = f.flatten(0, 2)[None]
        points = F.affine_grid(matrix, list(flat.shape), align_corners=True)
        return F.grid_sample(flat, points, align_corners=True).view_as(f)

    return act


CLAIMS = (banks, elements, translations, limits, interpolated, steered)
