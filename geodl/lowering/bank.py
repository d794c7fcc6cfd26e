"""The entries of a filter bank from a layer's weights: gathered by type, or summed over a basis."""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import TensorSpec
from geodl.lowering.precision import without_autocast
from geodl.neighborhood.structure import Stencil


class BankPlan(NamedTuple):
    """Where the weights stand.

    Attributes:
        sheets: S and R.
        types: T.
        table: `[S R K]` the type of each entry; on a basis `[S R J]` those of the functions; None
            where it is the identity.
        basis: `[S, R, K, J]` the values of the functions; None without a basis.
    """

    sheets: tuple[int, int]
    types: int
    table: Tensor | None
    basis: Tensor | None


def plan_bank(s: Stencil, spec: TensorSpec, turned: bool = False) -> BankPlan:
    """The plan of a stencil's bank.

    Args:
        s: the stencil.
        spec: of the values that it filters.
        turned: whether the sheets change places, senders first.
    """
    types, basis = s.edge_type, s.basis
    if basis is not None:
        basis = basis.flatten(2, -2)
    if turned:
        types = types.transpose(0, 1)
        if basis is not None:
            basis = basis.transpose(0, 1)
    sheets_out, sheets_in = types.shape[:2]
    # A plain window's bank is its weight as it stands: nothing has to be gathered.
    table, in_order = None, torch.arange(types.numel())
    if not (sheets_out == sheets_in == 1 and torch.equal(types.flatten(), in_order)):
        table = types.flatten().to(spec.device)
    if basis is not None:
        wide = torch.promote_types(spec.dtype, torch.float32)
        basis = basis.to(spec.device, wide)
    return BankPlan((sheets_out, sheets_in), s.num_types, table, basis)


def bank_entries(plan: BankPlan, weight: Tensor) -> Tensor:
    """`weight[table]`, or on a basis `sum over j of basis[s, r, k, j] weight[table[s, r, j]]`:
    `[T, rows, columns]` to `[S R K, rows, columns]`.

    Between two sheets act J of the T functions: those alone are gathered, so that the sum is a
    product of matrices `[K, J]` and `[J, rows columns]` for each pair of sheets.
    """
    gathered = weight
    if plan.table is not None:
        gathered = weight.index_select(0, plan.table)
    if plan.basis is None:
        return gathered
    gathered = gathered.reshape(*plan.sheets, plan.basis.shape[3], -1)
    with without_autocast(weight.device):
        # Single precision at least: what the sum rounds, each use of the bank would repeat.
        wide = torch.promote_types(weight.dtype, plan.basis.dtype)
        entries = plan.basis.to(wide) @ gathered.to(wide)
    return entries.to(weight.dtype).reshape(-1, *weight.shape[1:])
