"""Recurrence on chains, trees and DAGs."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.domain.base import positive
from geodl.errors import GeodlError, nearest
from geodl.layer.base import MessagePassing
from geodl.layer.cells import CELLS, State
from geodl.layer.check import check_no_sender, check_signal, check_state
from geodl.layer.folding import MergedMembers, members_to_batch, merge_equal_members
from geodl.lowering import Plan, RecurOptions, plan_for
from geodl.neighborhood import Neighborhood, previous
from geodl.signal import Signal

PARAMETERS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


class Recurrent(MessagePassing):
    """`h_i = cell(x_i, {h_j : j -> i})` in the order of the domain: one layer, one direction.

    Several layers are a `Sequential`; both directions are `Concat(Recurrent(...), Recurrent(...,
    previous().reverse()))`. On `predecessors()` it runs along a tree or DAG, all nodes of a
    topological level at once. The members of a Batch, chains of different lengths among them, each
    run alone: with `Signal.sequence(x, mask)` no step is spent on padding, and `step` ends at
    each row's last token.

    Args:
        channels_in: C.
        hidden: channels of the state and of the output.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu".
        rule: whom each node hears, by default the one before.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Parameters are called as in `nn.LSTM`: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0.

    >>> layer = Recurrent(3, 8, cell="gru")
    >>> layer(Signal.sequence(torch.zeros(2, 5, 3))).x.shape
    torch.Size([2, 5, 8])
    """

    verb = "recur"

    def __init__(
        self,
        channels_in: int,
        hidden: int,
        cell: str = "lstm",
        rule: Neighborhood | None = None,
        *,
        on: Domain | None = None,
    ):
        positive(f"Recurrent({channels_in!r}, {hidden!r})", channels_in, hidden)
        if cell not in CELLS:
            raise GeodlError(f"Recurrent(cell={cell!r})", do=nearest(cell, CELLS))
        super().__init__(previous() if rule is None else rule, on, RecurOptions(cell))
        self.channels_in, self.hidden = channels_in, hidden
        rows = CELLS[cell].gates * hidden
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, channels_in))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as `nn.LSTM` does."""
        bound = 1 / math.sqrt(self.hidden)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def step(
        self, signal: Signal, state: State | None = None, sender: Signal | None = None
    ) -> tuple[Signal, State]:
        """Outputs at all nodes, and the last states.

        Args:
            signal: `[B, N, C]`.
            state: what the first nodes hear, each tensor `[B, D, hidden]` for D members of a Batch
                (D = 1 without one): `(h, c)` for "lstm", `(h,)` otherwise; None for zeros.
            sender: None, as there is no second signal to hear.

        Returns:
            The signal `[B, N, hidden]` and the states of the nodes that nobody hears (the last
            ones), in the form of `state`.

        Raises:
            GeodlError: a cycle, named by its nodes; states of another number, shape, dtype or
                device.
        """
        check_no_sender(self, sender)
        y, after, times = self._steps(signal, state)
        return Signal(y, signal.domain), tuple(_by_member(s, times) for s in after)

    def _steps(self, signal: Signal, state: State | None) -> tuple[Tensor, State, int]:
        """The outputs, the last states as lowerings give them, and how many members were folded
        into B.
        """
        check_signal(self, signal)
        parts, count = merge_equal_members(signal.domain, None), CELLS[self.options.cell].states
        x = members_to_batch(signal.x, parts.num_members)
        if state is None:
            before = (x.new_zeros(parts.source.num_members, x.size(0), self.hidden),) * count
        else:
            check_state(
                self,
                state,
                signal.x,
                *((signal.x.shape[0], signal.domain.num_members, self.hidden),) * count,
            )
            before = tuple(
                members_to_batch(s.to(x.dtype), parts.num_members).transpose(0, 1).contiguous()
                for s in state
            )
        plan = plan_for(self.verb, self._lowering, self.rule, parts.source, None, x, self.options)
        y, after = plan.run(x, self._cell(), before)
        return (
            y if parts.num_members == 1 else y.reshape(*signal.x.shape[:2], self.hidden),
            after,
            parts.num_members,
        )

    def forward(self, receiver: Any, sender: Any = None) -> Any:
        """The outputs of :meth:`step` from zero states."""
        check_no_sender(self, sender)
        signal = receiver if self.on is None else self._as_signal(receiver)
        y = self._steps(signal, None)[0]
        return Signal(y, signal.domain) if self.on is None else y

    def _run(self, plan: Plan, receiver: Tensor, sender: Tensor, parts: MergedMembers) -> Tensor:
        raise AssertionError("recurrence runs in step")

    def _cell(self) -> Any:
        own = (
            self._parameters
        )  # where a module looks last; parametrized weights are found only by its own slow look-up
        weights = [own[name] if name in own else getattr(self, name) for name in PARAMETERS]
        return CELLS[self.options.cell].cell(*weights)

    def extra_repr(self) -> str:
        return f"{self.channels_in}, {self.hidden}, cell={self.options.cell!r}, {self.rule}"


def _by_member(state: Tensor, times: int) -> Tensor:
    """`[S, B D, hidden]` as `[B, D S, hidden]`."""
    s, b, hidden = state.shape
    return state.transpose(0, 1).reshape(b // times, times * s, hidden)
