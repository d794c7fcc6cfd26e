"""A mask of a whole model: the same weights, other edges."""

import copy
from typing import Any, TypeVar

from torch import nn

from geodl.errors import GeodlError
from geodl.layer import Attention, Cross
from geodl.neighborhood import Neighborhood

Model = TypeVar("Model", bound=nn.Module)


def over(model: Model, rule: Neighborhood) -> Model:
    """The same parameters (shared, not copied), every self-attention of the first signal on another
    neighborhood.

    `over(model, past())` is what a causal mask makes of a Transformer: `tgt_mask` of a decoder,
    `mask` of an encoder. What hears the second signal stays: attention inside `Cross`, and the
    encoder of an encoder and decoder.

    Args:
        model: an Attention, or a layer with some in it.
        rule: the neighborhood.

    Raises:
        GeodlError: nothing to exchange; a relative bias of another number of edge types.

    >>> from geodl import past
    >>> from geodl.interop import from_torch
    >>> block = from_torch(nn.TransformerEncoderLayer(8, 2))
    >>> over(block, past())[0].inner[0].rule
    past()
    """
    if not isinstance(model, nn.Module):
        raise GeodlError(
            f"over(..., {rule})",
            f"a {type(model).__name__}",
            "give a model with attention in it",
        )
    found = _over(model, rule)
    if found is model:
        name = type(model).__name__
        raise GeodlError(
            f"over({name}, {rule})",
            "no self-attention in it",
            "give a model with some outside of Cross",
        )
    return found


def _over(model: Any, rule: Neighborhood) -> Any:
    if isinstance(model, Attention):
        return model.over(rule)
    parts = {} if model is None or isinstance(model, Cross) else dict(model._modules)
    heard = parts.keys() - ({"encoder"} if "decoder" in parts else set())
    changed = {name: _over(parts[name], rule) for name in heard}
    if all(changed[name] is parts[name] for name in heard):
        return model
    twin: Any = copy.copy(model)
    twin.__dict__ |= {
        name: held.copy() for name, held in vars(model).items() if isinstance(held, dict)
    }
    twin._modules.update(changed)
    return twin
