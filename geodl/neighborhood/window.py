"""Windows: who receives from whom on a lattice, with or without a group, in every convolution."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from geodl.domain import Domain, shift_nodes
from geodl.errors import GeodlError, as_integer
from geodl.group import Group
from geodl.neighborhood.bank import Bank, Entries, bank_of
from geodl.neighborhood.base import Neighborhood, Symmetry, turns
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.exactness import (
    AxisWindow,
    check_exact,
    check_exchanged,
    check_group,
    restored_axis,
)
from geodl.neighborhood.filter_basis import FilterBasis, sampled
from geodl.neighborhood.harmonics import harmonics
from geodl.neighborhood.padding import (
    Padding,
    compact,
    normalize_padding,
    per_axis,
    refuses_boundary,
    refuses_tiling,
    usual_padding,
)
from geodl.neighborhood.places import sending_points
from geodl.neighborhood.reversed import Reversed
from geodl.neighborhood.sheets import SheetEdges
from geodl.neighborhood.structure import Stencil, Structure


@dataclass(frozen=True)
class Window(Neighborhood):
    """A box of offsets around each receiver, made by :func:`window`, :func:`lift` and
    :func:`isotropic`.

    Edges from sender (offset o, group element r) to receiver (0, s) have the type of
    `(s^-1 o, s^-1 r)`. On a basis there is one edge for each function that is not 0 at
    `s^-1 o`, of the type of (function, s^-1 r), its weight the function's value there.

    Attributes:
        size: of the box, for each axis.
        stride: distance between receivers.
        dilation: distance between neighbors.
        padding: (before, after) for each axis.
        group: the group that its edge types respect, or None.
        in_fiber: whether senders have elements of the group.
        out_fiber: whether receivers have.
        exact: whether sizes are refused at which the group's symmetry would be approximate.
        boundary: what the padding stands for. None follows the domain: periodic axes wrap, at a
            border the edge is missing. "zeros" and "circular" are the padding modes of a
            convolution that was converted: such a window refuses a domain that pads otherwise.
        basis: the functions that its filters are sums of, or None for a weight at each place.
        tiled: whether domains are refused around whose axes windows do not go in whole strides, so
            that nodes would be left out.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    group: Group | None = None
    in_fiber: bool = False
    out_fiber: bool = False
    exact: bool = True
    boundary: Literal["zeros", "circular"] | None = None
    basis: FilterBasis | None = None
    tiled: bool = False

    def __repr__(self) -> str:
        name = "isotropic"
        if self.group is None or self.in_fiber:
            name = "window"
        elif self.out_fiber:
            name = "lift"
        parts = ["x".join(map(str, self.size))]
        if set(self.stride) != {1}:
            parts.append(f"stride={compact(self.stride)}")
        if set(self.dilation) != {1}:
            parts.append(f"dilation={compact(self.dilation)}")
        if self.padding != usual_padding(self.size, self.dilation):
            parts.append(f"padding={compact(self.padding)}")
        if self.group is not None:
            parts.append(f"group={self.group}")
        if self.boundary is not None:
            parts.append(f"boundary={self.boundary!r}")
        if self.basis is not None:
            parts.append(f"basis={self.basis}")
        if self.tiled:
            parts.append("tiled=True")
        return f"{name}({', '.join(parts)})"

    @property
    def num_edge_types(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """T: one for each offset, orbit of offsets, or pair of offset and group element; on a basis
        functions stand in the place of offsets.
        """
        if self.group is None and self.basis is None:  # compilers cannot look up the bank
            return math.prod(self.size)
        return self.bank().num_types

    def bank(self) -> Bank:
        """The edge types, or the functions of a basis, at each place for each pair of sheets."""
        return bank_of(self.size, self.group, self.out_fiber, self.in_fiber, self.basis)

    def table(self) -> Tensor:
        """Edge types `[S, R, K]` by the receiver's group element, the sender's, and the offset.

        Raises:
            GeodlError: of a window on a basis, whose places have no type of their own.
        """
        if self.basis is not None:
            asked, do = f"the edge types of {self}", "read rule.bank()"
            raise GeodlError(asked, "a basis, of several types at each place", do)
        return self.bank().edge_type

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        # A union of lattices has no one lattice: its members are folded into the batch, or written
        # out.
        if source.lattice is None or target.lattice is None:
            return ()
        edge_type, basis = self.bank().over(self.size)
        stencil = Stencil(
            in_shape=source.lattice,
            out_shape=target.lattice,
            circular=source.periodic,
            stride=self.stride,
            dilation=self.dilation,
            padding=self.padding,
            edge_type=edge_type,
            basis=basis,
        )
        return (stencil,)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        axes = len(self.size)
        if domain.lattice is None or len(domain.lattice) != axes:
            return f"a window of {axes} axes needs a lattice of {axes} axes"
        if self.group is None and typed and domain.fiber is not None:
            return "typed edges on a fibered domain must name its group: window(..., group=...)"
        wanted = self.group if self.in_fiber else None
        if self.group is not None and domain.fiber != wanted:
            named = "no fiber" if wanted is None else f"a fiber of {wanted}"
            return f"{self} takes a domain with {named}"
        if self.tiled and (reason := refuses_tiling(domain.lattice, domain.periodic, self.stride)):
            return reason
        return refuses_boundary(domain.periodic, self.padding, self.boundary)

    def fan_in(self, domain: Domain | None = None) -> float | None:
        return self.bank().energy()

    def restores(self, domain: Domain) -> Domain:
        reach = tuple(d * (k - 1) for k, d in zip(self.size, self.dilation, strict=True))
        # Windows that keep every length are restored to the very domain, with its axes that wrap.
        keeps = set(self.stride) == {1} and tuple(map(sum, self.padding)) == reach
        if keeps and self.group is None:
            return domain
        asked = f"{self}, reversed, on {domain}"
        if domain.lattice is None or len(domain.lattice) != len(self.size):
            raise GeodlError(asked, "no lattice of as many axes", "choose a window that fits")
        axes = zip(self._axis_windows(), domain.lattice, domain.periodic, strict=True)
        found = [restored_axis(*axis) for axis in axes]
        lengths, wraps = zip(*found, strict=True)
        if min(lengths) < 1:
            found = f"lengths {lengths}"
            raise GeodlError(asked, found, "use a larger grid or less padding")
        fiber = domain.fiber
        if self.group is not None:
            fiber = self.group if self.in_fiber else None
        return domain.replace(lengths, fiber, wraps)

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        if domain.lattice is None:  # a union
            return []
        target = self.target(domain)
        claims = []
        for axis, stride in enumerate(self.stride):
            moves = shift_nodes(domain, axis, stride), shift_nodes(target, axis, 1)
            claims.append(Symmetry(f"shift of axis {axis}", *moves, leaves=True))
        group = self.group
        # Blind to types, a plain window on a fibered domain turns with the fiber's group.
        if group is None and not typed:
            group = domain.acting
        if group is None or not self.exact:
            return claims
        return claims + turns(domain, target, group, group.lattice_generators)

    def edges_to_compare(self, domain: Domain, target: Domain) -> Edges:
        if self.basis is None or domain.is_union or target.is_union:
            return self.edges(domain, target)
        return self._place(self.bank().entries_to_compare(), domain, target)

    def sheets_to_compare(self, domain: Domain, target: Domain) -> SheetEdges | None:
        if domain.is_union or target.is_union:
            return None
        entries, *sheets = self._over_fiber(self.bank().entries_to_compare(), domain)
        return entries.tables(sending_points(self._axis_windows(), domain, target), *sheets)

    def _target(self, domain: Domain) -> Domain:
        lengths, wraps = self._lengths(domain)
        fiber = domain.fiber
        if self.group is not None:
            fiber = self.group if self.out_fiber else None
        # The very same domain, with its plans, wherever nothing changes.
        unchanged = lengths == domain.lattice and wraps == domain.periodic
        if unchanged and domain.fiber is None and fiber is None:
            return domain
        return domain.replace(lengths, fiber, wraps)

    def _lengths(self, domain: Domain) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        """The receivers' lengths, and which axes wrap."""
        if reason := self.refuses(domain, typed=False):
            raise GeodlError(f"{self} on {domain}", reason, "choose a window that fits the domain")
        assert domain.lattice is not None
        lengths, wraps = [], []
        for axis, n in enumerate(domain.lattice):
            reach = self.dilation[axis] * (self.size[axis] - 1) + 1
            padded = n + sum(self.padding[axis])
            if reach > padded:
                found = f"a reach of {reach} on a padded axis of {padded}"
                do = "use a smaller window, more padding or a larger grid"
                raise GeodlError(f"{self} on {domain}", found, do)
            # An axis still wraps when the windows tile it: the last one is followed by the first.
            length = (padded - reach) // self.stride[axis] + 1
            lengths.append(length)
            wraps.append(domain.periodic[axis] and length * self.stride[axis] == n)
        group = self.group or domain.acting
        if self.exact and group is not None:
            check_exact(f"{self} on {domain}", group, domain, self._axis_windows())
        return tuple(lengths), tuple(wraps)

    def _axis_windows(self) -> list[AxisWindow]:
        axes = zip(self.size, self.stride, self.dilation, self.padding, strict=True)
        return [AxisWindow(*numbers) for numbers in axes]

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        return self._place(self.bank().entries(), domain, target)

    def _place(self, entries: Entries, domain: Domain, target: Domain) -> Edges:
        """The edges into every point, made of those into one point."""
        entries, *sheets = self._over_fiber(entries, domain)
        return entries.placed(sending_points(self._axis_windows(), domain, target), *sheets)

    def _over_fiber(self, entries: Entries, domain: Domain) -> tuple[Entries, int, int]:
        """The edges into one point of the domain, and how many sheets receivers and senders have: a
        window without a group is one on each sheet by itself.
        """
        if self.group is None and domain.fiber is not None:
            order = domain.fiber.order
            return entries.on_each_sheet(order), order, order
        sheets_out, sheets_in = self.bank().edge_type.shape[:2]
        return entries, sheets_out, sheets_in


def window(
    size: int | tuple[int, ...],
    axes: int = 2,
    *,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    padding: Padding = None,
    group: Group | None = None,
    exact: bool = True,
    basis: FilterBasis | Tensor | None = None,
) -> Window:
    """The window of a convolution: each receiver takes a box of senders, one weight for each
    offset.

    With a group it maps a fibered domain to a fibered domain (the group convolution of Cohen and
    Welling 2016). A group that does not map the lattice to itself, as C(8), needs a basis, by
    default `harmonics()`: its quarter turns are exact, those between are approximated.

    Args:
        size: window size, one for all axes or one for each; odd or even.
        axes: number of lattice axes, when `size` is one number.
        stride: distance between receivers.
        dilation: distance between neighbors.
        padding: "same" (odd windows), "valid", "causal" (only what came before), a number, or for
            each axis a number or a pair (before, after). None is "same" for odd windows, "valid"
            for an even window whose stride is its size. Periodic axes wrap, others are padded with
            nothing: an edge to the outside does not exist.
        group: the group of the fiber on both sides.
        exact: refuse sizes at which the group's symmetry would be approximate.
        basis: what filters are sums of, one weight for each function: a tensor `[*kernel, T]` of
            values, or functions: `harmonics()`, `gabor()`, `gaussian_derivatives()`. A basis that
            learns is no rule but a parametrization of `Conv.weight`.

    Raises:
        GeodlError: if a size is not a positive integer, an even window has "same", or the group or
            the basis does not fit.

    >>> window(3)
    window(3x3)
    >>> window(3).num_edge_types, window(2, stride=2).num_edge_types
    (9, 4)
    """
    both = group is not None
    if both:
        check_group(f"window({size!r})", group)
    return _window(size, axes, stride, dilation, padding, group, exact, basis, (both, both))


def lift(
    size: int | tuple[int, ...],
    *,
    group: Group,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    padding: Padding = None,
    exact: bool = True,
    basis: FilterBasis | Tensor | None = None,
) -> Window:
    """A window from a lattice to the lattice times a group: the first layer of a group CNN.
    Arguments as in `window`.

    >>> from geodl.group import C
    >>> from geodl.domain import Grid
    >>> lift(3, group=C(4)).target(Grid(5, 5))
    GroupGrid(Grid(5, 5), C4)
    """
    check_group(f"lift({size!r})", group)
    sides = False, True
    return _window(size, group.axes, stride, dilation, padding, group, exact, basis, sides)


def isotropic(
    size: int | tuple[int, ...],
    *,
    group: Group,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    padding: Padding = None,
    exact: bool = True,
    basis: FilterBasis | Tensor | None = None,
) -> Window:
    """A window from lattice to lattice in which offsets that the group exchanges share a weight.
    Arguments as in `window`.

    >>> from geodl.group import D
    >>> isotropic(3, group=D(4)).num_edge_types  # the centre, the four neighbours, the four corners
    3
    """
    check_group(f"isotropic({size!r})", group)
    sides = False, False
    return _window(size, group.axes, stride, dilation, padding, group, exact, basis, sides)


def _window(
    size: int | tuple[int, ...],
    axes: int,
    stride: int | tuple[int, ...],
    dilation: int | tuple[int, ...],
    padding: Padding,
    group: Group | None,
    exact: bool,
    basis: FilterBasis | Tensor | None,
    sides: tuple[bool, bool],
) -> Window:
    """The window whose senders and receivers have a fiber as `sides` says."""
    if isinstance(size, tuple):
        axes = len(size)
    elif group is not None:
        axes = group.axes
    asked = f"a window of size {size}"
    axes = as_integer(axes) or 0
    if axes not in (1, 2, 3) or (group is not None and group.axes != axes):
        found = f"{axes} axes with group {group}"
        raise GeodlError(asked, found, "use one to three axes, and a group that acts on as many")
    sizes = per_axis(asked, size, axes)
    strides = per_axis(asked, stride, axes)
    dilations = per_axis(asked, dilation, axes)
    pairs = normalize_padding(asked, padding, sizes, strides, dilations)
    if basis is None and group is not None and not group.action.exact:
        basis = harmonics()
    elif basis is not None and not isinstance(basis, FilterBasis):
        basis = sampled(asked, basis)
    rule = Window(sizes, strides, dilations, pairs, group, *sides, exact=exact, basis=basis)
    rule.bank()  # refuses a box that the group does not map to itself, a basis that does not fit
    if exact and group is not None:
        check_exchanged(asked, group, rule._axis_windows())
    return rule
