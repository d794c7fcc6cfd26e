"""Encoder-decoder models, and recurrent layers that pass on their last state."""

from typing import Any

import torch
from torch import nn

from geodl.domain import Batch, Complete
from geodl.errors import GeodlError
from geodl.layer.base import Layer
from geodl.layer.check import check_no_sender
from geodl.layer.containers import Sequential, run_part, takes_context
from geodl.layer.recurrent import Recurrent
from geodl.layer.steps import states_of
from geodl.layer.trace import made
from geodl.lowering.cells import CELLS, State
from geodl.signal import Signal


class EncoderDecoder(Layer):
    """`decoder(target, encoder(source))`: the decoder receives from what the encoder makes of the
    second signal.

    Rows of one length go together with ragged ones: where one signal lives on a `Batch` and the
    other has rows, these become members. The answer lies on the target's domain.

    Args:
        encoder: any layer.
        decoder: a layer that crosses, with a `Cross` or a `FromState` in it.

    Raises:
        GeodlError: if the decoder takes no second signal; at the call, if the source is missing, or
            there are not as many sources as targets.

    >>> from geodl import Chain, Readout
    >>> model = EncoderDecoder(Readout(), FromState(Recurrent(3, 4, "gru")))
    >>> target, source = (Signal(torch.zeros(2, n, c), Chain(n)) for n, c in ((5, 3), (7, 4)))
    >>> model(target, source).x.shape
    torch.Size([2, 5, 4])
    """

    takes_context = True
    transparent = True

    def __init__(self, encoder: Layer, decoder: Layer):
        super().__init__()
        if not isinstance(encoder, Layer):
            raise GeodlError(
                "EncoderDecoder",
                f"an encoder that is a {type(encoder).__name__}",
                "give a Layer, as Sequential(...)",
            )
        if not takes_context(decoder):
            raise GeodlError(
                "EncoderDecoder",
                "a decoder that takes no second signal",
                "give one with Cross(...) in it",
            )
        self.encoder, self.decoder = encoder, decoder

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The decoder on the target `receiver`, which receives from the encoder's answer to the
        source `sender`.
        """
        target, source = _given(receiver), _given(sender)
        if not target.domain.is_union and source.domain.is_union:
            target = self._on_batch(target, source)
        elif not source.domain.is_union and target.domain.is_union:
            source = self._on_batch(source, target)
        y = self.decoder(target, self.encoder(source))
        if target is receiver:
            return y
        # Rows that became members are rows again, on the very domain that was given.
        rows = y.x.reshape(*receiver.x.shape[:2], y.x.shape[2])
        return made(self, receiver.with_x(rows), y)

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """The decoder on the next nodes; the state is the pair (the encoder's output, the decoder's
        state).

        Source and target have rows of one length each here: `generate` decodes ragged sources
        length by length.
        """
        memory, before = states_of(self, state, 2)
        # The source is read once, at the first step.
        if memory is None:
            memory = self.encoder(_given(sender))
        y, after = self.decoder.step(signal, before, memory)
        return y, (memory, after)

    def _on_batch(self, signal: Signal, other: Signal) -> Signal:
        """The rows of a signal as members, as many as the other's."""
        rows, members = signal.x.shape[0], other.domain.num_members
        if (rows, 1) != (members, other.x.shape[0]):
            found = f"{rows} rows on {signal.domain} and {other.x.shape[0]} of {members} members"
            raise GeodlError(
                "a model that answers a second signal", found, "give one source for each target"
            )
        # A Batch of one member repeated is compared, planned and folded as that member alone.
        domain = Batch([signal.domain] * rows).to(signal.x.device)
        # A member has the state that its row had, also where all rows had one in common.
        states = []
        for state in (signal.edges, signal.globals):
            if state is not None:
                state = state.expand(rows, -1, -1).flatten(0, 1)[None]
            states.append(state)
        return made(self, Signal(signal.x.flatten(0, 1)[None], domain, *states), signal)


