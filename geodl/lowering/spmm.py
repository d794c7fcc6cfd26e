"""`spmm`: graph convolution as products with one sparse matrix, whatever the number of edge types.

`Y = sum_t S_t X W_t` for T edge types is one product with a wider matrix, in either of two orders.
Transforming first, `Y = [S_1 ... S_T] [X W_1; ...; X W_T]`, moves nnz * C_out numbers; aggregating
first, `Y = [S_1 X, ..., S_T X] [W_1; ...; W_T]`, moves nnz * C_in. The plan takes the cheaper one.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Call, ConvolveOptions, Lowering
from geodl.lowering.channels import mix_channels
from geodl.lowering.chosen import (
    Store,
    pattern_of_chosen,
    pattern_of_run,
    store_of_members,
)
from geodl.lowering.csr import csr_matmul
from geodl.lowering.differentiable import (
    called_plainly,
    refuse_sparse_values,
    transforms_active,
)
from geodl.lowering.edges import written_out
from geodl.lowering.plans import cached_tensors
from geodl.lowering.precision import without_autocast
from geodl.lowering.product import is_large, multiply_rows
from geodl.lowering.self_term import multiply_with_self_term
from geodl.lowering.sparse import (
    SpMM,
    constant_pattern,
    in_pattern_order,
    multiply,
    open_pattern,
    sort_by_row,
)
from geodl.lowering.transformed import TransformedSum, is_one_function
from geodl.neighborhood.linked import Linked
from geodl.neighborhood.structure import Everyone
from geodl.pattern import Pattern

# Of a larger union the pattern is not worth to be made for a few batches of members: meanwhile it
# takes a hundred bytes for each link.
MOST_LINKS = 2**24


class SpmmPlan(NamedTuple):
    """The product and its place.

    Attributes:
        pattern: of the wide matrix.
        sorting: `[E]` the place of each of its entries among the rule's edges; None where the
            entries are constants.
        num_receivers: M.
        types: T; 1 of a layer that is blind to types.
        transform_first: whether the weights come before the sparse product.
    """

    pattern: Pattern
    sorting: Tensor | None
    num_receivers: int
    types: int
    transform_first: bool


class Layout(NamedTuple):
    """How the matrix of a call is laid out, beside its rule and domains.

    Attributes:
        types: T.
        types_beside: whether its blocks S_t stand beside each other, else one below the other.
        is_open: whether its entries come with each call.
        wide: the type of its entries.
    """

    types: int
    types_beside: bool
    is_open: bool
    wide: torch.dtype


def _refuses(call: Call) -> str:
    if call.structure(Everyone) is not None:
        return "all receive from all: the operator is dense"
    if call.spec.layout == torch.sparse_csr and call.options.groups > 1:
        return "sparse values are read by weights that mix all channels"
    return ""


def _plan(call: Call) -> SpmmPlan:
    options, types = call.options, call.options.edge_types or 1
    sparse = call.spec.layout == torch.sparse_csr
    transform_first = _transforms_first(options, sparse)
    wide = torch.promote_types(call.spec.dtype, torch.float32)
    target = call.target
    if target is call.source:
        target = None
    # Layers of any channels, on one domain by one rule, share the pattern.
    layout = Layout(types, transform_first and types > 1, call.open_entries, wide)
    pattern, sorting = cached_tensors(
        call.source,
        target,
        ("pattern", layout, call.spec.device),
        lambda: _pattern(call, layout),
        rule=call.rule,
    )
    return SpmmPlan(pattern, sorting, call.target.num_nodes, types, transform_first)


def _transforms_first(options: ConvolveOptions, sparse: bool) -> bool:
    """Whether the weights come before the sparse product."""
    if options.channels_in is None or options.channels_out is None:
        return False  # there is nothing to transform
    return sparse or options.channels_out <= options.channels_in


def _of_pattern(options: ConvolveOptions, pattern: Pattern, dtype: torch.dtype) -> SpmmPlan | None:
    keeps_types_apart = options.channels_in is None and options.edge_types is not None
    if options.groups > 1 or keeps_types_apart:
        return None
    receivers = len(pattern.rows) - 1
    return SpmmPlan(pattern, None, receivers, 1, _transforms_first(options, sparse=False))


def _pattern(call: Call, layout: Layout) -> tuple[Pattern, Tensor | None]:
    """The pattern of the wide matrix, and its sorting, as a plan has them."""
    if _is_gathered(call, layout):
        return _gathered(call, layout), None
    m, n = call.target.num_nodes, call.source.num_nodes
    linked = call.structure(Linked)
    if linked is not None and not layout.is_open:
        dst, src = linked.dst.to(call.spec.device), linked.src.to(call.spec.device)
        return constant_pattern(dst, src, (m, n), None), None
    edges = written_out(call)
    # The T rows (or columns) that stand for one node lie side by side, so that what comes before
    # or after the product is a plain view of its values.
    dst, src, types = edges.dst, edges.src, layout.types
    if layout.types_beside:
        src, n = src * types + edges.type, n * types
    elif types > 1:
        dst, m = dst * types + edges.type, m * types
    if layout.is_open:
        return open_pattern(dst, src, (m, n))
    values = edges.weight
    if values is not None:
        values = values.to(layout.wide)
    return constant_pattern(dst, src, (m, n), values), None


def _is_gathered(call: Call, layout: Layout) -> bool:
    """Whether the matrix is put together from that of all members, of which some were chosen."""
    chosen = call.source.chosen
    same = call.target is call.source and call.rule.by_member and call.rule.owner is None
    if not same or chosen is None or layout.is_open:
        return False
    on_cpu = call.spec.device.type == "cpu" and call.source.device == call.spec.device
    return on_cpu and chosen.of.num_links <= MOST_LINKS


def _gathered(call: Call, layout: Layout) -> Pattern:
    """The pattern of chosen members, from that of the union that they are chosen from."""
    chosen = call.source.chosen
    assert chosen is not None
    union, device, wide = chosen.of, call.spec.device, (layout.types, 1)
    if layout.types_beside:
        wide = (1, layout.types)
    of_all = call._replace(source=union, target=union)

    def make_store() -> Store:
        pattern, _ = _pattern(of_all, layout)
        return store_of_members(pattern, union.sizes, wide)

    if not chosen.consecutive:
        name = ("store", layout, device)
        store = cached_tensors(union, None, name, make_store, rule=call.rule)
        return pattern_of_chosen(store, chosen)
    name = ("pattern", layout, device)
    whole, _ = cached_tensors(union, None, name, lambda: _pattern(of_all, layout), rule=call.rule)
    return pattern_of_run(whole, chosen, wide)


def _run(
    plan: SpmmPlan,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    entries: Tensor | None = None,
) -> Tensor:
    if entries is not None:
        assert plan.sorting is not None
        entries = in_pattern_order(entries, plan.sorting, x.dtype)
    if x.dim() == 2 and x.layout == torch.strided:
        return _on_rows(plan, x, weight, bias)
    if weight is None:
        return multiply(plan.pattern, x, entries)
    if plan.transform_first and plan.types == len(weight) == 1 and entries is None:
        matrix = weight.squeeze(0)  # not `[0]`, whose backward writes the gradient into zeros
        if is_one_function(x, matrix, bias):
            return TransformedSum.apply(plan.pattern, x, matrix, bias)
    if plan.transform_first:
        return _with_bias(multiply(plan.pattern, _transformed(plan, x, weight), entries), bias)
    y = multiply(plan.pattern, x, entries)
    return _mixed(plan, y, weight, bias)


def _on_rows(plan: SpmmPlan, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """The same of rows `[N, C]`, over edges of one type without entries of the call."""
    if weight is None:
        return SpMM.apply(plan.pattern, None, x)
    matrix = weight.squeeze(0)
    if plan.transform_first and is_one_function(x, matrix, bias):
        return TransformedSum.apply(plan.pattern, x, matrix, bias)
    if plan.transform_first:
        return _with_bias(SpMM.apply(plan.pattern, None, multiply_rows(x, matrix)), bias)
    return multiply_rows(SpMM.apply(plan.pattern, None, x), matrix, bias)


def _with_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        return y
    if transforms_active() or bias.dtype != y.dtype or not called_plainly(y):
        return y + bias
    # In place, for nobody else has y: with few channels the bias takes half of the time (measured).
    return y.add_(bias)


def _run_with_self_term(plan: SpmmPlan, x: Tensor, c: Tensor) -> Tensor:
    return multiply_with_self_term(plan.pattern, c, x)


def _transformed(plan: SpmmPlan, x: Tensor, weight: Tensor) -> Tensor:
    """`x_j W_t` of all types beside each other: `[B, N, C_in]` to `[B, N T, C_out]`."""
    if x.layout != torch.strided:
        sent = sparse_features(x, _beside(weight))
    elif weight.shape[1] != x.shape[2]:
        sent = torch.cat([mix_channels(x, block) for block in weight], dim=2)
    elif x.shape[0] == weight.shape[0] == 1 and not is_large(x, weight.shape[2]):
        # One matrix on either side, as they stand: torch takes a fifth of the time to begin.
        return torch.bmm(x, weight)
    else:
        sent = multiply_rows(x, _beside(weight))
    if plan.types == 1:
        return sent
    batch, nodes = sent.shape[:2]
    return sent.reshape(batch, nodes * plan.types, weight.shape[2])


def _mixed(plan: SpmmPlan, y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`bias + sum over t of y_t W_t`: the sums of each type `[B, M T, C_in]` to `[B, M, C_out]`."""
    batch, _, channels_in = y.shape
    types, rows, channels_out = weight.shape
    if rows == channels_in:
        y = y.reshape(batch, plan.num_receivers, types * channels_in)
        return multiply_rows(y, weight.reshape(types * channels_in, channels_out), bias)
    of_type = y.unflatten(1, (plan.num_receivers, types)).unbind(2)
    blocks = zip(of_type, weight, strict=True)
    y = torch.stack([mix_channels(part, block) for part, block in blocks]).sum(0)
    if bias is not None:
        y = y + bias
    return y


