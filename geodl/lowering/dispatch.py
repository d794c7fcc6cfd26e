"""From a call to the kernel that runs it: describe the call, select a lowering, keep its plan."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from geodl.constants import cached_constants
from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.lowering.base import Call, Lowering, Options, TensorSpec
from geodl.lowering.plans import Latest, Plan, store_of, store_of_owner, tensors_of
from geodl.lowering.table import LOWERINGS
from geodl.neighborhood.base import Neighborhood
from geodl.neighborhood.entries import Carried


class Request(NamedTuple):
    """A call for which a lowering and a plan are wanted.

    Attributes:
        verb: a key of LOWERINGS.
        wanted: "auto" or a lowering's name.
        rule: the neighborhood.
        source: the senders' domain.
        target: the receivers' domain; None for the rule's own target.
        x: the senders' values.
        options: the verb's record.
    """

    verb: str
    wanted: str
    rule: Neighborhood
    source: Domain
    target: Domain | None
    x: Tensor
    options: Options


def plan_for(asked: Request) -> Plan:
    """The lowering and plan for one call, made at the first and found again at the next.

    Raises:
        GeodlError: a rule that does not fit the domains, weights for another number of edge types,
            a forced lowering that refuses, or no plan yet inside a compiled region.
    """
    verb, wanted, rule, source, target, x, options = asked
    given = target is not None
    if rule.owner is None:
        # A rule that names a domain with tensors for its receivers keeps its plans there: in the
        # store of all values its key would keep that domain alive, and compilers, which look at
        # every key of a store, hash none that holds tensors.
        named = target
        if target is None:
            named = rule.onto
        store, size, place = store_of(source, named)
        name = rule
    else:
        check_sizes(rule, source, target)
        store, size, place = store_of_owner(rule.owner, source, target)
        name = rule.key
    is_open = has_open_entries(rule, source)
    key = (verb, wanted, name, place, given, is_open, x.dtype, x.device, x.layout, options)
    kept = store.find(size, key)
    if torch.compiler.is_compiling():
        if kept is None:
            do = "call g.prepare(model, signal) first"
            raise GeodlError("a plan inside a compiled region", "none made yet", do)
        return kept.value
    if kept is None:
        plan = plan_once(asked)
        kept = store.keep(size, key, plan)
    kept.usage.mark()
    return kept.value


def check_sizes(rule: Neighborhood, source: Domain, target: Domain | None) -> None:
    """Refuse domains of other sizes than those of a rule that owns its edges.

    Asked at each call: its plans are the same for any two domains that are no unions.
    """
    reason = rule.refuses_senders(source)
    if target is not None:
        reason = rule.refuses_pair(source, target)
    if reason:
        between = f"from {source}"
        if target is not None:
            between = f"from {source} to {target}"
        raise GeodlError(f"{rule} {between}", reason, "give signals on as many nodes")


def plan_once(asked: Request) -> Plan:
    """The lowering and plan for one call, kept nowhere.

    Errors as in :func:`plan_for`.
    """
    with cached_constants():
        call = describe_call(asked.rule, asked.source, asked.target, asked.x, asked.options)
        lowering, _ = select(LOWERINGS[asked.verb], call, asked.wanted)
        data, carried = plan_on_device(lowering, call)
    elsewhere = None
    if asked.target is None and call.target is not asked.source:
        elsewhere = call.target
    return Plan(lowering, data, elsewhere, carried)


def plan_for_step(asked: Request) -> Plan:
    """The lowering and plan for one step of decoding. The chain is longer at each step, so that a
    plan that was kept would not be found again, but by the layers after: in one step they all ask
    for the same.

    Errors as in :func:`plan_for`.
    """
    # A domain with tensors would stay alive with the question, and compilers would guard on it.
    if asked.source.cache is not None or torch.compiler.is_compiling():
        return plan_once(asked)
    *rest, x, options = asked
    question = (*rest, x.dtype, x.device, x.layout, options)
    store, _, _ = store_of(asked.source, asked.target)
    latest = store.latest
    if latest is not None and latest.question == question:
        return latest.plan
    plan = plan_once(asked)
    if not tensors_of(plan):
        store.latest = Latest(question, plan)
    return plan


def plan_on_device(lowering: Lowering, call: Call) -> tuple[Any, Carried | None]:
    """What a lowering plans for a call, and what makes entries of weights that come with it. On
    meta there are no numbers to plan with: a plan is made on the CPU, and its shapes go there.
    """
    device, carried, given = call.spec.device, None, call
    if device.type == "meta":
        given = call._replace(spec=call.spec._replace(device=torch.device("cpu")))
    data = lowering.plan(given)
    if call.open_entries:
        carried = lowering.reads(call).carry(call.source, call.target)
        carried = pytree.tree_map_only(Tensor, lambda tensor: tensor.to(device), carried)
    if device.type == "meta":
        data = pytree.tree_map_only(Tensor, lambda tensor: tensor.to(device), data)
    return data, carried


def has_open_entries(rule: Neighborhood, source: Domain) -> bool:
    """Whether the entries of a rule come with each call: it reads weights of links that do, or its
    own edges have weights that do.
    """
    if rule.runtime_weight is not None:
        return True
    return source.runtime_weight is not None and rule.reads_weights


def describe_call(
    rule: Neighborhood, source: Domain, target: Domain | None, x: Tensor, options: Options
) -> Call:
    """The question put to the lowerings, once the rule is known to fit the domains."""
    rule = rule.resolve(source, target)
    typed = options.edge_types is not None
    if target is None:
        target = _own_target(rule, source, typed, options)
    elif reason := rule.refuses_pair(source, target, typed):
        asked = f"{rule} from {source} to {target}"
        raise GeodlError(asked, reason, "put the receivers there, or join the two by all_pairs()")
    types = options.edge_types
    if types is not None and rule.num_types(source) != types:
        found = f"weights for {types} edge types where the domain has {rule.num_types(source)}"
        do = "build the layer for this domain, with on=domain"
        raise GeodlError(f"{rule} on {source}", found, do)
    spec = TensorSpec(x.dtype, x.device, x.layout)
    is_open = has_open_entries(rule, source)
    return Call(rule, source, target, spec, options, rule.structures(source, target), is_open)


def _own_target(rule: Neighborhood, source: Domain, typed: bool, options: Options) -> Domain:
    """Where a rule puts its receivers, once it is known to take the senders and the layer."""
    if reason := rule.refuses_senders(source, typed):
        raise GeodlError(f"{rule} on {source}", reason, "choose a rule that fits the domain")
    target = rule.target(source)
    if not (options.reads_receivers or options.ordered) or rule.stays_on(source):
        return target
    kind, do = "reads its receivers", "give both signals: layer(receiver, sender)"
    if options.ordered:
        kind, do = "recurs", "choose a rule that stays on its domain"
    asked = f"{rule} on {source} for a layer that {kind}"
    raise GeodlError(asked, f"receivers on {target} without a signal", do)


def select(
    lowerings: tuple[Lowering, ...], call: Call, wanted: str
) -> tuple[Lowering, tuple[tuple[str, str], ...]]:
    """The lowering to run, and (name, reason) of those before it that refused.

    Raises:
        GeodlError: an unknown name; a wanted lowering that refuses, with its reason.
    """
    names = [lowering.name for lowering in lowerings]
    if wanted != "auto" and wanted not in names:
        asked = f"the lowering {wanted!r}"
        do = nearest(wanted, ["auto", *names])
        raise GeodlError(asked, "no such lowering for this layer", do)
    refused = []
    for lowering in lowerings:
        if wanted not in ("auto", lowering.name):
            continue
        reason = lowering.refuses(call)
        if not reason:
            return lowering, tuple(refused)
        refused.append((lowering.name, reason))
    _, reason = refused[-1]
    asked = f"the lowering {wanted!r} for {call.rule} on {call.source}"
    raise GeodlError(asked, reason, f"use 'auto' or one of {', '.join(names)}")
