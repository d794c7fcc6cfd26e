"""Containers unfolded: the layers inside as one list of calls, made once and run without asking
again what each part is.

A container in a container is a module that is called, looks for a listener, checks what it was
given and asks each of its parts how it is run. On small graphs that takes longer than the kernels.
Unfolded, what is left are the layers' own `compute`, rows of pointwise modules, and joins.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geodl.layer.base import Layer, MessagePassing
from geodl.layer.folding import NO_STATE
from geodl.layer.pointwise import EVERYWHERE, INTERCEPTS, run_pointwise, stands_in_row
from geodl.layer.program import OnTensors, Program, make_program
from geodl.layer.replaced import computes_as
from geodl.layer.row import Row
from geodl.layer.self_term import SumWithSelfTerm, is_sum_with_self_term
from geodl.layer.trace import current_listener
from geodl.lowering import Plan
from geodl.lowering.differentiable import called_plainly, transforms_active
from geodl.signal import Signal
from geodl.signal.check import mixes_dtypes

# By what a layer is how it runs.
DECIDING = ("rule", "options", "_lowering", "on", "compute", "_compiled_call_impl")


class Step(NamedTuple):
    """One call.

    Attributes:
        run: of what it reads.
        reads: the places of these values.
        makes: the place of its answer.
        frees: of the places that it reads those that no later call does.
        joins: the name of the join that it is of what it reads; "" of any other call.
    """

    run: Callable[..., Any]
    reads: tuple[int, ...]
    makes: int
    frees: tuple[int, ...] = ()
    joins: str = ""


class OfLayer(NamedTuple):
    """What `forward` of a layer does where nobody listens."""

    part: Layer

    def __call__(self, signal: Any, sender: Any = None) -> Signal:
        """The layer's answer."""
        return self.part.compute(signal, sender, self.part.rule)

    def on_tensors(self) -> OnTensors | None:
        """The layer as a function of tensors; None where it reads more of its signal, or computes
        in a way of its own.
        """
        if not isinstance(self.part, MessagePassing):
            return None
        if not computes_as(self.part, MessagePassing):
            return None
        return OnTensors(self._answer, self.part)

    def _answer(self, plan: Plan, x: Tensor) -> Tensor:
        layer: Any = self.part
        return layer._run(plan, x, x, None, NO_STATE)


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
        self._layers: list[dict[str, Any]] = []
        self._modules: list[dict[str, Any]] = []
        self._hooks: list[Any] = list(EVERYWHERE)
        self._watch(container)
        # The container is held weakly, and no step holds it: it goes when its last user does.
        unfold: Any = container.unfold  # pyright: ignore[reportAttributeAccessIssue] - see above
        self._answer = unfold(self, *range(num_inputs))
        self._join_sums()
        self._join_rows()
        self._free()
        self._known = self._parts()
        self._programs: dict[Any, Program | None] = {}

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

    def call(self, run: Callable[..., Any], *places: int, joins: str = "") -> int:
        """Add a call of a function of the values at some places.

        Args:
            run: the function.
            places: of the values.
            joins: the name of the join that it is; "" of any other.
        """
        made = self._count
        self._count += 1
        self._steps.append(Step(run, places, made, joins=joins))
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
        if len(given) == 1:
            answer = self._run_program(given[0])
            if answer is not None:
                return answer
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

    def _run_program(self, signal: Any) -> Signal | None:
        """The answer to values on graphs that were read in one pass; None where the calls are made
        one after another.
        """
        if type(signal) is not Signal or signal.edges is not None or signal.globals is not None:
            return None
        x, graphs = signal.x, signal.domain.sorted_graphs
        if graphs is None or x.layout != torch.strided or not x.is_floating_point():
            return None
        if len(graphs.counts) == 1:  # which is taken for its only member
            return None
        # Whoever watches operators may have sizes that are no numbers.
        if x.shape[0] != 1 or transforms_active() or not called_plainly(x):
            return None
        # There values of several dtypes meet. A program that takes them not, after a batch norm or
        # a dropout has run, would let these run twice.
        if mixes_dtypes(x.device):
            return None
        # Members of one size are summed up by another lowering.
        name = (x.dtype, x.shape[2], len(set(graphs.counts)) > 1)
        if name not in self._programs:
            self._programs[name] = make_program(self._steps, self._answer, signal)
        program = self._programs[name]
        if program is None:
            return None
        return program.run(signal, graphs)

    def _watch(self, part: nn.Module) -> None:
        held = vars(part)
        if held["_modules"] or unfolds(part):
            self._tables.append(held["_modules"])
        if isinstance(part, Layer):
            self._layers.append(held)
        else:
            self._modules.append(held)
        self._hooks += [held[name] for name in INTERCEPTS if isinstance(held.get(name), dict)]

    def _parts(self) -> list[Any]:
        """All modules inside, and what decides how each of them runs."""
        # Asked at every call, so by loops that run in C: 50 modules take 8 microseconds (measured).
        parts = list(chain.from_iterable(map(dict.values, self._tables)))
        # A forward of the module's own, as a user may give it.
        parts += map(dict.get, self._modules, repeat("forward"))
        for name in DECIDING:
            parts += map(dict.get, self._layers, repeat(name))
        return parts

    def _readers(self) -> Counter[int]:
        """How many calls read each place."""
        # An answer is read by the caller.
        readers = Counter(_places(self._answer))
        for step in self._steps:
            readers.update(step.reads)
        return readers

    def _join_sums(self) -> None:
        """Put a sum over neighbors and a self term together with the call that alone adds them."""
        readers, kept = self._readers(), dict[int, Step]()
        for step in self._steps:
            terms = [kept[place] for place in step.reads if readers[place] == 1 and place in kept]
            if step.joins == "add" and len(terms) == len(step.reads) == 2:
                one, other = terms
                parts: tuple[Any, ...] = (_layer_of(one), _layer_of(other))
                if one.reads == other.reads and is_sum_with_self_term(parts):
                    step = Step(SumWithSelfTerm(parts, step.run), one.reads, step.makes)
                    del kept[one.makes], kept[other.makes]
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
    if torch.compiler.is_compiling() or current_listener() is not None:
        return None
    calls = vars(container).get("_calls")
    if calls is None or not calls.still_holds(container):
        if not unfolds(container):
            return None
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