def _beside(weight: Tensor) -> Tensor:
    """The weights of all types beside each other: `[T, C_in, C_out]` to `[C_in, T C_out]`."""
    types, channels_in, channels_out = weight.shape
    if types == 1:
        return weight.squeeze(0)
    return weight.movedim(0, 1).reshape(channels_in, types * channels_out)


def sparse_features(x: Tensor, weight: Tensor) -> Tensor:
    """`X W` for sparse values X `[N, C_in]`: `[1, N, C_out]`."""
    refuse_sparse_values()
    wide = torch.promote_types(x.dtype, torch.float32)  # the product knows no narrower type
    columns = getattr(x, COLUMNS, None)
    if x.requires_grad:
        columns = None
    parts = x.crow_indices(), x.col_indices(), x.values().to(wide)
    with without_autocast(x.device):
        y = _Features.apply(*parts, weight.to(wide), columns)
    return y.to(x.dtype)[None]


COLUMNS = "_geodl_columns"  # the attribute of sparse values that are read more than once


class Columns(NamedTuple):
    """A sparse matrix by columns.

    Attributes:
        starts: `[C + 1]` where each column begins.
        nodes: `[E]` the row of each entry.
        values: `[E]` the entries.
    """

    starts: Tensor
    nodes: Tensor
    values: Tensor


