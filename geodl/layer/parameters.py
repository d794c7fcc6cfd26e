"""Parameters as a layer's call reads them."""

from typing import Any

from torch import nn


def read_parameter(module: nn.Module, name: str) -> Any:
    """A parameter of a module by its name; None where it was left out.

    `getattr` looks among a module's parameters last, which adds a microsecond to every call
    (measured). Only a parametrized one, which is a property of its class, has to be found that way.
    """
    own = module._parameters.get(name)
    if own is None:
        return getattr(module, name)
    return own


def read_weight_and_bias(module: nn.Module) -> tuple[Any, Any]:
    """`weight` and `bias` of a module, as :func:`read_parameter` reads either of them."""
    held = module._parameters
    weight, bias = held.get("weight"), held.get("bias")
    if weight is None:
        weight = module.weight
    if bias is None and "bias" not in held:
        bias = module.bias
    return weight, bias
