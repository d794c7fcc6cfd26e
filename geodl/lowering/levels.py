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
    """Nodes whose senders are all in earlier levels. A state is copied once for each edge, when its
    own level is done.

    Attributes:
        receivers: `[E_l]`, for each edge into the level, the number (in the level) of the node it
            ends in; on level 0 there is one edge from `initial` for each node.
        src_in_level: `[E'_l]`, for each edge out of the level, the number (in the level) of its
            sender, sorted by the level that the edge goes to.
        dst_levels: the levels that these edges go to, ascending.
        edges_per_dst_level: how many edges go to each of them.
    """

    receivers: Tensor
    src_in_level: Tensor
    dst_levels: tuple[int, ...]
    edges_per_dst_level: tuple[int, ...]


class LevelsPlan(NamedTuple):
    """Nodes and edges by level.

    Attributes:
        nodes: `[N]` the nodes, level after level.
        position_of: `[N]` the position of each node in `nodes`.
        receivers: `[N_0 + E]` the position of each edge's receiver, level after level.
        members: `[N_0]` the member of each node that receives from no one.
        last: positions of the nodes that no one receives from, in the order of their numbers.
        sizes: how many nodes each level has.
        levels: the levels.
    """

    nodes: Tensor
    position_of: Tensor
    receivers: Tensor
    members: Tensor
    last: Tensor
    sizes: tuple[int, ...]
    levels: tuple[Level, ...]


def _plan(call: Call) -> LevelsPlan:
    edges = unweighted(call)
    dst, src = edges.dst.cpu(), edges.src.cpu()
    num_nodes, device = call.source.num_nodes, call.spec.device
    level = levels_of(dst, src, num_nodes)
    sizes = level.bincount()
    nodes = level.argsort(stable=True)
    position_of = nodes.argsort()
    # Nodes of level 0 receive the initial state, as if along one edge each.
    roots = torch.arange(int(sizes[0]))
    into = _edges_into_levels(dst, src, level)
    within = position_of - (sizes.cumsum(0) - sizes)[level]
    member = torch.repeat_interleave(torch.tensor(call.source.sizes))
    unread = src.bincount(minlength=num_nodes) == 0
    return LevelsPlan(
        nodes=nodes.to(device),
        position_of=position_of.to(device),
        receivers=torch.cat((roots, position_of[dst[into]])).to(device),
        members=member[nodes[roots]].to(device),
        last=position_of[unread].to(device),
        sizes=tuple(sizes.tolist()),
        levels=_levels(dst, src, level, within, device),
    )


def _edges_into_levels(dst: Tensor, src: Tensor, level: Tensor) -> Tensor:
    """The edges by the level they go to, and within it by the level they come from."""
    depth = int(level.max()) + 1
    return (level[dst] * depth + level[src]).argsort(stable=True)


def _levels(
    dst: Tensor, src: Tensor, level: Tensor, within: Tensor, device: torch.device
) -> tuple[Level, ...]:
    """The levels. A level's states are copied once along all edges out of it, cut by the levels
    that these go to; since edges into a level stand by the level they come from, the pieces that
    arrive at it are already in its own order.
    """
    depth = int(level.max()) + 1
    into = _edges_into_levels(dst, src, level)
    into_each = level[dst].bincount(minlength=depth)
    into_each[0] = int((level == 0).sum())
    roots = torch.arange(int(into_each[0]))
    receivers = torch.cat((roots, within[dst[into]])).to(device).split(into_each.tolist())
    # One number for each pair of levels (from, to), so that equal ones are runs once they are
    # sorted.
    pair = level[src] * depth + level[dst]
    out = pair.argsort(stable=True)
    out_of_each = level[src].bincount(minlength=depth)
    senders = within[src[out]].to(device).split(out_of_each.tolist())
    pairs, edges_of_pair = pair[out].unique_consecutive(return_counts=True)
    pairs_from_each = (pairs // depth).bincount(minlength=depth).tolist()
    dst_levels = (pairs % depth).split(pairs_from_each)
    counts = edges_of_pair.split(pairs_from_each)
    return tuple(
        Level(receivers[k], senders[k], tuple(dst_levels[k].tolist()), tuple(counts[k].tolist()))
        for k in range(depth)
    )


def levels_of(dst: Tensor, src: Tensor, num_nodes: int) -> Tensor:
    """The level of each node, `[N]`: the length of the longest path that ends in it.

    Kahn's algorithm, one front of nodes at a time: a node is in the front once all its senders are
    done. Each edge is looked at once, when its sender is done.

    Raises:
        GeodlError: if the edges have a cycle, which is named by its nodes.
    """
    waiting = np.bincount(dst.numpy(), minlength=num_nodes)
    num_out = np.bincount(src.numpy(), minlength=num_nodes)
    # The receivers of node j stand at first_out[j] to first_out[j] + num_out[j] - 1.
    receivers = dst[src.argsort()].numpy()
    first_out = num_out.cumsum() - num_out
    level = np.zeros(num_nodes, dtype=np.int64)
    depth, front = 0, np.flatnonzero(waiting == 0)
    while len(front):
        level[front] = depth
        count = num_out[front]
        begins = np.repeat(first_out[front] - (count.cumsum() - count), count)
        reached = receivers[begins + np.arange(count.sum())]
        np.subtract.at(waiting, reached, 1)
        front = np.unique(reached[waiting[reached] == 0])
        depth += 1
    if waiting.any():
        senders = src[dst.argsort(stable=True)].split(dst.bincount(minlength=num_nodes).tolist())
        # The reference finds a cycle in its own way, and names it.
        reference.topological_order([part.tolist() for part in senders])
    return torch.from_numpy(level)


def _run(
    plan: LevelsPlan, x: Tensor, cell: Any, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    at_edges, at_nodes = cell.read(x.transpose(0, 1).index_select(0, plan.nodes))
    num_edges = [len(level.receivers) for level in plan.levels]
    edge_inputs = at_edges.index_select(0, plan.receivers).split(num_edges)
    node_inputs = at_nodes.split(plan.sizes)
    # arrived[l] holds the states that come to level l along its edges, piece by piece.
    arrived: list[list[tuple[Tensor, ...]]] = [[] for _ in plan.levels]
    arrived[0].append(tuple(s.index_select(0, plan.members) for s in state))
    made: list[tuple[Tensor, ...]] = []
    for k, level in enumerate(plan.levels):
        senders = tuple(map(torch.cat, zip(*arrived[k], strict=True)))
        arrived[k].clear()
        taken = cell.edge(edge_inputs[k], senders)
        sums = tuple(_sum_by_receiver(part, level.receivers, plan.sizes[k]) for part in taken)
        made.append(cell.node(node_inputs[k], sums))
        copies = [s.index_select(0, level.src_in_level) for s in made[k]]
        pieces = [copy.split(level.edges_per_dst_level) for copy in copies]
        for to, *piece in zip(level.dst_levels, *pieces, strict=True):
            arrived[to].append(tuple(piece))
    states = tuple(map(torch.cat, zip(*made, strict=True)))
    y = states[0].transpose(0, 1).index_select(1, plan.position_of)
    return y, tuple(s.index_select(0, plan.last) for s in states)


def _sum_by_receiver(taken: Tensor, receivers: Tensor, num_nodes: int) -> Tensor:
    """The sum over the edges of a level into each of its nodes."""
    zeros = taken.new_zeros(num_nodes, *taken.shape[1:])
    return zeros.index_add(0, receivers, taken)


recur = Lowering("levels", never, _plan, _run)
