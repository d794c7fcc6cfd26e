"""Attention in tiles: blocks of receivers, each with the senders that it may receive from, as one
batched call of the fused kernel with a mask.

`sdpa` (one tile, or one for each member) and `banded` (many small tiles) differ only in how they
cut; the kernel runs here.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.lowering.base import Call, TensorOrNone
from geodl.lowering.fused_attention import attention


class BlockMask(NamedTuple):
    """T tiles of R receivers and S senders each.

    Attributes:
        tiles: T.
        receivers: `[T R]` their nodes, tile after tile; None when these are all in order.
        senders: `[T S]` alike.
        allowed: `[T, 1, R, S]` who receives from whom, 1 in place of T or R where all are alike;
            None when every receiver does from every sender.
        types: `[R S]` edge types where a typed bias is read.
        causal: the kernel's own mask.
        where: `[M]` where each receiver stands in `receivers`.
        empty: `[M, 1, 1]` the receivers without a sender (in `allowed` they have all, so that
            nothing divides by zero).
        scale: the factor of `q . k`; None for `1 / sqrt(D)`.
    """

    tiles: int = 1
    receivers: Tensor | None = None
    senders: Tensor | None = None
    allowed: Tensor | None = None
    types: Tensor | None = None
    causal: bool = False
    where: Tensor | None = None
    empty: Tensor | None = None
    scale: float | None = None


# The scores that the kernel knows, and the factor of `q . k` in each.
SCALES: dict[str, float | None] = {"dot": None, "product": 1.0}


def refuses_score(call: Call) -> str:
    """Why the kernel cannot compute the scores of a call; "" where it can."""
    if call.options.score not in SCALES:
        return f"the kernel knows the dot product, not the {call.options.score} score"
    if call.options.edge_channels is not None:
        return "features of edges, which the kernel's tiles of nodes do not hold"
    return ""


def block_mask(call: Call, receivers: Tensor, senders: Tensor, types: Tensor) -> BlockMask:
    """A plan from nodes `[T, R]` and `[T, S]` (-1: no node) and the types `[R, S]` in every tile
    (-1: no edge).

    Masks and indices that would change nothing are left out: the kernel is faster without.
    """
    # What can be left out is a question of values: not to be asked on meta, slow on a GPU.
    receivers, senders, types = receivers.cpu(), senders.cpu(), types.cpu()
    allowed = (types >= 0) & (senders >= 0)[:, None]
    alone = ~allowed.any(-1, keepdim=True)
    allowed = _without_copies(allowed | alone)
    exists = (receivers >= 0).flatten().nonzero()[:, 0]
    where = torch.empty_like(exists).index_put((receivers.flatten()[exists],), exists)
    empty = alone.flatten()[where]
    mask = BlockMask(
        tiles=len(receivers),
        receivers=_index_or_none(receivers, call.target.num_nodes),
        senders=_index_or_none(senders, call.source.num_nodes),
        where=_index_or_none(where, receivers.numel()),
        scale=SCALES[call.options.score],
    )
    if not allowed.all():
        mask = mask._replace(allowed=allowed[:, None])
    if call.options.edge_types is not None:
        mask = mask._replace(types=types.clamp(min=0).flatten())
    if empty.any():
        mask = mask._replace(empty=empty[:, None, None])
    return _moved(mask, call.spec.device)


def _without_copies(allowed: Tensor) -> Tensor:
    """`[T, R, S]` with 1 in place of T or R where all are alike."""
    for axis in (0, 1):
        first = allowed.narrow(axis, 0, 1)
        if torch.equal(first.expand_as(allowed), allowed):
            allowed = first.contiguous()
    return allowed


def _index_or_none(index: Tensor, size: int) -> Tensor | None:
    """An index to gather by (-1: anything); None when it is the identity on `size` entries."""
    index = index.flatten().clamp(min=0)
    if torch.equal(index, torch.arange(size)):
        return None
    return index


def _moved(mask: BlockMask, device: torch.device) -> BlockMask:
    moved = {
        name: part.to(device)
        for name, part in mask._asdict().items()
        if isinstance(part, torch.Tensor)
    }
    return mask._replace(**moved)


def run(
    plan: BlockMask,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vectors: None,
    bias: TensorOrNone,
    dropout: float,
    edge: None,
) -> Tensor:
    """Attention in each tile; the run signature of `attend`."""
    q = _to_tiles(query, plan.receivers, plan.tiles)
    k = _to_tiles(key, plan.senders, plan.tiles)
    v = _to_tiles(value, plan.senders, plan.tiles)
    mask = plan.allowed
    if bias is not None and plan.types is not None:
        mask = _typed_mask(plan, bias, q, k)
    if mask is not None and mask.shape[0] > 1:
        mask = mask.repeat(query.shape[0], 1, 1, 1)
    y = attention(q, k, v, mask, dropout, plan.causal, plan.scale).transpose(1, 2)
    if plan.tiles > 1:
        y = y.reshape(query.shape[0], plan.tiles * y.shape[1], *y.shape[2:])
    if plan.where is not None:
        y = y.index_select(1, plan.where)
    if plan.empty is not None:
        y = y.masked_fill(plan.empty, 0.0)
    return y


def _to_tiles(x: Tensor, nodes: Tensor | None, tiles: int) -> Tensor:
    """`[B, N, H, D]` as `[B T, H, nodes of a tile, D]`."""
    if nodes is not None:
        x = x.index_select(1, nodes)
    if tiles > 1:
        x = x.reshape(x.shape[0] * tiles, x.shape[1] // tiles, *x.shape[2:])
    return x.transpose(1, 2)


def _typed_mask(plan: BlockMask, bias: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """The bias `[types, H]` of each pair as it is added to the scores: `[T or 1, H, R, S]`."""
    assert plan.types is not None
    # The gradient of a type is a sum over all pairs of that type: added up in half precision it
    # would lose all digits but one.
    wide = bias.to(torch.promote_types(q.dtype, torch.float32))
    added = wide.index_select(0, plan.types).to(q.dtype)
    added = added.view(1, q.shape[2], k.shape[2], q.shape[1])
    # the fused kernels of a GPU read a mask whose last axis is dense
    added = added.movedim(-1, 1).contiguous()
    if plan.allowed is None:
        return added
    return torch.where(plan.allowed, added, -torch.inf)
