"""`levels`: recurrence on trees and DAGs, one batched call of the cell for each topological
level.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl import reference
from geodl.lowering.base import Call, Lowering
from geodl.lowering.edges import never, unweighted


class Level(NamedTuple):
    """Nodes whose senders are all in levels before. A state is copied once for each edge, when its
    own level is done.

    Attributes:
        receivers: `[E_l]` the level's node that each of its edges ends in; on level 0 one edge of
            `initial` for each node.
        src_in_level: `[E'_l]` the level's node that each edge out of it begins at, by the level it
            ends in.
        dst_levels: the levels these edges end in.
        edges_per_dst_level: how many of them end in each.
    """

    receivers: Tensor
    src_in_level: Tensor
    dst_levels: tuple[int, ...]
    edges_per_dst_level: tuple[int, ...]


class LevelsPlan(NamedTuple):
    """Nodes and edges by level.

    Attributes:
        nodes: `[N]` the nodes, level after level.
        places: `[N]` where each node stands among them.
        receivers: `[N_0 + E]` the place of each edge's receiver, level after level.
        members: `[N_0]` the member of each node that hears no one.
        last: places of the nodes that nobody hears, in the order of their numbers.
        sizes: how many nodes each level has.
        levels: the levels.
    """

    nodes: Tensor
    places: Tensor
    receivers: Tensor
    members: Tensor
    last: Tensor
    sizes: tuple[int, ...]
    levels: tuple[Level, ...]


def _plan(call: Call) -> LevelsPlan:
    dst, src = (end.cpu() for end in unweighted(call)[:2])
    level = _levels(dst, src, call.source.num_nodes)
    depth, at = int(level.max()) + 1, call.spec.device
    nodes = level.argsort(stable=True)
    places, sizes = nodes.argsort(), level.bincount()
    within = places - (sizes.cumsum(0) - sizes)[level]
    first = torch.arange(int(sizes[0]))
    # Edges into a level stand by the level they come from, edges out of one by the level they go
    # to: pieces fit as they are.
    into, ways = (
        (level[dst] * depth + level[src]).argsort(stable=True),
        level[src] * depth + level[dst],
    )
    out = ways.argsort(stable=True)
    ends, begins = level[dst].bincount(minlength=depth), level[src].bincount(minlength=depth)
    ends[0] = len(first)
    way, count = ways[out].unique_consecutive(return_counts=True)
    pieces = (way // depth).bincount(minlength=depth).tolist()
    columns = zip(
        torch.cat((first, within[dst[into]])).to(at).split(ends.tolist()),
        within[src[out]].to(at).split(begins.tolist()),
        (way % depth).split(pieces),
        count.split(pieces),
        strict=True,
    )
    levels = tuple(
        Level(receivers, src_in_level, tuple(to.tolist()), tuple(n.tolist()))
        for receivers, src_in_level, to, n in columns
    )
    receivers = torch.cat((first, places[dst[into]])).to(at)
    member = torch.repeat_interleave(
        torch.tensor([m.num_nodes for m in call.source.members or (call.source,)])
    )
    last = places[src.bincount(minlength=len(nodes)) == 0].to(at)
    return LevelsPlan(
        nodes.to(at),
        places.to(at),
        receivers,
        member[nodes[first]].to(at),
        last,
        tuple(sizes.tolist()),
        levels,
    )


def _levels(dst: Tensor, src: Tensor, n: int) -> Tensor:
    """How many edges the longest way to each node has: `[N]`; each edge is looked at once, when its
    sender is done.
    """
    waiting, edges_per_dst_level = (
        np.bincount(end, minlength=n) for end in (dst.numpy(), src.numpy())
    )
    starts, dst_levels = (
        edges_per_dst_level.cumsum() - edges_per_dst_level,
        dst[src.argsort()].numpy(),
    )
    level, depth, front = np.zeros(n, dtype=np.int64), 0, np.flatnonzero(waiting == 0)
    while len(front):
        level[front] = depth
        count = edges_per_dst_level[front]
        src_in_level = dst_levels[
            np.repeat(starts[front] - count.cumsum() + count, count) + np.arange(count.sum())
        ]
        np.subtract.at(waiting, src_in_level, 1)
        front, depth = np.unique(src_in_level[waiting[src_in_level] == 0]), depth + 1
    if waiting.any():
        heard_by = src[dst.argsort(stable=True)].split(dst.bincount(minlength=n).tolist())
        reference.topological_order([senders.tolist() for senders in heard_by])  # names the cycle
    return torch.from_numpy(level)


def _run(
    plan: LevelsPlan, x: Tensor, cell: Any, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    at_edges, at_nodes = cell.read(x.transpose(0, 1).index_select(0, plan.nodes))
    edges = at_edges.index_select(0, plan.receivers).split(
        [len(level.receivers) for level in plan.levels]
    )
    heard: list[list[tuple[Tensor, ...]]] = [[] for _ in plan.levels]
    heard[0].append(tuple(s.index_select(0, plan.members) for s in state))
    made = []
    for level, edge, node, parts in zip(
        plan.levels, edges, at_nodes.split(plan.sizes), heard, strict=True
    ):
        taken = cell.edge(edge, tuple(map(torch.cat, zip(*parts, strict=True))))
        parts.clear()
        sums = tuple(
            t.new_zeros(len(node), *t.shape[1:]).index_add(0, level.receivers, t) for t in taken
        )
        made.append(cell.node(node, sums))
        src_in_level = (
            s.index_select(0, level.src_in_level).split(level.edges_per_dst_level) for s in made[-1]
        )
        for hearer, *piece in zip(level.dst_levels, *src_in_level, strict=True):
            heard[hearer].append(tuple(piece))
    states = tuple(map(torch.cat, zip(*made, strict=True)))
    return states[0].transpose(0, 1).index_select(1, plan.places), tuple(
        s.index_select(0, plan.last) for s in states
    )


recur = Lowering("levels", never, _plan, _run)
