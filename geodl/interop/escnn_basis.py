"""escnn's filters and ours: the order of group elements, and the bases that filters are sums of."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from geodl.errors import GeodlError
from geodl.group import C, D, Group
from geodl.interop.escnn_package import escnn_modules
from geodl.layer import Conv
from geodl.neighborhood.window import Window

# escnn samples its basis in single precision: filters miss their symmetry by 2e-7 of their norm,
# and by some ten times as much where elements of the basis cancel. Other filters miss it by 0.1.
BOUND = 1e-5
ALTERED = "a filter that does not commute with its group is not equivariant: rebuild the module"
# Rows count downwards: (row, column) = (-y, x).
IMAGE = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)


def group_of(asked: str, space: Any) -> tuple[Group, list[int]]:
    """The group with the same matrices on (row, column), and where each of its elements stands in
    escnn's order.

    Raises:
        GeodlError: if the space has another group than C(n) or D(n), or other mirrors.
    """
    do = "use C(n) or D(n), with mirrors about escnn's default axis: rot2dOnR2(n), flipRot2dOnR2(n)"
    if space.fibergroup.order() < 1:
        raise GeodlError(asked, f"{space}, a continuous group", do)
    found = _group_in(space)
    if found is None:
        raise GeodlError(asked, f"{space}, whose action is none of C(n) or D(n) here", do)
    return found


@lru_cache(maxsize=64)
def _group_in(space: Any) -> tuple[Group, list[int]] | None:
    """What :func:`group_of` finds, once for all modules of a network: spaces are equal when their
    groups and mirror axes are.
    """
    matrices = [
        IMAGE @ torch.as_tensor(space.basespace_action(element)).double() @ IMAGE.T
        for element in space.fibergroup.elements
    ]
    for group in groups_of_order(space.fibergroup.order()):
        places = _places(group, matrices)
        if places is not None:
            return group, places
    return None


def groups_of_order(order: int) -> list[Group]:
    """C(n), and D(n) where there is one."""
    groups = [C(order)]
    if order % 2 == 0:
        groups.append(D(order // 2))
    return groups


def _places(group: Group, matrices: list[Tensor]) -> list[int] | None:
    """Where each element of a group stands among matrices; None unless they are the group."""
    places = []
    for element in group.action.matrices.double():
        same = [k for k, m in enumerate(matrices) if torch.allclose(m, element, atol=1e-9)]
        if len(same) != 1:
            return None
        places += same
    return places


def space_of(asked: str, group: Group) -> Any:
    """escnn's space of a group on the plane, mirrors about its default axis.

    Raises:
        GeodlError: of another group than C(n) or D(n).
    """
    spaces, _ = escnn_modules()
    n = group.order
    if group == C(n):
        return spaces.trivialOnR2() if n == 1 else spaces.rot2dOnR2(n)
    if group == D(n // 2):
        return spaces.flip2dOnR2() if n == 2 else spaces.flipRot2dOnR2(n // 2)
    raise GeodlError(asked, f"the group {group}", "use C(n) or D(n), which act on the plane")


def in_our_order(
    filters: Tensor, out_order: list[int], in_order: list[int], fields_out: int, fields_in: int
) -> Tensor:
    """escnn's filter `[O |G|, I |G|, *kernel]` as `[S, R, K, I, O]`, group elements in our order.

    Args:
        filters: S and R are the orders of the group, 1 for trivial fields.
        out_order: where our elements stand among escnn's, for the fields that are made.
        in_order: the same for the fields that are read.
        fields_out: O.
        fields_in: I.
    """
    filters = filters.reshape(fields_out, len(out_order), fields_in, len(in_order), -1)
    filters = filters[:, out_order][:, :, :, in_order]
    return filters.permute(1, 3, 4, 2, 0)


def weights_of(asked: str, rule: Window, filters: Tensor) -> Tensor:
    """The weights `[T, I, O]` whose bank are given filters `[S, R, K, I, O]`.

    Without a basis a weight is the mean of the entries of its edge type, all of them equal. On a
    basis `h_(s, r)(o) = sum_j psi_j(s^-1 o) W_(j, s^-1 r)`, so that for each q = s^-1 r the weights
    `W_(., q)` solve one and the same system of equations, a row for each pair (s, o).

    Raises:
        GeodlError: if no weights make these filters.
    """
    bank = rule.bank()
    fields = filters.shape[3:]
    if bank.basis is None:
        entries = filters.flatten(0, 2)
        kind = bank.edge_type.reshape(-1).to(filters.device)
        total = filters.new_zeros(bank.num_types, *fields)
        total.index_add_(0, kind, entries)
        weight = total / torch.bincount(kind)[:, None, None]
        check_residual(asked, weight[kind], entries, ALTERED)
        return weight
    sheets, senders, places = filters.shape[:3]
    if senders > 1:
        assert rule.group is not None
        product = rule.group.tables.product.to(filters.device)
        filters = filters[torch.arange(sheets)[:, None], product]  # [S, q, K, I, O]
    # All senders' sheets share the functions' values.
    functions = bank.basis[:, 0].flatten(0, 1).to(filters.device)  # [S K, J]
    wanted = filters.movedim(2, 1).reshape(sheets * places, -1).double()  # [S K, q I O]
    found = torch.linalg.lstsq(functions, wanted).solution
    check_residual(asked, functions @ found, wanted, ALTERED)
    return found.reshape(-1, *fields).to(filters.dtype)


def filters_of(layer: Conv) -> Tensor:
    """The filters `[S, R, K, I, O]` that a layer's weights make, in float64."""
    rule: Any = layer.rule
    bank = rule.bank()
    weight = layer.weight.detach().double()
    entries = weight[bank.edge_type.to(weight.device)]  # [S, R, K or J, I, O]
    if bank.basis is None:
        return entries
    return torch.einsum("srkj,srjio->srkio", bank.basis.to(weight), entries)


