"""A mask of a whole model: the same weights, other edges."""

from typing import Any, TypeVar

from torch import nn

from geodl.errors import GeodlError
from geodl.layer import Attention, Cross
from geodl.neighborhood import Neighborhood

Model = TypeVar("Model", bound=nn.Module)


def over(model: Model, rule: Neighborhood) -> Model:
    """The same parameters (shared, not copied), with every self-attention on another neighborhood.

    `over(model, past())` is what a causal mask makes of a Transformer: `tgt_mask` of a decoder,
    `mask` of an encoder. What reads the second signal stays as it is: attention inside `Cross`, and
    the encoder of an encoder and decoder.

    Args:
        model: an Attention, or a layer with some in it.
        rule: the neighborhood.

    Raises:
        GeodlError: if the model has no attention; if a relative bias has another number of edge
            types.

    >>> from geodl import past
    >>> from geodl.interop import from_torch
    >>> block = from_torch(nn.TransformerEncoderLayer(8, 2))
    >>> over(block, past())[0].inner[0].rule
    past()
    """
    name = type(model).__name__
    if not isinstance(model, nn.Module):
        raise GeodlError(f"over(..., {rule})", f"a {name}", "give a model with attention in it")
    changed = over_all(model, rule)
    if changed is model:
        raise GeodlError(
            f"over({name}, {rule})",
            "no self-attention in it",
            "give a model with some outside of Cross",
        )
    return changed


def over_all(model: Any, rule: Neighborhood) -> Any:
    """Every self-attention of a model on another neighborhood: the model itself where nothing
    changes, else a shallow copy with changed parts.
    """
    if isinstance(model, Attention):
        return model.over(rule)
    if model is None or isinstance(model, Cross):
        return model
    parts = dict(model._modules)
    if "decoder" in parts:
        # The encoder reads the other signal, which a mask of the first one does not touch.
        parts.pop("encoder", None)
    changed = {name: over_all(part, rule) for name, part in parts.items()}
    if all(changed[name] is part for name, part in parts.items()):
        return model
    twin = _shallow_copy(model)
    twin._modules.update(changed)
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
