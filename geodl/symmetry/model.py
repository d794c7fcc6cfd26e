"""The proof for a model: run it once on a record, and look at the rule of every call."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from geodl.domain import Domain, rotate_nodes
from geodl.errors import GeodlError
from geodl.group import Group
from geodl.layer import Event, Layer, MessagePassing, evaluated, trace
from geodl.layer.pointwise import is_pointwise, run_pointwise
from geodl.layer.trace import code_between, stamps
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal
from geodl.symmetry.inputs import DomainOrSignal, domain_of, inputs_of, read_ends, with_receivers
from geodl.symmetry.proof import Certificate, Part, examine, keeps

OWN_CODE = "has code of its own, which edges cannot prove"


def certify(
    subject: Neighborhood | nn.Module, domain: Any, group: Group | None = None
) -> Certificate:
    """Prove the symmetries of a rule, a layer or a model at the user's own size, edge by edge.

    A model is run once, in evaluation mode, on zeros; what its layers did is read from the record
    of that run (`g.trace`). A model that computes between its layers (`x + 1` in its forward)
    cannot be proved: the certificate then names the layer that reads such values as a violation.
    Only writes that torch counts are seen: not those through `y.x.data` or a numpy array of it.

    Args:
        subject: a neighborhood, a layer, or a model composed of layers.
        domain: the domain of the input; for a model of two signals a pair, (receivers, senders). A
            Signal may be given instead of a domain: the model is then run on it, else on zeros.
        group: the point group to prove. None takes the group that the rules name: of several the
            one that lies in all others, because the model has no symmetry that one of its rules
            lacks; where no rule names a group, every symmetry that the rules claim (shifts,
            permutations).

    Returns:
        A certificate; `exact` needs at least one claim proved on all nodes: nothing checked is not
        exact. An element that carries the domain to another one (a quarter turn of an oblong image)
        is neither proved nor broken but `undecided`.

    Raises:
        GeodlError: if `subject` is not a neighborhood or a module, `domain` not a domain or a
            Signal, or `group` not a Group; if no group is given and of those that the rules name
            none lies in all others; as the call of the model.

    >>> from geodl import C, Conv, Grid, lift, window
    >>> certify(Conv(1, 8, lift(3, group=C(4))), Grid(5, 5)).exact
    True
    >>> certify(Conv(1, 8, window(3)), Grid(5, 5), C(4)).exact
    False
    """
    if not isinstance(subject, Neighborhood | nn.Module):
        raise GeodlError(
            f"certify({subject!r})",
            f"a {type(subject).__name__}",
            "give a rule, a layer or a model",
        )
    subject = getattr(subject, "_orig_mod", subject)  # what a compiled model was made of
    name = str(subject)
    if isinstance(subject, nn.Module):
        name = type(subject).__name__
    ends = read_ends(f"certify({name}, domain)", domain)
    check_group(f"certify({name}, domain, group)", group)
    parts, violations = _parts_of(subject, ends)
    if group is None:
        group = common_group(f"certify({name}, domain)", [part.rule for part in parts])
    domains = [domain_of(end) for end in ends]
    elements, undecided = _elements(group, domains)
    subject_line = f"{name} on {' <- '.join(map(str, domains))}"
    return _certificate(subject_line, group, elements, undecided, parts, violations)


def own_group(asked: str, model: nn.Module) -> Group | None:
    """The group that the rules in a model name, as :func:`common_group` finds it."""
    rules = [m.rule for m in model.modules() if isinstance(m, MessagePassing)]
    return common_group(asked, rules)


def common_group(asked: str, rules: Iterable[Neighborhood]) -> Group | None:
    """The group that rules name; of several groups the one that lies in all others.

    Args:
        asked: what the caller asked for, the beginning of the error.
        rules: of a model.

    Returns:
        None where no rule names a group.

    Raises:
        GeodlError: if none of several groups lies in all others.
    """
    named = dict.fromkeys(rule.group for rule in rules if rule.group is not None)
    if not named:
        return None
    for group in named:
        if all(_lies_in(group, other) for other in named):
            return group
    names = " and ".join(map(str, named))
    found = f"rules of {names}, none of which lies in all others"
    raise GeodlError(asked, found, "name the group that they share, as C(2)")


def _lies_in(group: Group, other: Group) -> bool:
    """Whether every element of a point group is one of another."""
    if group.axes != other.axes:
        return False
    elements = {tuple(element) for element in other.elements.flatten(1).tolist()}
    return all(tuple(element) in elements for element in group.elements.flatten(1).tolist())


def check_group(asked: str, group: Any) -> None:
    """Refuse what is neither a group nor None."""
    if group is not None and not isinstance(group, Group):
        raise GeodlError(asked, f"a {type(group).__name__}", "give a group, as C(4)")


def _certificate(
    subject: str,
    group: Group | None,
    elements: list[int],
    undecided: list[str],
    parts: list[Part],
    violations: list[str],
) -> Certificate:
    """The certificate of a whole: a claim is proved where it is proved for every part."""
    found = [examine(part, group, elements) for part in parts]
    every_violation = violations + [violation for one in found for violation in one.violations]
    everywhere, somewhere = frozenset[str](), frozenset[str]()
    # Where there is one node on both sides nothing moves, and every claim holds.
    moving = [one for one, part in zip(found, parts, strict=True) if _moves(part)] or found
    if moving:
        everywhere = frozenset.intersection(*(one.proved for one in moving))
        somewhere = frozenset.intersection(*(one.proved | one.interior for one in moving))
    return Certificate(
        subject=subject,
        group=group,
        exact=bool(everywhere) and not every_violation and not undecided,
        proved=tuple(sorted(everywhere)),
        interior=tuple(sorted(somewhere - everywhere)),
        violations=tuple(every_violation),
        undecided=tuple(undecided),
    )


def _moves(part: Part) -> bool:
    return part.source.num_nodes > 1 or part.target.num_nodes > 1


def _elements(group: Group | None, domains: list[Domain]) -> tuple[list[int], list[str]]:
    """The elements of a group to look at, and those generators, in words, that cannot be decided.

    Generators say all where they keep the domains. Where one does not, all elements that do are
    looked at in their place: of C4 on an oblong image the half turn.
    """
    if group is None:
        return [], []
    lattices = [domain for domain in domains if domain.lattice is not None]
    for domain in lattices or domains:
        rotate_nodes(domain, group, 0)  # refuses a domain on which the group does not act
    undecided = []
    for k in group.generators:
        moved = [domain for domain in lattices if not keeps(domain, group, k)]
        if moved:
            undecided.append(f"{group} element {k}, which carries {moved[0]} to another domain")
    if not undecided:
        return list(group.generators), []
    every = range(1, group.order)
    kept = [k for k in every if all(keeps(domain, group, k) for domain in lattices)]
    return kept, undecided


def _rule_part(rule: Neighborhood, ends: list[DomainOrSignal]) -> Part:
    source = domain_of(ends[-1])
    target = rule.target(source)
    if len(ends) > 1:
        target = domain_of(ends[0])
    return Part("", rule, not rule.refuses(source), source, target)


def _parts_of(model: Any, ends: list[DomainOrSignal]) -> tuple[list[Part], list[str]]:
    """The rules that ran when the model was called, and in words what no edges can prove."""
    if isinstance(model, Neighborhood):
        return [_rule_part(model, ends)], []
    name = type(model).__name__
    if not is_pointwise(model) and not any(isinstance(m, Layer) for m in model.modules()):
        return [], [f"{name} {OWN_CODE}"]
    if isinstance(model, MessagePassing):
        if not model.transparent:
            # A function of its own may need other values than zeros: it is not run.
            return [_rule_part(model.rule, ends)], [f"{name} {OWN_CODE}"]
        ends = with_receivers(model, ends)
    signals = inputs_of(model, ends)
    with evaluated(model), torch.inference_mode(False), trace(model) as events:
        given = stamps(*signals)
        answer = _answer(model, signals, events, domain_of(ends[0]))
    parts = [_part(event) for event in events if event.rule is not None]
    violations = _unproved(events)
    for path, found in code_between(events, given, answer):
        violations.append(f"{path or name} {found}: it has code of its own between layers")
    return parts, violations


def _part(event: Event) -> Part:
    layer: Any = event.layer
    assert event.call is not None
    path = event.path or type(layer).__name__
    typed = layer.options.edge_types is not None
    return Part(path, event.call.rule, typed, event.source, event.target)


def _unproved(events: list[Event]) -> list[str]:
    """Layers that see where a node stands, and modules that compute more than their rules say."""
    found = dict.fromkeys((event.path, event.layer) for event in events)
    violations = []
    for path, layer in found:
        where = f"{path or type(layer).__name__}: {type(layer).__name__}"
        if getattr(layer, "breaks_symmetry", False):
            violations.append(f"{where} tells nodes apart by where they stand")
        if not _is_known(layer):
            violations.append(f"{where} {OWN_CODE}")
    return violations


def _is_known(module: nn.Module) -> bool:
    """Whether a module computes what its class says: a layer of the library, or a module on the
    list of pointwise ones; and nobody has put other code into it.
    """
    if isinstance(module, Layer):
        # Hooks on a layer act outside of its door: what they change is seen in the record.
        if isinstance(module, MessagePassing) and not _is_known_inside(module):
            return False
        return module.transparent and not _replaced(module)
    if not is_pointwise(module) or not _is_known_inside(module):
        return False
    return not any(_replaced(m) or _hooked(m) for m in module.modules())


def _is_known_inside(layer: nn.Module) -> bool:
    """Whether the modules in a layer, which are no events, compute what their types say: `out_proj`
    of an attention may have been exchanged, or have got a hook.
    """
    for name, part in layer.named_children():
        if name == "parametrizations":
            # Any value of a weight's shape is a weight; one of another shape may know the nodes.
            if any(_reshapes(made) for made in part.children()):
                return False
            continue
        if isinstance(part, nn.ModuleList):
            known = _is_known_inside(part)
        elif isinstance(part, Layer):
            known = _is_known(part) and not _hooked(part)
        else:
            known = _is_known(part)
        if not known:
            return False
    return True


def _reshapes(made: Any) -> bool:
    """Whether parametrizations of a tensor, not all of them torch's own, may change its shape."""
    own = [part for part in made if not type(part).__module__.startswith("torch.nn.utils.")]
    return bool(own) and made.unsafe


