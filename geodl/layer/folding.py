"""Equal members of a Batch become batch entries: decided here, for runs and for `explain`."""

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal
from geodl.signal.check import batch_of


class MergedMembers(NamedTuple):
    """A union of D equal members seen as one member with a D times larger batch.

    Attributes:
        source: the senders' domain, of one member where members were merged.
        target: likewise the receivers' domain; None where the rule decides.
        num_members: D, 1 where nothing was merged.
        rule: of the call.
    """

    source: Domain
    target: Domain | None
    num_members: int
    rule: Neighborhood


class GraphState(NamedTuple):
    """The state of edges and of whole graphs that a layer may read beside the values of nodes.

    Attributes:
        edges: `[1 or B, E, C_e]`, one row for each link of the domain; None without one.
        globals: `[1 or B, D, C_g]`, one row for each member; None without one.
    """

    edges: Tensor | None
    globals: Tensor | None


NO_STATE = GraphState(None, None)


def merge_equal_members(
    source: Domain,
    target: Domain | None,
    rule: Neighborhood,
    layout: torch.layout = torch.strided,
) -> MergedMembers:
    """Equal members of a Batch become batch entries: the one place where this is decided.

    A union of one member is that member, also beside a domain that is not a union.

    Args:
        source: the senders' domain.
        target: the receivers' domain where it is given, else None.
        rule: of the call, one for each member.
        layout: of the senders' values; sparse ones have no batch axis to become entries of.
    """
    if not source.is_union and (target is None or not target.is_union):
        return MergedMembers(source, target, 1, rule)
    # Kernels take a batch of one shape at once, and no plan has to know of the union.
    one = source.equal_member
    if one is None or layout != torch.strided:
        return MergedMembers(source, target, 1, rule)
    if target is None:
        return MergedMembers(one, None, source.num_members, rule)
    # Members pair one by one: there have to be as many on either side.
    other = target.equal_member
    if other is None or target.num_members != source.num_members:
        return MergedMembers(source, target, 1, rule)
    return MergedMembers(one, other, source.num_members, rule)


def target_elsewhere(domain: Domain, rule: Neighborhood) -> Domain | None:
    """The target of a rule; None for the domain itself, which must not keep itself alive."""
    target = rule.target(domain)
    return None if target is domain else target


def members_to_batch(x: Tensor, count: int) -> Tensor:
    """`[B, D N, C]` as `[B D, N, C]`, a view."""
    if count == 1:
        return x
    return x.reshape(x.shape[0] * count, x.shape[1] // count, x.shape[2])


def state_of_call(signal: Signal, parts: MergedMembers) -> GraphState:
    """The state that a layer may read: that of the signal; of the edges that of the rule, where it
    owns them.

    Raises:
        GeodlError: if the features of a rule's edges are for another batch.
    """
    rule = parts.rule
    if rule.owner is None and signal.edges is None and signal.globals is None:
        return NO_STATE
    if rule.owner is None:
        return state_to_batch(signal, parts.num_members)
    edges, batch = rule.edge_state, batch_of(signal.x)
    if edges is not None and edges.shape[0] not in (1, batch):
        raise GeodlError(
            f"a signal on {signal.domain} over {rule}",
            f"features of edges for a batch of {edges.shape[0]} and a batch of {batch}",
            "give one set of features for each entry of the batch, or one for all",
        )
    return GraphState(edges, signal.globals)


def state_to_batch(signal: Signal, count: int) -> GraphState:
    """The state of a signal, that of D merged members as batch entries: `[B D, E, C_e]` and
    `[B D, 1, C_g]`.
    """
    if count == 1:
        return GraphState(signal.edges, signal.globals)
    batch, folded = batch_of(signal.x), []
    for state in (signal.edges, signal.globals):
        # Entries of one row of the batch stand side by side: a state that all rows share is each
        # row's own from here on.
        if state is not None:
            state = members_to_batch(state.expand(batch, -1, -1), count)
        folded.append(state)
    return GraphState(*folded)
