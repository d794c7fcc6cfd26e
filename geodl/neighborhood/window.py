"""Windows: who hears whom on a lattice, with or without a group. The rule of every convolution."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geodl.domain import Domain, coordinates, ravel, rotate_nodes, shift_nodes
from geodl.errors import GeodlError
from geodl.group import Group
from geodl.neighborhood.base import Edges, Neighborhood, Stencil, Symmetry
from geodl.neighborhood.box import (
    Padding,
    compact,
    normalize_padding,
    per_axis,
    same_padding,
    type_table,
)


@dataclass(frozen=True)
class Window(Neighborhood):
    """A box of offsets around each receiver, made by :func:`window`, :func:`lift` and
    :func:`isotropic`.

    Edges from sender (offset o, group element r) to receiver (0, s) have the type of `(s^-1 o, s^-1
    r)`.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    group: Group | None = None
    hears_fiber: bool = False
    makes_fiber: bool = False
    exact: bool = True

    def __repr__(self) -> str:
        name = (
            "window"
            if self.group is None or self.hears_fiber
            else ("lift" if self.makes_fiber else "isotropic")
        )
        parts = ["x".join(map(str, self.size))]
        parts += [f"stride={compact(self.stride)}"] if set(self.stride) != {1} else []
        parts += [f"dilation={compact(self.dilation)}"] if set(self.dilation) != {1} else []
        usual = (
            same_padding(self.size, self.dilation)
            if all(k % 2 for k in self.size)
            else ((0, 0),) * len(self.size)
        )
        parts += [] if self.padding == usual else [f"padding={compact(self.padding)}"]
        parts += [f"group={self.group}"] if self.group else []
        return f"{name}({', '.join(parts)})"

    @property
    def num_edge_types(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """T: one for each offset, orbit of offsets, or pair of offset and group element."""
        return int(self.table().max()) + 1

    @property
    def back(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        """The reach of a causal window of stride 1 on one axis."""
        reach = self.dilation[0] * (self.size[0] - 1)
        return reach if self.stride == (1,) and self.padding == ((reach, 0),) else None

    def table(self) -> Tensor:
        """Edge types `[S, R, K]` by the receiver's group element, the sender's, and the offset."""
        return type_table(self.size, self.group, self.makes_fiber, self.hears_fiber)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        if domain.lattice is None or len(domain.lattice) != len(self.size):
            return f"a window of {len(self.size)} axes needs a lattice of {len(self.size)} axes"
        if self.group is None:
            return (
                "typed edges on a fibered domain must name its group: window(..., group=...)"
                if typed and domain.fiber
                else ""
            )
        if domain.fiber != (self.group if self.hears_fiber else None):
            wanted = f"a fiber of {self.group}" if self.hears_fiber else "no fiber"
            return f"{self} hears a domain with {wanted}"
        return ""

    def fan_in(self, domain: Domain | None = None) -> int:
        return len(coordinates(self.size)) * (
            self.group.order if self.group and self.hears_fiber else 1
        )

    def _target(self, domain: Domain) -> Domain:
        lengths, wraps = self._lengths(domain)
        fiber = domain.fiber if self.group is None else (self.group if self.makes_fiber else None)
        if (
            domain.fiber is None
            and fiber is None
            and lengths == domain.lattice
            and wraps == domain.periodic
        ):
            return domain
        return domain.replace(lengths, fiber, wraps)

    def _lengths(self, domain: Domain) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        if reason := self.refuses(domain, typed=False):
            raise GeodlError(f"{self} on {domain}", reason, "choose a window that fits the domain")
        assert domain.lattice is not None
        lengths, wraps = [], []
        for axis, n in enumerate(domain.lattice):
            room = n + sum(self.padding[axis]) - self.dilation[axis] * (self.size[axis] - 1) - 1
            if room < 0:
                reach, padded = (
                    self.dilation[axis] * (self.size[axis] - 1) + 1,
                    n + sum(self.padding[axis]),
                )
                found = f"a reach of {reach} on a padded axis of {padded}"
                raise GeodlError(
                    f"{self} on {domain}",
                    found,
                    "use a smaller window, more padding or a larger grid",
                )
            lengths.append(room // self.stride[axis] + 1)
            wraps.append(domain.periodic[axis] and lengths[-1] * self.stride[axis] == n)
        if self.exact and (self.group is not None or domain.fiber is not None):
            self._hold_exact(domain)
        return tuple(lengths), tuple(wraps)

    def _hold_exact(self, domain: Domain) -> None:
        """Refuse sizes at which the lattice's points are not mapped to the lattice's points by the
        group.
        """
        group = self.group or domain.fiber
        assert domain.lattice is not None and group is not None
        if group.order == 1:
            return
        exchanged = group.elements.abs().sum(0) > 0
        kinds = list(zip(domain.lattice, domain.periodic, strict=True))
        if any(kinds[a] != kinds[b] for a, b in exchanged.nonzero().tolist()):
            raise GeodlError(
                f"{self} on {domain}",
                f"unequal axes, which {group} exchanges",
                "use equal axes, or exact=False",
            )

        def exact(axis: int, n: int) -> bool:
            low, high = self.padding[axis]
            reach, stride = self.dilation[axis] * (self.size[axis] - 1), self.stride[axis]
            room = n + low + high - reach - 1
            if domain.periodic[axis]:
                return (
                    n % stride == 0
                    and room // stride + 1 == n // stride
                    and (reach - 2 * low) % n == 0
                )
            return room >= 0 and stride * (room // stride) == room + low - high

        moved = (group.elements != torch.eye(group.axes, dtype=torch.long)).any(0).any(1).tolist()
        for axis, n in enumerate(domain.lattice):
            if moved[axis] and not exact(axis, n):
                sizes = [
                    m
                    for m in range(max(1, n - 3 * self.stride[axis]), n + 3 * self.stride[axis])
                    if exact(axis, m)
                ]
                near = sorted(sorted(sizes, key=lambda m, n=n: abs(m - n))[:2])
                advice = (
                    f"lengths {' and '.join(map(str, near))} would be exact"
                    if near
                    else "no nearby length is exact"
                )
                found = (
                    f"an axis of {n} on which the window's steps are not symmetric, "
                    f"so {group} would hold only approximately"
                )
                raise GeodlError(f"{self} on {domain}", found, f"{advice}; or pass exact=False")

    def restores(self, domain: Domain) -> Domain:
        reach = tuple(d * (k - 1) for k, d in zip(self.size, self.dilation, strict=True))
        if (
            self.stride == (1,) * len(self.size)
            and tuple(map(sum, self.padding)) == reach
            and self.group is None
        ):
            return domain
        if domain.lattice is None or len(domain.lattice) != len(self.size):
            raise GeodlError(
                f"{self}, reversed, on {domain}",
                "no lattice of as many axes",
                "choose a window that fits",
            )
        lengths = tuple(
            (n - 1) * self.stride[a]
            - sum(self.padding[a])
            + self.dilation[a] * (self.size[a] - 1)
            + 1
            for a, n in enumerate(domain.lattice)
        )
        if min(lengths) < 1:
            raise GeodlError(
                f"{self}, reversed, on {domain}",
                f"lengths {lengths}",
                "use a larger grid or less padding",
            )
        fiber = domain.fiber if self.group is None else (self.group if self.hears_fiber else None)
        return domain.replace(lengths, fiber, (False,) * len(lengths))

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        assert domain.lattice is not None and target.lattice is not None
        table = self.table()
        offsets = coordinates(self.size) * torch.tensor(self.dilation) - torch.tensor(
            [low for low, _ in self.padding]
        )
        heard = (
            coordinates(target.lattice)[:, None] * torch.tensor(self.stride) + offsets
        )  # [M, K, d]
        heard = torch.where(
            torch.tensor(domain.periodic), heard % torch.tensor(domain.lattice), heard
        )
        src = ravel(heard, domain.lattice)[:, None, None, :]
        dst = torch.arange(len(heard))[:, None, None, None]
        inside = src >= 0
        if self.group is None and domain.fiber is not None:  # each sheet for itself
            sheet = torch.arange(domain.fiber.order)[None, :, None, None]
            dst, src = dst * domain.fiber.order + sheet, src * domain.fiber.order + sheet
        else:
            made, heard_sheets, _ = table.shape
            dst = dst * made + torch.arange(made)[None, :, None, None]
            src = src * heard_sheets + torch.arange(heard_sheets)[None, None, :, None]
        dst, src, kind, inside = torch.broadcast_tensors(dst, src, table[None], inside)
        return Edges(dst[inside], src[inside], kind[inside])

    def stencil(self, domain: Domain, target: Domain) -> Stencil | None:
        if domain.lattice is None or target.lattice is None:
            return None
        table = self.table().unflatten(2, self.size)
        return Stencil(
            domain.lattice,
            target.lattice,
            domain.periodic,
            self.stride,
            self.dilation,
            self.padding,
            table,
        )

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        target, claims = self.target(domain), []
        if domain.lattice is None:  # a union
            return claims
        for axis, stride in enumerate(self.stride):
            claims.append(
                Symmetry(
                    f"shift of axis {axis}",
                    shift_nodes(domain, axis, stride),
                    shift_nodes(target, axis, 1),
                    leaves=True,
                )
            )
        group = self.group or (domain.fiber if not typed else None)
        if group is not None and self.exact:
            claims += [
                Symmetry(
                    f"{group} element {k}",
                    rotate_nodes(domain, group, k),
                    rotate_nodes(target, group, k),
                )
                for k in group.generators
            ]
        return claims


def window(
    size: int | tuple[int, ...],
    axes: int = 2,
    *,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    padding: Padding = None,
    group: Group | None = None,
    exact: bool = True,
) -> Window:
    """The window of a convolution: each receiver hears a box of senders, one weight for each
    offset.

    With a group it maps a fibered domain to a fibered domain (the group convolution of Cohen and
    Welling 2016).

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

    Raises:
        GeodlError: sizes that are no positive integers, an even window with "same", a group that
            does not fit.

    >>> window(3)
    window(3x3)
    >>> window(3).num_edge_types, window(2, stride=2).num_edge_types
    (9, 4)
    """
    plain = _window(size, axes, stride, dilation, padding, group, exact)
    return plain if group is None else replace(plain, hears_fiber=True, makes_fiber=True)


def lift(
    size: int | tuple[int, ...],
    *,
    group: Group,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    padding: Padding = None,
    exact: bool = True,
) -> Window:
    """A window from a lattice to the lattice times a group: the first layer of a group CNN.
    Arguments as in `window`.

    >>> from geodl.group import C
    >>> from geodl.domain import Grid
    >>> lift(3, group=C(4)).target(Grid(5, 5))
    GroupGrid(Grid(5, 5), C4)
    """
    return replace(
        _window(size, group.axes, stride, dilation, padding, group, exact), makes_fiber=True
    )


def isotropic(
    size: int | tuple[int, ...],
    *,
    group: Group,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    padding: Padding = None,
    exact: bool = True,
) -> Window:
    """A window from lattice to lattice in which offsets that the group exchanges share a weight.
    Arguments as in `window`.

    >>> from geodl.group import D
    >>> isotropic(3, group=D(4)).num_edge_types  # the centre, the four neighbours, the four corners
    3
    """
    return _window(size, group.axes, stride, dilation, padding, group, exact)


def _window(size, axes, stride, dilation, padding, group: Group | None, exact: bool) -> Window:
    axes = len(size) if isinstance(size, tuple) else (group.axes if group else axes)
    asked = f"a window of size {size}"
    if (group is not None and group.axes != axes) or axes not in (1, 2, 3):
        raise GeodlError(
            asked,
            f"{axes} axes with group {group}",
            "use one to three axes, and a group that acts on as many",
        )
    sizes, strides, dilations = (per_axis(asked, n, axes) for n in (size, stride, dilation))
    rule = Window(
        sizes,
        strides,
        dilations,
        normalize_padding(asked, padding, sizes, strides, dilations),
        group,
        exact=exact,
    )
    if group is not None:
        rule.table()  # refuses a box that the group does not map to itself
        if len(set(zip(strides, dilations, rule.padding, strict=True))) > 1 and exact:
            raise GeodlError(
                asked,
                f"axes that {group} exchanges but that differ",
                "use equal strides, dilations and padding",
            )
    return rule
