"""Containers unfolded: the layers inside as one list of calls, made once and run without asking
again what each part is.

A container in a container is a module that is called, looks for a listener, checks what it was
given and asks each of its parts how it is run. On small graphs that takes longer than the kernels.
Unfolded, what is left are the layers' own `compute`, rows of pointwise modules, and joins.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import nn

from geodl.layer.base import Layer
from geodl.layer.check import channels_read, check_is_signal, check_values
from geodl.layer.pointwise import (
    EVERYWHERE,
    INTERCEPTS,
    names_axis,
    run_pointwise,
    run_row,
    stands_in_row,
)
from geodl.layer.self_term import SumWithSelfTerm, is_sum_with_self_term, scales
from geodl.layer.trace import current_listener
from geodl.signal import Signal

DECIDING = ("rule", "_lowering", "on", "_compiled_call_impl")  # by what a layer is how it runs


class Step(NamedTuple):
    """One call.

    Attributes:
        run: of what it reads.
        reads: the places of these values.
        makes: the place of its answer.
        frees: of the places that it reads those that no later call does.
        adds: whether it answers the sum of what it reads.
    """

    run: Callable[..., Any]
    reads: tuple[int, ...]
    makes: int
    frees: tuple[int, ...] = ()
    adds: bool = False


class OfLayer(NamedTuple):
    """What `forward` of a layer does where nobody listens."""

    part: Layer

    def __call__(self, signal: Any, sender: Any = None) -> Signal:
        """The layer's answer."""
        return self.part.compute(signal, sender, self.part.rule)


class UnfoldedCalls:
    """The calls that a container comes down to.

    They are made of the container as it is; :meth:`still_holds` says whether it still is so. A copy
    of the container makes its own.

    Args:
        container: a layer with a method `unfold(calls, *places)`, which adds its parts.
        num_inputs: how many signals it is called with.
    """

    def __init__(self, container: Layer, num_inputs: int):
        self.owner = weakref.ref(container)
        self._count = num_inputs
        self._steps: list[Step] = []
        self._tables: list[dict[str, Any]] = []
        self._held: list[dict[str, Any]] = []
        self._hooks: list[Any] = list(EVERYWHERE)
        self._watch(container)
        # The container is held weakly, and no step holds it: it goes when its last user does.
        unfold: Any = container.unfold  # pyright: ignore[reportAttributeAccessIssue] - see above
        self._answer = unfold(self, *range(num_inputs))
        self._join_sums()
        self._join_rows()
        self._free()
        self._known = self._parts()

    def __reduce__(self) -> Any:
        # In a copy, and in a file, None stands for them.
        return type(None), ()

    def part(self, part: Any, *places: int) -> Any:
        """Add a part of a container that reads the values at some places.

        Returns:
            The place of its answer; of a network with several outputs their places.
        """
        self._watch(part)
        if len(places) == 1 and stands_in_row(part):
            return self.call(Row([part]), *places)
        if not isinstance(part, Layer):
            return self.call(lambda signal: run_pointwise(part, signal), *places)
        if part.on is not None:
            return self.call(part, *places)
        if unfolds(part):
            unfold: Any = part.unfold  # pyright: ignore[reportAttributeAccessIssue] - it has one
            return unfold(self, *places)
        return self.call(OfLayer(part), *places)

    def call(self, run: Callable[..., Any], *places: int, adds: bool = False) -> int:
        """Add a call of a function of the values at some places.

        Args:
            run: the function.
            places: of the values.
            adds: whether it answers their sum.
        """
        made = self._count
        self._count += 1
        self._steps.append(Step(run, places, made, adds=adds))
        return made

    def inside(self, container: nn.Module) -> None:
        """Watch the parts of a plain module that holds some of the parts."""
        self._tables.append(container._modules)  # type: ignore[arg-type] - None among them, too

    def may_run(self) -> bool:
        """Whether nobody hooked on to one of the modules."""
        return not any(self._hooks)

    def still_holds(self, container: Layer) -> bool:
        """Whether the container, and all that is inside, is what these calls were made of."""
        return self.owner() is container and self._parts() == self._known

    def run(self, given: Sequence[Any]) -> Any:
        """The answer to values: one, or a tuple of them."""
        values = dict(enumerate(given))
        for run, reads, makes, frees, _ in self._steps:
            # As most calls do: no list is made of one value.
            if reads == frees and len(reads) == 1:
                # Given away, so that it goes as soon as it was read.
                values[makes] = run(values.pop(reads[0]))
                continue
            values[makes] = run(*[values[place] for place in reads])
            for place in frees:
                del values[place]
        if isinstance(self._answer, tuple):
            return tuple(values[place] for place in self._answer)
        return values[self._answer]

    def _watch(self, part: nn.Module) -> None:
        held = vars(part)
        self._tables.append(held["_modules"])
        self._held.append(held)
        self._hooks += [held[name] for name in INTERCEPTS if isinstance(held.get(name), dict)]

    def _parts(self) -> list[Any]:
        """All modules inside, and what decides how each of them runs."""
        # Asked at every call, so by loops that run in C: 50 modules take 8 microseconds (measured).
        parts = list(chain.from_iterable(map(dict.values, self._tables)))
        for name in DECIDING:
            parts += [held.get(name) for held in self._held]
        return parts

    def _readers(self) -> Counter[int]:
        """How many calls read each place."""
        # An answer is read by the caller.
        readers = Counter(_places(self._answer))
        for step in self._steps:
            readers.update(step.reads)
        return readers

    def _join_sums(self) -> None:
        """Put a sum over neighbors and a self term together with the call that
        alone reads them and adds them.
        """
        readers, kept = self._readers(), dict[int, Step]()
        for step in self._steps:
            terms = [kept[place] for place in step.reads if readers[place] == 1 and place in kept]
            parts: tuple[Any, ...] = tuple(map(_layer_of, terms))
            if step.adds and len(terms) == len(step.reads) == 2 and is_sum_with_self_term(parts):
                one, other = terms
                if one.reads == other.reads:
                    step = Step(SumWithSelfTerm(parts, step.run), one.reads, step.makes)
                    del kept[one.makes], kept[other.makes]
                    for part in filter(scales, parts):
                        self._watch(part.module)
            kept[step.makes] = step
        self._steps = list(kept.values())

    def _join_rows(self) -> None:
        """Put calls of rows together, where the second alone reads what the first one answers."""
        readers = self._readers()
        steps: list[Step] = []
        for step in self._steps:
            if steps and readers[steps[-1].makes] == 1 and _goes_on(steps[-1], step):
                row: Any = steps[-1].run
                steps[-1] = steps[-1]._replace(run=row.joined(step.run), makes=step.makes)
            else:
                steps.append(step)
        self._steps = steps

    def _free(self) -> None:
        """Note for each place which call reads it last."""
        kept = set(_places(self._answer))
        steps = []
        for step in reversed(self._steps):
            frees = [place for place in dict.fromkeys(step.reads) if place not in kept]
            kept.update(frees)
            steps.append(step._replace(frees=tuple(frees)))
        self._steps = steps[::-1]


