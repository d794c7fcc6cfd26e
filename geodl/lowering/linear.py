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
from geodl.neighborhood.structure import Everyone

CHUNK = 64


def _refuses(call: Call) -> str:
    if call.structure(Everyone) is None:
        return "not everyone hears everyone"
    if call.options.score != "linear":
        return f"the {call.options.score} score is no product of features"
    if call.source.members is not None or call.target.members is not None:
        return "members of different kinds or sizes"
    if call.options.edge_types is not None:
        return "a typed bias, which no sum over senders carries"
    return ""


def _plan(call: Call) -> int | None:
    """How many senders come before the first receiver's own place; None without an order."""
    everyone = call.structure(Everyone)
    assert everyone is not None
    return call.source.num_nodes - call.target.num_nodes if everyone.causal else None


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
