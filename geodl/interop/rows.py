"""Signals as rows `[B, N, C]` and as planes `[B, C |G|, *axes]`: which layers go back to torch on
rows, and the calls of torch that lead from one form to the other.
"""

from typing import Any

from torch import fx

from geodl.domain import Domain
from geodl.interop.group_conv import pools_sheets, restricts
from geodl.layer import Attention, Conv, MessagePassing, Pool, Propagate
from geodl.neighborhood import all_pairs, full_or_adjacency, itself, past, whole

# Over these attention is that of Transformers, which has converters of its own.
OF_TRANSFORMERS = (all_pairs(), full_or_adjacency(), past())


def reads_rows(layer: Any) -> bool:
    """Whether a layer has no twin on planes: attention, a convolution or a pool that is no window
    and not over the group or all nodes alone.
    """
    if not isinstance(layer, MessagePassing):
        return False
    if isinstance(layer, Attention):
        return True
    rule: Any = layer.rule
    forward = getattr(rule, "rule", rule)
    if getattr(forward, "size", None) is not None:
        return False
    if isinstance(layer, Pool):
        return not pools_sheets(rule) and rule != whole()
    if isinstance(layer, Propagate):
        return not restricts(layer)
    return isinstance(layer, Conv) and rule != itself()


def names_its_domain(layer: Any) -> bool:
    """Whether a layer of rows is built for one domain, which tells its edge types or was named."""
    if not reads_rows(layer):
        return False
    if isinstance(layer, Attention) and layer.rule not in OF_TRANSFORMERS:
        return True
    return layer.on is not None or layer.rule.num_edge_types is None


def rows_of(graph: fx.Graph, planes: fx.Node, domain: Domain | None) -> fx.Node:
    """Planes as rows, in the order of a domain's nodes.

    Args:
        graph: which the calls are added to.
        planes: `[B, C |G|, *axes]`; `[B, C, N]` where the domain has no lattice or is not known.
        domain: the signal's.
    """
    if domain is None or domain.lattice is None:
        return graph.call_method("movedim", (planes, 1, 2))
    apart = graph.call_method("unflatten", (planes, 1, (-1, _sheets(domain))))
    last = graph.call_method("movedim", (apart, (1, 2), (-1, -2)))
    return graph.call_method("flatten", (last, 1, -2))


def planes_of(graph: fx.Graph, rows: fx.Node, domain: Domain | None) -> fx.Node:
    """The inverse of :func:`rows_of`."""
    if domain is None or domain.lattice is None:
        return graph.call_method("movedim", (rows, 1, 2))
    shape = (*domain.lattice, _sheets(domain))
    apart = graph.call_method("unflatten", (rows, 1, shape))
    first = graph.call_method("movedim", (apart, (-1, -2), (1, 2)))
    return graph.call_method("flatten", (first, 1, 2))


def _sheets(domain: Domain) -> int:
    if domain.fiber is None:
        return 1
    return domain.fiber.order
