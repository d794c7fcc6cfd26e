"""The arithmetic of lattices: points and node numbers, shifts and rotations of the nodes.

A move is a tensor `[N]`: node i goes to node `move[i]`, -1 where it leaves the lattice. A shift
stays on its domain, a rotation leads to the turned one: 28 x 32 nodes to 32 x 28.
"""

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain.base import Domain
from geodl.errors import GeodlError
from geodl.group import EXACT, Cosets, Group


def coordinates(lattice: tuple[int, ...], device: str | None = None) -> Tensor:
    """The points of a box, last axis fastest: `[N, d]`, by default on the default device.

    >>> coordinates((2, 2)).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    axes = [torch.arange(n, device=device) for n in lattice]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return points.reshape(-1, len(lattice))


def ravel(points: Tensor, lattice: tuple[int, ...]) -> Tensor:
    """Node numbers of points `[..., d]` of a box, -1 for points outside it.

    >>> ravel(torch.tensor([[1, 0], [2, 0]]), (2, 2)).tolist()
    [2, -1]
    """
    number = torch.zeros_like(points[..., 0])
    inside = torch.ones_like(number, dtype=torch.bool)
    for axis, length in enumerate(lattice):
        place = points[..., axis]
        inside &= (place >= 0) & (place < length)
        number = number * length + place
    return torch.where(inside, number, -1)


@cached_constants()
def shift_nodes(domain: Domain, axis: int, steps: int) -> Tensor:
    """Move every node of a lattice by `steps` along an axis: `[N]`, -1 where a bounded axis ends.

    >>> from geodl.domain import Chain
    >>> shift_nodes(Chain(4), 0, 1).tolist()
    [1, 2, 3, -1]
    """
    points = coordinates(_lattice(domain))
    points[:, axis] += steps
    sheets = torch.arange(_order(domain))
    return _on_sheets(ravel(_wrap(points, domain), _lattice(domain)), sheets)


def turn_domain(domain: Domain, group: Group, element: int) -> Domain:
    """The domain on which a point group element puts a lattice: a quarter turn of 28 x 32 nodes
    gives 32 x 28 ones. The very same domain where nothing changes.

    Args:
        domain: a lattice, with or without a fiber.
        group: a group that acts on as many axes.
        element: the number of g among the group's elements.

    Raises:
        GeodlError: if the domain has no lattice or another number of axes, or if the element takes
            lattice points between lattice points.

    >>> from geodl.domain import Grid
    >>> from geodl.group import C
    >>> turn_domain(Grid(28, 32), C(4), 1)
    Grid(32, 28)
    """
    axes = _axes_before(domain, group, element)
    lattice = _lattice(domain)
    lengths = tuple(lattice[axis] for axis in axes)
    wraps = tuple(domain.periodic[axis] for axis in axes)
    if lengths == lattice and wraps == domain.periodic:
        return domain
    return domain.replace(lengths, domain.fiber, wraps)


@cached_constants()
def rotate_nodes(domain: Domain, group: Group, element: int) -> Tensor:
    """Let a point group element act on the nodes: `(x, h) -> (g x, g h)`, `[N]`, node numbers of
    `turn_domain(domain, group, element)`.

    Bounded lattices turn about their centre, periodic ones about node 0.

    Args:
        domain: a lattice, with or without a fiber.
        group: a group that acts on as many axes.
        element: the number of g among the group's elements.

    Raises:
        GeodlError: if the domain has no lattice or another number of axes, if the element takes
            lattice points between lattice points, or if the fiber does not have the element.

    >>> from geodl.domain import Grid
    >>> from geodl.group import C
    >>> rotate_nodes(Grid(2, 2), C(4), 1).tolist()
    [2, 0, 3, 1]
    """
    turned = turn_domain(domain, group, element)
    # The centre of an axis of n nodes is (n - 1) / 2, between two nodes where n is even: positions
    # are doubled, so that everything stays an integer. From the centre of the one lattice to that
    # of the other a point keeps its distance, so that each falls on a node.
    twice = 2 * coordinates(_lattice(domain)) - _twice_centre(domain)
    points = (twice @ group.action.matrices[element].long().T + _twice_centre(turned)) // 2
    sheets = torch.arange(1)
    if domain.fiber is not None:
        sheets = domain.fiber.tables.product[_number_in_fiber(group, element, domain.fiber)]
    return _on_sheets(ravel(_wrap(points, turned), _lattice(turned)), sheets)


def _axes_before(domain: Domain, group: Group, element: int) -> list[int]:
    """For each axis of a turned lattice the axis that it was."""
    lattice = _lattice(domain)
    if group.axes != len(lattice):
        found = f"a group on {group.axes} axes and a lattice of {len(lattice)}"
        do = "use a group that acts on the lattice"
        raise GeodlError(f"{group} acting on {domain}", found, do)
    matrix = group.action.matrices[element].abs()
    # A matrix that maps boxes to boxes has one entry, 1 or -1, in each row and column.
    if not (group.action.keeps_lattice[element] and (matrix.sum(1) == 1).all()):
        found = "an element that takes lattice points between lattice points, or boxes to no boxes"
        do = f"{EXACT}; a filter basis approximates others"
        raise GeodlError(f"{group} element {element} acting on {domain}", found, do)
    return matrix.argmax(1).tolist()


def _twice_centre(domain: Domain) -> Tensor:
    """Twice the point about which a lattice turns."""
    twice = torch.tensor(_lattice(domain)) - 1
    twice[torch.tensor(domain.periodic)] = 0
    return twice


def _lattice(domain: Domain) -> tuple[int, ...]:
    if domain.lattice is None:
        asked = f"shifts and rotations of {domain}"
        raise GeodlError(asked, "a domain without a lattice", "use a Grid, Chain or GroupGrid")
    return domain.lattice


def _order(domain: Domain) -> int:
    if domain.fiber is None:
        return 1
    return domain.fiber.order


def _wrap(points: Tensor, domain: Domain) -> Tensor:
    """Points with their coordinates along periodic axes brought back into the box."""
    return torch.where(torch.tensor(domain.periodic), points % torch.tensor(domain.lattice), points)


def _on_sheets(point: Tensor, sheet: Tensor) -> Tensor:
    """Where lattice point x goes (`[X]`, -1: nowhere) and where sheet h goes (`[H]`) as a move of
    the nodes `x * H + h`: `[X H]`.
    """
    node = point[:, None] * len(sheet) + sheet
    return torch.where(point[:, None] < 0, -1, node).reshape(-1)


def _number_in_fiber(group: Group, element: int, fiber: Group | Cosets) -> int:
    """The number that an element of a group has in the fiber's group."""
    asked = f"{group} acting on a fiber of {fiber}"
    number = int(fiber.numbers_of(group)[element])
    if number < 0:
        raise GeodlError(asked, f"element {element} not in {fiber}", f"ask for a part of {fiber}")
    return number
