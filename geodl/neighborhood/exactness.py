"""At which sizes a window commutes with a point group, exactly.

A window with stride s, padding (p, q), dilation d and size k on an axis of n nodes puts its
receivers at `i * s` and reaches from `i * s - p` to `i * s - p + d (k - 1)`. A reflection about the
axis' centre maps the lattice of receivers to itself when the first window begins as far before the
first node as the last one ends after the last:
`p = (m - 1) s - p + d (k - 1) - (n - 1)` with `m = (n + p + q - d (k - 1) - 1) // s + 1`,
that is `s * ((n + p + q - d (k - 1) - 1) // s) = n + 2 p - d (k - 1) - 1`; for p = q this says that
s divides `n + 2 p - d (k - 1) - 1`. An axis that wraps has no ends: there the
steps must tile it, and the window must be centred up to a multiple of n.
"""

from collections.abc import Callable

import torch

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.group import Group


def is_exact(
    n: int, wraps: bool, size: int, stride: int, dilation: int, padding: tuple[int, int]
) -> bool:
    """Whether a reflection of an axis maps the windows on it to windows.

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


def check_exact(
    asked: str,
    group: Group,
    domain: Domain,
    strides: tuple[int, ...],
    exact: Callable[[int, int], bool],
) -> None:
    """Refuse sizes at which the group does not map the window's receivers to receivers.

    Args:
        asked: the rule and the domain, in words.
        group: the group that must hold.
        domain: where the senders live.
        strides: of the window, for advice on sizes nearby.
        exact: whether an axis (its number, its length) is mapped to itself.

    Raises:
        GeodlError: if the group exchanges axes that are unequal, or an axis is not mapped to
            itself.
    """
    assert domain.lattice is not None
    if group.order == 1:
        return
    # exchanged lists the pairs of axes (a, b) of which some element takes one to the other.
    kinds = list(zip(domain.lattice, domain.periodic, strict=True))
    exchanged = (group.elements.abs().sum(0) > 0).nonzero().tolist()
    if any(kinds[a] != kinds[b] for a, b in exchanged):
        found = f"unequal axes, which {group} exchanges"
        raise GeodlError(asked, found, "use equal axes, or exact=False")
    # An axis that every element leaves alone may have any length.
    identity = torch.eye(group.axes, dtype=torch.long, device="cpu")  # as the group's elements
    moved = (group.elements != identity).any(0).any(1).tolist()
    for axis, n in enumerate(domain.lattice):
        if moved[axis] and not exact(axis, n):
            found = (
                f"an axis of {n} on which the window's steps are not symmetric, so {group} would "
                f"hold only approximately"
            )
            advice = _sizes_nearby(n, strides[axis], lambda m, axis=axis: exact(axis, m))
            raise GeodlError(asked, found, f"{advice}; or pass exact=False")


def _sizes_nearby(n: int, stride: int, exact: Callable[[int], bool]) -> str:
    """The two lengths nearest to n that would do, in words."""
    sizes = [m for m in range(max(1, n - 3 * stride), n + 3 * stride) if exact(m)]
    nearest = sorted(sizes, key=lambda m: abs(m - n))[:2]
    if not nearest:
        return "no nearby length is exact"
    return f"lengths {' and '.join(map(str, sorted(nearest)))} would be exact"
