"""The general way to compare edges: one by one.

Edges are numbered, `(dst, src, type) -> (dst N + src) T + type`, a claim maps numbers to numbers,
and both sides are sorted and compared: no rounding, at the user's own size.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geodl.neighborhood import Edges, SheetEdges, Symmetry
from geodl.symmetry.model_rules import Part

Codes = NDArray[np.int64]


class WrittenOut:
    """The edges of a part, in the forms in which they are compared, each made when it is asked for.

    Args:
        part: a rule between two domains.
        few: whether edges that stand for all will do, with types of their own.
    """

    def __init__(self, part: Part, few: bool):
        self.part = part
        self.few = few

    @cached_property
    def edges(self) -> Edges:
        """One by one."""
        part = self.part
        if self.few:
            return part.rule.edges_to_compare(part.source, part.target)
        return part.rule.edges(part.source, part.target)

    @cached_property
    def numbered(self) -> "Numbered":
        """One by one, in order."""
        types = 1
        if self.part.typed and len(self.edges.type):
            types = int(self.edges.type.max()) + 1
        return number(self.edges, self.part, types)

    @cached_property
    def sheets(self) -> SheetEdges | None:
        """As edges between points with tables of types, where the rule has this form."""
        if not self.few:
            return None
        return self.part.rule.sheets_to_compare(self.part.source, self.part.target)


class Numbered(NamedTuple):
    """The edges of one end of a claim, in order.

    Attributes:
        codes: the number of each edge, ascending.
        weight: of each edge in that order, parallel ones by their weights; None for all ones.
        types: T, with which they were numbered.
    """

    codes: Codes
    weight: NDArray[np.float64] | None
    types: int


def number(edges: Edges, part: Part, types: int) -> Numbered:
    """The edges of a part in order.

    Args:
        edges: some or all of them.
        part: whose receivers and senders they join.
        types: T, above every type.
    """
    codes = _codes(edges.dst, edges.src, edges.type, part, types)
    return _in_order(codes, edges.weight, types)


def _codes(dst: Tensor, src: Tensor, kind: Tensor, part: Part, types: int) -> Codes:
    """`(dst N + src) T + type`; without types where they carry no weights."""
    codes = dst * part.source.num_nodes + src
    if part.typed:
        codes = codes * types + kind
    return codes.cpu().numpy()


def _in_order(codes: Codes, weight: Tensor | None, types: int) -> Numbered:
    if weight is None:
        # numpy's sort of whole numbers takes a tenth of the time of torch's, which also makes a
        # permutation.
        return Numbered(np.sort(codes), None, types)
    values = weight.detach().double().cpu().numpy()
    order = np.lexsort((values, codes))
    return Numbered(codes[order], values[order], types)


def fault(edges: Edges, claim: Symmetry, part: Part, there: Numbered, partial: bool = False) -> str:
    """The first edge that a claim does not carry to an edge of the same type and weight, in words
    ("" if none).

    Args:
        edges: of the part.
        claim: carries them.
        part: on which it is made.
        there: the edges of the rule where the claim leads.
        partial: whether others are carried off the lattice, so that some come from outside.
    """
    if part.typed and len(edges.type) and int(edges.type.max()) >= there.types:
        return (
            f"it carries edges of type {int(edges.type.max())} to where there is none of that type"
        )
    dst, src, kind, weight = claim.receivers[edges.dst], claim.senders[edges.src], edges.type, None
    if edges.weight is not None:
        weight = edges.weight
    stays = (dst >= 0) & (src >= 0)
    leaves = partial or not bool(stays.all())
    if leaves:
        dst, src, kind = dst[stays], src[stays], kind[stays]
        weight = None if weight is None else weight[stays]
    after = _in_order(_codes(dst, src, kind, part, there.types), weight, there.types)
    if not leaves and np.array_equal(after.codes, there.codes):
        if _same_weights(after.weight, there.weight):
            return ""
        return "it changes the number or the weights of parallel edges"
    # Every carried edge has to be among the edges; parallel ones have one number.
    missing = after.codes[~among(after.codes, there.codes)]
    if len(missing):
        pair, t = divmod(int(missing[0]), there.types)
        i, j = divmod(pair, part.source.num_nodes)
        return f"it carries an edge to {i} <- {j} of type {t}, where there is none of that type"
    # Where none leaves, there are as many of each number, and of the same weights.
    if leaves:
        return ""
    return "it changes the number or the weights of parallel edges"


def among(codes: Codes, known: Codes) -> NDArray[np.bool_]:
    """Which of some numbers are among others, both ascending."""
    if not len(known):
        return np.zeros(len(codes), dtype=bool)
    at = np.searchsorted(known, codes).clip(max=len(known) - 1)
    return known[at] == codes


def _same_weights(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool((np.abs(one - other) <= 1e-12).all())
