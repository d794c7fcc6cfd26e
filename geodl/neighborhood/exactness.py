"""At which sizes a window commutes with a point group, exactly.

A window with stride s, padding (p, q), dilation d and size k on an axis of n nodes puts its
receivers at `i * s` and reaches from `i * s - p` to `i * s - p + d (k - 1)`. A reflection about the
axis' centre maps the lattice of receivers to itself when the first window begins as far before the
first node as the last one ends after the last:
`p = (m - 1) s - p + d (k - 1) - (n - 1)` with `m = (n + p + q - d (k - 1) - 1) // s + 1`,
that is `s * ((n + p + q - d (k - 1) - 1) // s) = n + 2 p - d (k - 1) - 1`; for p = q this says that
s divides `n + 2 p - d (k - 1) - 1`. An axis that wraps has no ends: there the
steps must tile it, and the window must be centred up to a multiple of n.

An exchange of two axes needs no more than windows that are alike on both: it takes n x m nodes to
m x n, the receivers of the one lattice to those of the other, and each axis keeps its length. So
the axes need not be equal: a group is exact where each axis that it reflects obeys its own rule.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.group import EXACT, MOST_ELEMENTS, Group, in_words


class InexactSize(GeodlError):
    """A size at which a group's symmetry would hold only approximately.

    Containers catch it and raise it again with the sizes of their own input that are exact.
    """


class AxisWindow(NamedTuple):
    """A window along one axis: size, stride, dilation and the padding (before, after)."""

    size: int
    stride: int
    dilation: int
    padding: tuple[int, int]


def restored_axis(axis: AxisWindow, n: int, wraps: bool) -> tuple[int, bool]:
    """The shortest axis that a window maps to one of n nodes, and whether it wraps.

    >>> halving = AxisWindow(3, 2, 1, (1, 1))
    >>> restored_axis(halving, 4, False), restored_axis(halving, 4, True)
    ((7, False), (8, True))
    """
    reach, padding = axis.dilation * (axis.size - 1), sum(axis.padding)
    tiled = n * axis.stride
    # Windows that tile an axis around lead back to it: n of them, one each stride.
    if wraps and (tiled + padding - reach - 1) // axis.stride + 1 == n:
        return tiled, True
    # The n windows span so many places, some of which are padding. More nodes may have been there,
    # which no window reached: the smallest domain is taken.
    span = (n - 1) * axis.stride + reach + 1
    return span - padding, False


def is_exact(
    n: int, wraps: bool, size: int, stride: int, dilation: int, padding: tuple[int, int]
) -> bool:
    """Whether a reflection of an axis maps the windows on it to windows.

    Args:
        n: nodes on the axis.
        wraps: whether its last node is followed by its first.
        size: of the window, as the other numbers along this axis.
        stride: distance between receivers.
        dilation: distance between neighbors.
        padding: (before, after).

    >>> is_exact(28, False, 2, 2, 1, (0, 0)), is_exact(29, False, 2, 2, 1, (0, 0))
    (True, False)
    """
    before, after = padding
    reach = dilation * (size - 1)
    room = n + before + after - reach - 1
    if wraps:
        tiles = n % stride == 0 and room // stride + 1 == n // stride
        return tiles and (reach - 2 * before) % n == 0
    return room >= 0 and stride * (room // stride) == room + before - after


def reflected_axes(group: Group) -> list[bool]:
    """For each axis of a lattice, whether some element of a point group reflects it.

    >>> from geodl.group import C
    >>> reflected_axes(C(4)), reflected_axes(C(1))
    ([True, True], [False, False])
    """
    return (_on_lattice(group) < 0).any(0).any(0).tolist()


def _on_lattice(group: Group) -> Tensor:
    """The integer matrices among those of a group: of C(8) the quarter turns."""
    return group.action.matrices[group.action.keeps_lattice]


def check_group(asked: str, group: Any) -> None:
    """Refuse what is no group, a name among them; one that acts on no lattice; one of too many
    elements to list their products.

    Raises:
        GeodlError: for each of these.
    """
    if not isinstance(group, Group):
        raise GeodlError(asked, f"group={group!r}", "give a group, as C(4)")
    if group.axes == 0:
        do = f"{EXACT}; others are given with matrices, Group(generators, matrices)"
        raise GeodlError(asked, f"{group}, a group that acts on no lattice", do)
    if group.order > MOST_ELEMENTS:
        found = f"{group}, whose {in_words(group.order)} elements are too many to list"
        raise GeodlError(asked, found, f"use a group of at most {MOST_ELEMENTS}, as C(16)")


def check_exchanged(asked: str, group: Group, windows: Sequence[AxisWindow]) -> None:
    """Refuse windows that differ on axes which some element of a group exchanges.

    Raises:
        GeodlError: if two of these axes differ in size, stride, dilation or padding.
    """
    exchanged = (_on_lattice(group) != 0).any(0).nonzero().tolist()
    if any(windows[a] != windows[b] for a, b in exchanged):
        found = f"windows that differ on axes which {group} exchanges"
        do = "use equal sizes, strides, dilations and padding, or exact=False"
        raise GeodlError(asked, found, do)


def check_exact(asked: str, group: Group, domain: Domain, windows: Sequence[AxisWindow]) -> None:
    """Refuse windows and sizes at which the group does not map the windows to windows.

    Args:
        asked: the rule and the domain, in words.
        group: the group that must hold.
        domain: where the senders live.
        windows: the numbers of each axis' window.

    Raises:
        GeodlError: if the group exchanges axes whose windows differ.
        InexactSize: if an axis that it reflects is not mapped to itself.
    """
    assert domain.lattice is not None
    check_exchanged(asked, group, windows)
    for axis, reflected in enumerate(reflected_axes(group)):
        n, wraps = domain.lattice[axis], domain.periodic[axis]
        if reflected and not is_exact(n, wraps, *windows[axis]):
            found = (
                f"an axis of {n} on which the window's steps are not symmetric, so {group} would "
                f"hold only approximately"
            )
            advice = _sizes_nearby(n, wraps, windows[axis])
            raise InexactSize(asked, found, f"{advice}; or pass exact=False")


def _sizes_nearby(n: int, wraps: bool, window: AxisWindow) -> str:
    """The two lengths nearest to n at which the window is exact, in words."""
    reach = 3 * window.stride
    sizes = [m for m in range(max(1, n - reach), n + reach) if is_exact(m, wraps, *window)]
    nearest = sorted(sizes, key=lambda m: abs(m - n))[:2]
    if not nearest:
        return "no nearby length is exact"
    return f"lengths {' and '.join(map(str, sorted(nearest)))} would be exact"
