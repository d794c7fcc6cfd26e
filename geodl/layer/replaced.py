"""Which layers compute something else than the classes above them."""

from typing import Any


def replaces_code(cls: type) -> bool:
    """Whether a class defines again what a class above it computes with.

    How a layer is built, drawn and described does not count, nor what was left open above.
    """
    for name, value in vars(cls).items():
        if name.startswith("__") or name in ("extra_repr", "reset_parameters"):
            continue
        above = next((vars(p)[name] for p in cls.__mro__[1:] if name in vars(p)), None)
        code = callable(value) or isinstance(value, property)
        if code and above is not None and not getattr(above, "__isabstractmethod__", False):
            return True
    return False


def computes_as(layer: Any, cls: type[Any]) -> bool:
    """Whether a layer's `compute` is that of a class: neither a subclass nor the layer itself has
    put another one in its place. Who calls a kernel without it asks this first.
    """
    return type(layer).compute is cls.compute and "compute" not in vars(layer)
