"""Structure records: what a rule promises to kernels about its edges between two domains.

A lowering asks `call.structure(Stencil)` and gets the record or None. Each record can be written
out as edges; the tests compare every record of every rule with the rule's own edges, so that no
promise stands unchecked. Records are made while planning only: they may hold tensors, and are never
keys.
"""

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from geodl.domain import Domain, coordinates, ravel
from geodl.neighborhood.edges import Edges, side_by_side, turned_around, untyped


class Structure(ABC):
    """All edges of a rule from one domain to another, as one formula.

    Attributes:
        typed: whether the record promises the edge types too, or only who receives from whom.
        weighted: whether the edges carry weights, which the record promises, too: then as the sum
            of those between two nodes, of which there may be none where it is 0.
    """

    typed: ClassVar[bool] = True
    weighted: ClassVar[bool] = False

    @abstractmethod
    def edges(self, source: Domain, target: Domain) -> Edges:
        """The edges that the record promises, in any order."""

    @abstractmethod
    def reverse(self) -> "Structure | None":
        """The record of the same edges the other way; None where no record says it."""

    @property
    def lookback(self) -> float | None:
        """How many nodes before its own a node may receive from: 0 for itself alone, `math.inf` for
        all of them; None if it receives from later nodes too, or if the record does not say.
        """
        return None


