"""`sdpa`: attention on a complete or causal domain as torch's fused kernel, members of other sizes
padded to the longest.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.lowering.base import Call, Lowering
from geodl.lowering.edges import written_out
from geodl.lowering.fused_attention import attention
from geodl.neighborhood.structure import Everyone


class BlockMask(NamedTuple):
    """Receivers in T `tiles` of R, each with the S senders that it may hear: attention in each
    tile, with a mask.

    Attributes:
        tiles: T.
        receivers: `[T R]` their nodes, tile after tile; None when these are all in order.
        senders: `[T S]` alike.
        heard: `[T, 1, R, S]` who hears whom, 1 in place of T or R where all are alike; None when
            everyone does.
        types: `[R S]` edge types where a typed bias is read.
        causal: the kernel's own mask.
        place: `[M]` where each receiver stands in `receivers`.
        silent: `[M, 1, 1]` the receivers that hear no one (in `heard` they hear all, so that
            nothing divides by zero).
    """

    tiles: int = 1
    receivers: Tensor | None = None
    senders: Tensor | None = None
    heard: Tensor | None = None
    types: Tensor | None = None
    causal: bool = False
    place: Tensor | None = None
    silent: Tensor | None = None


def block_mask(call: Call, receivers: Tensor, senders: Tensor, types: Tensor) -> BlockMask:
    """A plan from nodes `[T, R]` and `[T, S]` (-1: no node) and the types `[R, S]` in every tile
    (-1: no edge).
    """
    # which masks and indices can be left out is a question of values: not to be asked on meta
    receivers = receivers.cpu()
    senders = senders.cpu()
    types = types.cpu()
    heard = (types >= 0) & (senders >= 0)[:, None]
    alone = ~heard.any(-1, keepdim=True)
    heard = heard | alone
    for axis in (0, 1):
        first = heard.narrow(axis, 0, 1)
        heard = first.contiguous() if torch.equal(first.expand_as(heard), heard) else heard
    there = (receivers >= 0).flatten().nonzero()[:, 0]
    place = torch.empty_like(there).index_put((receivers.flatten()[there],), there)
    silent = alone.flatten()[place]
    mask = BlockMask(
        len(receivers),
        _index_or_none(receivers, call.target.num_nodes),
        _index_or_none(senders, call.source.num_nodes),
        None if heard.all() else heard[:, None],
        None if call.options.edge_types is None else types.clamp(min=0).flatten(),
        place=_index_or_none(place, receivers.numel()),
        silent=silent[:, None, None] if silent.any() else None,
    )
    return BlockMask(*(_moved(part, call.spec.device) for part in mask))


def run(
    plan: BlockMask,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vectors: None,
    bias: Tensor | None,
    dropout: float,
) -> Tensor:
    """Attention in each tile; the run signature of `attend`."""
    q = _to_tiles(query, plan.receivers, plan.tiles)
    k, v = _to_tiles(key, plan.senders, plan.tiles), _to_tiles(value, plan.senders, plan.tiles)
    mask = plan.heard
    if bias is not None and plan.types is not None:
        mask = (
            bias.index_select(0, plan.types)
            .to(q.dtype)
            .view(1, q.shape[2], k.shape[2], q.shape[1])
            .movedim(-1, 1)
            .contiguous()
        )
        mask = mask if plan.heard is None else torch.where(plan.heard, mask, -torch.inf)
    if mask is not None and mask.shape[0] > 1:
        mask = mask.repeat(query.shape[0], 1, 1, 1)
    y = attention(q, k, v, mask, dropout, plan.causal).transpose(1, 2)
    y = y if plan.tiles == 1 else y.reshape(query.shape[0], plan.tiles * y.shape[1], *y.shape[2:])
    y = y if plan.place is None else y.index_select(1, plan.place)
    return y if plan.silent is None else y.masked_fill(plan.silent, 0.0)


def _to_tiles(x: Tensor, nodes: Tensor | None, tiles: int) -> Tensor:
    """`[B, N, H, D]` as `[B T, H, nodes of a tile, D]`."""
    x = x if nodes is None else x.index_select(1, nodes)
    x = x if tiles == 1 else x.reshape(x.shape[0] * tiles, x.shape[1] // tiles, *x.shape[2:])
    return x.transpose(1, 2)


def _moved(part: Any, device: torch.device) -> Any:
    return part.to(device) if isinstance(part, Tensor) else part


def _index_or_none(index: Tensor, size: int) -> Tensor | None:
    """An index to gather by (-1: anything); None when it is the identity on `size` entries."""
    index = index.flatten().clamp(min=0)
    return None if torch.equal(index, torch.arange(size, device=index.device)) else index


def _refuses(call: Call) -> str:
    if call.structure(Everyone) is None:
        return "not everyone hears everyone"
    if call.options.score != "dot":
        return f"the kernel knows the dot product, not the {call.options.score} score"
    unions = call.source.members is not None or call.target.members is not None
    if unions and call.options.edge_types is not None:
        return "a typed bias on members of different kinds or sizes"
    return ""


def _plan(call: Call) -> BlockMask:
    everyone = call.structure(Everyone)
    assert everyone is not None
    if call.source.members is not None or call.target.members is not None:
        receivers = _members(call.target, everyone.causal)
        senders = _members(call.source, everyone.causal)
        types = _causal_or_full(everyone, receivers.shape[1], senders.shape[1])
        return block_mask(call, receivers, senders, types)
    m, n = call.target.num_nodes, call.source.num_nodes
    if call.options.edge_types is not None:
        edges = written_out(call)
        types = torch.full((m, n), -1, device=edges.dst.device)
        types = types.index_put((edges.dst, edges.src), edges.type)
    elif not everyone.causal or m in (1, n):
        # The newest node alone receives from all; as many receivers as senders are the kernel's own
        # causal mask.
        return BlockMask(causal=everyone.causal and m == n)
    else:
        types = _causal_or_full(everyone, m, n)
    return block_mask(call, torch.arange(m)[None], torch.arange(n)[None], types)


def _causal_or_full(everyone: Everyone, m: int, n: int) -> Tensor:
    """0 where receiver i receives from sender j, else -1: `[M, N]`, causal order aligned at the
    end.
    """
    present = torch.ones(m, n, dtype=torch.long)
    if everyone.causal:
        present = present.tril(n - m)
    return present - 1


def _members(domain: Domain, at_end: bool) -> Tensor:
    """The nodes of each member `[D, longest]`, -1 where there is none.

    Args:
        domain: a union, or a domain that is its own only member.
        at_end: whether shorter members stand at the end of their row; a causal order is aligned
            there.
    """
    sizes = torch.tensor([m.num_nodes for m in domain.members or (domain,)])[:, None]
    longest = int(sizes.max())
    place = torch.arange(longest)
    if at_end:
        place = place - (longest - sizes)
    first = sizes.cumsum(0) - sizes
    return torch.where((place >= 0) & (place < sizes), first + place, -1)


attend = Lowering("sdpa", _refuses, _plan, run)
