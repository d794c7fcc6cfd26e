"""Which offsets of a box share a weight: the edge types of windows, with or without a group."""

from functools import lru_cache

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import coordinates, ravel
from geodl.errors import GeodlError
from geodl.group import Group


@lru_cache(maxsize=256)
@cached_constants()
def type_table(
    size: tuple[int, ...], group: Group | None, out_fiber: bool, in_fiber: bool
) -> Tensor:
    """The edge type of every (receiver's group element s, sender's r, offset o): `[S, R, K]`.

    Pairs that the group carries to each other share a type: `(s, (o, r))` and
    `(0, (s^-1 o, s^-1 r))`. Offsets are measured from the centre of the box and doubled, so that a
    box of even size is not a special case.

    Args:
        size: of the box.
        group: the group, or None for one type an offset.
        out_fiber: whether receivers have group elements (S = |G|, else 1).
        in_fiber: whether senders have (R = |G|, else 1).

    Raises:
        GeodlError: if the group does not map the box to itself.
    """
    if group is None:
        return torch.arange(len(coordinates(size)))[None, None]
    matrices = group.integer_matrices(f"a window of {group}")
    # Twice the offset from the centre is a whole number, for odd and for even sizes.
    centre = torch.tensor(size) - 1
    twice = torch.einsum("gij,kj->gki", matrices, 2 * coordinates(size) - centre)
    # moved[g, k] is the offset to which element g takes offset k.
    moved = ravel(torch.div(twice + centre, 2, rounding_mode="floor"), size)
    if (moved < 0).any() or ((twice + centre) % 2 != 0).any():
        found = "offsets that the group carries out of the box"
        raise GeodlError(f"a box of {size} under {group}", found, "use equal sizes")
    # Everything is carried back by s^-1 to the receiver (0, identity), whose pairs number the
    # types.
    product, inverse = group.tables.product, group.tables.inverse
    if out_fiber and in_fiber:
        offset = moved[inverse][:, None, :]
        sheet = product[inverse][:, :, None]
        return offset * group.order + sheet
    if out_fiber:
        return moved[inverse][:, None, :]
    first_of_orbit = moved.min(0).values
    return torch.unique(first_of_orbit, return_inverse=True)[1][None, None]
