"""`sdpa`: attention on a complete or causal domain as torch's fused kernel."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.base import Ask, Lowering
from geodl.lowering.edges import written_out


class SdpaPlan(NamedTuple):
    """Causal or not, and the edge type of each pair `[M, N]` when a typed bias is read."""

    causal: bool
    types: Tensor | None


def _refuses(ask: Ask) -> str:
    if not ask.neighborhood.complete:
        return "not everyone hears everyone"
    if ask.options.score != "dot":
        return f"the kernel knows the dot product, not the {ask.options.score} score"
    if ask.source.members is not None:
        return "members of different kinds or sizes"
    return "a typed bias on a causal rule" if ask.neighborhood.causal and ask.options.bias_types is not None else ""


def _plan(ask: Ask) -> SdpaPlan:
    types = None
    if ask.options.bias_types is not None:
        types = written_out(ask).type.reshape(ask.target.num_nodes, ask.source.num_nodes)
    return SdpaPlan(ask.neighborhood.causal, types)


def _run(
    plan: SdpaPlan, query: Tensor, key: Tensor, value: Tensor, vectors: None, bias: Tensor | None, dropout: float
) -> Tensor:
    mask = None if bias is None else bias.T[:, plan.types].to(query.dtype)
    q, k, v = (part.transpose(1, 2) for part in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, mask, dropout, plan.causal).transpose(1, 2)


attend = Lowering("sdpa", _refuses, _plan, _run)
