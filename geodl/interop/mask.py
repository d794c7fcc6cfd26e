"""The same weights elsewhere: a mask of a whole model, or a lattice that wraps."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.layer import Cross
from geodl.layer.base import MessagePassing
from geodl.neighborhood import Neighborhood

Model = TypeVar("Model", bound=nn.Module)


def over(model: Model, where: Neighborhood | Domain) -> Model:
    """The same parameters (shared, not copied), with every self-attention on another neighborhood,
    or every window on another kind of lattice.

    `over(model, past())` is what a causal mask makes of a Transformer: `tgt_mask` of a decoder,
    `mask` of an encoder; `over(vit, window(3))` lets each patch of a vision Transformer read those
    around it. What reads the second signal stays as it is: attention inside `Cross`, and the
    encoder of an encoder and decoder.

    `over(cnn, Grid(8, 8, periodic=True))` lets the windows of an import wrap, where the original
    padded zeros: a CNN on a torus. Only whether axes wrap is read of the domain, and an import that
    is called with tensors reads them as such a lattice.

    Args:
        model: an Attention, a layer over a window, or a layer with some in it.
        where: the neighborhood; or a lattice, all of whose axes wrap or none.

    Raises:
        GeodlError: if the model has no attention, or no window; if a relative bias has another
            number of edge types; if the domain has no lattice, or wraps along some axes only; if
            it wraps and a part mirrors, pads or resizes by interpolation, which needs a border.

    >>> from geodl import past
    >>> from geodl.interop import from_torch
    >>> block = from_torch(nn.TransformerEncoderLayer(8, 2))
    >>> over(block, past())[0].inner[0].rule
    past()
    """
    name = type(model).__name__
    asked = f"over({name}, {where})"
    if not isinstance(model, nn.Module):
        raise GeodlError(f"over(..., {where})", f"a {name}", "give a model with attention in it")
    if isinstance(where, Domain):
        return _on_lattice(asked, model, where)
    changed = over_all(model, where)
    if changed is model:
        found = "no self-attention in it"
        raise GeodlError(asked, found, "give a model with some outside of Cross")
    return changed


def over_all(model: Any, rule: Neighborhood) -> Any:
    """Every self-attention of a model on another neighborhood: the model itself where nothing
    changes, else a shallow copy with changed parts.
    """

    def change(layer: Any) -> Any:
        if isinstance(layer, MessagePassing) and layer.verb == "attend":
            return layer.over(rule)
        return None

    return _changed(model, change, first_signal_only=True)


def _on_lattice(asked: str, model: Any, domain: Domain) -> Any:
    """Every window of a model as one that keeps to the domain's border, or wraps with it."""
    if domain.lattice is None or len(set(domain.periodic)) != 1:
        do = "give a Grid or a Chain, all of whose axes wrap or none"
        raise GeodlError(asked, "a domain without one kind of border", do)

    def change(layer: Any) -> Any:
        rule = _unbound(getattr(layer, "rule", None))
        if rule is None or not isinstance(layer, MessagePassing):
            return None
        if spreads_nodes(rule):
            # One node over a lattice, as the first layer of a generator: what it makes wraps.
            rule = replace(rule, wraps=all(domain.periodic))
        return layer.over(rule)

    if all(domain.periodic):
        _check_no_border(asked, model)

    changed = _changed(model, change, first_signal_only=False)
    if changed is model:
        found = "no window of an import in it"
        raise GeodlError(asked, found, "give a model with convolutions that pad")
    door: Any = getattr(changed, "door", None)
    if hasattr(door, "over"):
        spread = set()
        for name, reader in zip(model.inputs, model.readers(), strict=True):
            if spreads_nodes(getattr(reader, "rule", None)):
                spread.add(name)
        vars(changed)["door"] = door.over(domain, spread)
    return changed


def spreads_nodes(rule: Any) -> bool:
    """Whether a rule is a window reversed that has no padding and moves by one place: it makes a
    lattice larger, so that none that wraps leads to it.
    """
    forward: Any = getattr(rule, "rule", None)
    if not hasattr(forward, "boundary") or rule.onto is not None:
        return False
    padded = any(map(any, forward.padding))
    return not padded and set(forward.stride) == {1} and max(forward.size) > 1


def _check_no_border(asked: str, model: nn.Module) -> None:
    """Refuse a model with a part that needs a border, by its name."""
    for path, part in model.named_modules():
        rule: Any = getattr(part, "rule", None)
        if getattr(rule, "needs_border", False):
            found = f"{path or type(part).__name__}, which is {rule} and needs a border"
            do = "a lattice that wraps has none: leave it out, or keep to a bounded lattice"
            raise GeodlError(asked, found, do)


def _unbound(rule: Any) -> Any:
    """A window without the padding mode that it may remember; None of any other rule."""
    reversed_one = getattr(rule, "rule", None)
    if reversed_one is not None:
        inner = _unbound(reversed_one)
        return None if inner is None else replace(rule, rule=inner)
    if not hasattr(rule, "boundary"):
        return None
    return replace(rule, boundary=None)


def _changed(model: Any, change: Callable[[Any], Any], *, first_signal_only: bool) -> Any:
    """The model itself where nothing changes, else a shallow copy with changed parts; those that
    read a second signal stay where only the first one's change.
    """
    if model is None:
        return None
    changed = change(model)
    if changed is not None:
        return changed
    if first_signal_only and isinstance(model, Cross):
        return model
    parts = dict(model._modules)
    if first_signal_only and "decoder" in parts:
        # The encoder reads the other signal, which a mask of the first one does not touch.
        parts.pop("encoder", None)
    new = {}
    for name, part in parts.items():
        new[name] = _changed(part, change, first_signal_only=first_signal_only)
    if all(new[name] is part for name, part in parts.items()):
        return model
    twin = _shallow_copy(model)
    twin._modules.update(new)
    return twin


def _shallow_copy(module: Any) -> Any:
    """A module with tables of its own that hold the same parameters and parts.

    Not by copy.copy, which modules with parametrizations refuse.
    """
    twin = module.__new__(type(module))
    twin.__dict__.update(vars(module))
    tables = {name: table.copy() for name, table in vars(module).items() if isinstance(table, dict)}
    twin.__dict__.update(tables)
    return twin
