"""Recurrence on chains, trees and DAGs."""

import math
from typing import Any, Self

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest, positive
from geodl.layer.base import MessagePassing
from geodl.layer.check import check_no_sender, check_signal, check_state
from geodl.layer.folding import GraphState, MergedMembers, members_to_batch
from geodl.layer.parameters import read_parameter
from geodl.layer.steps import check_runs_forward
from geodl.layer.trace import traced_step
from geodl.lowering import Plan, RecurOptions
from geodl.lowering.cells import CELLS, State
from geodl.lowering.flat_weights import flatten_parameters
from geodl.neighborhood import Neighborhood, previous
from geodl.signal import Signal

PARAMETERS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


class Recurrent(MessagePassing):
    """`h_i = cell(x_i, {h_j : j -> i})` in the order of the domain: one layer, one direction.

    Several layers are a `Sequential`; both directions are `Concat(Recurrent(C, H), Recurrent(C, H,
    rule=previous().reverse()))`. On `predecessors()` it runs along a tree or DAG, all nodes of a
    topological level at once. The members of a Batch, chains of different lengths among them, each
    run alone: with `Signal.sequence(x, mask)` no step is spent on padding, and `step` ends at
    each row's last token.

    Args:
        channels_in: C.
        hidden: channels of the state and of the output.
        cell: "lstm", "gru", "rnn_tanh" or "rnn_relu"; "ind_rnn", in which each hidden unit receives
            from itself alone, `h_i = relu(W x_i + b + u * h_j + d)` (Li et al. 2018), and
            "ind_rnn_linear", the same without relu: a causal convolution.
        rule: which nodes each node receives from, by default the one before.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Parameters are called as in `nn.LSTM`: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0. Of
    the last two cells weight_hh_l0 is u, `[hidden]`, drawn between 0 and 1. On CUDA those of the
    others lie in one chunk of memory, as cuDNN reads them, also in a copy of the layer.

    The cells are those of Hochreiter and Schmidhuber (1997), Cho et al. (2014) and Elman (1990); on
    trees an LSTM is the child-sum Tree-LSTM (Tai et al. 2015). Their formulas stand in
    `geodl/lowering/cells.py`.

    Raises:
        GeodlError: if the cell is unknown or a size is below 1; at a call, if the edges have a
            cycle.

    >>> layer = Recurrent(3, 8, cell="gru")
    >>> layer(Signal.sequence(torch.zeros(2, 5, 3))).x.shape
    torch.Size([2, 5, 8])
    """

    verb = "recur"
    transparent = True

    def __init__(
        self,
        channels_in: int,
        hidden: int,
        cell: str = "lstm",
        rule: Neighborhood | None = None,
        *,
        on: Domain | None = None,
    ):
        asked = f"Recurrent({channels_in!r}, {hidden!r})"
        channels_in = positive(asked, channels_in)
        hidden = positive(asked, hidden)
        if not isinstance(cell, str) or cell not in CELLS:
            raise GeodlError(f"Recurrent(cell={cell!r})", do=nearest(cell, CELLS))
        super().__init__(rule or previous(), on, RecurOptions(cell))
        self.channels_in, self.hidden = channels_in, hidden
        kind = CELLS[cell]
        rows, between = kind.gates * hidden, (kind.gates * hidden, hidden)
        if kind.diagonal:
            between = (hidden,)
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, channels_in))
        self.weight_hh_l0 = nn.Parameter(torch.empty(between))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as `nn.LSTM` does."""
        bound = 1 / math.sqrt(self.hidden)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        if CELLS[self.options.cell].diagonal:
            # A unit forgets at the rate of its own weight alone: rates from at once to never.
            nn.init.uniform_(self.weight_hh_l0, 0, 1)

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """As any module's; on CUDA a parameter moves to the others, where cuDNN reads them."""
        super().register_parameter(name, param)
        if name in PARAMETERS:
            self._flatten()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # Each parameter of a copy has memory of its own.
        self._flatten()

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self._flatten()
        return self

    def _flatten(self) -> None:
        """Move the parameters into one chunk of memory, where cuDNN's kernel reads them."""
        parameters = [self._parameters.get(name) for name in PARAMETERS]
        flatten_parameters(self.options.cell, parameters)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Neighborhood) -> Signal:
        """The outputs of :meth:`run_from` from zero states."""
        check_no_sender(self, sender)
        return super().compute(receiver, None, rule)

    @traced_step
    def step(
        self, signal: Signal, state: State | None = None, sender: Signal | None = None
    ) -> tuple[Signal, State]:
        """Continue on the next nodes: outputs at all of them, and the last states.

        Args:
            signal: `[B, N, C]`.
            state: what the first nodes begin with, each tensor `[B, D, hidden]` for D members of a
                Batch (D = 1 without one): `(h, c)` for "lstm", `(h,)` otherwise; None for zeros.
            sender: None, as there is no second signal to receive from.

        Returns:
            The signal `[B, N, hidden]` and the states of the nodes that nobody receives from (the
            last ones), in the form of `state`.

        Raises:
            GeodlError: if it begins at the last node of a chain, as only :meth:`run_from` does; and
                as that.
        """
        check_no_sender(self, sender)
        check_runs_forward(self, check_signal(self, signal).domain)
        return self.run_from(signal, state)

    @traced_step
    def run_from(
        self, signal: Signal, state: State | None = None, sender: Signal | None = None
    ) -> tuple[Signal, State]:
        """All nodes at once from a state, in either direction: outputs at all nodes, and the last
        states.

        Backwards this is not a continuation: the last node of a chain begins with `state`.

        Args:
            signal: `[B, N, C]`.
            state: what the nodes that receive from nobody begin with, as in :meth:`step`.
            sender: None, as there is no second signal to receive from.

        Returns:
            The signal and the states, as :meth:`step`.

        Raises:
            GeodlError: if the edges have a cycle, which is named by its nodes; if there are more or
                fewer states, or one differs in shape, dtype or device.
        """
        check_no_sender(self, sender)
        x = check_signal(self, signal).x
        plan, parts = self._plan(self.rule, signal.domain, None, x)
        merged = members_to_batch(x, parts.num_members)
        before = self._zeros(merged, parts.source)
        if state is not None:
            before = self._given(state, signal, parts)
        y, after = plan.run(merged, self._cell(), before)
        y = y.reshape(*x.shape[:2], self.hidden)
        return signal.with_x(y), tuple(_by_member(s, parts.num_members) for s in after)

    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        return plan.run(sender, self._cell(), self._zeros(sender, parts.source))[0]

    def _zeros(self, x: Tensor, domain: Domain) -> State:
        """The states before the first nodes as lowerings take them, `[D, B, hidden]`."""
        zeros = x.new_zeros(domain.num_members, x.shape[0], self.hidden)
        return (zeros,) * CELLS[self.options.cell].states

    def _given(self, state: Any, signal: Signal, parts: MergedMembers) -> State:
        """A state `[B, D, hidden]` as lowerings take it, once it is known to fit the signal."""
        shape = (signal.x.shape[0], signal.domain.num_members, self.hidden)
        check_state(self, state, signal.x, *(shape,) * CELLS[self.options.cell].states)
        before = []
        for tensor in state:
            merged = members_to_batch(tensor.to(signal.x.dtype), parts.num_members)
            before.append(merged.transpose(0, 1).contiguous())
        return tuple(before)

    def _cell(self) -> Any:
        weights = [read_parameter(self, name) for name in PARAMETERS]
        return CELLS[self.options.cell].cell(*weights)

    def extra_repr(self) -> str:
        return f"{self.channels_in}, {self.hidden}, cell={self.options.cell!r}, {self.rule}"


def _by_member(state: Tensor, count: int) -> Tensor:
    """`[S, B D, hidden]` as `[B, D S, hidden]`, D the number of merged members."""
    s, b, hidden = state.shape
    return state.transpose(0, 1).reshape(b // count, count * s, hidden)
