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
    """A point group by what each element does to the last axes of a tensor, and the products read
    off from that.
    """

    each: tuple[Act, ...]
    product: Tensor


def square(group: Group) -> Acts:
    """C4 or D4 by `torch.rot90` and a flip: element k + 4 m turns k times after m flips."""

    def act(k: int, m: int) -> Act:
        return lambda f: torch.rot90(f.flip(-1) if m else f, k, (-2, -1))

    return _multiplied(
        tuple(act(e % 4, e // 4) for e in range(group.order)), torch.arange(9).reshape(3, 3)
    )


def cubic(group: Group) -> Acts:
    """O or Oh by permuting and flipping axes, in the order of the group's matrices."""

    def act(matrix: Tensor) -> Act:
        axes = matrix.abs().argmax(1).tolist()
        flips = [axis - 3 for axis in range(3) if matrix[axis].sum() < 0]
        return lambda f: f.movedim([axis - 3 for axis in axes], (-3, -2, -1)).flip(flips)

    return _multiplied(
        tuple(act(matrix) for matrix in group.elements), torch.arange(27).reshape(3, 3, 3)
    )


def _multiplied(each: tuple[Act, ...], probe: Tensor) -> Acts:
    number = {tuple(act(probe).flatten().tolist()): e for e, act in enumerate(each)}
    table = [[number[tuple(a(b(probe)).flatten().tolist())] for b in each] for a in each]
    return Acts(each, torch.tensor(table))


def bank(layer: Conv, acts: Acts, size: Sequence[int], hears_fiber: bool) -> Tensor:
    """The filters of all sheets, rotated one by one: `[S C_out, R C_in, *size]`."""
    filters = layer.weight.unflatten(0, (*size, -1)).movedim(
        tuple(range(len(size))), tuple(range(-len(size), 0))
    )
    filters = filters.transpose(
        1, 2
    )  # [R, C_out, C_in, *size], R = 1 where there is no fiber to hear
    turned = []
    for e, act in enumerate(acts.each):
        sheets = acts.product[e].argsort() if hears_fiber else torch.zeros(1, dtype=torch.long)
        turned.append(act(filters)[sheets].transpose(0, 1).flatten(1, 2))
    return torch.cat(turned)


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
            grid = Grid(side, side, periodic=circular)
            yield _bank(f"lifting to {name}", group, acts, grid, (size, stride, padding), False)
            yield _bank(name, group, acts, GroupGrid(grid, group), (size, stride, padding), True)
    cube = Grid(4, 4, 4)
    for group in (O(), Oh()):
        yield _bank(f"lifting to {group}", group, cubic(group), cube, (3, 1, 1), False)
    yield _bank("group O", O(), cubic(O()), GroupGrid(Grid(3, 3, 3), O()), (2, 1, 0), True)


def _bank(
    name: str,
    group: Group,
    acts: Acts,
    domain: Domain,
    numbers: tuple[int, int, int],
    hears_fiber: bool,
) -> Row:
    size, stride, padding = numbers
    lattice, d = domain.lattice or (), len(domain.lattice or ())
    rule = (window if hears_fiber else lift)(size, group=group, stride=stride, padding=padding)
    layer = randomised(Conv(2, 3, rule), normal(70))
    circular = any(domain.periodic)

    def peer(x: Tensor) -> Tensor:
        image = planes(x.reshape(len(x), -1, (group.order if hears_fiber else 1) * 2), lattice)
        image = F.pad(image, (padding, padding) * d, mode="circular" if circular else "constant")
        assert layer.bias is not None
        conv = (F.conv2d, F.conv3d)[d - 2]
        y = conv(
            image,
            bank(layer, acts, (size,) * d, hears_fiber),
            layer.bias.repeat(group.order),
            stride,
        )
        return nodes(y).reshape(len(x), -1, 3)

    window_of = "x".join([str(size)] * d)
    kind = "circular padding" if circular else f"padding {padding}"
    claim = f"11 {name} {window_of}, stride {stride}, {kind} = conv{d}d with a rotated bank"
    return equal(claim, layer, [signal(domain, 2)], peer, BOUND)


def moved(s: Signal, act: Act, sheets: Tensor | None = None) -> Signal:
    """A signal carried along by an element: its places by `act`, its sheets to the places that
    `sheets` names.
    """
    assert s.domain.lattice is not None
    count = s.domain.fiber.order if s.domain.fiber else 1
    split = planes(s.x.reshape(len(s.x), -1, count * s.x.shape[2]), s.domain.lattice).unflatten(
        1, (count, -1)
    )
    turned = act(split)
    if sheets is not None and count > 1:
        turned = turned[:, sheets.argsort()]
    return Signal(nodes(turned.flatten(1, 2)).reshape(s.x.shape), s.domain)


def network(group: Group) -> Sequential:
    """A small group CNN: lifted, and convolved over the group."""
    layers = (Conv(2, 3, lift(3, group=group)), nn.Tanh(), Conv(3, 3, window(3, group=group)))
    return randomised(Sequential(*layers), normal(71), 0.3)


def elements() -> Iterator[Row]:
    """Every element of C4, D4 and the rotations of the cube, through two layers."""
    for group, acts, lattices in (
        (C(4), square(C(4)), ((7, 7), (6, 6))),
        (D(4), square(D(4)), ((7, 7), (6, 6))),
        (O(), cubic(O()), ((3, 3, 3),)),
    ):
        for lattice in lattices:
            claim = f"11 all {group.order} elements of {group} through 2 layers"
            yield _commutes(
                claim, network(group), Grid(*lattice), zip(acts.each, acts.product, strict=True)
            )
    coarse = Sequential(
        Conv(2, 3, lift(3, group=C(4))),
        Pool(window(2, stride=2)),
        Conv(3, 3, window(3, group=C(4), stride=2)),
    )
    acts = square(C(4))
    claim = "11 all 4 elements of C4 through max pooling and stride 2"
    yield _commutes(
        claim,
        randomised(coarse, normal(72)),
        Grid(10, 10),
        zip(acts.each, acts.product, strict=True),
    )


def _commutes(
    claim: str, net: nn.Module, domain: Domain, elements: Iterable[tuple[Act, Tensor | None]]
) -> Row:
    """The network of the moved signal is the moved answer of the network, with all gradients, for
    each element.
    """
    s = as_leaves([signal(domain, 2)])[0]
    leaves = [s.x, *net.parameters()]
    differences = [
        difference(net(moved(s, act)).x, moved(net(s), act, sheets).x, leaves)
        for act, sheets in elements
    ]
    return row(claim, count_edges(net, s), differences, BOUND)


def translations() -> Iterator[Row]:
    """Exact on the torus; under zero padding only away from the border."""
    plain = randomised(
        Sequential(Conv(2, 3, window(3)), nn.Tanh(), Conv(3, 3, window(3))), normal(73)
    )
    for name, net in (("CNN", plain), ("p4 CNN", network(C(4)))):
        shifts = [(_rolled(down, right), None) for down, right in ((0, 1), (1, 0), (3, 2), (5, 4))]
        yield _commutes(
            f"11 {name}: translations on the torus", net, Grid(6, 6, periodic=True), shifts
        )
        s, act = as_leaves([signal(Grid(11, 11), 2)])[0], _rolled(1, 0)
        away = torch.zeros(11, 11, dtype=torch.bool)
        away[3:-2, 2:-2] = (
            True  # 2 layers of reach 1 see 2 nodes far, and what came to row 0 fell off row 10
        )
        a, b = (y.x.unflatten(1, (11, 11, -1)) for y in (net(moved(s, act)), moved(net(s), act)))
        claim = f"11 {name}: translations under zero padding"
        differences = [difference(a[:, away], b[:, away], [s.x, *net.parameters()])]
        yield row(f"{claim}, away from the border", count_edges(net, s), differences, BOUND)
        yield above(
            f"{claim}, near the border: error",
            count_edges(net, s),
            difference(a[:, ~away], b[:, ~away], [])[0],
            1e-2,
        )


def _rolled(down: int, right: int) -> Act:
    return lambda f: f.roll((down, right), (-2, -1))


def limits() -> Iterator[Row]:
    """What does not hold: rotations of a plain CNN, and sizes off the rule."""
    acts = square(C(4))
    plain = randomised(Conv(2, 3, window(3)), normal(74))
    s = signal(Grid(7, 7), 2)
    off = max(_off(plain, s, act) for act in acts.each[1:])
    yield above("11 a plain CNN under quarter turns: error", count_edges(plain, s), off, 1e-2)
    strided = randomised(Conv(2, 3, lift(3, group=C(4), stride=2, exact=False)), normal(75))
    s = signal(Grid(8, 8), 2)
    off = max(_off(strided, s, acts.each[e], acts.product[e]) for e in range(1, 4))
    yield above(
        "11 p4, stride 2 on 8 nodes, (8 + 2 - 2 - 1) mod 2 = 1, under quarter turns: error",
        count_edges(strided, s),
        off,
        1e-2,
    )


def interpolated() -> Iterator[Row]:
    """A bilinear rotation of a smooth image: exact at 90 degrees, and not at 45."""
    net = Sequential(*network(C(4)), Pool(fiber()))
    s = Signal.image(
        F.interpolate(normal(76)(1, 2, 5, 5), (17, 17), mode="bicubic", align_corners=True)
    )
    across, along = torch.meshgrid(torch.arange(17) - 8, torch.arange(17) - 8, indexing="ij")
    # What two layers see from the disc stays on the map.
    disc = (across**2 + along**2 <= 25).flatten()[:, None]
    quarter, eighth = (_off(net, s, _rotated(degrees), at=disc) for degrees in (90.0, 45.0))
    yield row("11 p4 under 90 degrees, interpolated", count_edges(net, s), [(quarter, 0.0)], BOUND)
    yield above(
        "11 p4 is not exact under 45 degrees, interpolated: error",
        count_edges(net, s),
        eighth,
        1e-3,
    )


def _off(
    net: nn.Module, s: Signal, act: Act, sheets: Tensor | None = None, at: Tensor | float = 1.0
) -> float:
    return difference(net(moved(s, act)).x * at, moved(net(s), act, sheets).x * at, [])[0]


def _rotated(degrees: float) -> Act:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]], dtype=torch.float64)

    def act(f: Tensor) -> Tensor:
        flat = f.flatten(0, 2)[None]
        spots = F.affine_grid(matrix, list(flat.shape), align_corners=True)
        return F.grid_sample(flat, spots, align_corners=True).view_as(f)

    return act


CLAIMS = (banks, elements, translations, limits, interpolated)