class FinalState(Layer):
    """The last states of a stack of recurrent layers, concatenated on the channels: a readout of
    sequences.

    Both directions are `Concat(FinalState(Recurrent(...)), FinalState(Recurrent(...,
    rule=previous().reverse())))`.

    Args:
        layers: `Recurrent` layers, and between them layers that treat each node alone.

    The output is on `Complete(D)`, `[B, D, S]`: one node for each member of a Batch (D = 1 without
    one), S the channels of all states; an LSTM has h, then c. :class:`FromState` starts from it.

    >>> FinalState(Recurrent(3, 4), Recurrent(4, 4))(Signal.sequence(torch.zeros(2, 5, 3))).x.shape
    torch.Size([2, 1, 16])
    """

    transparent = True

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = Sequential(*layers)
        state_widths(*layers)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The states after the last node (after the first, of a layer that runs backwards)."""
        check_no_sender(self, sender)
        signal, states = receiver, []
        for layer in self.layers:
            if isinstance(layer, Recurrent):
                signal, state = layer.run_from(signal)
                states += state
            else:
                signal = run_part(layer, signal)
        domain = Complete(receiver.domain.num_members)
        return made(self, receiver.carry_state(torch.cat(states, -1), domain), *states)


class FromState(Layer):
    """Recurrent layers that start from the second signal: `layer(target, state)`.

    The second signal holds the initial states of all layers, `[B, D, S]`, concatenated on the
    channels as :class:`FinalState` returns them; an LSTM has h, then c.

    Args:
        layers: `Recurrent` layers, and between them layers that treat each node alone.
        reader: a layer that computes these states from the second signal; None if it is the states.

    >>> last, begun = FinalState(Recurrent(3, 4)), FromState(Recurrent(3, 4))
    >>> source, target = (Signal.sequence(torch.zeros(2, n, 3)) for n in (5, 6))
    >>> begun(target, last(source)).x.shape
    torch.Size([2, 6, 4])
    """

    takes_context = True
    transparent = True

    def __init__(self, *layers: nn.Module, reader: Layer | None = None):
        super().__init__()
        self.layers, self.reader = Sequential(*layers), reader
        self.widths = state_widths(*layers)
        self.channels = sum(map(sum, self.widths))

    def compute(self, receiver: Signal, sender: Signal | None, rule: Any) -> Signal:
        """The layers on the signal, from the state that `sender` gives."""
        return self.step(receiver, None, sender)[0]

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Continue on the next nodes; the state is that of the layers, in the beginning what
        `sender` gives.
        """
        _given(signal)
        if state is None:
            state = self._first_state(signal, _given(sender))
        return self.layers.step(signal, state)

    def _first_state(self, signal: Signal, sender: Signal) -> tuple[State | None, ...]:
        """The state of each layer, read from the second signal and cut from `[B, D, S]`."""
        given = sender
        if self.reader is not None:
            given = self.reader(sender)
        wanted = (signal.x.shape[0], signal.domain.num_members, self.channels)
        if given.x.shape != wanted:
            asked = f"{self.label} on {signal.domain} begins in a state"
            found = f"values {list(given.x.shape)} on {given.domain}"
            raise GeodlError(asked, found, f"give {list(wanted)}")
        parts = iter(given.x.split([width for widths in self.widths for width in widths], -1))
        states = []
        for widths in self.widths:
            # What treats each node alone has no state.
            state = tuple(next(parts) for _ in widths)
            states.append(state or None)
        made(self, given, given, state=states)
        return tuple(states)

    def extra_repr(self) -> str:
        return f"a state of {self.channels} channels"


def state_widths(*layers: nn.Module) -> list[list[int]]:
    """The channels of each tensor of each layer's state: none of layers that treat each node alone.

    >>> state_widths(Recurrent(3, 4, "lstm"), nn.Tanh())
    [[4, 4], []]
    """
    widths = []
    for layer in layers:
        if isinstance(layer, Recurrent):
            widths.append([layer.hidden] * CELLS[layer.options.cell].states)
        elif isinstance(layer, Layer) and not layer.nodewise:
            raise GeodlError(
                "a stack of recurrent layers",
                layer.label,
                "give Recurrent layers, and such as treat each node alone",
            )
        else:
            widths.append([])
    if not any(widths):
        raise GeodlError("a stack of recurrent layers", "no Recurrent", "give at least one")
    return widths


def _given(signal: Any) -> Signal:
    if not isinstance(signal, Signal):
        found = "no second signal" if signal is None else f"a {type(signal).__name__}"
        raise GeodlError(
            "a model that answers a second signal",
            found,
            "call model(target, source) with two Signals",
        )
    return signal