def coefficients(
    filters: Tensor, one: Any, out_order: list[int], in_order: list[int]
) -> tuple[Tensor, float]:
    """Filters `[S, R, K, I, O]` in escnn's basis, and by how much of their norm they miss it.

    The basis elements are read from the twin of one field on each side, by expanding unit vectors;
    the coefficients solve a least-squares problem for each pair of fields.

    Args:
        filters: in float64.
        one: an `R2Conv` of one field in and one out with the same window.
        out_order: where our elements stand among escnn's, for the fields that are made.
        in_order: the same for the fields that are read.
    """
    units = torch.eye(len(one.weights), dtype=one.weights.dtype, device=one.weights.device)
    elements = [
        in_our_order(one.basisexpansion(unit), out_order, in_order, 1, 1).flatten()
        for unit in units
    ]
    basis = torch.stack(elements).double()  # [basis, S R K]
    wanted = filters.flatten(0, 2).permute(2, 1, 0).flatten(0, 1)  # [O I, S R K]
    found = torch.linalg.lstsq(basis.T, wanted.T).solution.T
    return found.reshape(-1), residual_of(found @ basis, wanted)


def residual_of(ours: Tensor, theirs: Tensor) -> float:
    """The distance of two tensors by the norm of the second."""
    norm = theirs.norm().clamp(min=torch.finfo(theirs.dtype).tiny)
    return float((ours - theirs).norm() / norm)


def check_residual(asked: str, ours: Tensor, theirs: Tensor, do: str) -> None:
    """Refuse numbers that differ by more than BOUND of their norm."""
    residual = residual_of(ours, theirs)
    # Not `residual > BOUND`, which lets NaN pass.
    if not residual <= BOUND:
        found = f"weights outside the basis, with a residual of {residual:.1e}"
        raise GeodlError(asked, found, do)
