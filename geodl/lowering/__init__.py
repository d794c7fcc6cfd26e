"""Lowerings: the kernels on which verbs run, in order of preference.

A new one is a file and an entry here.
"""

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.group import cached_constants
from geodl.lowering import (
    banded,
    blocks,
    edge_softmax,
    edges,
    lattice,
    levels,
    linear,
    mean,
    rnn,
    sdpa,
    spmm,
)
from geodl.lowering.base import (
    AttendOptions,
    Call,
    ConvolveOptions,
    Lowering,
    MessageOptions,
    Plan,
    PoolOptions,
    RecurOptions,
    TensorSpec,
    keep,
    select,
    store_of,
)
from geodl.neighborhood.base import Neighborhood

LOWERINGS: dict[str, tuple[Lowering, ...]] = {
    "convolve": (lattice.convolve, mean.convolve, spmm.convolve, edges.convolve),
    "attend": (sdpa.attend, linear.attend, banded.attend, edge_softmax.attend, edges.attend),
    "message": (edges.message,),
    "recur": (rnn.recur, levels.recur, edges.recur),
    "pool": (lattice.pool, blocks.pool, edges.pool),
}


def plan_for(
    verb: str,
    wanted: str,
    rule: Neighborhood,
    source: Domain,
    target: Domain | None,
    x: Tensor,
    options,
) -> Plan:
    """The lowering and plan for one call, made at the first and found again at the next.

    Args:
        verb: a key of LOWERINGS.
        wanted: "auto" or a lowering's name.
        rule: the neighborhood.
        source: the senders' domain.
        target: the receivers' domain; None for the rule's own target.
        x: the senders' values.
        options: the verb's record.

    Raises:
        GeodlError: a rule that does not fit the domain, weights for another number of edge types, a
            forced lowering that refuses, or no plan yet inside a compiled region.
    """
    store, place = store_of(source, target)
    to = target
    if target is not None and target.cache is not None:
        to = target.serial  # compilers hash no tensors; an address would be given out again
    key = (verb, wanted, rule, place, to, x.dtype, x.device, x.layout, options)
    found = store.get(key)
    if found is not None:
        return found
    if torch.compiler.is_compiling():
        raise GeodlError(
            "a plan inside a compiled region",
            "none made yet",
            "call g.prepare(model, signal) first",
        )
    with cached_constants():
        call = describe_call(rule, source, target, x, options)
        lowering, _ = select(LOWERINGS[verb], call, wanted)
        made = Plan(
            lowering,
            lowering.plan(call),
            None if target is not None or call.target is source else call.target,
        )
    keep(store, key, made)
    return made


def describe_call(
    rule: Neighborhood, source: Domain, target: Domain | None, x: Tensor, options
) -> Call:
    """The question put to the lowerings, once the rule is known to fit the domains."""
    rule = rule.on(source, target)
    typed = options.edge_types is not None
    for part in source.members or (source,):
        if reason := rule.refuses(part, typed):
            raise GeodlError(f"{rule} on {part}", reason, "choose a rule that fits the domain")
    made = rule.target(source)
    if (
        target is not None
        and not rule.complete
        and (made.members or made) != (target.members or target)
    ):
        found = f"receivers that are not on {made}"
        raise GeodlError(
            f"{rule} from {source} to {target}",
            found,
            "put them there, name reverse(onto=), or use all_pairs()",
        )
    moves = (made.members or made) != (source.members or source)
    if target is None and moves and (options.reads_receivers or options.ordered):
        kind, do = "reads its receivers", "give both signals: layer(receiver, sender)"
        if options.ordered:
            kind, do = "recurs", "choose a rule that stays on its domain"
        asked = f"{rule} on {source} for a layer that {kind}"
        raise GeodlError(asked, f"receivers on {made} without a signal", do)
    target = made if target is None else target
    types = options.edge_types
    if types is not None and rule.num_types(source) != types:
        found = f"weights for {types} edge types where the domain has {rule.num_types(source)}"
        raise GeodlError(
            f"{rule} on {source}", found, "build the layer for this domain, with on=domain"
        )
    return Call(rule, source, target, TensorSpec(x.dtype, x.device, x.layout), options)


__all__ = [
    "LOWERINGS",
    "AttendOptions",
    "Call",
    "ConvolveOptions",
    "Lowering",
    "MessageOptions",
    "Plan",
    "PoolOptions",
    "RecurOptions",
    "TensorSpec",
    "describe_call",
    "plan_for",
    "select",
]
