"""Recurrent networks whose states are read, or that begin in a state that is given."""

from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Complete, Domain
from geodl.interop.converters import converts, to_module
from geodl.interop.recurrent import from_recurrent
from geodl.interop.whole import layout as layouts
from geodl.interop.whole.ancestry import is_fixed, sources_of
from geodl.interop.whole.layout import Atom, Layout
from geodl.interop.whole.on_tensors import Narrow
from geodl.interop.whole.values import Call, Value
from geodl.layer import Concat, Layer, Pointwise, Recurrent, Sequential
from geodl.layer.check import check_signal
from geodl.layer.containers import run_part
from geodl.layer.trace import made
from geodl.signal import Signal


class RecurrentStack(Layer):
    """A stack of recurrent layers that begins in the second signal's values, zeros without one, and
    answers its outputs or its last states.

    Args:
        stack: a `Recurrent`, or a `Sequential` of them and of `Concat(forward, backward)`, with
            dropout between.
        answers: "outputs" or "states".

    States are `[B, 1, S]`, in torch's order: h of each layer and direction, then c of each.

    >>> stack = RecurrentStack(Recurrent(3, 4, "gru"), "states")
    >>> stack(Signal.sequence(torch.zeros(2, 5, 3))).x.shape
    torch.Size([2, 1, 4])
    """

    takes_context = True
    transparent = True

    def __init__(self, stack: Layer, answers: str):
        super().__init__()
        self.stack = stack
        self.answers = answers

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The outputs of all nodes, or the states after the last one."""
        signal = check_signal(self, receiver)
        before = self._first_states(sender)
        after: list[tuple[Tensor, ...]] = []
        for part in self._parts():
            ways = _ways(part)
            if not ways:
                signal = run_part(part, signal)
                continue
            outputs = []
            for way in ways:
                given = before[len(after)] if before else None
                output, state = way.run_from(signal, given)
                outputs.append(output)
                after.append(state)
            if len(outputs) == 1:
                signal = outputs[0]
                continue
            both = torch.cat([output.x for output in outputs], -1)
            signal = made(self, signal.with_x(both), *outputs)
        if self.answers == "outputs":
            return signal
        # torch lists h of all layers, then c of all.
        states = [state[kind] for kind in range(len(after[0])) for state in after]
        joined = receiver.carry_state(torch.cat(states, -1), Complete(1))
        return made(self, joined, *states)

    def _parts(self) -> list[nn.Module]:
        if isinstance(self.stack, Sequential):
            return list(self.stack)
        return [self.stack]

    def _first_states(self, sender: Signal | None) -> list[tuple[Tensor, ...]]:
        """The state of each layer and direction; none where all begin at zero."""
        if sender is None:
            return []
        ways = [way for part in self._parts() for way in _ways(part)]
        count, hidden = len(ways), ways[0].hidden
        given = check_signal(self, sender).x
        tensors = given.split(hidden, -1)
        kinds = len(tensors) // count
        return [tuple(tensors[kind * count + k] for kind in range(kinds)) for k in range(count)]

    def extra_repr(self) -> str:
        return repr(self.answers)


def _ways(part: Any) -> list[Recurrent]:
    """The directions of a layer; none of what stands between layers."""
    if isinstance(part, Recurrent):
        return [part]
    if isinstance(part, Concat):
        return [one for one in part.children() if isinstance(one, Recurrent)]
    return []


@converts(RecurrentStack, back="torch", form="recurrent layers")
def to_stack(layer: RecurrentStack, on: Domain | None) -> nn.Module:
    """The inverse of :func:`from_recurrent`."""
    return to_module(layer.stack, on, "torch")


def states_of_call(build: Any, call: Call, state: Any, read: Value) -> Any:
    """A call of a recurrent network that is given states, or of which some are read.

    Args:
        build: the import.
        call: of the network.
        state: that it begins in: `h`, `(h, c)` of an LSTM, None for zeros.
        read: the sequence.
    """
    module: Any = call.module
    if read.tensor.dim() != 3 or module.proj_size:
        return None
    count = module.num_layers * (1 + module.bidirectional)
    sender = None
    if state is not None:
        sender = _given(build, call, state, count, module.hidden_size)
        if sender is None:
            return None
    used = call.used
    stack = build.once(module, from_recurrent)
    outputs = states = None
    if used is None or 0 in used:
        layer = RecurrentStack(stack, "outputs")
        outputs = build.apply(call.name, layer, read, call.example[0], sender=sender)
    if used is None or 1 in used:
        states = _states(build, call, stack, read, sender, count)
    return (outputs, states)


def _states(
    build: Any, call: Call, stack: Layer, read: Value, sender: Value | None, count: int
) -> Any:
    """`h`, or `(h, c)`, each `[layers, B, H]`."""
    examples = call.example[1]
    kinds = list(examples) if isinstance(examples, tuple) else [examples]
    hidden = kinds[0].shape[-1]
    each = count * hidden
    flat = [one.transpose(0, 1).flatten(1) for one in kinds]
    whole = Layout(((layouts.BATCH,), (Atom("channel", 0, each * len(kinds)),)))
    layer = RecurrentStack(stack, "states")
    answer = build.apply(call.name, layer, read, torch.cat(flat, -1), whole, sender=sender)
    made_of = _layout(count, hidden)
    if len(kinds) == 1:
        return answer.read_as(made_of, kinds[0])
    parts = []
    for k, example in enumerate(kinds):
        cut = Pointwise(Narrow(k * each, (k + 1) * each))
        parts.append(build.apply(f"{call.name}_{'hc'[k]}", cut, answer, example, made_of))
    return tuple(parts)


def _layout(count: int, hidden: int) -> Layout:
    """`[layers, B, H]` of one node."""
    return Layout(((Atom("channel", 0, count),), (layouts.BATCH,), (Atom("channel", 1, hidden),)))


def _given(build: Any, call: Call, state: Any, count: int, hidden: int) -> Value | None:
    """The states that a call is given, side by side on one node."""
    kinds = list(state) if isinstance(state, tuple | list) else [state]
    flat = []
    for one in kinds:
        if not isinstance(one, Value) or one.tensor.shape[::2] != (count, hidden):
            return None
        one = build.signal(one, _layout(count, hidden))
        one = build.rearrange(one, _layout(count, hidden))
        row = Layout(((layouts.BATCH,), (Atom("channel", 0, count * hidden),)))
        flat.append(one.read_as(row, one.tensor.transpose(0, 1).flatten(1)))
    if len(flat) == 1:
        return flat[0]
    example = torch.cat([one.tensor for one in flat], -1)
    return build.join(f"{call.name}_begin", "cat", flat, example)


def begins_at_zero(build: Any, state: Any) -> bool:
    """Whether states are zeros at each call, as `torch.zeros(...)` makes them."""
    if state is None:
        return True
    if isinstance(state, tuple | list):
        return all(begins_at_zero(build, one) for one in state)
    if not isinstance(state, Value) or not is_fixed(build.nodes, state.name):
        return False
    return not sources_of(build.nodes, state.name) and not bool(state.tensor.any())
