"""`linear`: linear attention on a complete or causal domain in O(N), by sums over keys and values
in place of pairs.

`y_i = f(q_i) . sum_j f(k_j) v_j / f(q_i) . sum_j f(k_j)` (Katharopoulos et al., "Transformers are
RNNs", 2020): one sum for all receivers or, in order, the sum of what came before a chunk and the
pairs inside it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.scores import feature

CHUNK = 64


def _refuses(call: Call) -> str:
    if not call.rule.complete:
        return "not everyone hears everyone"
    if call.options.score != "linear":
        return f"the {call.options.score} score is no product of features"
    if call.source.members is not None:
        return "members of different kinds or sizes"
    return (
        "a typed bias, which no sum over senders carries"
        if call.options.edge_types is not None
        else ""
    )


def _plan(call: Call) -> int | None:
    """How many senders come before the first receiver in order; None without an order."""
    return call.rule.skip if call.rule.causal else None


def _run(
    skip: int | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vectors: None,
    bias: None,
    dropout: float,
) -> Tensor:
    wide = torch.promote_types(value.dtype, torch.float32)
    q, k, v = (x.to(wide).transpose(1, 2) for x in (query, key, value))
    q, k, v = (
        feature(q),
        feature(k),
        F.pad(v, (0, 1), value=1.0),
    )  # the ones add up to the denominator
    with torch.autocast(value.device.type, enabled=False):
        y = q @ (k.mT @ v) if skip is None else _in_order(skip, q, k, v)
    return (y[..., :-1] / y[..., -1:]).transpose(1, 2).to(value.dtype)


def _in_order(skip: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """`y_i = q_i . sum over j <= i + skip of k_j v_j`: q `[B, H, M, D]`, k `[B, H, N, D]`, v `[B,
    H, N, V]`.
    """
    m = q.shape[2]
    size = min(m, CHUNK)
    before = (k[:, :, :skip].mT @ v[:, :, :skip])[:, :, None]
    count = -(-m // size)
    q, k, v = (
        F.pad(x, (0, 0, 0, count * size - x.shape[2])).unflatten(2, (count, size))
        for x in (q, k[:, :, skip:], v[:, :, skip:])
    )
    before = torch.cat((before, (k.mT @ v)[:, :, :-1]), 2).cumsum(2)
    return (q @ before + (q @ k.mT).tril() @ v).flatten(2, 3)[:, :, :m]


attend = Lowering("linear", _refuses, _plan, _run)
