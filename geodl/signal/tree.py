"""Signals as pytrees: what torch.func, torch.export and DataLoaders take apart and put together."""

from dataclasses import fields
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils import _pytree as pytree

from geodl.domain import DOMAINS, Domain
from geodl.errors import GeodlError
from geodl.group import Cosets, Group
from geodl.signal.base import Signal

STATE = ("x", "edges", "globals")
VALUES: dict[str, Any] = {kind.__name__: kind for kind in (*DOMAINS, Group, Cosets)}


class Layout(NamedTuple):
    """What a signal has besides tensors.

    Attributes:
        domain: where its nodes live.
        values: the names of its own tensors, in order: "x", and "edges" and "globals" where given.
    """

    domain: Domain
    values: tuple[str, ...]


def _flatten(signal: Signal) -> tuple[list[Any], Layout]:
    """The tensors of a signal, and its layout as the context."""
    # torch compares contexts: value domains by value, tensor domains by identity, because an
    # exported program holds the plans of one graph and must not run on another.
    names = tuple(name for name in STATE if getattr(signal, name) is not None)
    values = [getattr(signal, name) for name in names]
    return [*values, *signal.domain.tensors()], Layout(signal.domain, names)


def _flatten_with_keys(signal: Signal) -> tuple[list[tuple[Any, Any]], Layout]:
    leaves, layout = _flatten(signal)
    own = len(leaves) - len(layout.values)
    names = [*layout.values, *(f"domain_{k}" for k in range(own))]
    keys = [pytree.GetAttrKey(name) for name in names]
    return list(zip(keys, leaves, strict=True)), layout


def _unflatten(leaves: Any, layout: Layout) -> Signal:
    domain, names = layout
    values, tensors = list(leaves)[: len(names)], list(leaves)[len(names) :]
    if tensors and all(isinstance(t, Tensor) for t in tensors):
        domain = domain.with_tensors(tuple(tensors))
    signal = object.__new__(Signal)  # leaves may be anything while a pytree is being mapped
    object.__setattr__(signal, "domain", domain)
    object.__setattr__(signal, "edges", None)
    object.__setattr__(signal, "globals", None)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(signal, name, value)
    return signal


def _layout_to_json(layout: Layout) -> Any:
    """A layout as JSON, for programs that torch.export saves."""
    return {"domain": _to_json(layout.domain), "values": list(layout.values)}


def _layout_from_json(value: Any) -> Layout:
    """What `_layout_to_json` wrote."""
    return Layout(_from_json(value["domain"]), tuple(value["values"]))


def _to_json(value: Any) -> Any:
    """A value domain as JSON."""
    if isinstance(value, Domain) and value.tensors():
        do = "build the layer with on=domain, and export it on tensors"
        raise GeodlError(f"saving a program of signals on {value}", "a domain with tensors", do)
    name = type(value).__name__
    if name in VALUES:
        parts = {
            part.name: _to_json(getattr(value, part.name))
            for part in fields(VALUES[name])
            if part.init
        }
        return {"kind": name, **parts}
    if isinstance(value, tuple):
        return [_to_json(part) for part in value]
    return value


def _from_json(value: Any) -> Any:
    """What `_to_json` wrote."""
    if isinstance(value, list):
        return tuple(_from_json(part) for part in value)
    if not isinstance(value, dict):
        return value
    kind = VALUES[value["kind"]]
    made = object.__new__(kind)
    for part in fields(kind):
        if part.init:
            object.__setattr__(made, part.name, _from_json(value[part.name]))
    # As a constructor does: a value of other fields may make some of its own of them.
    finish = getattr(made, "__post_init__", None)
    if finish is not None:
        finish()
    return made


pytree.register_pytree_node(
    Signal,
    _flatten,
    _unflatten,
    serialized_type_name="geodl.Signal",
    to_dumpable_context=_layout_to_json,
    from_dumpable_context=_layout_from_json,
    flatten_with_keys_fn=_flatten_with_keys,
)