def _replaced(module: nn.Module) -> bool:
    """Whether an instance has a method of its own in place of its class's."""
    return any(callable(getattr(type(module), name, None)) for name in vars(module))


def _hooked(module: nn.Module) -> bool:
    held = vars(module).items()
    return any(name.endswith("_hooks") and "forward" in name and value for name, value in held)


def _answer(model: Any, signals: list[Any], events: list[Event], domain: Domain) -> Any:
    """A model's answer. A plain `nn.Sequential` is run part by part, as torch does, so that its
    pointwise modules are events too.

    Args:
        model: the module.
        signals: what it is called with.
        events: the record, on which the last event says where a tensor lives.
        domain: where it lives before the first event.
    """
    x, *others = signals
    is_sequential = getattr(type(model), "forward", None) is nn.Sequential.forward
    if is_sequential and not others and not _hooked(model) and not _replaced(model):
        for part in model:
            x = _answer(part, [x], events, domain)
        return x
    if isinstance(model, Layer) or not is_pointwise(model):
        return model(*signals)
    if isinstance(x, Signal):
        return run_pointwise(model, x)
    if events:
        domain = events[-1].target
    if x.dim() != 3 or x.shape[1] != domain.num_nodes:
        return model(x)
    return run_pointwise(model, Signal(x, domain)).x
