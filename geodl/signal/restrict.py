"""Fewer nodes of a domain: what pooling by scores and sampling keep."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from geodl.constants import cached_constants
from geodl.domain import Batch, Complete, Domain, Graph
from geodl.domain.check import as_tensor
from geodl.errors import GeodlError


def check_nodes(asked: str, nodes: Any, domain: Domain, device: torch.device) -> Tensor:
    """The numbers `[K]` of nodes to keep, members together on a union.

    Args:
        asked: what the caller asked for, the beginning of the error.
        nodes: numbers `[K]`, each at most once, or a mask `[N]` of booleans.
        domain: whose nodes they are.
        device: where the numbers go.

    Raises:
        GeodlError: if the shape or dtype is another one, if there are no numbers, or if one is not
            that of a node or comes twice.
    """
    n = domain.num_nodes
    numbers = as_tensor(asked, "nodes", nodes, device).detach()
    if numbers.dtype == torch.bool and numbers.shape == (n,):
        numbers = numbers.nonzero()[:, 0]
    if numbers.shape == (0,):
        raise GeodlError(asked, "no nodes", "keep one at least")
    do = f"give node numbers [K], or booleans [{n}]"
    if numbers.dim() != 1 or numbers.is_floating_point() or numbers.dtype == torch.bool:
        raise GeodlError(asked, f"{numbers.dtype} of shape {list(numbers.shape)}", do)
    numbers = numbers.long().to(device)
    least, largest = int(numbers.min()), int(numbers.max())
    if least < 0 or largest >= n:
        found = f"node numbers from {least} to {largest}"
        raise GeodlError(asked, found, f"node numbers lie in 0..{n - 1}")
    if len(numbers.unique()) < len(numbers):
        raise GeodlError(asked, "a node that is kept twice", "give each number once")
    if domain.num_members == 1:
        return numbers
    # Members of a union stand one after the other, each with its nodes in the order given.
    member = domain.member_of().to(device)[numbers]
    return numbers[torch.argsort(member, stable=True)]


def induced(asked: str, domain: Domain, nodes: Tensor) -> tuple[Domain, Tensor]:
    """The domain of some nodes with the links between them, and the numbers of those links.

    Args:
        asked: what the caller asked for, the beginning of the error.
        domain: the domain of all nodes.
        nodes: `[K]`, as :func:`check_nodes` gives them.

    Raises:
        GeodlError: if a member of a union keeps no node.
    """
    # Weights that come with the call have gradients, and belong to the caller's modes.
    if domain.runtime_weight is not None:
        return _induced_or_united(asked, domain, nodes)
    with cached_constants():
        return _induced_or_united(asked, domain, nodes)


def _induced_or_united(asked: str, domain: Domain, nodes: Tensor) -> tuple[Domain, Tensor]:
    """As :func:`induced`, in the modes of the caller."""
    if not domain.is_union:
        return _induced(domain, nodes)
    counts = torch.bincount(domain.member_of()[nodes], minlength=domain.num_members)
    if not counts.all():
        found = f"none of member {int(counts.argmin())}"
        do = "keep a node of each member, or leave members out before they are united"
        raise GeodlError(asked, found, do)
    flat = getattr(domain, "union", None)
    if flat is not None:
        graph, links = _induced(flat, nodes)
        starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
        return Batch.unchecked(graph, tuple(counts.tolist()), starts), links
    return _induced_by_member(domain, nodes.split(counts.tolist()))


def _induced_by_member(domain: Domain, nodes: Sequence[Tensor]) -> tuple[Domain, Tensor]:
    """As :func:`induced`, of a union whose members were given; their links stand one member after
    the other.
    """
    parts, links = [], []
    first_node = first_link = 0
    for member, own in zip(domain.members or (), nodes, strict=True):
        part, kept = _induced(member, own - first_node)
        parts.append(part)
        links.append(kept + first_link)
        first_node += member.num_nodes
        first_link += member.num_links
    return Batch(parts), torch.cat(links)


def _induced(domain: Domain, nodes: Tensor) -> tuple[Any, Tensor]:
    """As :func:`induced`, of a domain that is not a union."""
    dst, src, weight = domain.links()
    if domain.runtime_weight is not None:
        weight = None
    place = torch.full((domain.num_nodes,), -1, device=nodes.device)
    place[nodes] = torch.arange(len(nodes), device=nodes.device)
    dst, src = place[dst.to(nodes.device)], place[src.to(nodes.device)]
    kept = ((dst >= 0) & (src >= 0)).nonzero()[:, 0]
    index = torch.stack((src[kept], dst[kept]))
    if domain.complete and domain.lattice is None:
        return Complete(len(nodes)), _in_order_of_pairs(index, kept, len(nodes))
    values = {
        "edge_weight": weight,
        "edge_attr": getattr(domain, "edge_attr", None),
        "edge_type": getattr(domain, "edge_type", None),
    }
    for name, value in values.items():
        if value is not None:
            values[name] = value[kept]
    graph = Graph(index, len(nodes), **values)
    if domain.runtime_weight is not None:
        graph = graph.with_weights(domain.runtime_weight[..., kept])
    return graph, kept


def _in_order_of_pairs(index: Tensor, kept: Tensor, count: int) -> Tensor:
    """The numbers of links, in the order in which a complete domain has them: by receiver, then by
    sender.
    """
    src, dst = index
    return kept[torch.argsort(dst * count + src)]
