"""`linear`: linear attention on a complete or causal domain in O(N), by sums over keys and values
in place of pairs.

With a feature map f the weights are `f(q_i) . f(k_j)` over their sum (Katharopoulos et al.,
"Transformers are RNNs", 2020). What a receiver gets is then one product with a sum that all
receivers share, `y_i = f(q_i) S / f(q_i) z` with `S = sum_j f(k_j) v_j^T` and `z = sum_j f(k_j)`;
z is the column of S that belongs to a value of 1, so the values carry such a column.

In order, receiver i may take only the senders up to its own place. The nodes are cut into chunks of
c. For receiver i of chunk t the sum splits at the beginning of its chunk,

    q_i sum_{j <= i} k_j v_j^T = q_i S_t + sum_{j in chunk t, j <= i} (q_i . k_j) v_j,

with S_t the sum over all chunks before t: a running sum of one matrix `[D, V]` a chunk, and a
masked product `[c, c]` in each. That costs O(N (c + D)) numbers in place of O(N^2), and large
products in place of N steps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.lowering.base import Call, Lowering
from geodl.lowering.precision import without_autocast
from geodl.lowering.scores import feature
from geodl.neighborhood.structure import Everyone

CHUNK = 64  # c


def _refuses(call: Call) -> str:
    if call.structure(Everyone) is None:
        return "not all receive from all"
    if call.options.score != "linear":
        return f"the {call.options.score} score is no product of features"
    if call.source.is_union or call.target.is_union:
        return "members of different kinds or sizes"
    if call.options.edge_types is not None:
        return "a typed bias, which no sum over senders carries"
    if call.options.edge_channels is not None:
        return "features of edges, which no sum over senders carries"
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
    edge: None,
) -> Tensor:
    wide = torch.promote_types(value.dtype, torch.float32)
    q = feature(query.to(wide).transpose(1, 2))
    k = feature(key.to(wide).transpose(1, 2))
    v = F.pad(value.to(wide).transpose(1, 2), (0, 1), value=1.0)
    with without_autocast(value.device):
        y = q @ (k.mT @ v) if skip is None else _in_order(skip, q, k, v)
    return (y[..., :-1] / y[..., -1:]).transpose(1, 2).to(value.dtype)


def _in_order(skip: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """`y_i = q_i . sum over j <= i + skip of k_j v_j`: q `[B, H, M, D]`, k `[B, H, N, D]`, v `[B,
    H, N, V]`.
    """
    m = q.shape[2]
    size = min(m, CHUNK)
    # The first `skip` senders come before every receiver: they begin the running sum.
    first = k[:, :, :skip].mT @ v[:, :, :skip]
    q = _chunks(q, size)
    k = _chunks(k[:, :, skip:], size)
    v = _chunks(v[:, :, skip:], size)
    sums = torch.cat((first[:, :, None], (k.mT @ v)[:, :, :-1]), 2)
    before = q @ sums.cumsum(2)
    within = (q @ k.mT).tril() @ v
    return (before + within).flatten(2, 3)[:, :, :m]


def _chunks(x: Tensor, size: int) -> Tensor:
    """`[B, H, M, D]` as `[B, H, chunks, size, D]`, with zeros behind the last node: they add
    nothing.
    """
    count = -(-x.shape[2] // size)
    x = F.pad(x, (0, 0, 0, count * size - x.shape[2]))
    return x.unflatten(2, (count, size))


attend = Lowering("linear", _refuses, _plan, _run)
