"""The entries of a rule where the weights of the links come with the call."""

import torch
from torch import Tensor

from geodl.errors import GeodlError
from geodl.layer.folding import MergedMembers
from geodl.lowering import Plan


def entries_of_call(plan: Plan, parts: MergedMembers, x: Tensor) -> Tensor | None:
    """The entries of the edges of this call, `[E]` or `[B, E]`; None where a plan holds them.

    Args:
        plan: what the call runs on.
        parts: the domains it runs on.
        x: the values on these domains.

    Raises:
        GeodlError: if the weights are for another batch.
    """
    if plan.carried is None:
        return None
    weight = parts.source.runtime_weight
    if parts.rule.runtime_weight is not None:
        weight = parts.rule.runtime_weight
    if weight is None:
        return None
    batch = 1
    if x.layout == torch.strided:
        batch = x.shape[0]
    if weight.dim() == 2:
        # Entries of one row of the batch stand side by side, and share the row's weights.
        weight = weight.repeat_interleave(parts.num_members, 0)
        if len(weight) != batch:
            raise GeodlError(
                f"a signal on {parts.source}",
                f"weights for a batch of {len(weight)} and a batch of {batch}",
                "give one row of weights for each entry of the batch, or one for all",
            )
    return plan.carried.rule.entries(plan.carried, weight)
