"""All pairs by relative offset: the number of the offset from receiver to sender, over a fiber as
the receiver's group element sees it.

The receiver (p, s) and the sender (q, r) are apart by the offset o = q - p; seen from s they are
apart by the pair (s^-1 o, s^-1 r), which no shift changes, and no element g of the group: it takes
o to g o, s to g s and r to g r. So these pairs are the types (Romero and Cordonnier, "Group
Equivariant Stand-Alone Self-Attention for Vision", 2021).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import Domain, coordinates
from geodl.errors import GeodlError
from geodl.group import EXACT, Group
from geodl.neighborhood.sheets import SheetEdges
from geodl.neighborhood.structure import Stencil


class Spans(NamedTuple):
    """How offsets are counted along the axes of a lattice.

    Attributes:
        first: for each axis what is added to an offset, so that it is counted from 0.
        number: for each axis how many offsets there are.
    """

    first: tuple[int, ...]
    number: tuple[int, ...]


@cached_constants()
def refuses_offsets(domain: Domain) -> str:
    """Why a domain's pairs have no relative offset; "" where they have."""
    if domain.lattice is None:
        return "relative offsets need a lattice"
    if domain.fiber is None:
        return ""
    if not isinstance(domain.fiber, Group):
        return "relative offsets need a group over each point, not cosets: use all_pairs('orbit')"
    group = domain.fiber
    if not group.action.exact or bool((group.action.matrices.abs().sum(2) != 1).any()):
        return f"{group} turns offsets of the lattice to none: {EXACT}; or use all_pairs('orbit')"
    return ""


@cached_constants()
def count_types(domain: Domain) -> int:
    """T."""
    return math.prod(_spans(domain).number) * _elements(domain)


@cached_constants()
def types_of_pairs(domain: Domain) -> Tensor:
    """The type of each pair of nodes: `[N, N]`, receivers first."""
    assert domain.lattice is not None
    points = coordinates(domain.lattice)
    # apart[i, j] leads from point i to point j; seen from sheet s: [S, X, X].
    seen = _numbers_seen(domain, points[None, :] - points[:, None])
    types = seen[..., None] * _elements(domain) + _elements_seen(domain)[:, None, None]
    return types.transpose(0, 1).reshape(domain.num_nodes, domain.num_nodes)


@cached_constants()
def widest_stencil(domain: Domain) -> Stencil:
    """All pairs as a window as wide as the lattice, of the same types.

    On an axis of n nodes the window has size 2n-1 and begins n-1 before its receiver; on one that
    wraps it has size n and begins at its receiver.
    """
    assert domain.lattice is not None
    sizes, padding = [], []
    for n, wraps in zip(domain.lattice, domain.periodic, strict=True):
        if wraps:
            sizes.append(n)
            padding.append((0, n - 1))
        else:
            sizes.append(2 * n - 1)
            padding.append((n - 1, n - 1))
    one, shape = (1,) * len(sizes), domain.lattice
    offsets = coordinates(tuple(sizes)) - torch.tensor([before for before, _ in padding])
    seen = _numbers_seen(domain, offsets)
    edge_type = seen[:, None] * _elements(domain) + _elements_seen(domain)[..., None]
    edge_type = edge_type.unflatten(2, tuple(sizes))
    return Stencil(shape, shape, domain.periodic, one, one, tuple(padding), edge_type)


@cached_constants()
def pairs_by_sheets(domain: Domain) -> SheetEdges:
    """All pairs of points, each with the types between the sheets over them."""
    assert domain.lattice is not None
    stencil = widest_stencil(domain)
    points = coordinates(domain.lattice)
    count = len(points)
    apart = points[None, :] - points[:, None]
    lengths = torch.tensor(domain.lattice)
    apart = torch.where(torch.tensor(domain.periodic), apart % lengths, apart)
    place = torch.zeros(count, count, dtype=torch.long)
    for axis, size in enumerate(stencil.kernel):
        place = place * size + apart[..., axis] + stencil.padding[axis][0]
    dst = torch.arange(count).repeat_interleave(count)
    src = torch.arange(count).repeat(count)
    return SheetEdges(dst, src, place.flatten(), stencil.edge_type.flatten(2).permute(2, 0, 1))


def _elements(domain: Domain) -> int:
    if domain.fiber is None:
        return 1
    return domain.fiber.order


def _elements_seen(domain: Domain) -> Tensor:
    """The element s^-1 r for each receiving sheet s and sending sheet r: `[S, R]`."""
    if domain.fiber is None:
        return torch.zeros(1, 1, dtype=torch.long)
    product, inverse = domain.fiber.tables
    return product[inverse]


def _numbers_seen(domain: Domain, offsets: Tensor) -> Tensor:
    """The number of the offset s^-1 o for each sheet s, last axis fastest: `[S, ...]`.

    Args:
        domain: whose lattice it is.
        offsets: `[..., d]`.
    """
    inverses = _inverse_matrices(domain)
    seen = torch.einsum("sij,...j->s...i", inverses, offsets)
    # Along axis i an element sees the axis that it carries there, with its length.
    before = inverses.abs().argmax(2)
    shape = len(inverses), *(1,) * (offsets.dim() - 1), -1
    lengths = torch.tensor(domain.lattice)[before].view(shape)
    wraps = torch.tensor(domain.periodic)[before].view(shape)
    spans = _spans(domain)
    digits = torch.where(wraps, seen % lengths, seen + torch.tensor(spans.first))
    code = torch.zeros_like(digits[..., 0])
    for axis, number in enumerate(spans.number):
        code = code * number + digits[..., axis]
    return code


def _inverse_matrices(domain: Domain) -> Tensor:
    """The matrices of s^-1 for each sheet s: `[S, d, d]`."""
    if reason := refuses_offsets(domain):
        raise GeodlError(f"relative offsets on {domain}", reason, "choose a domain that has them")
    assert domain.lattice is not None
    if domain.fiber is None:
        return torch.eye(len(domain.lattice), dtype=torch.long)[None]
    return domain.fiber.action.matrices[domain.fiber.tables.inverse]


def _spans(domain: Domain) -> Spans:
    """An axis of n nodes has the offsets -(n-1) to n-1, one that wraps 0 to n-1. Axes that the
    group exchanges are counted alike, as far as the longest of them, so that a turned lattice has
    the same numbers.
    """
    assert domain.lattice is not None
    exchanged = (_inverse_matrices(domain) != 0).any(0).tolist()
    first, number = [], []
    for row in exchanged:
        alike = [axis for axis, meets in enumerate(row) if meets]
        longest = max(domain.lattice[axis] for axis in alike)
        first.append(longest - 1)
        if all(domain.periodic[axis] for axis in alike):
            number.append(longest)
        else:
            number.append(2 * longest - 1)
    return Spans(tuple(first), tuple(number))