class Row:
    """Parts that read rows of channels, one after another: as :func:`run_row`, for parts of which
    it is known what they are.

    Args:
        modules: one at least.
    """

    def __init__(self, modules: Sequence[Any]):
        self.modules = tuple(modules)
        self._keeps_axes = len(modules) == 1 or any(map(names_axis, modules))
        self._parts = [
            (part, isinstance(part, Layer), channels_read(part), part._parameters)
            for part in modules
        ]

    def joined(self, other: "Row") -> "Row":
        """These parts, and others after them."""
        return Row(self.modules + other.modules)

    def __call__(self, signal: Any) -> Signal:
        """What the last part makes of a signal."""
        check_is_signal(self.modules[0], signal)
        x, domain = signal.x, signal.domain
        if x.layout != torch.strided or not x.is_floating_point():
            return run_row(self.modules, signal)
        rows, shape, dtype = x, x.shape, x.dtype
        if not self._keeps_axes and x.is_contiguous():
            rows = x.flatten(0, 1)
        axes = rows.shape[:-1]
        for part, is_layer, channels, parameters in self._parts:
            # The first parameter stands for all, as in `check_values`, which says what is wrong.
            like = next(iter(parameters.values()), None)
            differs = like is not None and (like.dtype != rows.dtype or like.device != rows.device)
            if differs or (channels is not None and rows.shape[-1] != channels):
                check_values(part, rows, domain)
            if not is_layer:
                rows = part.forward(rows)
            elif rows.dim() == 2:
                rows = part.on_rows(rows)
            else:
                rows = part.on_rows(rows.flatten(0, 1))
                rows = rows.view(*shape[:-1], rows.shape[1])
        if rows.shape[:-1] != axes:
            return run_row(self.modules, signal)  # which says of which part it is the fault
        if rows.dim() < len(shape):
            rows = rows.view(*shape[:-1], rows.shape[-1])
        if rows.dtype == dtype:
            return signal.carry_state(rows, domain)
        return signal.with_x(rows)


def unfolds(part: Any) -> bool:
    """Whether a layer says what it comes down to: the class that says how it computes does.

    One that computes otherwise is called as it is.
    """
    for kind in type(part).__mro__:
        if "unfold" in vars(kind):
            return True
        if "compute" in vars(kind):
            return False
    return False


def unfolded_calls(container: Layer, num_inputs: int = 1) -> UnfoldedCalls | None:
    """The calls of a container, where nobody watches its modules; else None.

    Args:
        container: whose class unfolds.
        num_inputs: how many signals it is called with.
    """
    if torch.compiler.is_compiling() or current_listener() is not None or not unfolds(container):
        return None
    calls = vars(container).get("_calls")
    if calls is None or not calls.still_holds(container):
        calls = UnfoldedCalls(container, num_inputs)
        vars(container)["_calls"] = calls
    if not calls.may_run():
        return None
    return calls


def _places(answer: Any) -> tuple[int, ...]:
    if isinstance(answer, tuple):
        return answer
    return (answer,)


def _layer_of(step: Step) -> Layer | None:
    """The layer that a call is the call of; None of any other call."""
    if isinstance(step.run, OfLayer):
        return step.run.part
    return None


def _goes_on(one: Step, other: Step) -> bool:
    """Whether a call of rows reads what one before it answers."""
    both = isinstance(one.run, Row) and isinstance(other.run, Row)
    return both and other.reads == (one.makes,)
