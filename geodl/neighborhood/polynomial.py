"""Polynomials of a rule's operator: filters that reach several hops, one weight for each term."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError, as_integer, nearest
from geodl.neighborhood.base import Neighborhood, Symmetry
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.entries import Carried
from geodl.neighborhood.pointwise import itself
from geodl.neighborhood.reversed import Reversed
from geodl.neighborhood.structure import Polynomial, Structure

BASES = ("chebyshev", "monomial", "bernstein")
MOST_ENTRIES = 2**26  # of all terms written out, half a gigabyte


@dataclass(frozen=True, repr=False)
class PolynomialOf(Neighborhood):
    """Each node receives over type k with the entries of `p_k(S)`, made by :func:`polynomial`."""

    base: Neighborhood
    order: int
    basis: str
    lambda_max: float | None

    # Members of a union receive from no one but their own: powers keep them apart.
    writes_unions = True

    def __repr__(self) -> str:
        words = f"{self.base}, {self.order}"
        if self.basis != "chebyshev":
            words += f", {self.basis!r}"
        if self.lambda_max is not None:
            words += f", lambda_max={self.lambda_max:g}"
        return f"polynomial({words})"

    @property
    def num_edge_types(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """One for each term, the constant one included."""
        return self.order + 1

    @property
    def reads_weights(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """As the rule whose operator it is."""
        return self.base.reads_weights

    @property
    def by_member(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """As the rule whose operator it is."""
        return self.base.by_member

    @property
    def owner(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The owner of the rule's tensors."""
        return self.base.owner

    @property
    def runtime_weight(self) -> Tensor | None:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The weights that come with each call, of a rule that owns its edges."""
        return self.base.runtime_weight

    @property
    def key(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """The name of this polynomial among the plans of the rule's owner."""
        return "polynomial", self.order, self.basis, self.lambda_max, self.base.key

    def to(self, device: torch.device | str) -> Neighborhood:
        return replace(self, base=self.base.to(device))

    def stays_on(self, domain: Domain) -> bool:
        return True

    def reverse(self, onto: Domain | None = None) -> Neighborhood:
        return Reversed(self, onto)

    def refuses_senders(self, source: Domain, typed: bool = True) -> str:
        if self.by_member:
            return super().refuses_senders(source, typed)
        return self.refuses(source, typed)

    def refuses_receivers(self, target: Domain) -> str:
        return self.base.refuses_receivers(target)

    def refuses(self, domain: Domain, typed: bool = True) -> str:
        if reason := self.base.refuses(domain, False):
            return reason
        if self.base.stays_on(domain):
            return ""
        made = self.base.target(domain)
        return f"{self.base} ends on {made}, and powers need a rule that stays on its domain"

    def structures(self, source: Domain, target: Domain) -> tuple[Structure, ...]:
        return (self._record(),)

    def carry(self, source: Domain, target: Domain) -> Carried:
        inner = self.base.carry(source, target)
        ones = torch.ones(len(inner.edges.dst), dtype=torch.float64, device=inner.edges.dst.device)
        operator = _matrix(inner.edges, ones, source.num_nodes)
        edges = self._reached(source, operator)
        # Entries read no base, and one that is kept would keep the weights of this call alive.
        rule = replace(self, base=itself())
        return Carried(rule, edges, source.num_nodes, (inner, self._record().scale(source)))

    def entries(self, carried: Carried, weight: Tensor) -> Tensor:
        inner, scale = carried.parts
        values = inner.rule.entries(inner, weight)
        terms = self._terms(_matrix(inner.edges, values, carried.num_nodes), scale)
        kind, dst, src = carried.edges.type, carried.edges.dst, carried.edges.src
        return torch.stack(terms, dim=-3)[..., kind, dst, src]

    def symmetries(self, domain: Domain, typed: bool = True) -> list[Symmetry]:
        # What carries S to itself carries its powers along, where no node leaves the domain.
        claims = self.base.symmetries(domain, typed)
        return [claim for claim in claims if not claim.leaves]

    def _target(self, domain: Domain) -> Domain:
        return domain

    def _edges(self, domain: Domain, target: Domain) -> Edges:
        n = domain.num_nodes
        if (self.order + 1) * n * n > MOST_ENTRIES:
            asked = f"{self} written out on {domain}"
            found = f"{self.order + 1} matrices of {n} x {n} entries"
            raise GeodlError(asked, found, 'use the lowering "polynomial", which writes none out')
        inner = self.base.edges(domain, target)
        values = inner.weight
        if values is None:
            values = torch.ones(len(inner.dst), dtype=torch.float64, device=inner.dst.device)
        operator = _matrix(inner, values.double(), n)
        terms = torch.stack(self._terms(operator, self._record().scale(domain)))
        edges = self._reached(domain, operator)
        return edges._replace(weight=terms[edges.type, edges.dst, edges.src])

    def _record(self) -> Polynomial:
        return Polynomial(self.base, self.basis, self.order, self.lambda_max)

    def _terms(self, operator: Tensor, scale: Tensor) -> list[Tensor]:
        """`p_0(S) ... p_K(S)` for S `[..., N, N]`, by their definitions."""
        one = torch.eye(len(scale), dtype=operator.dtype, device=operator.device)
        scaled = scale.to(operator.dtype) * operator
        if self.basis == "monomial":
            return [torch.linalg.matrix_power(scaled, k) for k in range(self.order + 1)]
        if self.basis == "bernstein":
            # B_k(t) = C(K, k) t^k (1 - t)^(K - k), t from 0 to 1 where S goes from 0 to lambda_max.
            t, rest = scaled / 2, one - scaled / 2
            terms = []
            for k in range(self.order + 1):
                high = torch.linalg.matrix_power(rest, self.order - k)
                terms.append(math.comb(self.order, k) * torch.linalg.matrix_power(t, k) @ high)
            return terms
        # T_0 = 1, T_1 = X, T_k = 2 X T_(k-1) - T_(k-2), with X = 2 S / lambda_max - 1.
        x = scaled - one
        terms = [one.expand_as(x), x]
        for _ in range(self.order - 1):
            terms.append(2 * x @ terms[-1] - terms[-2])
        return terms[: self.order + 1]

    def _reached(self, domain: Domain, operator: Tensor) -> Edges:
        """The pairs of nodes within k hops over type k, over every type as many as there are terms
        for Bernstein's polynomials, all of which are of degree K; without weights.
        """
        n = domain.num_nodes
        one = torch.eye(n, dtype=torch.bool, device=operator.device)
        hop = (operator != 0) | one
        reach = [one]
        for _ in range(self.order):
            reach.append((reach[-1].double() @ hop.double()) > 0)
        if self.basis == "bernstein":
            reach = [reach[-1]] * len(reach)
        kind, dst, src = torch.stack(reach).nonzero().unbind(1)
        return Edges(dst, src, kind)