def remember_columns(x: Tensor) -> None:
    """Let sparse values `[N, C]` that come at every call, and need no gradient, keep their entries
    in the order of their columns, so that no backward has to sort them.
    """
    node = torch.repeat_interleave(x.crow_indices().diff())
    starts, nodes, order = sort_by_row(x.col_indices(), node, x.shape[1])
    setattr(x, COLUMNS, Columns(starts, nodes, x.values()[order]))


class _Features(torch.autograd.Function):
    """`X W` for sparse features X `[N, C]`, given by its CSR parts, and the order of its columns
    where it is known; torch's own gradient is slow to transpose X.

    `dW = X^T g`, a product of the same kind, and an entry's gradient is `dX_nc = g_n . W_c`.
    """

    @staticmethod
    def forward(ctx: Any, rows, cols, values, weight, columns) -> Tensor:
        ctx.save_for_backward(rows, cols, values, weight)
        ctx.columns = columns
        # A projection's weight comes turned, and the kernel that fetches rows ahead takes none of
        # which a row lies apart: it would be replaced by one of ten times its time (measured).
        return csr_matmul(rows, cols, values.detach(), weight.detach().contiguous())

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (g,), (rows, cols, values, weight) = grad_outputs, ctx.saved_tensors
        dvalues, dweight, columns = None, None, ctx.columns
        if columns is None:
            node = torch.repeat_interleave(rows.diff())
            if ctx.needs_input_grad[2]:
                dvalues = (g[node] * weight[cols]).sum(1)
            starts, nodes, order = sort_by_row(cols, node, len(weight))
            columns = Columns(starts, nodes, values[order])
        if ctx.needs_input_grad[3]:
            starts, nodes, entries = columns
            dweight = _Features.apply(starts, nodes, entries.to(values.dtype), g, None)
        return None, None, dvalues, dweight, None


convolve = Lowering(
    "spmm", _refuses, _plan, _run, with_self_term=_run_with_self_term, of_pattern=_of_pattern
)
