"""Weights and multiplications counted from edges, which are not written out for it."""

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.layer import Concat, Conv, Network, Residual, evaluated, trace
from geodl.layer.check import check_domain, check_rule
from geodl.neighborhood import Neighborhood, Stencil, itself
from geodl.signal import Signal

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
    if shared is None:
        asked = f"the weights of a layer over {rule} on {domain}"
        raise GeodlError(asked, "edge types that the domain decides", "use a window")
    return WeightCounts(connected, _count_edges(rule, domain, target), shared)


def multiply_adds(model: nn.Module, signal: Signal) -> int:
    """Multiplications, each with its addition, that the edges of a model ask for, of one entry of
    the batch: `E C_in C_out / groups` of a convolution with E edges, `N C_in C_out` of a linear
    layer on N nodes.

    Where a window reaches over a border there is no edge, so that padded convolutions have a few
    less than `C_in C_out K M`. Norms, activations and pools are not counted.

    Args:
        model: of convolutions and linear layers, with what has no matrices between them.
        signal: its input; on the meta device nothing is computed.

    Raises:
        GeodlError: if another layer has a matrix of weights.

    >>> import geodl as g
    >>> image = g.Signal.image(torch.zeros(1, 3, 4, 4))
    >>> multiply_adds(g.Sequential(g.Conv(3, 8, g.itself()), nn.Linear(8, 2)), image)
    640
    """
    with evaluated(model), torch.no_grad(), trace(model) as events:
        model(signal)
    total = 0
    for event in events:
        layer: Any = event.layer
        if isinstance(layer, Conv) and event.rule is not None:
            edges = _count_edges(event.rule, event.source, event.target)
            total += edges * layer.channels_in * layer.channels_out // layer.groups
        elif isinstance(layer, nn.Linear):
            total += event.target.num_nodes * layer.in_features * layer.out_features
        # What containers add of their own are sums and concatenations.
        elif isinstance(layer, Concat | Network | Residual):
            continue
        elif any(p.dim() > 1 for p in layer.parameters()):
            found = f"{event.path}: {type(layer).__name__}, which multiplies otherwise"
            raise GeodlError("multiply_adds(model, signal)", found, "give a model of convolutions")
    return total


def _count_edges(rule: Neighborhood, source: Domain, target: Domain) -> int:
    """E, from the record of a window; edges of other rules are written out."""
    if rule == itself():
        return source.num_nodes
    records: list[Any] = [r for r in rule.structures(source, target) if isinstance(r, Stencil)]
    if records and records[0].basis is None:
        return _count_windows(records[0], source, target)
    pairs = target.num_nodes * source.num_nodes
    if pairs > LARGEST:
        found = f"{pairs:,} pairs of nodes, and no record of their edges"
        do = "use a window on a lattice, or a smaller domain"
        raise GeodlError(f"the edges of {rule} on {source}", found, do)
    return len(rule.edges(source, target).dst)


def _count_windows(stencil: Stencil, source: Domain, target: Domain) -> int:
    """E: for each axis the pairs of a receiver and of a place of its window that has a sender,
    multiplied; for each pair of sheets.
    """
    if stencil.transposed:
        source, target = target, source
    edges = math.prod(_count_along(stencil, axis) for axis in range(len(stencil.in_shape)))
    # A plain window on a fibered lattice stays on each sheet, one over a group joins all pairs.
    sheets_out, sheets_in = stencil.edge_type.shape[:2]
    pairs = sheets_out * sheets_in
    if pairs == 1:
        pairs = source.num_nodes // math.prod(stencil.in_shape)
    return edges * pairs


def _count_along(stencil: Stencil, axis: int) -> int:
    """The edges along one axis. Place k of receiver i is at `i stride + k dilation - before`, which
    is from 0 to n - 1 for the i from `(before - k dilation) / stride`, rounded up, to
    `(n - 1 + before - k dilation) / stride`, rounded down.
    """
    size, receivers = stencil.kernel[axis], stencil.out_shape[axis]
    if stencil.circular[axis]:
        return size * receivers
    n, stride, before = stencil.in_shape[axis], stencil.stride[axis], stencil.padding[axis][0]
    count = 0
    for place in range(size):
        shift = before - place * stencil.dilation[axis]
        first = max(0, -(-shift // stride))
        last = min(receivers - 1, (n - 1 + shift) // stride)
        count += max(0, last - first + 1)
    return count
