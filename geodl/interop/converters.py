"""The list of converters: each is a function, with one decorator that says what it converts.

Both directions of a pair stand beside each other in the file of their family. Three kinds:

* `@converts(nn.Linear, reads="last")`: a module as a layer, `convert(module, on)`. The key is a
  type, or the name of a type of PyG or ("escnn.ReLU") of escnn, or of a function of torchvision's
  operations, which are imported only where they are asked for. With a function of torch as the
  key, `convert(*arguments)` takes what the function takes after its tensor.
* `@converts(torch.cat, traced=True)`: a call in a trace, `convert(build, call)`; for what reads
  several values, or changes which axis is which. None leaves the call as it is.
* `@converts(Conv, back="torch", form="itself()")`: a layer as a module of another library,
  `convert(layer, on)`; None of a layer in another form.
"""

import copy
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Literal, NamedTuple

from torch import nn
from torch.nn.utils import parametrize

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.interop.parametrized import from_parametrized, to_parametrized
from geodl.layer import Layer
from geodl.layer.pointwise import instead_of, is_pointwise

Reads = Literal["last", "second", "planes", "each"]
Library = Literal["torch", "pyg", "escnn"]


class Converter(NamedTuple):
    """One entry of the list.

    Attributes:
        convert: the function.
        reads: where the twin has its channels. "planes": on axis 1, node axes after it; "second":
            on axis 1, whatever the others are; "last": on the last axis; "each": it treats each
            number alone.
        form: of a converter back, the layers that it takes, in words.
        modes: whether it reads `call.while_training()`; a call whose arguments differ in training
            goes to no other one.
    """

    convert: Callable[..., Any]
    reads: Reads
    form: str
    modes: bool = False


FROM: dict[Hashable, Converter] = {}
TRACED: dict[Hashable, Converter] = {}
SCORES: dict[Hashable, Converter] = {}
BACK: dict[tuple[type, Library], list[Converter]] = {}


def converts(
    *kinds: Any,
    reads: Reads = "last",
    traced: bool = False,
    scores: bool = False,
    back: Library | None = None,
    form: str = "",
    modes: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as the converter of these types or functions.

    Args:
        kinds: types of torch, names of types of PyG, functions and methods of torch; with `back`
            types of layers.
        reads: see :class:`Converter`.
        traced: whether it converts a call in a trace.
        scores: whether it converts a call in a trace that makes scores of pairs of nodes, or reads
            some.
        back: the library that it converts a layer to.
        form: see :class:`Converter`.
        modes: see :class:`Converter`.
    """

    def register(convert: Callable[..., Any]) -> Callable[..., Any]:
        entry = Converter(convert, reads, form, modes)
        for kind in kinds:
            if back is not None:
                BACK.setdefault((kind, back), []).append(entry)
            elif traced:
                TRACED[kind] = entry
            elif scores:
                SCORES[kind] = entry
            else:
                FROM[kind] = entry
        return convert

    return register


def key_of(module: nn.Module) -> Hashable:
    """What a module's converter is registered under: its type, or the name of one of PyG's, or of
    escnn's as "escnn.ReLU".
    """
    kind = parametrize.type_before_parametrizations(module)
    if kind.__module__.startswith("torch_geometric.nn."):
        return kind.__name__
    if kind.__module__.startswith(ESCNN):
        return f"escnn.{kind.__name__}"
    return kind


def from_module(module: nn.Module, on: Domain | None, library: Library = "torch") -> Layer:
    """A module as a layer, by its converter.

    Raises:
        GeodlError: a type that has none, with what to do.
    """
    key = key_of(module)
    is_of_escnn = isinstance(key, str) and "." in key
    if key in FROM and is_of_escnn == (library == "escnn"):
        return from_parametrized(module, partial(FROM[key].convert, on=on))
    name = type(module).__name__
    known = [kind for kind in FROM if isinstance(kind, type)]
    names = [kind.__name__ for kind in known]
    if library == "pyg":
        names = [kind for kind in FROM if isinstance(kind, str) and "." not in kind]
    if library == "escnn":
        names = [kind.split(".")[1] for kind in FROM if isinstance(kind, str) and "." in kind]
    do = instead_of(module) or nearest(name, names)
    if is_kept(module):
        do = "a pointwise module needs no conversion: put it into a g.Sequential as it is"
    for kind in known:
        if isinstance(module, kind):
            do = (
                f"a subclass of {kind.__name__} may compute something else: "
                "copy its weights into a plain one"
            )
    raise GeodlError(f"from_{library}({name})", "a type with no converter", do)


def from_part(module: nn.Module, library: Library = "torch") -> nn.Module:
    """A part of a row: a layer where the module has a twin, else a copy of a pointwise module."""
    if key_of(module) not in FROM and is_kept(module):
        return copy.deepcopy(module)
    return from_module(module, None, library)


def to_module(layer: nn.Module, on: Domain | None, library: Library) -> nn.Module:
    """A layer as a module of another library, by the first converter that takes it.

    Raises:
        GeodlError: a layer that none takes, with the forms that have twins.
    """
    if on is None:
        on = getattr(layer, "on", None)
    twin = _try_back(layer, on, library)
    if twin is not None:
        return twin
    raise _no_twin(layer, library)


def to_part(layer: nn.Module, on: Domain | None) -> nn.Module:
    """A part of a row: the twin of a layer, or a copy of a pointwise module."""
    if is_kept(layer):
        return copy.deepcopy(layer)
    return to_module(layer, on, "torch")


def is_kept(module: nn.Module) -> bool:
    """Whether a module stands in our rows and in torch's as it is.

    Not `nn.SyncBatchNorm`: our rows run it along the channels, torch's along axis 1.
    """
    synced = any(isinstance(part, nn.SyncBatchNorm) for part in module.modules())
    return is_pointwise(module) and not synced


def _try_back(layer: nn.Module, on: Domain | None, library: Library) -> nn.Module | None:
    kind = parametrize.type_before_parametrizations(layer)
    for entry in BACK.get((kind, library), ()):
        twin = to_parametrized(layer, partial(entry.convert, on=on))
        if twin is not None:
            return twin
    return None


def _no_twin(layer: nn.Module, library: Library) -> GeodlError:
    kind = type(layer)
    asked = f"to_{library}({getattr(layer, 'label', kind.__name__)})"
    entries = BACK.get((kind, library), [])
    if not entries:
        do = nearest(kind.__name__, [known.__name__ for known, to in BACK if to == library])
        if is_kept(layer):
            do = "it is a module of torch.nn already"
        return GeodlError(f"to_{library}({kind.__name__})", "a type with no twin", do)
    forms = ", ".join(entry.form for entry in entries)
    do = f"these have twins: {kind.__name__} over {forms}"
    rule = getattr(layer, "rule", None)
    found = f"{rule}, which no {LIBRARIES[library]} module computes"
    if rule is None:
        found = f"a {kind.__name__} that no {LIBRARIES[library]} module computes"
        do += "; or convert its layers one by one"
    for other in ("torch", "pyg"):
        if other != library and _try_back(layer, None, other) is not None:
            do = f"to_{other} converts it"
    return GeodlError(asked, found, do)


LIBRARIES = {"torch": "torch.nn", "pyg": "torch_geometric.nn"}
ESCNN = "escnn.nn."  # the beginning of the names of its modules
