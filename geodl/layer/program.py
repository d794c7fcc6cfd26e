"""A container's calls as functions of tensors, for graphs that are new at every step.

Small graphs that come once (a batch of molecules) are read by one kernel, which puts their links in
the order of sparse products. A container of sums over neighbors, summaries of each graph and
layers that read nodes alone needs no more: no plan is looked for, and no signal is made between two
of its parts. What each part computes is what it computes everywhere, by the lowering that its plans
on such graphs have.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from geodl.domain.reading import SortedGraphs
from geodl.layer.joins import JOINS
from geodl.lowering import Lowering, Plan
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal


class OnTensors(NamedTuple):
    """A part of a container as a function of tensors.

    Attributes:
        run: of rows `[N, C]`; of a plan before, where a layer's is needed. It answers None to what
            it does not take.
        layer: whose plan that is; None where none is needed.
        stays: whether its receivers have to be its senders.
    """

    run: Callable[..., Tensor | None]
    layer: Any = None
    stays: bool = False


class Sparse(NamedTuple):
    """What a layer's sparse product is planned of, where its pattern is known.

    Attributes:
        matrix: the attribute of :class:`SortedGraphs` that the pattern is.
        lowering: that runs it.
        options: of the layer.
    """

    matrix: str
    lowering: Lowering
    options: Any


class TensorCall(NamedTuple):
    """One call of a program.

    Attributes:
        run: of the tensors that it reads, after a plan where it needs one.
        reads: the places of these tensors.
        makes: the place of its answer.
        frees: of the places that it reads those that no later call does.
        plan: the number of the plan; None of a call that needs none.
    """

    run: Callable[..., Tensor | None]
    reads: tuple[int, ...]
    makes: int
    frees: tuple[int, ...]
    plan: int | None


class Program:
    """Calls of tensors one after another, on graphs that were read in one pass.

    Args:
        sparse: what plans are made of, at every run.
        calls: in order.
        answer: the place of the answer.
        summary: the rule that leads to the domain of the answer; None where that is the graphs'.
    """

    def __init__(
        self,
        sparse: Sequence[Sparse],
        calls: Sequence[TensorCall],
        answer: int,
        summary: Neighborhood | None,
    ):
        self._sparse = tuple(sparse)
        self._calls = tuple(calls)
        self._answer = answer
        self._summary = summary

    def run(self, signal: Signal, graphs: SortedGraphs) -> Signal | None:
        """The container's answer; None where a part does not take what it reads, of which the
        container itself then says what is wrong.
        """
        x, domain, plans = signal.x, signal.domain, []
        for matrix, lowering, options in self._sparse:
            pattern = getattr(graphs, matrix)
            if pattern is None or lowering.of_pattern is None:
                return None
            plans.append(Plan(lowering, lowering.of_pattern(options, pattern, x.dtype), None))
        try:
            y = self._run(plans, x.squeeze(0))
        except RuntimeError:
            y = None
        if y is None:
            return None
        if self._summary is not None:
            domain = self._summary.target(domain)
        return signal.carry_state(y.unsqueeze(0), domain)

    def _run(self, plans: list[Any], x: Tensor) -> Tensor | None:
        values: dict[int, Any] = {0: x}
        for run, reads, makes, frees, plan in self._calls:
            if reads == frees and len(reads) == 1:
                read = (values.pop(reads[0]),)
            else:
                read = tuple(map(values.__getitem__, reads))
                for place in frees:
                    del values[place]
            if plan is not None:
                read = (plans[plan], *read)
            y = run(*read)
            if y is None:
                return None
            values[makes] = y
        return values[self._answer]


def make_program(steps: Sequence[Any], answer: Any, signal: Signal) -> Program | None:
    """The program of a container's calls; None where one of them is more than that.

    Args:
        steps: the calls, each a `geodl.layer.unfolded.Step`.
        answer: the place of the answer.
        signal: on graphs that were read in one pass.
    """
    if not isinstance(answer, int):
        return None
    sparse: list[Sparse] = []
    calls = []
    summaries: dict[int, Neighborhood | None] = {0: None}
    wanted = {answer}.union(*(step.reads for step in steps))
    for step in steps:
        if step.makes not in wanted and not step.frees:
            continue  # it only asks whether what it reads are signals
        part = _part_of(step)
        ends = {summaries[place] for place in step.reads}
        if part is None or len(ends) != 1:
            return None
        (end,), number = ends, None
        if part.layer is not None:
            found = _sparse_of(part.layer, signal)
            if found is None or end is not None:
                return None
            if found not in sparse:
                sparse.append(found)
            number = sparse.index(found)
            if not part.layer.rule.stays_on(signal.domain):
                end = part.layer.rule
                if part.stays:
                    return None
        summaries[step.makes] = end
        calls.append(TensorCall(part.run, step.reads, step.makes, step.frees, number))
    return Program(sparse, calls, answer, summaries[answer])


def _part_of(step: Any) -> OnTensors | None:
    """A call as a function of tensors; None where it reads more of its signals."""
    if step.joins:
        return OnTensors(partial(_joined, step.joins))
    make = getattr(step.run, "on_tensors", None)
    if make is None:
        return None
    return make()


def _sparse_of(layer: Any, signal: Signal) -> Sparse | None:
    """What a layer's plans on such graphs are made of; None where it is more than a pattern."""
    graphs, name = signal.domain.sorted_graphs, layer.rule.sorted_matrix
    if graphs is None or not name or not layer.transparent:
        return None
    plan, parts = layer._plan(layer.rule, signal.domain, None, signal.x)
    make = plan.lowering.of_pattern
    if make is None or parts.source is not signal.domain:
        return None
    if make(layer.options, graphs.links, signal.dtype) is None:
        return None
    return Sparse(name, plan.lowering, layer.options)


def _joined(name: str, *read: Tensor) -> Tensor | None:
    first = read[0]
    for other in read[1:]:
        # Nothing is broadcast, and nothing cast.
        alike = other.shape == first.shape or (name == "cat" and other.shape[0] == first.shape[0])
        if not alike or other.dtype != first.dtype:
            return None
    return JOINS[name](list(read))
