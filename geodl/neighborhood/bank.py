"""The edge type at each place of a window, for each pair of sheets; on a basis the values of the
functions there, and the type of each function.

For receivers at (0, s) and senders at (o, r), s and r elements of a group G, equivariance asks that
the filter `h_s,r(o)` depends on the pair `(s^-1 o, s^-1 r)` alone: `h_s,r(o) = h_e,s^-1 r(s^-1 o)`.
So there is one free filter for each q = s^-1 r; in a basis psi_t of functions it is
`h_e,q(o) = sum_t psi_t(o) W_(t,q)`, and all others follow:

    h_s,r(o) = sum_t psi_t(s^-1 o) W_(t, s^-1 r).

Of J functions and |G| elements the group convolution has J |G| types, numbered `t |G| + q`; a
lifting convolution, whose senders have no r, has J; an isotropic window, whose receivers have no s,
needs `h(o) = h(s^-1 o)`, which the means of the functions over the group have, and has as many
types as there are different ones. A plain table of edge types is the case in which psi_t is 1 at
place t and 0 elsewhere. Where `s^-1` carries places of the window to places, the sampled filters
commute with it exactly; where it does not (45 degrees), psi_t is turned as a function and sampled
then, and the filters commute with it up to what sampling loses.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import coordinates
from geodl.errors import GeodlError
from geodl.group import Group
from geodl.neighborhood.edge_types import type_table
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.filter_basis import FilterBasis
from geodl.neighborhood.sheets import SheetEdges

ZERO = 1e-12  # values of a function of norm 1 up to this are rounding errors of 0
SAME = 1e-12  # the largest difference between two values that count as equal
DEPENDENT = 1e-6  # a function whose rest outside the span of others is shorter depends on them


class Bank(NamedTuple):
    """The edges into one receiver of each sheet, over the K places of a window.

    Attributes:
        edge_type: `[S, R, K]` the type of the edge at each place; on a basis `[S, R, J]` the types
            of the functions that act between two sheets.
        basis: `[S, R, K, J]` their values in float64, None without a basis.
    """

    edge_type: Tensor
    basis: Tensor | None = None

    @property
    @cached_constants()
    def num_types(self) -> int:
        """T."""
        return int(self.edge_type.max()) + 1

    def entries(self) -> "Entries":
        """Every edge into one point."""
        if self.basis is None:
            s, r, place = torch.ones_like(self.edge_type).nonzero().unbind(1)
            return Entries(s, r, place, self.edge_type.flatten(), None)
        s, r, place, j = self.basis.nonzero().unbind(1)
        return Entries(s, r, place, self.edge_type[s, r, j], self.basis[s, r, place, j])

    def entries_to_compare(self) -> "Entries":
        """The edges into one point, with one edge for all those between two nodes: two of them have
        the same type where the same functions have the same values, to rounding.

        On a basis there are J edges between two nodes where a plain window has one. Whether a
        symmetry keeps the edges can be decided from these few.
        """
        if self.basis is None:
            return self.entries()
        rows = self.basis.flatten(0, 2)
        # Equal rows have equal projections on a line of random direction. Different rows have
        # different ones with probability 1; whether they do is checked below.
        direction = torch.rand(rows.shape[1], generator=torch.Generator().manual_seed(0)).double()
        projection, order = (rows @ direction).sort()
        number = torch.zeros_like(order)
        number[order[1:]] = (projection.diff() > SAME).cumsum(0)
        of_number = torch.zeros_like(order).scatter(0, number, torch.arange(len(rows)))
        if float((rows - rows[of_number[number]]).abs().max()) > SAME * rows.shape[1]:
            return self.entries()
        sets = torch.unique(self.edge_type.flatten(0, 1), dim=0, return_inverse=True)[1]
        types = number.view(self.basis.shape[:3]) * (int(sets.max()) + 1)
        types = types + sets.view(*self.edge_type.shape[:2], 1)
        s, r, place = self.basis.any(3).nonzero().unbind(1)
        return Entries(s, r, place, types[s, r, place], None)

    def over(self, size: tuple[int, ...]) -> "Bank":
        """The bank with its K places as a box: `[S, R, *size]`, or `[S, R, *size, J]`."""
        if self.basis is None:
            return Bank(self.edge_type.unflatten(2, size))
        return Bank(self.edge_type, self.basis.unflatten(2, size))

    @cached_constants()
    def energy(self) -> float:
        """The sum of squares of the weights on the edges into a node, in the mean over the
        receivers' sheets; without a basis each weight is 1.
        """
        if self.basis is None:
            return float(self.edge_type[0].numel())
        return float(self.basis.square().sum()) / len(self.basis)


class Entries(NamedTuple):
    """The edges into one point: sheets of receiver and sender, place in the window, type, and
    weight on a basis; `[P]` each.
    """

    receiver: Tensor
    sender: Tensor
    place: Tensor
    type: Tensor
    weight: Tensor | None

    def on_each_sheet(self, count: int) -> "Entries":
        """Those of one sheet on each of several, which have no edges between them."""
        sheet = torch.arange(count).repeat_interleave(len(self.place))
        weight = self.weight
        if weight is not None:
            weight = weight.repeat(count)
        return Entries(sheet, sheet, self.place.repeat(count), self.type.repeat(count), weight)

    def placed(self, senders: Tensor, sheets_out: int, sheets_in: int) -> Edges:
        """The edges into every point.

        Args:
            senders: `[M, K]` the point at each place of each receiver's window, -1 outside.
            sheets_out: of the receivers' fiber; sheets are the fastest index of a node.
            sheets_in: of the senders' fiber.
        """
        point = senders[:, self.place]
        inside = point >= 0
        receiver = torch.arange(len(point))[:, None]
        dst = (receiver * sheets_out + self.receiver)[inside]
        src = (point * sheets_in + self.sender)[inside]
        weight = self.weight
        if weight is not None:
            weight = weight.expand_as(inside)[inside]
        return Edges(dst, src, self.type.expand_as(inside)[inside], weight)

    def tables(self, senders: Tensor, sheets_out: int, sheets_in: int) -> SheetEdges | None:
        """The edges into every point, as :meth:`placed` writes them out, with a table of types for
        each place of the window; None where edges carry weights, or where the tables would be
        larger than the edges.
        """
        num_receivers, num_places = senders.shape
        shape = num_places, sheets_out, sheets_in
        if self.weight is not None or math.prod(shape) > num_receivers * len(self.place):
            return None
        types = torch.full(shape, -1)
        types[self.place, self.receiver, self.sender] = self.type
        inside = senders >= 0
        dst, place = inside.nonzero().unbind(1)
        return SheetEdges(dst, senders[inside], place, types)


@lru_cache(maxsize=256)
@cached_constants()
def bank_of(
    size: tuple[int, ...],
    group: Group | None,
    out_fiber: bool,
    in_fiber: bool,
    basis: FilterBasis | None,
) -> Bank:
    """The bank of a window; it is kept by the values of all arguments.

    Args:
        size: of the window.
        group: the group that it respects, or None.
        out_fiber: whether receivers have group elements (S = |G|, else 1).
        in_fiber: whether senders have (R = |G|, else 1).
        basis: the functions, or None for one type a place.

    Raises:
        GeodlError: if the group does not map the window's places to places, where they need it; if
            the functions do not fit the window.
    """
    if basis is None:
        return Bank(type_table(size, group, out_fiber, in_fiber))
    points = coordinates(size) - (torch.tensor(size, dtype=torch.float64) - 1) / 2
    if group is None:
        values = basis.at(points, size)[None]
    else:
        # turned[s, k] = s^-1 o_k
        matrices = group.action.matrices[group.tables.inverse].double()
        turned = torch.einsum("gij,kj->gki", matrices, points)
        values = basis.at(turned, size)
    if group is not None and not out_fiber:
        asked = f"an isotropic window of {size} on {basis} under {group}"
        values = _independent(asked, values.mean(0))[None]
    if basis.is_scaled:
        values = _scaled(f"a window of {size} on {basis}", values)
    functions = torch.arange(values.shape[2])
    if group is None or not in_fiber:
        edge_type = functions.expand(len(values), 1, -1)
        return Bank(edge_type, values[:, None])
    product, inverse = group.tables.product, group.tables.inverse
    edge_type = functions * group.order + product[inverse][:, :, None]
    # All senders' sheets share the values, which stand in memory once.
    return Bank(edge_type, values[:, None].expand(-1, group.order, -1, -1))


def _scaled(asked: str, values: Tensor) -> Tensor:
    """Functions `[S, K, J]` of norm 1 in the mean over s, so that weights of deviation
    `1 / sqrt(3 n)`, n the number of products in an output, give outputs of the deviation that
    `nn.Conv2d` has. One factor for all s: another one for each would break equivariance.

    Raises:
        GeodlError: if a function is 0 at every place.
    """
    norms = values.square().sum(1).mean(0).sqrt()
    if float(norms.min()) < ZERO:
        found = "a function that is 0 at every place"
        raise GeodlError(asked, found, "use a larger window, or fewer functions")
    values = values / norms
    # A zero that rounding missed would be an edge that the turned window has not.
    return values.where(values.abs() > ZERO, 0.0)


def _independent(asked: str, values: Tensor) -> Tensor:
    """Those of the functions `[K, J]` that are no linear combinations of the ones before them.

    Raises:
        GeodlError: if all of them are 0.
    """
    kept: list[int] = []
    orthonormal = values.new_zeros(len(values), 0)
    for j, function in enumerate(values.T):
        rest = function - orthonormal @ (orthonormal.T @ function)
        if float(rest.norm()) > DEPENDENT:
            kept.append(j)
            orthonormal = torch.cat((orthonormal, rest[:, None] / rest.norm()), dim=1)
    if not kept:
        raise GeodlError(asked, "no function that the group leaves as it is", "use harmonics()")
    return values[:, kept].where(values[:, kept].abs() > ZERO, 0.0)
