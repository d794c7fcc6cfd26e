"""`polynomial`: filters `Y = sum_k p_k(S) X W_k` by recursion, one sparse product for each order.

With `X^ = 2 S / lambda_max - 1` for S, Chebyshev's `T_k x = 2 X^ T_(k-1) x - T_(k-2) x` needs one
product a term. Where there are fewer channels out than in, weights come first, and the sum is taken
by Clenshaw's recursion (1955), from the last term down:

    b_k = x W_k + 2 X^ b_(k+1) - b_(k+2),    Y = x W_0 + X^ b_1 - b_2,

which moves C_out numbers over each edge in place of C_in, and keeps none of the terms for the
backward. With powers of S in place of T_k it is Horner's rule: `b_k = x W_k + S b_(k+1)`.

Bernstein's polynomials of degree K are sums of `T_0 ... T_K` with coefficients of at most 1: they
are changes of the weights, and no kernel of their own. (Powers would do as well in exact numbers;
their coefficients grow as 3^K, and with them what is rounded.)
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.channels import mix_channels
from geodl.lowering.edges import written_out
from geodl.lowering.sparse import constant_pattern, in_pattern_order, multiply, open_pattern
from geodl.lowering.spmm import sparse_features
from geodl.neighborhood.base import Neighborhood
from geodl.neighborhood.edges import Edges
from geodl.neighborhood.structure import Polynomial
from geodl.pattern import Pattern


class PolynomialPlan(NamedTuple):
    """The operator and the recursion.

    Attributes:
        pattern: of `2 S / lambda_max - 1`, or of S.
        sorting: `[E + N]` the place of each of its entries among those of S and the diagonal; None
            where the entries are constants.
        scale: `[E]` the factor of each entry of S; None alike, and of powers.
        order: K.
        powers: whether the terms are powers of S.
        change: `[K + 1, K + 1]` row k has the coefficients of term k in Chebyshev's polynomials;
            None where the terms are these, or powers.
        transform_first: whether the weights come before the products.
    """

    pattern: Pattern
    sorting: Tensor | None
    scale: Tensor | None
    order: int
    powers: bool
    change: Tensor | None
    transform_first: bool


def _refuses(call: Call) -> str:
    if call.structure(Polynomial) is None:
        return "the rule is no polynomial of another"
    if call.spec.layout == torch.strided:
        return ""
    if call.options.groups > 1:
        return "sparse values are read by weights that mix all channels"
    return ""


def _base(call: Call) -> Neighborhood:
    """The rule whose entries come with the call: those of S, not of its polynomials."""
    record = call.structure(Polynomial)
    assert record is not None
    return record.base


def _plan(call: Call) -> PolynomialPlan:
    record, options = call.structure(Polynomial), call.options
    assert record is not None
    transform_first = call.spec.layout != torch.strided
    if options.channels_in is not None and options.channels_out <= options.channels_in:
        transform_first = True
    wide = torch.promote_types(call.spec.dtype, torch.float32)
    edges = written_out(call, record.base)
    pattern, sorting, scale = _operator(call, record, edges, wide)
    change = None
    if record.basis == "bernstein":
        change = bernstein_in_chebyshev(record.order).to(call.spec.device, wide)
    powers = record.basis == "monomial"
    return PolynomialPlan(pattern, sorting, scale, record.order, powers, change, transform_first)


def _operator(
    call: Call, record: Polynomial, edges: Edges, dtype: torch.dtype
) -> tuple[Pattern, Tensor | None, Tensor | None]:
    """The pattern of the operator; where entries come with the call, their places and factors."""
    n = call.source.num_nodes
    dst, src, scale = edges.dst, edges.src, None
    if record.basis != "monomial":
        scale = record.scale(call.source).to(call.spec.device)[dst, 0]
        node = torch.arange(n, device=dst.device)
        dst, src = torch.cat((dst, node)), torch.cat((src, node))
    if call.open_entries:
        pattern, sorting = open_pattern(dst, src, (n, n))
        return pattern, sorting, scale
    values = torch.ones_like(edges.dst, dtype=torch.float64)
    if edges.weight is not None:
        values = edges.weight.double()
    if scale is not None:
        values = torch.cat((scale * values, values.new_full((n,), -1.0)))
    # Entries of one place are added up, and those that are 0 left out: all of the diagonal of
    # `1 - D^-1/2 A D^-1/2`, less 1.
    cells, place = torch.unique(dst * n + src, return_inverse=True)
    values = values.new_zeros(len(cells)).index_add(0, place, values)
    there = values != 0
    cells, values = cells[there], values[there].to(dtype)
    return constant_pattern(cells // n, cells % n, (n, n), values), None, None


def _run(
    plan: PolynomialPlan,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    entries: Tensor | None = None,
) -> Tensor:
    if entries is not None:
        entries = _entries_of_operator(plan, entries, x.dtype)
    if weight is None:
        return _propagated(plan, x, entries)
    if plan.change is not None:
        # sum_k (sum_j c_kj T_j x) W_k = sum_j T_j x (sum_k c_kj W_k)
        change = plan.change.to(weight.dtype)
        weight = torch.einsum("kj,kio->jio", change, weight)
    if plan.transform_first:
        y = _summed_down(plan, x, weight, entries)
    else:
        terms = _terms(plan, x, entries)
        y = mix_channels(terms[0], weight[0])
        for term, block in zip(terms[1:], weight[1:], strict=True):
            y = y + mix_channels(term, block)
    if bias is not None:
        y = y + bias
    return y


def _entries_of_operator(plan: PolynomialPlan, entries: Tensor, dtype: torch.dtype) -> Tensor:
    """The operator's entries in its pattern's order, from those of S."""
    if plan.scale is not None:
        diagonal = entries.new_full((*entries.shape[:-1], len(plan.pattern.rows) - 1), -1.0)
        entries = torch.cat((entries * plan.scale.to(entries.dtype), diagonal), dim=-1)
    assert plan.sorting is not None
    return in_pattern_order(entries, plan.sorting, dtype)


def _terms(plan: PolynomialPlan, x: Tensor, entries: Tensor | None) -> list[Tensor]:
    """`x, X^ x, ...` to order K: Chebyshev's, or powers."""
    terms = [x]
    for k in range(1, plan.order + 1):
        product = multiply(plan.pattern, terms[-1], entries)
        if k > 1 and not plan.powers:
            product = 2 * product - terms[-2]
        terms.append(product)
    return terms


