"""The rules that run when a model is called, and the modules whose symmetry edges cannot prove."""

from typing import Any, NamedTuple

import torch
from torch import nn

from geodl.domain import Domain
from geodl.layer import Event, Layer, MessagePassing, evaluated, trace
from geodl.layer.pointwise import is_pointwise, run_pointwise
from geodl.layer.trace import code_between, stamps
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal
from geodl.symmetry.inputs import inputs_of, with_receivers
from geodl.symmetry.turning import DomainOrSignal, domain_of

OWN_CODE = "has code of its own, which edges cannot prove"


class Part(NamedTuple):
    """One rule inside a model: where it is, whether its edge types carry weights, and between which
    domains it acts.
    """

    path: str
    rule: Neighborhood
    typed: bool
    source: Domain
    target: Domain


def parts_of(model: Any, ends: list[DomainOrSignal]) -> tuple[list[Part], list[str]]:
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
    # An import, which is called with tensors, may read its answer otherwise than as a signal.
    door = getattr(model, "door", None)
    if door is not None:
        violations += [f"{name}: {words}" for words in door.reordered(answer)]
    for path, found in code_between(events, given, answer):
        violations.append(f"{path or name} {found}: it has code of its own between layers")
    return parts, violations


def _rule_part(rule: Neighborhood, ends: list[DomainOrSignal]) -> Part:
    source = domain_of(ends[-1])
    target = rule.target(source)
    if len(ends) > 1:
        target = domain_of(ends[0])
    return Part("", rule, not rule.refuses(source), source, target)


def _part(event: Event) -> Part:
    layer: Any = event.layer
    assert event.call is not None
    path = event.path or type(layer).__name__
    typed = event.call.options.edge_types is not None
    return Part(path, event.call.rule, typed, event.source, event.target)


def _unproved(events: list[Event]) -> list[str]:
    """Layers that see where a node stands, and modules that compute more than their rules say."""
    layers = dict.fromkeys((event.path, event.layer) for event in events)
    violations = []
    for path, layer in layers:
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
        # Hooks on a layer run outside of its `forward`: the record shows what they change.
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


LIBRARIES = ("torch.nn.utils.", "geodl.")


def _reshapes(made: Any) -> bool:
    """Whether parametrizations of a tensor, not all of them torch's own or the library's, may
    change its shape.
    """
    own = [part for part in made if not type(part).__module__.startswith(LIBRARIES)]
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
