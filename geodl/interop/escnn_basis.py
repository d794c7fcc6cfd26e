"""escnn's filters and ours: the order of group elements, and the basis in which escnn trains."""

from typing import Any

import torch
from torch import Tensor

from geodl.errors import GeodlError
from geodl.group import C, D, Group
from geodl.layer import Conv

# escnn samples its basis in single precision: filters miss their symmetry by 2e-7 of their norm,
# and by some ten times as much where elements of the basis cancel. Other filters miss it by 0.1.
BOUND = 1e-5
LIMITED = "escnn's basis is band-limited: keep the layer, or train in that basis"
# Makers of escnn's spaces, and their arguments. Mirrors have escnn's default axis.
SPACES: dict[Group, tuple[str, tuple[int, ...]]] = {
    C(1): ("trivialOnR2", ()),
    D(1): ("flip2dOnR2", ()),
    C(2): ("rot2dOnR2", (2,)),
    D(2): ("flipRot2dOnR2", (2,)),
    C(4): ("rot2dOnR2", (4,)),
    D(4): ("flipRot2dOnR2", (4,)),
}
# Rows count downwards: (row, column) = (-y, x).
IMAGE = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)


def group_of(asked: str, space: Any) -> tuple[Group, list[int]]:
    """The group with the same matrices on (row, column), and where each of its elements stands in
    escnn's order.

    Raises:
        GeodlError: if the space has a group that geodl does not have.
    """
    known = ", ".join(map(str, SPACES))
    if space.fibergroup.order() < 1:
        raise GeodlError(asked, f"{space}, a continuous group", f"use one of {known}")
    matrices = [
        IMAGE @ torch.as_tensor(space.basespace_action(element)).double() @ IMAGE.T
        for element in space.fibergroup.elements
    ]
    for group in SPACES:
        order = _order(group, matrices)
        if order is not None:
            return group, order
    raise GeodlError(
        asked,
        f"{space}, which is not a group of the square lattice here",
        f"use one of {known}, mirrors about escnn's default axis",
    )


def _order(group: Group, matrices: list[Tensor]) -> list[int] | None:
    """Where each element of a group stands among matrices; None unless they are the group."""
    if group.order != len(matrices):
        return None
    order = []
    for element in group.action.matrices.double():
        same = [k for k, m in enumerate(matrices) if torch.allclose(m, element, atol=1e-9)]
        if len(same) != 1:
            return None
        order += same
    return order


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


@torch.no_grad()
def coefficients(
    asked: str, layer: Conv, one: Any, out_order: list[int], in_order: list[int]
) -> Tensor:
    """A layer's weights in escnn's basis.

    The basis elements are read from the twin of one field on each side, by expanding unit vectors;
    the coefficients solve a least-squares problem for each pair of fields.

    Args:
        asked: the call in words, for the error.
        layer: a `Conv` over a group's window.
        one: an `R2Conv` of one field in and one out with the same window.
        out_order: where our elements stand among escnn's, for the fields that are made.
        in_order: the same for the fields that are read.

    Raises:
        GeodlError: if the basis does not reach the weights; the residual is named.
    """
    units = torch.eye(len(one.weights), dtype=one.weights.dtype, device=one.weights.device)
    elements = [
        in_our_order(one.basisexpansion(unit), out_order, in_order, 1, 1).flatten()
        for unit in units
    ]
    basis = torch.stack(elements).double()  # [basis, S R K]
    rule: Any = layer.rule
    kind = rule.table().reshape(-1).to(layer.weight.device)
    bank = layer.weight[kind].permute(2, 1, 0).flatten(0, 1).double()  # [O I, S R K]
    found = torch.linalg.lstsq(basis.T, bank.T).solution.T
    check_residual(asked, found @ basis, bank, LIMITED)
    return found.reshape(-1).to(layer.weight)


def check_residual(asked: str, ours: Tensor, theirs: Tensor, do: str) -> None:
    """Refuse numbers that differ by more than BOUND of their norm."""
    norm = theirs.norm().clamp(min=torch.finfo(theirs.dtype).tiny)
    residual = float((ours - theirs).norm() / norm)
    # Not `residual > BOUND`, which lets NaN pass.
    if not residual <= BOUND:
        raise GeodlError(asked, f"weights outside the basis, with a residual of {residual:.1e}", do)