def _summed_down(plan: PolynomialPlan, x: Tensor, weight: Tensor, entries: Tensor | None) -> Tensor:
    """`sum_k p_k(X^) x W_k` by Clenshaw's recursion or Horner's rule: `[B, N, C_out]`."""
    last, before = _sent(x, weight[plan.order]), None
    for k in range(plan.order - 1, -1, -1):
        product = multiply(plan.pattern, last, entries)
        sent = _sent(x, weight[k])
        if plan.powers:
            last = sent + product
            continue
        factor = 2.0
        if k == 0:
            factor = 1.0
        made = torch.add(sent, product, alpha=factor)
        if before is not None:
            made = made - before
        last, before = made, last
    return last


def _sent(x: Tensor, weight: Tensor) -> Tensor:
    """`x W`, of sparse values too."""
    if x.layout != torch.strided:
        return sparse_features(x, weight)
    return mix_channels(x, weight)


def _propagated(plan: PolynomialPlan, x: Tensor, entries: Tensor | None) -> Tensor:
    """`sum_k p_k(S) x`."""
    if plan.change is not None:
        return x.clone()  # Bernstein's polynomials of one degree add up to 1
    terms = _terms(plan, x, entries)
    y = terms[0].clone()
    for term in terms[1:]:
        y = y + term
    return y


def bernstein_in_chebyshev(order: int) -> Tensor:
    """The coefficients of Bernstein's polynomials `B_k((x + 1) / 2)` in Chebyshev's `T_j(x)`:
    `[K + 1, K + 1]`, k first, in float64.

    A polynomial of degree K is known by its values at the K + 1 zeros of `T_(K+1)`, between which
    the `T_j` are orthogonal: `c_j = (2 - [j = 0]) / (K + 1) sum_m p(x_m) T_j(x_m)`.
    """
    count = order + 1
    angle = (torch.arange(count, dtype=torch.float64) + 0.5) * math.pi / count
    chebyshev = torch.cos(torch.arange(count)[:, None] * angle)
    t = (torch.cos(angle) + 1) / 2
    rows = [math.comb(order, k) * t**k * (1 - t) ** (order - k) for k in range(count)]
    coefficients = 2 / count * torch.stack(rows) @ chebyshev.T
    coefficients[:, 0] /= 2
    return coefficients


convolve = Lowering("polynomial", _refuses, _plan, _run, reads=_base)
