"""The record of a model's run: what every layer and every pointwise module did, in order.

Inside of `g.trace` each call appends an :class:`Event`. Explanations, certificates and pictures
read this record and nothing else. Outside of it, and in compiled code, nothing is kept.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from geodl.domain import Domain, same_place
from geodl.errors import GeodlError
from geodl.lowering import Call
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal


class Stamp(NamedTuple):
    """Values when they were seen.

    Attributes:
        tensor: the tensor itself.
        version: how often it had been changed in place.
        domain: where its nodes live; None for a tensor that belongs to no signal.
    """

    tensor: Tensor
    version: int
    domain: Domain | None

    def is_still(self, other: "Stamp") -> bool:
        """Whether another stamp is of the same tensor, unchanged, and on the same nodes."""
        if self.tensor is not other.tensor or self.version != other.version:
            return False
        if self.domain is None or other.domain is None:
            return True
        return same_place(self.domain, other.domain)


class Event(NamedTuple):
    """One call of a layer, of its `step`, or of a pointwise module.

    A container is recorded only where it computes something itself (a sum, a concatenation).

    Attributes:
        path: the module's name in the traced model, "" for the model itself and for modules outside
            of it.
        layer: the module.
        rule: the rule of this call; None for a module without one.
        source: the senders' domain.
        target: the receivers' domain.
        lowering: the name of the lowering that ran; None for a module without a rule.
        note: what its name does not say: which of two paths its plan took.
        refused: (lowering, reason) of those preferred to it, which refused.
        output: the answer.
        signals: what it was called with: the receiver, and the sender where one was given.
        call: what the lowerings were asked; None for a module without a rule.
        read: the tensors it was given, as they were before.
        written: the tensors it made, as they were then: the answer first, then those of its state.
    """

    path: str
    layer: nn.Module
    rule: Neighborhood | None
    source: Domain
    target: Domain
    lowering: str | None
    note: str
    refused: tuple[tuple[str, str], ...]
    output: Signal
    signals: tuple[Signal, ...]
    call: Call | None
    read: tuple[Stamp, ...]
    written: tuple[Stamp, ...]


class Kernel(NamedTuple):
    """The kernel that a layer reached, in the words of :class:`Event`."""

    rule: Neighborhood
    source: Domain
    lowering: str
    note: str
    refused: tuple[tuple[str, str], ...]
    call: Call


class Choice(NamedTuple):
    """One layer's answer to `explain`; `refused` are (lowering, reason) of those tried before,
    `note` is what the lowering's name does not say.
    """

    path: str
    layer: str
    verb: str
    neighborhood: str
    source: Domain
    target: Domain
    lowering: str
    refused: tuple[tuple[str, str], ...]
    note: str = ""

    def __str__(self) -> str:
        where = f"{self.source}"
        if self.target != self.source:
            where += f" -> {self.target}"
        path = f"{self.path}: " if self.path else ""
        kernel = ", ".join(filter(None, (self.lowering, self.note)))
        lines = [f"{path}{self.layer} on {where} runs on {kernel}"]
        lines += [f"    not on {name}: {reason}" for name, reason in self.refused]
        return "\n".join(lines)


class Frame:
    """A call that is not finished: its layer, and the kernel that it reached."""

    def __init__(self, layer: nn.Module):
        self.layer = layer
        self.kernel: Kernel | None = None


class Listener:
    """Collects the events of one block.

    Args:
        model: the module whose names paths are.
    """

    def __init__(self, model: nn.Module | None):
        self.paths: dict[nn.Module, str] = {}
        if model is not None:
            self.paths = {module: path for path, module in model.named_modules()}
        self.events: list[Event] = []
        self.frames: list[Frame] = []

    def record(
        self, layer: nn.Module, signals: Iterable[Any], run: Callable[[], Any], state: Any = None
    ) -> Any:
        """Run a call and append its event.

        A call with other events inside is a container's: those say what it did, and :func:`made`
        what it added.

        Args:
            layer: the module that is called.
            signals: what it is called with; what is not a Signal is left out.
            run: the call, which gives a Signal, or a Signal and a state.
            state: the state that a step begins with.
        """
        if self.frames and self.frames[-1].layer is layer:
            # A step that calls the layer itself is one event, the step's.
            return run()
        given = tuple(s for s in signals if isinstance(s, Signal))
        # Read before the call: what is changed in place during it has another version after.
        read = stamps(*given, *_tensors(state))
        frame = Frame(layer)
        self.frames.append(frame)
        before = len(self.events)
        try:
            answer = run()
        finally:
            self.frames.pop()
        output, after = answer, None
        if isinstance(answer, tuple) and len(answer) == 2:
            output, after = answer
        alone = len(self.events) == before or frame.kernel is not None
        if alone and isinstance(output, Signal):
            written = stamps(output, *_tensors(after))
            self.append(layer, frame.kernel, given, output, read, written)
        return answer

    def reached(self, layer: nn.Module, kernel: Kernel) -> None:
        """Note which kernel the call of a layer runs on."""
        if self.frames and self.frames[-1].layer is layer:
            self.frames[-1].kernel = kernel

    def append(
        self,
        layer: nn.Module,
        kernel: Kernel | None,
        signals: tuple[Signal, ...],
        output: Signal,
        read: tuple[Stamp, ...],
        written: tuple[Stamp, ...],
    ) -> None:
        """Append an event, its fields in the words of :class:`Event`."""
        source = signals[-1].domain if signals else output.domain
        event = Event(
            path=self.paths.get(layer, ""),
            layer=layer,
            rule=None,
            source=source,
            target=output.domain,
            lowering=None,
            note="",
            refused=(),
            output=output,
            signals=signals,
            call=None,
            read=read,
            written=written,
        )
        if kernel is not None:
            event = event._replace(**kernel._asdict())
        self.events.append(event)


LISTENER: ContextVar[Listener | None] = ContextVar("geodl_listener", default=None)
# All that listen, in whichever thread. It is nearly always empty, and every call of a layer asks
# twice: to look at a list first saves a compiler's flag and a ContextVar.
LISTENERS: list[Listener] = []


@contextmanager
def trace(model: nn.Module | None = None) -> Iterator[list[Event]]:
    """Record what every layer does inside a block.

    A compiled model runs as it was before it was compiled, so that its layers are recorded.
    Pointwise modules are recorded where a container calls them; what a model's own code computes
    between layers is not, and shows as values that no event made.

    Args:
        model: the module whose names the events' paths are; without one, paths are empty.

    Yields:
        The events, in the order in which the calls end. They keep the tensors they name alive.

    Raises:
        GeodlError: if `model` is not a module.

    >>> import geodl as g
    >>> model = g.Sequential(g.Conv(1, 8, g.window(3)), nn.ReLU(), g.Readout())
    >>> with g.trace(model) as events:
    ...     y = model(g.Signal.image(torch.zeros(2, 1, 28, 28)))
    >>> [(event.path, event.lowering) for event in events]
    [('0', 'lattice'), ('1', None), ('2', 'blocks')]
    """
    if model is not None and not isinstance(model, nn.Module):
        raise GeodlError("trace(model)", f"a {type(model).__name__}", "give a layer or a model")
    # torch wraps the model that it compiles: names are those of the model inside.
    listener = Listener(getattr(model, "_orig_mod", model))
    with _uncompiled():
        token = LISTENER.set(listener)
        LISTENERS.append(listener)
        try:
            yield listener.events
        finally:
            LISTENERS.remove(listener)
            LISTENER.reset(token)


def current_listener() -> Listener | None:
    """The listener of the innermost `g.trace`; None outside of it, and in code that is compiled.

    Compilers cannot read a ContextVar, so they are asked for first.
    """
    if not LISTENERS or torch.compiler.is_compiling():
        return None
    return LISTENER.get()


def made(layer: nn.Module, output: Signal, *read: Signal | Tensor, state: Any = None) -> Signal:
    """Record a value that a container computes itself (a sum, a concatenation), and return it.

    Args:
        layer: the container.
        output: the value.
        read: all the values it was computed from.
        state: tensors that were computed besides.
    """
    listener = current_listener()
    if listener is not None:
        written = stamps(output, *_tensors(state))
        listener.append(layer, None, (), output, stamps(*read), written)
    return output


def traced_step(step: Callable[..., Any]) -> Callable[..., Any]:
    """A layer's `step` as an event inside of `g.trace`; else the step alone.

    Containers need none: the layers in them say what they did, and :func:`made` what was added.
    """

    @wraps(step)
    def recorded(layer: Any, signal: Any, state: Any = None, sender: Any = None) -> Any:
        listener = current_listener()
        if listener is None:
            return step(layer, signal, state, sender)
        return listener.record(
            layer, (signal, sender), lambda: step(layer, signal, state, sender), state
        )

    return recorded


def code_between(
    events: Iterable[Event], given: Iterable[Stamp], answer: Signal | Tensor
) -> list[tuple[str, str]]:
    """Where a model computes something itself: values that no event made, or changed since.

    Args:
        events: of one run of the model.
        given: the model's own inputs, as they were before.
        answer: what the model answered.

    Returns:
        (path of the module that read such values, what was found); the last path is "" where the
        model's answer is not what its last layer made.
    """
    # A tensor is known by what it is, how often it was changed and where its nodes live: another
    # object with the same numbers was made by somebody, a change in place by somebody, too, and
    # nodes in another place are other nodes. Events keep the tensors alive, so that no address is
    # given out again.
    stamps_given = list(given)
    known = {id(stamp.tensor): stamp for stamp in stamps_given}
    last = next(iter(stamps_given), None)
    found = []
    for event in events:
        if not all(_is_known(stamp, known) for stamp in event.read):
            found.append((event.path, "reads values that no layer made"))
        known |= {id(stamp.tensor): stamp for stamp in event.written}
        last = event.written[0]
    if not isinstance(answer, Signal | Tensor) or last is None:
        found.append(("", "answers with other values than those of one signal"))
        return found
    values, *states = stamps(answer)
    if not last.is_still(values) or not all(_is_known(state, known) for state in states):
        found.append(("", "answers with values that its last layer did not make"))
    return found


def _is_known(stamp: Stamp, known: dict[int, Stamp]) -> bool:
    """Whether a tensor is among those that were given or made, unchanged since."""
    before = known.get(id(stamp.tensor))
    return before is not None and before.is_still(stamp)


def stamps(*values: Signal | Tensor) -> tuple[Stamp, ...]:
    """Signals and tensors as they are now: of a signal the values, then edges and globals where it
    has some.
    """
    found = []
    for value in values:
        if not isinstance(value, Signal):
            found.append(Stamp(value, version(value), None))
            continue
        found.append(Stamp(value.x, version(value.x), value.domain))
        states = [state for state in (value.edges, value.globals) if state is not None]
        # Globals go along from domain to domain: a state is known by itself.
        found += [Stamp(state, version(state), None) for state in states]
    return tuple(found)


def version(x: Tensor) -> int:
    """How often a tensor was changed in place; 0 for those of inference mode, which do not count.
    Changes through `x.data` or through numpy are not counted.

    >>> x = torch.zeros(2)
    >>> x += 1
    >>> version(x)
    1
    """
    if x.is_inference():
        return 0
    return x._version


def _tensors(state: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(state) if isinstance(leaf, Tensor)]


def _uncompiled() -> AbstractContextManager[Any]:
    """A block in which compiled code runs as it is written; nothing to do before torch compiled."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")
