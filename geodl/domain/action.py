"""How shifts and point groups move the nodes of a lattice, as node permutations with -1 where a
node leaves the map.
"""

import torch
from torch import Tensor

from geodl.domain.base import Domain, coordinates, ravel
from geodl.errors import GeodlError
from geodl.group import Group


def shift_nodes(domain: Domain, axis: int, steps: int) -> Tensor:
    """Move every node of a lattice by `steps` along an axis: `[N]`, -1 where a bounded axis ends.

    >>> from geodl.domain import Chain
    >>> shift_nodes(Chain(4), 0, 1).tolist()
    [1, 2, 3, -1]
    """
    lattice = _lattice(domain)
    step = torch.zeros(len(lattice), dtype=torch.long)
    step[axis] = steps
    return _over_fiber(domain, _wrap(coordinates(lattice) + step, domain), None)


def rotate_nodes(domain: Domain, group: Group, element: int) -> Tensor:
    """Let a point group element act on the nodes: `(x, h) -> (g x, g h)`, `[N]`, -1 where a node
    leaves the map.

    Bounded lattices turn about their centre, periodic ones about node 0. Positions are doubled, so
    that the centre of an even axis is no special case.

    >>> from geodl.domain import Grid
    >>> from geodl.group import C
    >>> rotate_nodes(Grid(2, 2), C(4), 1).tolist()
    [2, 0, 3, 1]
    """
    lattice = _lattice(domain)
    if group.axes != len(lattice):
        found = f"a group on {group.axes} axes and a lattice of {len(lattice)}"
        raise GeodlError(
            f"{group} acting on {domain}", found, "use a group that acts on the lattice"
        )
    twice_centre = torch.tensor(
        [0 if wraps else n - 1 for n, wraps in zip(lattice, domain.periodic, strict=True)]
    )
    turned = (2 * coordinates(lattice) - twice_centre) @ group.elements[element].T + twice_centre
    points = _wrap(torch.div(turned, 2, rounding_mode="floor"), domain)
    points[(turned % 2 != 0).any(-1)] = -1
    return _over_fiber(domain, points, (group, element))


def _lattice(domain: Domain) -> tuple[int, ...]:
    if domain.lattice is None:
        raise GeodlError(
            f"shifts and rotations of {domain}",
            "a domain without a lattice",
            "use a Grid, Chain or GroupGrid",
        )
    return domain.lattice


def _wrap(points: Tensor, domain: Domain) -> Tensor:
    assert domain.lattice is not None
    sizes, wraps = torch.tensor(domain.lattice), torch.tensor(domain.periodic)
    return torch.where(wraps, points % sizes, points)


def _over_fiber(domain: Domain, points: Tensor, turned_by: tuple[Group, int] | None) -> Tensor:
    assert domain.lattice is not None
    node = ravel(points, domain.lattice)
    if domain.fiber is None:
        return node
    order = domain.fiber.order
    sheet = torch.arange(order)
    if turned_by is not None:
        group, element = turned_by
        sheet = domain.fiber.tables.product[_within(group, element, domain.fiber)]
    return torch.where(node[:, None] < 0, -1, node[:, None] * order + sheet).reshape(-1)


def _within(group: Group, element: int, fiber: Group) -> int:
    """The number that an element of a group has in the fiber's group."""
    same = (
        (fiber.elements == group.elements[element]).flatten(1).all(1)
        if fiber.axes == group.axes
        else torch.zeros(0)
    )
    if not same.any():
        raise GeodlError(
            f"{group} acting on a fiber of {fiber}",
            f"element {element} not in {fiber}",
            f"ask for a part of {fiber}",
        )
    return int(same.int().argmax())
