"""How an imported network is called as its original is: tensors in, tensors out."""

import inspect
from collections.abc import Set
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.interop.whole.layout import Layout, Places
from geodl.interop.whole.on_tensors import fill
from geodl.signal import Signal


class Entrance(NamedTuple):
    """One argument of the original.

    Attributes:
        name: of the argument.
        input: whether the network reads it.
        layout: how it is read as a signal; None of a plain tensor.
        constant: the value that the import was made with, of an argument that is no tensor.
    """

    name: str
    input: bool
    layout: Layout | None
    constant: Any


class CallForm(NamedTuple):
    """How the original is called, and what it answers.

    Attributes:
        names: of the arguments of its forward, in order.
        defaults: of those that may be left out.
        entrances: what is read of the arguments, in order.
        exits: the tensors that are answered: of which output of the network, and how it is read;
            None of a plain tensor.
        answer: the form of the answer, with a slot for each of them.
    """

    names: tuple[str, ...]
    defaults: dict[str, Any]
    entrances: tuple[Entrance, ...]
    exits: tuple[tuple[int, Layout | None], ...]
    answer: Any


def reordered(form: CallForm, answer: Any) -> list[str]:
    """In words, the tensors of an answer whose axes are not those of its signal: transposed, or
    nodes and channels as one axis. What is true of the signal need not be of them.

    Args:
        form: of the call.
        answer: of the network: one value, or a tuple of them.
    """
    values = answer
    if not isinstance(answer, tuple):
        values = (answer,)
    words = []
    for output, layout in form.exits:
        one_node = getattr(values[output], "shape", (1, 1))[1] == 1
        if layout is not None and not layout.orders_nodes and not one_node:
            words.append(f"answer {output} is read as {layout}, and not in the order of its nodes")
    return words


class TensorDoor:
    """Reads the arguments of the original's forward, and gives answers in its form.

    Args:
        form: of the call.

    Attributes:
        origin: the calls of the original, for the way back.
    """

    def __init__(self, form: CallForm):
        self.form = form
        self.origin: Any = None

    @property
    def channels(self) -> tuple[int | None, ...]:
        """Of each input; None of tokens, and of what is read as no signal."""
        counts = []
        for entrance in self.form.entrances:
            if not entrance.input:
                continue
            layout = entrance.layout
            if layout is None or not layout.channels:
                counts.append(None)
            else:
                counts.append(layout.num_channels)
        return tuple(counts)

    def enter(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The network's inputs.

        Raises:
            GeodlError: if the arguments are not those of the original, if a tensor has another
                number of dimensions, or a constant another value than the import was made with.
        """
        bound = bind_arguments(self.form, args, kwargs)
        values = []
        for entrance in self.form.entrances:
            given = bound[entrance.name]
            if entrance.layout is not None:
                values.append(_read(entrance, given))
            elif entrance.input:
                values.append(given)
            elif not isinstance(entrance.constant, Tensor) or not isinstance(given, Tensor):
                check_constant(entrance, given)
        return values

    def leave(self, answer: Any) -> Any:
        """The answer in the original's form."""
        return leave_tensors(self.form, answer)

    def reordered(self, answer: Any) -> list[str]:
        """The tensors of an answer whose axes are not those of its signal, in words."""
        return reordered(self.form, answer)

    def over(self, domain: Domain, bounded: Set[str] = frozenset()) -> "TensorDoor":
        """A door that reads tensors on lattices that wrap as a domain does. It leads back no more:
        the original has other edges.

        Args:
            domain: a lattice.
            bounded: the arguments that are read as they were.
        """
        places: Places = "grid"
        if all(domain.periodic):
            places = "torus"
        entrances = []
        for entrance in self.form.entrances:
            layout = entrance.layout
            on_lattice = layout is not None and layout.domain in ("grid", "torus")
            if layout and on_lattice and layout.num_axes and entrance.name not in bounded:
                entrance = entrance._replace(layout=replace(layout, domain=places))
            entrances.append(entrance)
        return TensorDoor(self.form._replace(entrances=tuple(entrances)))


def bind_arguments(form: CallForm, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name.

    By hand: compilers do not follow `inspect.signature(...).bind`.

    Raises:
        GeodlError: if there are too many, too few or unknown ones.
    """
    names = form.names
    if not kwargs and len(args) == len(names):
        return dict(zip(names, args, strict=True))  # as most calls are
    bound = dict(form.defaults)
    for name, given in zip(names, args, strict=False):
        bound[name] = given
    found = ""
    unknown = [name for name in kwargs if name not in names[len(args) :]]
    if len(args) > len(names):
        found = f"{len(args)} arguments"
    elif unknown:
        found = f"the argument {unknown[0]}"
    bound.update(kwargs)
    missing = [name for name in names if name not in bound]
    if not found and missing:
        found = f"no {missing[0]}"
    if found:
        do = f"call it as the original: ({', '.join(names)})"
        raise GeodlError("a call of an imported network", found, do)
    return bound


def leave_tensors(form: CallForm, answer: Any) -> Any:
    """What a network answers in the original's form.

    Args:
        form: of the call.
        answer: of the network: one value, or a tuple of them.
    """
    values = answer
    if all(output == 0 for output, _ in form.exits):
        # One node answers, and what it answers may itself be a tuple.
        values = (answer,)
    tensors = []
    for output, layout in form.exits:
        value = values[output]
        if layout is not None:
            value = layout.to_tensor(value)
        tensors.append(value)
    return fill(form.answer, tensors)


def _read(entrance: Entrance, given: Any) -> Signal:
    asked = f"the argument {entrance.name!r} of an imported network"
    layout = entrance.layout
    assert layout is not None
    if not isinstance(given, Tensor):
        raise GeodlError(asked, f"a {type(given).__name__}", "give a tensor, or only Signals")
    if given.dim() != len(layout.dims):
        found = f"shape {list(given.shape)}"
        raise GeodlError(asked, found, f"give {len(layout.dims)} axes, as the example had")
    return layout.to_signal(given)


def check_constant(entrance: Entrance, given: Any) -> None:
    """Refuse another value than the one that the import was made with."""
    same = given is entrance.constant
    if not same and not isinstance(entrance.constant, Tensor) and not isinstance(given, Tensor):
        same = bool(given == entrance.constant)
    if not same:
        raise GeodlError(
            f"the argument {entrance.name}={_said_of(given)} of an imported network",
            f"an import made with {entrance.name}={_said_of(entrance.constant)}",
            "import the model once more with it among the example",
        )


def _said_of(value: Any) -> str:
    if isinstance(value, Tensor):
        return "a tensor"
    return repr(value)


def arguments_of(module: nn.Module) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The arguments of a model's forward in order, and the defaults of those that have one.

    Raises:
        GeodlError: if it takes any number of arguments.
    """
    parameters = inspect.signature(module.forward).parameters.values()
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise GeodlError(
                f"{type(module).__name__} as a network",
                f"a forward with {parameter}",
                "give a model that names its arguments, or one around it that does",
            )
    names = tuple(parameter.name for parameter in parameters)
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return names, defaults
