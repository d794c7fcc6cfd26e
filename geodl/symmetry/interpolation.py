"""Turns that do not map a lattice to itself, on numbers: values between nodes are interpolated.

Nothing here proves anything. An interpolated image has lost its highest frequencies, and the
filters of a network are sampled on the lattice, too: what is measured is small where both are
smooth, and never 0.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import Domain, coordinates
from geodl.errors import GeodlError
from geodl.group import Cosets, Group
from geodl.signal import Signal

INNER = 0.5  # of the inscribed disc's radius: where answers are compared
FADED = 0.3  # of that radius: the rim on which signals are faded out


def approximated(group: Group | None) -> tuple[str, ...]:
    """The generators of a group that do not map the lattice to itself, and what that means, in
    words.
    """
    if group is None:
        return ()
    return tuple(
        f"{group} element {k}, {_turn_of(group, k)}, does not map the lattice to itself: a basis "
        "approximates it, and g.equivariance_error measures the error"
        for k in _between(group)
    )


def interpolated_errors(
    answer: Callable[[Signal], Signal], signal: Signal, group: Group | None
) -> dict[str, float]:
    """How far `answer(g s)` is from `g answer(s)` for the generators g of a group that do not map
    the lattice to itself: `max|a - b| / max(1, max|b|)` on the inner half of the inscribed disc, of
    the signal faded out towards the disc's rim. By names that say that it is no proof.

    Raises:
        GeodlError: if an axis wraps, or there are more than two axes; of values that are no
            floating-point numbers.
    """
    errors = {}
    between = _between(group)
    if group is None or not between or not signal.x.numel():
        return errors
    source = signal.domain
    if not signal.x.is_floating_point():
        asked = f"{group} acting on {source}, interpolated"
        do = "embed them first, and measure what follows"
        raise GeodlError(asked, f"values of {signal.x.dtype}, with none between them", do)
    faded = signal.with_x(fade_out(signal.x, source))
    straight = answer(faded)
    inner = inner_nodes(straight.domain)
    for k in between:
        moved = answer(faded.with_x(turn_values(faded.x, source, group, k)))
        a = moved.x[:, inner]
        b = turn_values(straight.x, straight.domain, group, k)[:, inner]
        name = f"{group} element {k} (approximate: {_turn_of(group, k)}, interpolated)"
        errors[name] = apart(a, b)
    return errors


def apart(a: Tensor, b: Tensor) -> float:
    """`max|a - b| / max(1, max|b|)`, infinite where a number is not finite."""
    found = float((a - b).abs().max())
    if not math.isfinite(found):
        return math.inf
    return found / max(1.0, float(b.abs().max()))


def _between(group: Group | None) -> list[int]:
    """The generators that take lattice points between lattice points."""
    if group is None or group.axes == 0:
        return []
    keeps = group.action.keeps_lattice
    return [k for k in group.generator_numbers if not keeps[k]]


def _turn_of(group: Group, element: int) -> str:
    """What an element does to the plane, in words."""
    matrix = group.action.matrices[element].double()
    if float(torch.det(matrix)) < 0:
        return "a reflection"
    if group.axes != 2:
        return "a turn"
    degrees = math.degrees(math.atan2(float(matrix[1, 0]), float(matrix[0, 0])))
    return f"a turn by {abs(degrees):.4g} degrees"


def turn_values(x: Tensor, domain: Domain, group: Group, element: int) -> Tensor:
    """Values carried along by an element g of a point group, `(g x)(p, h) = x(g^-1 p, g^-1 h)` with
    points p measured from the lattice's centre: bilinear between nodes, 0 outside the lattice.

    Args:
        x: `[B, N, C]`.
        domain: where they live; on one without a lattice nothing moves.
        group: acts on two axes.
        element: the number of g.

    Raises:
        GeodlError: if an axis wraps, or there are more than two axes.
    """
    if domain.lattice is None:
        return x
    asked = f"{group} element {element} acting on {domain}, interpolated"
    if len(domain.lattice) != 2 or any(domain.periodic):
        found = "a lattice that wraps, or not of two axes"
        raise GeodlError(asked, found, "use a bounded grid of two axes")
    sheets = 1
    if domain.fiber is not None:
        sheets = domain.fiber.order
    image = x.reshape(len(x), *domain.lattice, sheets * x.shape[2]).movedim(-1, 1)
    points = _source_points(domain, group, element).to(x.device)
    # As grid_sample reads them: the last axis first, from -1 at the first node to 1 at the last.
    grid = points.flip(-1).reshape(1, *domain.lattice, 2).expand(len(x), -1, -1, -1)
    # The kernel knows no type narrower than single precision.
    wide = torch.promote_types(x.dtype, torch.float32)
    turned = F.grid_sample(image.to(wide), grid.to(wide), "bilinear", "zeros", align_corners=True)
    values = turned.to(x.dtype).movedim(1, -1).reshape(len(x), -1, sheets, x.shape[2])
    if domain.fiber is not None:
        values = values[:, :, _sheets_before(domain.fiber, group, element)]
    return values.reshape(x.shape)


@cached_constants()
def inner_nodes(domain: Domain) -> Tensor:
    """The nodes on the inner half of the inscribed disc, away from the border; all where there is
    no lattice.
    """
    if domain.lattice is None:
        return torch.arange(domain.num_nodes)
    # Around the centre of an even lattice stand four nodes, each 0.71 from it.
    inside = _distance(domain) <= max(INNER * _radius(domain), 0.75)
    return inside.nonzero()[:, 0]


def fade_out(x: Tensor, domain: Domain) -> Tensor:
    """Values that fall smoothly to 0 towards the rim of the inscribed disc: what is beyond would be
    turned out of the lattice.
    """
    if domain.lattice is None:
        return x
    with cached_constants():
        rim = FADED * _radius(domain)
        share = ((_radius(domain) - _distance(domain)) / max(rim, 1.0)).clamp(0, 1)
        factor = share.square() * (3 - 2 * share)
    return x * factor[:, None].to(x.device, x.dtype)


@cached_constants()
def _source_points(domain: Domain, group: Group, element: int) -> Tensor:
    """Where each lattice point's value comes from, g^-1 p by the half lengths: `[X, 2]`."""
    back = group.action.matrices[group.tables.inverse[element]].double()
    half = (torch.tensor(domain.lattice, dtype=torch.float64) - 1) / 2
    points = coordinates(domain.lattice or ()) - half
    return points @ back.T / half.clamp(min=0.5)


@cached_constants()
def _sheets_before(fiber: Group | Cosets, group: Group, element: int) -> Tensor:
    """For each sheet h the sheet g^-1 h that it was.

    Raises:
        GeodlError: if the fiber does not have the element.
    """
    number = int(fiber.numbers_of(group)[element])
    if number < 0:
        asked = f"{group} acting on a fiber of {fiber}"
        raise GeodlError(asked, f"element {element} not in {fiber}", f"ask for a part of {fiber}")
    product, inverse = fiber.tables
    return product[inverse[number]]


def _radius(domain: Domain) -> float:
    """That of the inscribed disc."""
    return (min(domain.lattice or ()) - 1) / 2


def _distance(domain: Domain) -> Tensor:
    """Of each node from the lattice's centre."""
    lattice = domain.lattice or ()
    points = coordinates(lattice) - (torch.tensor(lattice, dtype=torch.float64) - 1) / 2
    sheets = domain.num_nodes // math.prod(lattice)
    return points.square().sum(-1).sqrt().repeat_interleave(sheets)
