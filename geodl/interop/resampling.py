"""Maps of a lattice onto another one, axis by axis: padding, interpolation, adaptive pooling.

Each is linear along every axis by itself: an edge of the lattice is one edge of each axis, and its
weight their product. What an axis does is asked of torch's own function, on unit vectors.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.neighborhood import Neighborhood
from geodl.neighborhood.edges import Edges, untyped
from geodl.neighborhood.reversed import Reversed

PADDINGS = ("constant", "reflect", "replicate", "circular")
RESIZES = ("nearest", "nearest-exact", "linear", "bicubic", "area")
POOLS = ("mean", "max")


@dataclass(frozen=True)
class AxisMap:
    """What becomes of one axis.

    Attributes:
        kind: how torch pads ("constant", "reflect", "replicate", "circular"), resizes ("nearest",
            "linear", "bicubic", "area") or pools ("mean", "max"); or "slice".
        pad: before and after, of a padding; negative numbers cut off.
        size: the new length, None where a factor says it, or where it stays.
        factor: the new length over the old one, where no size is given.
        align_corners: as torch's `F.interpolate` has it.
        recompute: likewise, whether the factor is that of the two lengths.
        antialias: likewise, whether a smaller axis is smoothed first.
        ends: start, stop and step of a slice.
    """

    kind: str
    pad: tuple[int, int] = (0, 0)
    size: int | None = None
    factor: float | None = None
    align_corners: bool | None = None
    recompute: bool = False
    antialias: bool = False
    ends: tuple[int | None, int | None, int | None] = (None, None, None)

    def refuses(self, length: int) -> str:
        """Why an axis of a length cannot be mapped; "" where it can."""
        if self.kind == "slice" and not len(range(length)[slice(*self.ends)]):
            return f"an axis of {length} of which the slice {self.ends} leaves nothing"
        before, after = self.pad
        if length + before + after < 1:
            return f"an axis of {length} with padding {self.pad}, of which nothing is left"
        if self.kind == "reflect" and max(self.pad) >= length:
            return f"an axis of {length} cannot be reflected over {max(self.pad)} nodes"
        if self.kind == "circular" and max(self.pad) > length:
            return f"an axis of {length} cannot be wrapped over {max(self.pad)} nodes"
        return ""

    def matrix(self, length: int) -> Tensor:
        """What each new node is of the old ones, `[new, old]`."""
        with cached_constants():
            rows = torch.eye(length, dtype=torch.float64)[None]
            return self._mapped(rows)[0].T

    def _mapped(self, rows: Tensor) -> Tensor:
        size = self.size
        if self.kind == "slice":
            return rows[:, :, slice(*self.ends)]
        if self.kind in PADDINGS:
            return F.pad(rows, self.pad, mode=self.kind)
        if self.kind in POOLS:
            # A maximum is taken over the nodes that a mean would take.
            count = rows.shape[2] if size is None else size
            return F.adaptive_avg_pool1d(rows, count)
        options: dict[str, Any] = {"align_corners": self.align_corners}
        if self.recompute:
            options["recompute_scale_factor"] = True
        if self.kind != "bicubic" and not self.antialias:
            return F.interpolate(rows, size, self.factor, self.kind, **options)
        # torch has these modes for images alone, of one row here: of one column its kernel of
        # antialiasing (2.13) computes something else.
        kind = {"linear": "bilinear"}.get(self.kind, self.kind)
        options["antialias"] = self.antialias
        wide = None if size is None else (1, size)
        factor = None if self.factor is None else (1.0, self.factor)
        made = F.interpolate(rows[:, :, None], wide, factor, kind, **options)
        return made[:, :, 0]


@dataclass(frozen=True, repr=False)
class Resampling(Neighborhood):
    """Each node of a lattice receives from those that its axes' maps name.

    Attributes:
        axes: what becomes of each axis.
        weighted: whether edges have the product of their axes' entries; where not, nodes are there
            or not, as a maximum reads them.
    """

    axes: tuple[AxisMap, ...]
    weighted: bool = True

    # Of a lattice, which so may not wrap.
    needs_border = True

    def __repr__(self) -> str:
        kinds = "x".join(dict.fromkeys(axis.kind for axis in self.axes))
        return f"resampling({kinds})"

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        lattice = domain.lattice
        if lattice is None or len(lattice) != len(self.axes) or domain.fiber is not None:
            return f"{len(self.axes)} axes of a lattice are missing"
        if any(domain.periodic):
            return "a lattice that wraps, which has no border to map"
        reasons = [axis.refuses(n) for axis, n in zip(self.axes, lattice, strict=True)]
        return next(filter(None, reasons), "")

    def _target(self, domain: Domain) -> Domain:
        return domain.replace(tuple(len(matrix) for matrix in self._matrices(domain)))

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        dst = src = torch.zeros(1, dtype=torch.long)
        weight = torch.ones(1, dtype=torch.float64)
        for matrix in self._matrices(domain):
            new, old = matrix.nonzero().unbind(1)
            dst = (dst[:, None] * matrix.shape[0] + new).flatten()
            src = (src[:, None] * matrix.shape[1] + old).flatten()
            weight = (weight[:, None] * matrix[new, old]).flatten()
        order = dst.argsort(stable=True)
        dst, src, weight = dst[order], src[order], weight[order]
        if not self.weighted or bool((weight == 1).all()):
            return untyped(dst, src)
        return untyped(dst, src, weight)

    def _matrices(self, domain: Domain) -> list[Tensor]:
        lattice = domain.lattice
        assert lattice is not None
        return [axis.matrix(n) for axis, n in zip(self.axes, lattice, strict=True)]


def padding_rule(pads: list[tuple[int, int]], mode: str) -> Resampling:
    """Each axis padded before and after, as `F.pad` does; zeros are nodes without edges."""
    return Resampling(tuple(AxisMap(mode, pad) for pad in pads))


def resizing_rule(
    sizes: tuple[int | None, ...],
    factors: tuple[float | None, ...],
    mode: str,
    align_corners: bool | None = None,
    *,
    recompute: bool = False,
    antialias: bool = False,
) -> Resampling:
    """Each axis resized, as `F.interpolate` does; the options are those of :class:`AxisMap`."""
    kind = {"bilinear": "linear", "trilinear": "linear"}.get(mode, mode)
    if kind not in RESIZES:
        raise GeodlError("F.interpolate", f"mode={mode!r}", f"choose from {', '.join(RESIZES)}")
    axes = []
    for size, factor in zip(sizes, factors, strict=True):
        axes.append(AxisMap(kind, (0, 0), size, factor, align_corners, recompute, antialias))
    return Resampling(tuple(axes))


def slicing_rule(slices: list[tuple[int | None, int | None, int | None]]) -> Resampling:
    """Some nodes of each axis, as `x[:, :, start:stop:step]` chooses them."""
    return Resampling(tuple(AxisMap("slice", ends=ends) for ends in slices))


def pooling_rule(sizes: tuple[int | None, ...], reduction: str) -> Resampling:
    """Each axis pooled to a length, by windows that overlap where it does not divide."""
    axes = tuple(AxisMap(reduction, size=size) for size in sizes)
    return Resampling(axes, weighted=reduction == "mean")


torch.serialization.add_safe_globals([AxisMap, Resampling])