def polynomial(
    rule: Neighborhood,
    order: int,
    basis: str = "chebyshev",
    *,
    lambda_max: float | None = None,
) -> PolynomialOf:
    """The rule of polynomial filters: type k receives with the entries of `p_k(S)`, S the operator
    of another rule; a `Conv` over it has one weight for each of the `order + 1` terms.

    * "chebyshev": `T_k(2 S / lambda_max - 1)`; over a Laplacian ChebNet (Defferrard, Bresson,
      Vandergheynst, "Convolutional Neural Networks on Graphs with Fast Localized Spectral
      Filtering", 2016). PyG's `ChebConv(K)` has K terms: order K - 1.
    * "monomial": `S^k`; over `adjacency("sym")` TAGCN (Du et al., 2017) and SGC.
    * "bernstein": `C(K, k) (S / lambda_max)^k (1 - S / lambda_max)^(K - k)` with K the order
      (He et al., "BernNet", 2021).

    A layer never writes the powers out: it applies S once for each order.

    Args:
        rule: of S: one edge type, from a domain to itself.
        order: K, the largest power, from 0.
        basis: "chebyshev", "monomial" or "bernstein".
        lambda_max: the largest eigenvalue of S that the basis is scaled by. None: 2 for
            `laplacian("sym")` and `("rw")`; for `laplacian()` that of each member, computed once
            for a graph and kept. Other rules have to name it. Monomials have none.

    Raises:
        GeodlError: if `rule` is not a rule or has several edge types, if the order is negative, if
            the basis is unknown, or if `lambda_max` is not positive or not known.

    >>> from geodl.domain import Chain
    >>> from geodl.neighborhood import laplacian
    >>> rule = polynomial(laplacian("sym"), 2)
    >>> rule, rule.num_edge_types
    (polynomial(laplacian('sym'), 2), 3)
    >>> edges = rule.edges(Chain(3))
    >>> [int((edges.type == k).sum()) for k in range(3)]
    [3, 7, 9]
    """
    asked = f"polynomial({rule!r}, {order!r}, {basis!r})"
    if not isinstance(rule, Neighborhood):
        raise GeodlError(asked, f"a {type(rule).__name__}", 'give a rule, as laplacian("sym")')
    if rule.num_edge_types != 1:
        found = f"a rule with {rule.num_edge_types or 'as many'} edge types"
        if rule.num_edge_types is None:
            found = "a rule whose edge types the domain decides"
        raise GeodlError(asked, found, "choose a rule with one, whose operator has powers")
    number = as_integer(order)
    if number is None or number < 0:
        raise GeodlError(asked, f"the order {order!r}", "give an integer from 0")
    if basis not in BASES:
        raise GeodlError(asked, do=nearest(str(basis), BASES))
    largest = _check_lambda_max(asked, rule, basis, lambda_max)
    return PolynomialOf(rule, number, basis, largest)


def _check_lambda_max(asked: str, rule: Neighborhood, basis: str, value: Any) -> float | None:
    """The largest eigenvalue as it was named, once it is known to be there where it is needed."""
    if value is None:
        if basis == "monomial" or rule.is_laplacian:
            return None
        found = f"{rule}, whose largest eigenvalue is not known"
        raise GeodlError(asked, found, "name lambda_max=, or use a laplacian")
    if basis == "monomial":
        raise GeodlError(f"{asked} with lambda_max", "powers, which are not scaled", "leave it out")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise GeodlError(f"{asked} with lambda_max={value!r}", do="give a positive number")
    return float(value)


def _matrix(edges: Edges, values: Tensor, num_nodes: int) -> Tensor:
    """Edges as a dense matrix, entries `[..., E]` to `[..., N, N]`; parallel ones add up."""
    cell = edges.dst * num_nodes + edges.src
    flat = values.new_zeros(*values.shape[:-1], num_nodes * num_nodes)
    return flat.index_add(-1, cell, values).unflatten(-1, (num_nodes, num_nodes))
