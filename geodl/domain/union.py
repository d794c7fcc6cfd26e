"""What unions are made of: members, and places where members begin, that are checked; links that
are merged.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain.base import Domain, Links
from geodl.domain.check import as_tensor, check_has_values, check_unmapped, default_device
from geodl.domain.graph import Graph
from geodl.domain.runs import Runs, runs_of
from geodl.domain.stackable import check_stackable
from geodl.domain.weights import is_reweighted
from geodl.errors import GeodlError

Places = tuple[Runs, Runs, Tensor | None]


def check_members(members: Any) -> tuple[Domain, ...]:
    """The members of a union."""
    if not isinstance(members, Iterable):
        found = f"a {type(members).__name__}"
        raise GeodlError("Batch(members)", found, "give a list: Batch([domain, ...])")
    parts = tuple(members)
    if not parts:
        raise GeodlError("Batch([])", "no members", "give at least one domain")
    if any(not isinstance(part, Domain) or part.is_union for part in parts):
        kinds = sorted({type(part).__name__ for part in parts})
        do = "give domains, none of them a Batch itself"
        raise GeodlError("Batch(members)", f"members of kinds {kinds}", do)
    return parts


def check_starts(asked: str, starts: Any, num_nodes: int, device: torch.device) -> Tensor:
    """Where each member of a union begins, and where the last ends: a copy `[D + 1]` of
    torch.long.

    Raises:
        GeodlError: if they are not such integers, or do not grow from 0 to the number of nodes.
    """
    begins = as_tensor(asked, "starts", starts, device)
    check_has_values(asked, begins)
    is_integer = not (begins.is_floating_point() or begins.is_complex())
    if begins.dim() != 1 or begins.dtype == torch.bool or not is_integer:
        do = "give integers [D + 1], as PyG's ptr"
        raise GeodlError(asked, f"starts {begins.dtype} of shape {list(begins.shape)}", do)
    begins = begins.detach().to(device, torch.long, copy=True)
    places, found = begins.numpy(force=True), ""
    if len(places) < 2 or places[0] != 0 or places[-1] != num_nodes:
        found = f"starts {places[:3].tolist()} ... {places[-1:].tolist()}"
    elif (places[1:] <= places[:-1]).any():
        found = "a member without nodes"
    if found:
        do = f"begin at 0, grow from member to member, and end at the {num_nodes} nodes"
        raise GeodlError(asked, found, do)
    return begins


def check_numbers(union: Domain, numbers: Any) -> None:
    """Refuse what is not a row of numbers of members, `[D']` of torch.long from 0 to D - 1."""
    found = ""
    if isinstance(numbers, Tensor):
        check_unmapped(f"members of {union}", "members", numbers)
    if not isinstance(numbers, Tensor) or numbers.dtype != torch.long or numbers.dim() != 1:
        found = f"{numbers!r}"
    # By numpy, in a fourth of the time: numbers come at every step.
    elif not len(numbers) or not _in_range(numbers.numpy(force=True), union.num_members):
        found = f"the numbers {numbers.tolist()}"
    if found:
        do = f"give some of 0..{union.num_members - 1}, in torch.long"
        raise GeodlError(f"members of {union}", found, do)


def _in_range(numbers: Any, count: int) -> bool:
    """Whether numbers, at least one, lie in 0..count - 1."""
    return numbers.min() >= 0 and numbers.max() < count


def check_within_members(asked: str, union: Graph, starts: Tensor) -> tuple[int, ...]:
    """How many nodes each member has, once no edge is known to lead from one to another."""
    counts = np.diff(starts.numpy(force=True)).tolist()
    if union.device.type == "cpu":
        # A batch of PyG's is checked at every step, and numpy does it in a third of the time.
        each = np.arange(len(counts)).repeat(counts)
        src, dst = each[union.edge_index.numpy()]
        if (src == dst).all():
            return tuple(counts)
    member = torch.repeat_interleave(starts.diff(), output_size=union.num_nodes)
    src, dst = member[union.edge_index]
    if not torch.equal(src, dst):
        k = int((src != dst).nonzero()[0, 0])
        found = f"an edge from member {int(src[k])} to member {int(dst[k])}"
        raise GeodlError(asked, found, "members have no edges between them")
    return tuple(counts)


def check_graphs(asked: str, members: Sequence[Domain]) -> list[Graph]:
    """The members of a union, once they are known to be graphs."""
    graphs = []
    for member in members:
        if not isinstance(member, Graph):
            raise GeodlError(asked, f"a member {member}", "give graphs: PyG knows nothing else")
        graphs.append(member)
    return graphs


@cached_constants()
def merged_links(members: Sequence[Domain], starts: Tensor) -> Links:
    """The links of all members as those of their union; weights of 1 where some have none.

    Args:
        members: in the order of the union.
        starts: `[D + 1]` their first nodes, where the links are to be.
    """
    parts, device = [member.links() for member in members], starts.device
    # Node i of a member is node start + i of the union, in the links of that member.
    counts = torch.tensor([len(part.dst) for part in parts], device=device)
    offset = torch.repeat_interleave(starts[:-1], counts)
    dst = torch.cat([part.dst.to(device) for part in parts]) + offset
    src = torch.cat([part.src.to(device) for part in parts]) + offset
    # Weights that come with the call are joined at each call.
    if is_reweighted(members) or all(part.weight is None for part in parts):
        return Links(dst, src)
    return Links(dst, src, torch.cat([_weights(part).to(device) for part in parts]))


def places_of(union: Any) -> Places:
    """Where the nodes and the links of each member of a Batch stand, on the CPU; and, where its
    links stand in another order, the order that brings those of one member together.
    """
    nodes = runs_of(union.counts)
    if not union.is_flat:
        return nodes, runs_of([member.num_links for member in union.members]), None
    if union.chosen is not None:
        return nodes, runs_of(union.chosen.link_counts), None
    check_has_values(f"the members of {union}", union.starts)
    member = union.member_of()[union.union.edge_index[1]].cpu()
    links = torch.bincount(member, minlength=union.num_members)
    order = None
    if not bool((member.diff() >= 0).all()):
        order = torch.argsort(member, stable=True)
    return nodes, runs_of(links.numpy()), order


@cached_constants()
def graph_of(union: Any) -> Graph | None:
    """The one Graph of a flat union that was not made with it."""
    if union.chosen is not None:
        return union.chosen.make_graph()
    graphs = union.sorted_graphs
    if graphs is None:
        return None
    return Graph.unchecked(graphs.edge_index, union.count)


@cached_constants()
def members_of(union: Any, places: Places) -> tuple[Domain, ...]:
    """The graphs of a flat union: views of its tensors where links stand member after member."""
    if union.num_members == 1:
        return (union.union,)
    _, links, order = places
    return cut_members(union.union, union.counts, union.starts, links.length, order)


def as_graph(union: Any, **values: Tensor | None) -> Graph:
    """The links and weights of all members in one Graph, with other values by name."""
    dst, src, weight = union.links()
    return Graph(torch.stack((src, dst)), union.num_nodes, edge_weight=weight, **values)


def members_over(members: Sequence[Domain], tensors: Sequence[Tensor]) -> tuple[Domain, ...]:
    """Members over other copies of their tensors, which stand member after member."""
    made, begin = [], 0
    for member in members:
        end = begin + len(member.tensors())
        made.append(member.with_tensors(tuple(tensors[begin:end])))
        begin = end
    return tuple(made)


def cut_members(
    union: Graph, sizes: Sequence[int], starts: Tensor, links: Any, order: Tensor | None
) -> tuple[Domain, ...]:
    """The graphs of a flat union: views, where its links stand member after member.

    Args:
        union: all links.
        sizes: the nodes of each member.
        starts: `[D + 1]` their first nodes.
        links: `[D]` how many links each has, on the CPU.
        order: what brings the links of a member together; None where they stand so.
    """
    moved = torch.from_numpy((-starts[:-1].cpu().numpy()).repeat(links))
    if order is not None:
        order = order.to(starts.device)
    # All node numbers are moved at once: each member is then a piece of the same tensors.
    local = union.part(order, union.num_nodes, moved.to(starts.device))
    first, members = 0, []
    for size, count in zip(sizes, links.tolist(), strict=True):
        members.append(local.cut(first, count, size))
        first += count
    return tuple(members)


def _weights(links: Links) -> Tensor:
    # float64 holds the weights of every member as they are.
    if links.weight is None:
        return torch.ones(len(links.dst), dtype=torch.float64)
    return links.weight.double()


def device_of_members(members: Sequence[Domain]) -> torch.device:
    """The one device of the members' tensors, or where lists become tensors."""
    devices = {member.device for member in members if member.device is not None}
    if len(devices) > 1:
        found = f"members on {sorted(map(str, devices))}"
        raise GeodlError("Batch(members)", found, "move them to one device")
    if devices:
        return devices.pop()
    return default_device()


def joined_generators(members: Sequence[Domain], num_nodes: int) -> Tensor:
    """Each member's generators, the others at rest: `[G, N]`."""
    # Equal members are not exchanged: the group does not depend on which members are equal.
    moves, start = [], 0
    for member in members:
        for move in member.generators():
            whole = torch.arange(num_nodes)
            whole[start : start + len(move)] = move + start
            moves.append(whole)
        start += member.num_nodes
    if not moves:
        return torch.zeros(0, num_nodes, dtype=torch.long)
    return torch.stack(moves)


def joined_values(members: Sequence[Domain], name: str) -> Tensor | None:
    """The values of the links of all members by name; None unless every member has them.

    Raises:
        GeodlError: if every member has them, and they differ in shape or dtype.
    """
    values = [getattr(member, name, None) for member in members]
    present = [value for value in values if value is not None]
    if len(present) < len(values):
        return None
    check_stackable(f"a Batch of {len(values)} graphs", "member", name, present)
    return torch.cat(present)
