"""`sdpa`: attention on a complete or causal domain as torch's fused kernel, members of other sizes
padded to the longest.
"""

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.lowering.base import Call, Lowering
from geodl.lowering.block_mask import SCALES, BlockMask, block_mask, refuses_score, run
from geodl.lowering.edges import written_out
from geodl.neighborhood.structure import Everyone


def _refuses(call: Call) -> str:
    if call.structure(Everyone) is None:
        return "not all receive from all"
    if reason := refuses_score(call):
        return reason
    unions = call.source.is_union or call.target.is_union
    if unions and call.options.edge_types is not None:
        return "a typed bias on members of different kinds or sizes"
    return ""


def _plan(call: Call) -> BlockMask:
    everyone = call.structure(Everyone)
    assert everyone is not None
    if call.source.is_union or call.target.is_union:
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
        scale = SCALES[call.options.score]
        return BlockMask(causal=everyone.causal and m == n, scale=scale)
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
    sizes = torch.tensor(domain.sizes)[:, None]
    longest = int(sizes.max())
    place = torch.arange(longest)
    if at_end:
        place = place - (longest - sizes)
    first = sizes.cumsum(0) - sizes
    return torch.where((place >= 0) & (place < sizes), first + place, -1)


attend = Lowering("sdpa", _refuses, _plan, run)
