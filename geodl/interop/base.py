"""What every conversion shares: copied parameters, and what is refused at the door."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from geodl.errors import GeodlError

Module = TypeVar("Module", bound=nn.Module)


def with_parameters(module: Module, like: nn.Module, **parameters: Tensor | None) -> Module:
    """A module with copies of the given tensors as its parameters, in the mode of another.

    Each copy keeps dtype, device and `requires_grad` of the tensor it is made of.
    """
    for name, value in parameters.items():
        if value is not None:
            copied = value.detach().clone(memory_format=torch.contiguous_format)
            setattr(module, name, nn.Parameter(copied, requires_grad=value.requires_grad))
    return module.train(like.training)


@contextmanager
def conversion(module: nn.Module) -> Iterator[None]:
    """A conversion draws no random numbers, and views of parameters know whether they are trained.

    Raises:
        GeodlError: a module whose numbers are not those of its parameters alone.
    """
    if not isinstance(module, nn.Module):
        raise GeodlError(
            "a conversion", f"a {type(module).__name__}", "give a module of torch.nn, or a layer"
        )
    for part in module.modules():
        asked = f"the weights of a {type(module).__name__}"
        if parametrize.is_parametrized(part):
            found = f"parametrizations of {', '.join(part.parametrizations)}"  # type: ignore[arg-type] - a ModuleDict
            raise GeodlError(
                asked,
                found,
                "make them plain first: torch.nn.utils.parametrize.remove_parametrizations",
            )
        if any(nn.parameter.is_lazy(p) for p in part.parameters(recurse=False)):
            raise GeodlError(asked, "parameters without a shape", "call the module once first")
        if any(
            name.endswith("hooks") and "ward_" in name and value
            for name, value in vars(part).items()
        ):
            found = f"hooks on its {type(part).__name__}, which would be lost"
            raise GeodlError(
                asked,
                found,
                "remove them first (of weight_norm and the like: torch.nn.utils.remove_...)",
            )
    names: dict[Tensor, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if (first := names.setdefault(parameter, name)) != name:
            found = f"one parameter called {first} and {name}, which would become two"
            raise GeodlError(
                f"the weights of a {type(module).__name__}",
                found,
                "convert the parts one by one, and tie them again",
            )
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        yield