@dataclass(frozen=True, eq=False)
class Everyone(Structure):
    """Every receiver receives from every sender of its own member.

    Args:
        causal: only from senders up to its own place. The ends are aligned: of M receivers and N
            senders, receiver i receives from the senders j with `j - (N - 1) <= i - (M - 1)`.
        types: "one" for a single edge type; "self" for type 0 from a node to itself and 1
            otherwise; "other" where the record does not say.
    """

    causal: bool = False
    types: str = "one"

    @property
    def typed(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """Whether the types are known."""
        return self.types != "other"

    @property
    def lookback(self) -> float | None:
        """`math.inf` in causal order, else None."""
        if self.causal:
            return math.inf
        return None

    def edges(self, source: Domain, target: Domain) -> Edges:
        return by_member(self._pairs, source, target)

    def reverse(self) -> Structure | None:
        if self.causal:
            return None
        return self

    def _pairs(self, num_senders: int, num_receivers: int) -> Edges:
        present = torch.ones(num_receivers, num_senders, dtype=torch.bool)
        # With as many receivers as senders this is the lower triangle; of one receiver, the newest
        # node, it leaves all senders.
        if self.causal:
            present = present.tril(num_senders - num_receivers)
        dst, src = present.nonzero().unbind(1)
        if self.types == "self":
            return Edges(dst, src, (dst != src).long())
        return untyped(dst, src)


@dataclass(frozen=True, eq=False)
class Stencil(Structure):
    """A window on a lattice as convolution kernels know it.

    The receiver at point p receives from the senders at `p * stride + k * dilation - before`, for
    each kernel position k, wrapped around circular axes and left out beyond the ends of others.

    Args:
        in_shape: lengths of the lattice that the window slides over.
        out_shape: lengths of the lattice that it makes.
        circular: for each axis, whether the window wraps around.
        stride: distance between receivers.
        dilation: distance between neighbors.
        padding: (before, after) for each axis.
        edge_type: `[S, R, *kernel]` integers: the type of the edge from sheet r of the sender's
            fiber to sheet s of the receiver's. With S = R = 1 on a lattice with a fiber, each sheet
            is for itself.
        basis: `[S, R, *kernel, J]` floats: at each place the values of J functions, each the weight
            of an edge of its own; edge_type is then `[S, R, J]`, the types of the functions. None
            where all weights are 1.
        transposed: the edges run the other way, from the lattice it makes to the one it slides
            over.
    """

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    circular: tuple[bool, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    edge_type: Tensor
    transposed: bool = False
    basis: Tensor | None = None

    @property
    def kernel(self) -> tuple[int, ...]:
        """The size of the window."""
        if self.basis is not None:
            return tuple(self.basis.shape[2:-1])
        return tuple(self.edge_type.shape[2:])

    @property
    def weighted(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """Whether the edges carry the values of a basis."""
        return self.basis is not None

    @property
    def num_types(self) -> int:
        """T."""
        return int(self.edge_type.max()) + 1

    @property
    def lookback(self) -> float | None:
        """The reach of a window of stride 1 on one axis that ends at its own receiver, else
        None.
        """
        if self.transposed or self.stride != (1,) or self.circular != (False,):
            return None
        # All padding in front, as long as the window reaches: its last place is the receiver's own.
        reach = self.dilation[0] * (self.kernel[0] - 1)
        if self.padding == ((reach, 0),):
            return reach
        return None

    def edges(self, source: Domain, target: Domain) -> Edges:
        if self.transposed:
            return turned_around(replace(self, transposed=False).edges(target, source))
        # One kernel position after the other, where `Window` writes out one receiver after the
        # other: two ways to the same edges, each a check of the other.
        parts = [
            self._edges_at(position, source, target)
            for position in itertools.product(*map(range, self.kernel))
        ]
        dst, src, kind, weight = (torch.cat(column) for column in zip(*parts, strict=True))
        if self.basis is None:
            return Edges(dst, src, kind)
        return Edges(dst, src, kind, weight)

    def reverse(self) -> Structure | None:
        return replace(self, transposed=not self.transposed)

    def _edges_at(
        self, position: tuple[int, ...], source: Domain, target: Domain
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The edges of one kernel position: receivers, senders, types, weights."""
        before = torch.tensor([low for low, _ in self.padding])
        step = torch.tensor(position) * torch.tensor(self.dilation) - before
        points = coordinates(self.out_shape) * torch.tensor(self.stride) + step
        lengths = torch.tensor(self.in_shape)
        points = torch.where(torch.tensor(self.circular), points % lengths, points)
        # -1 marks a point beyond the end of a bounded axis: an edge to the outside does not exist.
        sender = ravel(points, self.in_shape)
        receiver = (sender >= 0).nonzero()[:, 0]
        sender = sender[receiver]
        place = (slice(None), slice(None), *position)
        if self.basis is None:
            types = self.edge_type[place][..., None]
            weights = torch.ones_like(types, dtype=torch.float64)
        else:
            types, weights = self.edge_type, self.basis[place]
        sheets_out = target.num_nodes // math.prod(self.out_shape)
        sheets_in = source.num_nodes // math.prod(self.in_shape)
        s, r, function = weights.nonzero().unbind(1)
        kind, weight = types[s, r, function], weights[s, r, function]
        # Sheets are the last, fastest index of a node. Where the table has one entry for all of
        # them, each sheet is a lattice for itself.
        if types.shape[:2] != (sheets_out, sheets_in):
            s = r = torch.arange(sheets_out).repeat_interleave(len(kind))
            kind, weight = kind.repeat(sheets_out), weight.repeat(sheets_out)
        dst = receiver[:, None] * sheets_out + s
        src = sender[:, None] * sheets_in + r
        ends = dst.reshape(-1), src.reshape(-1)
        return *ends, kind.expand_as(dst).reshape(-1), weight.expand_as(dst).reshape(-1)


@dataclass(frozen=True, eq=False)
class Blocks(Structure):
    """Receiver i receives from exactly the senders `i * size` to `i * size + size - 1`.

    Args:
        size: senders of each receiver.
    """

    size: int

    @property
    def lookback(self) -> float | None:
        """0 where each node receives from itself alone (size 1), else None."""
        if self.size == 1:
            return 0
        return None

    def edges(self, source: Domain, target: Domain) -> Edges:
        sender = torch.arange(target.num_nodes * self.size)
        return untyped(sender // self.size, sender)

    def reverse(self) -> Structure | None:
        if self.size == 1:
            return self
        return None


@dataclass(frozen=True, eq=False)
class Segments(Structure):
    """Receivers take runs of senders, of any lengths, one run after the other: receiver i the next
    `sizes[i]`.

    Args:
        sizes: senders of each receiver.
    """

    sizes: tuple[int, ...]

    def edges(self, source: Domain, target: Domain) -> Edges:
        receiver = torch.repeat_interleave(torch.tensor(self.sizes))
        return untyped(receiver, torch.arange(len(receiver)))

    def reverse(self) -> Structure | None:
        return None


@dataclass(frozen=True, eq=False)
class Shift(Structure):
    """Receiver i of a member receives from sender `i - by` of it, where there is one.

    Args:
        by: how many nodes before its own; negative: after.
    """

    by: int

    @property
    def lookback(self) -> float | None:
        """`by`; None where it receives from later nodes."""
        if self.by >= 0:
            return self.by
        return None

    def edges(self, source: Domain, target: Domain) -> Edges:
        return by_member(self._pairs, source, target)

    def reverse(self) -> Structure | None:
        return Shift(-self.by)

    def _pairs(self, num_senders: int, num_receivers: int) -> Edges:
        receiver = torch.arange(num_receivers)
        sender = receiver - self.by
        there = (sender >= 0) & (sender < num_senders)
        return untyped(receiver[there], sender[there])


@dataclass(frozen=True, eq=False)
class Polynomial(Structure):
    """Receiver i receives from sender j over type k with the entry `p_k(S)_ij`, S the operator of
    another rule.

    Args:
        base: the rule of S, which has one edge type and stays on its domain.
        basis: "chebyshev" for `T_k(2 S / lambda_max - 1)`, "monomial" for `S^k`, "bernstein" for
            `C(K, k) t^k (1 - t)^(K - k)` with `t = S / lambda_max`.
        order: K; k runs from 0 to K.
        lambda_max: the largest eigenvalue where it was named, else None.
    """

    base: Any
    basis: str
    order: int
    lambda_max: float | None = None
    weighted: ClassVar[bool] = True

    def scale(self, domain: Domain) -> Tensor:
        """`2 / lambda_max` at each node of a domain, of its own member, and the factor 1 for
        monomials: `[N, 1]` in float64.
        """
        factor = 1.0
        if self.basis != "monomial" and self.lambda_max is None:
            largest = self.base.largest_eigenvalues(domain)
            # A member without links has S = 0, and is scaled by nothing.
            factors = torch.where(largest > 0, 2 / largest, 0.0)
            return factors[domain.member_of()][:, None]
        if self.lambda_max is not None:
            factor = 2 / self.lambda_max
        shape = domain.num_nodes, 1
        return torch.full(shape, factor, dtype=torch.float64, device=domain.device)

    def at(self, numbers: Tensor) -> Tensor:
        """`p_0 ... p_K` at numbers that stand for `2 S / lambda_max`, or S of powers: `[K + 1]`
        behind their shape.
        """
        if self.basis == "monomial":
            return torch.stack([numbers**k for k in range(self.order + 1)], dim=-1)
        if self.basis == "bernstein":
            t, terms = numbers / 2, []
            for k in range(self.order + 1):
                terms.append(math.comb(self.order, k) * t**k * (1 - t) ** (self.order - k))
            return torch.stack(terms, dim=-1)
        x = numbers - 1
        terms = [torch.ones_like(x), x]
        for _ in range(self.order - 1):
            terms.append(2 * x * terms[-1] - terms[-2])
        return torch.stack(terms[: self.order + 1], dim=-1)

    def edges(self, source: Domain, target: Domain) -> Edges:
        """By the coefficients of the polynomials: exact enough for small orders alone."""
        n, inner = source.num_nodes, self.base.edges(source, target)
        values = torch.ones(len(inner.dst), dtype=torch.float64)
        if inner.weight is not None:
            values = inner.weight.double()
        operator = torch.zeros(n, n, dtype=torch.float64)
        operator = operator.index_put((inner.dst, inner.src), values, accumulate=True)
        operator = self.scale(source) * operator
        terms = []
        for k in range(self.order + 1):
            total = torch.zeros_like(operator)
            for power, coefficient in enumerate(self._coefficients(k)):
                total = total + coefficient * torch.linalg.matrix_power(operator, power)
            terms.append(total)
        dense = torch.stack(terms)
        kind, dst, src = dense.nonzero().unbind(1)
        return Edges(dst, src, kind, dense[kind, dst, src])

    def reverse(self) -> Structure | None:
        # The transpose of a power is the power of the transpose.
        return replace(self, base=self.base.reverse())

    def _coefficients(self, k: int) -> list[float]:
        """Those of `p_k`, of power 0 first, as a polynomial in `2 S / lambda_max`, or in S."""
        if self.basis == "monomial":
            return [0.0] * k + [1.0]
        if self.basis == "chebyshev":
            shifted = np.polynomial.Chebyshev.basis(k, domain=(0, 2))
            return shifted.convert(kind=np.polynomial.Polynomial).coef.tolist()
        half, rest = np.polynomial.Polynomial([0, 0.5]), np.polynomial.Polynomial([1, -0.5])
        product = math.comb(self.order, k) * half**k * rest ** (self.order - k)
        return product.coef.tolist()


def by_member(pairs, source: Domain, target: Domain) -> Edges:
    """Edges that `pairs(num_senders, num_receivers)` gives for each pair of members."""
    parts = [pairs(n, m) for n, m in zip(source.sizes, target.sizes, strict=True)]
    return side_by_side(parts, target.sizes, source.sizes)
