"""What every conversion shares: the check at the door, and copies of parameters."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.weights import Arranged, kind_of

Module = TypeVar("Module", bound=nn.Module)


@contextmanager
def conversion(
    asked: str, module: Any, on: Any = None, *, whole: bool = False, tied: bool = False
) -> Iterator[None]:
    """The context of a conversion: check that a module can be converted, and leave the caller's
    modes and random numbers out of it.

    A converted module is built anew, which draws parameters, and then takes copies of the old ones.
    Inside this context the draws are undone, happen on the CPU, and the copies are fit for training
    whatever modes the caller is in.

    Args:
        asked: the call in words, for the error.
        module: what is to be converted.
        on: the domain that was named, or None.
        whole: whether it is a model, of which parts that cannot be converted stay as they are.
        tied: whether the conversion keeps parameters tied that stand in two places, as that of a
            whole model does.

    Raises:
        GeodlError: if it is not a module, or `on` not a domain; if a part has parametrizations,
            hooks or a replaced `forward`; if a parameter is lazy, complex or in two places.
    """
    if not isinstance(module, nn.Module):
        raise GeodlError(asked, f"a {type(module).__name__}", _door_for(module))
    if on is not None and not isinstance(on, Domain):
        raise GeodlError(f"{asked} with on={on!r}", f"a {type(on).__name__}", "give a domain")
    if not whole:
        for part in module.modules():
            check_part(asked, part)
    if not whole and not tied:
        check_shared(asked, module)
    with ExitStack() as modes:
        modes.enter_context(torch.random.fork_rng(devices=[]))
        modes.enter_context(torch.device("cpu"))
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        # An expanded filter or a solved basis would lose half its digits under autocast.
        for kind in ("cpu", "cuda"):
            modes.enter_context(torch.autocast(kind, enabled=False))
        yield


def _door_for(value: Any) -> str:
    """Where a value is converted that is not a module, in words."""
    # The class of a batch is made for it, outside of PyG's modules.
    kinds = type(value).__mro__
    if any(kind.__module__.startswith("torch_geometric.data") for kind in kinds):
        return "a graph becomes a Signal by Signal.from_pyg(data), a domain by Graph.from_pyg(data)"
    if isinstance(value, Domain):
        return "a graph goes back by graph.to_pyg()"
    return "give a module of torch.nn, or a layer"


def with_parameters(module: Module, other: nn.Module, **parameters: Tensor | None) -> Module:
    """A module with copies of the given tensors as its parameters, in the mode of another module.

    Each copy keeps dtype, device and `requires_grad` of its original; None takes a parameter away.

    Args:
        module: the new module, whose parameters only say which shapes belong there.
        other: the module it is converted from.
        parameters: by their names in the new module.

    Raises:
        GeodlError: if a tensor has another shape than the options of its module say.
    """
    for name, value in parameters.items():
        if value is None:
            setattr(module, name, None)
            continue
        placeholder = getattr(module, name)
        if placeholder is not None and placeholder.shape != value.shape:
            found = f"shape {list(value.shape)} where the options say {list(placeholder.shape)}"
            raise GeodlError(
                f"the {name} of a {type(other).__name__}",
                found,
                "build it with the options that its parameters have",
            )
        copy = value.detach().clone(memory_format=torch.contiguous_format)
        setattr(module, name, nn.Parameter(copy, requires_grad=value.requires_grad))
    return module.train(other.training)


def check_part(asked: str, part: nn.Module) -> None:
    """Refuse a module whose numbers are not those of its class and its parameters alone."""
    name = type(part).__name__
    # Before hooks: a lazy module finds its shapes by one.
    for parameter in part.parameters(recurse=False):
        _check_parameter(asked, name, parameter)
    if parametrize.is_parametrized(part) and not _have_twins(part):
        names: Any = part.parametrizations
        raise GeodlError(
            asked,
            f"parametrizations of {', '.join(names)}",
            "make them plain first: torch.nn.utils.parametrize.remove_parametrizations",
        )
    if "forward" in vars(part):
        raise GeodlError(
            asked, f"a {name} whose forward was replaced", "give the module as its class made it"
        )
    if any(_is_hook_table(key) and value for key, value in vars(part).items()):
        raise GeodlError(
            asked,
            f"hooks on its {name}, which would be lost",
            "remove them first (of weight_norm and the like: torch.nn.utils.remove_...)",
        )


def _have_twins(part: Any) -> bool:
    """Whether a layer keeps all parametrizations of a module, or a converter reads them."""
    for name, made in part.parametrizations.items():
        if kind_of(part, name) or isinstance(made[-1], Arranged):
            continue
        if not all(getattr(one, "has_twin", False) for one in made):
            return False
    return True


def _check_parameter(asked: str, name: str, parameter: nn.Parameter) -> None:
    if nn.parameter.is_lazy(parameter):
        raise GeodlError(asked, "parameters without a shape", "call the module once first")
    if parameter.is_complex():
        raise GeodlError(
            asked,
            f"complex parameters of its {name}",
            "signals are real: convert the real and the imaginary part one by one",
        )
    if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
        raise GeodlError(
            asked, f"hooks on a parameter of its {name}, which would be lost", "remove them first"
        )


def _is_hook_table(key: str) -> bool:
    """Whether an attribute holds hooks around forward or backward.

    torch's are called `_forward_pre_hooks`, `_backward_hooks`, ...; PyG's
    `_message_forward_hooks`, ...; hooks of `state_dict` change no number.
    """
    return key.endswith("hooks") and ("forward" in key or "backward" in key)


def check_shared(asked: str, module: nn.Module) -> None:
    """Refuse a parameter that stands in two places of a part: two copies would train apart."""
    names: dict[Tensor, str] = {}
    # PyG's GATv2Conv says so of a part that it has in two places: it becomes one projection.
    once = getattr(module, "share_weights", False)
    for path, part in module.named_modules(remove_duplicate=once):
        for name, parameter in part.named_parameters(path, recurse=False):
            first = names.setdefault(parameter, name)
            if first != name:
                raise GeodlError(
                    asked,
                    f"one parameter called {first} and {name}, which would become two",
                    "convert the parts one by one, and tie them again",
                )
