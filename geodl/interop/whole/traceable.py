"""Functions and parts that are one call of a trace, though torch.fx would not see them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import fx, nn
from torch.fx.node import map_aggregate

FACTORIES = ("arange", "empty", "eye", "full", "linspace", "ones", "rand", "randn", "zeros")


@contextmanager
def traceable_functions(functions: tuple[Callable[..., Any], ...]) -> Iterator[None]:
    """A block in which some functions are calls of a trace where one of their arguments is.

    torch.fx follows functions of tensors and what stands in the globals of a forward; these are
    torch's functions that make tensors of a size, and others that stand in modules of a library.

    Args:
        functions: besides those of torch.
    """
    places: list[tuple[Any, str]] = [(torch, name) for name in FACTORIES]
    for function in functions:
        for holder in _holders(function):
            places.append((holder, function.__name__))
    originals = [(holder, name, getattr(holder, name)) for holder, name in places]
    try:
        for holder, name, function in originals:
            setattr(holder, name, traceable(function))
        yield
    finally:
        for holder, name, function in originals:
            setattr(holder, name, function)


@contextmanager
def traceable_parts(module: nn.Module) -> Iterator[None]:
    """A block in which calls of PyG's parts are seen that look at tensors before they are called,
    and `len(x)` in the modules that define a model's parts.

    Args:
        module: the model.
    """
    kinds = {kind for part in module.modules() for kind in type(part).__mro__}
    homes = [sys.modules[kind.__module__] for kind in kinds if kind.__module__ in sys.modules]
    homes = [home for home in homes if home.__name__.split(".")[0] not in ("builtins", "torch")]
    homes = [home for home in homes if not hasattr(home, "len")]
    places = []
    for kind in kinds:
        if kind.__module__.startswith("torch_geometric.") and "__call__" in vars(kind):
            places.append((kind, kind.__call__))
    try:
        for kind, _ in places:
            kind.__call__ = _plain_call
        for home in homes:
            # torch.fx cannot follow len(x), which Python wants to be a number.
            vars(home)["len"] = traceable(len)
        yield
    finally:
        for kind, call in places:
            kind.__call__ = call
        for home in homes:
            vars(home).pop("len", None)


def _plain_call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return nn.Module.__call__(module, *args, **kwargs)


def _holders(function: Callable[..., Any]) -> list[Any]:
    """The modules of a function's own package in which it stands under its name."""
    pieces = function.__module__.split(".")
    paths = [".".join(pieces[:count]) for count in range(1, len(pieces) + 1)]
    holders = [sys.modules[path] for path in paths if path in sys.modules]
    return [one for one in holders if getattr(one, function.__name__, None) is function]


def traceable(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is one call of a trace where one of its arguments is, and runs elsewhere."""

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        found: list[Any] = []
        map_aggregate((args, kwargs), found.append)
        found = [one for one in found if isinstance(one, fx.Proxy)]
        if not found:
            return function(*args, **kwargs)
        return found[0].tracer.create_proxy("call_function", function, args, kwargs)

    return called
