"""How many weights a linear layer has: connected to all, to its neighbors, or with shared ones."""

import math
from typing import Any, NamedTuple

import torch

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.layer.check import check_domain, check_rule
from geodl.neighborhood import Neighborhood, Stencil

LARGEST = 10_000_000  # edges that are written out where no record says how many there are


class WeightCounts(NamedTuple):
    """Weights of a linear layer between single channels, without biases.

    Attributes:
        connected: M N, one for each pair of a receiver and a sender.
        local: E, one for each edge of the rule.
        shared: T, one for each edge type.
    """

    connected: int
    local: int
    shared: int


def count_weights(rule: Neighborhood, domain: Domain) -> WeightCounts:
    """The weights that a layer over a rule would have if every receiver heard every sender, if each
    edge had a weight of its own, and with those that it shares.

    Edges of a window are counted by its record, axis by axis: none is written out.

    Args:
        rule: who receives from whom.
        domain: the senders'.

    Raises:
        GeodlError: if it is no rule or no domain; if the rule does not fit the domain; if its edge
            types depend on data; if nothing but more than ten million edges says how many there
            are.

    >>> import geodl as g
    >>> counts = count_weights(g.window(10, padding="valid"), g.Grid(1009, 1009))
    >>> counts.local, counts.shared
    (100000000, 100)
    """
    check_rule("the weights of a layer", rule)
    check_domain(f"the weights of a layer over {rule}", domain)
    target = rule.target(domain)
    connected = target.num_nodes * domain.num_nodes
    shared = rule.num_edge_types
    asked = f"the weights of a layer over {rule} on {domain}"
    if shared is None:
        raise GeodlError(asked, "edge types that the domain decides", "use a window")
    records: list[Any] = [r for r in rule.structures(domain, target) if isinstance(r, Stencil)]
    if records and records[0].basis is None:
        return WeightCounts(connected, _count_edges(records[0], domain, target), shared)
    if connected > LARGEST:
        found = f"{connected:,} pairs of nodes, and no record of their edges"
        raise GeodlError(asked, found, "use a window on a lattice, or a smaller domain")
    return WeightCounts(connected, len(rule.edges(domain, target).dst), shared)


def _count_edges(stencil: Stencil, source: Domain, target: Domain) -> int:
    """E: for each axis the pairs of a receiver and of a place of its window that has a sender,
    multiplied; for each pair of sheets.
    """
    edges = 1
    if stencil.transposed:
        source, target = target, source
    for axis, n in enumerate(stencil.in_shape):
        begin = torch.arange(stencil.out_shape[axis]) * stencil.stride[axis]
        begin = begin - stencil.padding[axis][0]
        place = torch.arange(stencil.kernel[axis]) * stencil.dilation[axis]
        sender = begin[:, None] + place
        exists = (sender >= 0) & (sender < n)
        if stencil.circular[axis]:
            exists = torch.ones_like(exists)
        edges *= int(exists.sum())
    # A plain window on a fibered lattice stays on each sheet, one over a group joins all pairs.
    sheets_out, sheets_in = stencil.edge_type.shape[:2]
    pairs = sheets_out * sheets_in
    if pairs == 1:
        pairs = source.num_nodes // math.prod(stencil.in_shape)
    return edges * pairs
