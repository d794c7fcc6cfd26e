"""Recurrent cells in the three steps of :class:`geodl.reference.Cell`: `read` transforms the inputs
once, `edge` says what each sender's state adds to a receiver's sum, `node` makes the new state of
the sum.

Each holds the four tensors of torch's cells: W `[G hidden, C]`, U `[G hidden, hidden]` and their
biases, in the order in which torch's kernels take them. Where each hidden unit receives from itself
alone, U is a diagonal, `[hidden]`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

State = tuple[Tensor, ...]


class LSTM(NamedTuple):
    """Long short-term memory; on trees the child-sum Tree-LSTM, one forget gate for each sender
    (Tai et al. 2015).

    `f_ij = sigmoid(W_f x_i + U_f h_j)`, `h~ = sum_j h_j`, `i, g, o` from `W x_i + U h~`,
    `c_i = i * g + sum_j f_ij * c_j`, `h_i = o * tanh(c_i)`.
    """

    w: Tensor
    u: Tensor
    b: Tensor
    d: Tensor

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gates = F.linear(x, self.w, self.b)
        return gates.chunk(4, dim=-1)[1], gates

    def edge(self, a: Tensor, state: State) -> State:
        h, c = state
        return h, torch.sigmoid(a + F.linear(h, self.u.chunk(4)[1], self.d.chunk(4)[1])) * c

    def node(self, b: Tensor, total: State) -> State:
        h, kept = total
        i, _, g, o = (b + F.linear(h, self.u, self.d)).chunk(4, dim=-1)
        c = torch.sigmoid(i) * torch.tanh(g) + kept
        return torch.sigmoid(o) * torch.tanh(c), c


class GRU(NamedTuple):
    """Gated recurrent unit: `r, z = sigmoid(W x + U h)`, `n = tanh(W_n x + r * U_n h)`, `h' = (1 -
    z) * n + z * h`.
    """

    w: Tensor
    u: Tensor
    b: Tensor
    d: Tensor

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[..., :0], F.linear(x, self.w, self.b)

    def edge(self, a: Tensor, state: State) -> State:
        return state

    def node(self, b: Tensor, total: State) -> State:
        (h,) = total
        r_x, z_x, n_x = b.chunk(3, dim=-1)
        r_h, z_h, n_h = F.linear(h, self.u, self.d).chunk(3, dim=-1)
        z = torch.sigmoid(z_x + z_h)
        return ((1 - z) * torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h) + z * h,)


class Elman(NamedTuple):
    """Elman's network: `h' = activation(W x + U h)`."""

    w: Tensor
    u: Tensor
    b: Tensor
    d: Tensor
    activation: Callable[[Tensor], Tensor] = torch.tanh

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[..., :0], F.linear(x, self.w, self.b)

    def edge(self, a: Tensor, state: State) -> State:
        return state

    def node(self, b: Tensor, total: State) -> State:
        return (self.activation(b + F.linear(total[0], self.u, self.d)),)


class IndRNN(NamedTuple):
    """The independently recurrent network, whose hidden units receive each from itself alone:
    `h' = activation(W x + u * h)` (Li et al., "Independently Recurrent Neural Network", 2018).

    Without an activation it is a linear recurrence with a diagonal matrix, `h_t = sum_k u^k * W
    x_{t-k}`: a causal convolution.
    """

    w: Tensor
    u: Tensor
    b: Tensor
    d: Tensor
    activation: Callable[[Tensor], Tensor] = torch.relu

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[..., :0], F.linear(x, self.w, self.b)

    def edge(self, x: Tensor, state: State) -> State:
        return state

    def node(self, x: Tensor, total: State) -> State:
        return (self.activation(x + self.u * total[0] + self.d),)


def _unchanged(x: Tensor) -> Tensor:
    return x


class Kind(NamedTuple):
    """A cell by name.

    Attributes:
        cell: makes it of its four tensors.
        gates: G, the blocks of its weights.
        states: the tensors of its state.
        kernel: torch's own for chains; None where torch has none.
        diagonal: whether U is `[hidden]`.
    """

    cell: Callable[..., Any]
    gates: int
    states: int
    kernel: Any = None
    diagonal: bool = False


CELLS = {
    "lstm": Kind(LSTM, 4, 2, torch.lstm),
    "gru": Kind(GRU, 3, 1, torch.gru),
    "rnn_tanh": Kind(Elman, 1, 1, torch.rnn_tanh),
    "rnn_relu": Kind(partial(Elman, activation=torch.relu), 1, 1, torch.rnn_relu),
    "ind_rnn": Kind(IndRNN, 1, 1, diagonal=True),
    "ind_rnn_linear": Kind(partial(IndRNN, activation=_unchanged), 1, 1, diagonal=True),
}
