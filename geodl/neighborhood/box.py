"""The arithmetic of boxes of offsets: their sizes, their padding, and which offsets a group makes
one.
"""

from functools import lru_cache

import torch
from torch import Tensor

from geodl.domain import coordinates, ravel
from geodl.errors import GeodlError
from geodl.group import Group, cached_constants

Padding = str | int | tuple[int | tuple[int, int], ...] | None


@lru_cache(maxsize=256)
@cached_constants()
def type_table(
    size: tuple[int, ...], group: Group | None, makes_fiber: bool, hears_fiber: bool
) -> Tensor:
    """The edge type of every (receiver's group element s, sender's r, offset o): `[S, R, K]`.

    Pairs that the group carries to each other share a type: `(s, (o, r))` and `(0, (s^-1 o, s^-1
    r))`. Offsets are measured from the centre of the box and doubled, so that a box of even size is
    no special case.
    """
    if group is None:
        return torch.arange(len(coordinates(size)))[None, None]
    centre = torch.tensor(size) - 1
    twice = torch.einsum("gij,kj->gki", group.elements, 2 * coordinates(size) - centre)
    moved = ravel(
        torch.div(twice + centre, 2, rounding_mode="floor"), size
    )  # [g, k]: where g takes offset k
    if (moved < 0).any() or ((twice + centre) % 2 != 0).any():
        raise GeodlError(
            f"a box of {size} under {group}",
            "offsets that the group carries out of the box",
            "use equal sizes",
        )
    product, inverse = group.tables.product, group.tables.inverse
    if makes_fiber and hears_fiber:
        return moved[inverse][:, None, :] * group.order + product[inverse][:, :, None]
    if makes_fiber:
        return moved[inverse][:, None, :]
    least = moved.min(0).values  # the first offset of each orbit
    return torch.unique(least, return_inverse=True)[1][None, None]


def per_axis(asked: str, value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """One positive integer for each axis."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    if len(values) != axes or any(
        isinstance(v, bool) or not isinstance(v, int) or v < 1 for v in values
    ):
        raise GeodlError(
            asked, f"{value!r} for {axes} axes", "give a positive integer, or one for each axis"
        )
    return values


def same_padding(size: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """The padding that keeps the length of odd windows at stride 1."""
    return tuple(((k - 1) * d // 2, (k - 1) * d // 2) for k, d in zip(size, dilation, strict=True))


def normalize_padding(
    asked: str,
    padding: Padding,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """Padding in any of its notations as (before, after) for each axis."""
    odd = all(k % 2 for k in size)
    if padding is None:
        if not odd and size != stride:
            raise GeodlError(
                asked,
                "an even size without padding",
                'pass padding="valid", a number or a pair for each axis',
            )
        padding = "same" if odd else "valid"
    if padding == "same":
        if not odd:
            raise GeodlError(
                asked,
                'padding="same" with an even size, which has no centre',
                "use an odd size, or pairs",
            )
        return same_padding(size, dilation)
    if padding == "valid":
        return ((0, 0),) * len(size)
    if padding == "causal":
        return tuple(((k - 1) * d, 0) for k, d in zip(size, dilation, strict=True))
    if isinstance(padding, str):
        raise GeodlError(
            asked, f"padding={padding!r}", 'use "same", "valid", "causal", a number or pairs'
        )
    each = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * len(size)
    both = tuple(tuple(p) if isinstance(p, (tuple, list)) else (p, p) for p in each)
    if len(both) != len(size) or any(
        len(p) != 2 or any(type(n) is not int or n < 0 for n in p) for p in both
    ):
        raise GeodlError(
            asked, f"padding={padding!r}", "give non-negative numbers, one or a pair for each axis"
        )
    return tuple((p[0], p[1]) for p in both)


def compact(values: tuple) -> str:
    """(2, 2) as 2."""
    if len(set(values)) > 1:
        return str(values)
    return compact(values[0]) if isinstance(values[0], tuple) else str(values[0])
