"""Recurrent cells: what a receiver takes from each state it hears, and what it makes of the sum.

Each holds the four tensors of torch's cells: W `[G hidden, C]`, U `[G hidden, hidden]` and their biases, in the order
in which torch's kernels take them.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

State = tuple[Tensor, ...]


class LSTM(NamedTuple):
    """Long short-term memory; on trees the child-sum Tree-LSTM, one forget gate for each sender (Tai et al. 2015).

    `f_ij = sigmoid(W_f x_i + U_f h_j)`, `h~ = sum_j h_j`, `i, g, o` from `W x_i + U h~`,
    `c_i = i * g + sum_j f_ij * c_j`, `h_i = o * tanh(c_i)`.
    """

    w: Tensor
    u: Tensor
    b: Tensor
    d: Tensor

    def edge(self, x: Tensor, state: State) -> State:
        h, c = state
        w, u, b, d = (part.chunk(4)[1] for part in self)
        forget = torch.sigmoid(F.linear(x, w, b) + F.linear(h, u, d))
        return h, forget * c

    def node(self, x: Tensor, heard: State) -> State:
        h, kept = heard
        i, _, g, o = (F.linear(x, self.w, self.b) + F.linear(h, self.u, self.d)).chunk(4, dim=-1)
        c = torch.sigmoid(i) * torch.tanh(g) + kept
        return torch.sigmoid(o) * torch.tanh(c), c


class GRU(NamedTuple):
    """Gated recurrent unit: `r, z = sigmoid(W x + U h)`, `n = tanh(W_n x + r * U_n h)`, `h' = (1 - z) * n + z * h`."""

    w: Tensor
    u: Tensor
    b: Tensor
    d: Tensor

    def edge(self, x: Tensor, state: State) -> State:
        return state

    def node(self, x: Tensor, heard: State) -> State:
        (h,) = heard
        r_x, z_x, n_x = F.linear(x, self.w, self.b).chunk(3, dim=-1)
        r_h, z_h, n_h = F.linear(h, self.u, self.d).chunk(3, dim=-1)
        z = torch.sigmoid(z_x + z_h)
        return ((1 - z) * torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h) + z * h,)


class Tanh(NamedTuple):
    """Elman's network: `h' = tanh(W x + U h)`."""

    w: Tensor
    u: Tensor
    b: Tensor
    d: Tensor

    def edge(self, x: Tensor, state: State) -> State:
        return state

    def node(self, x: Tensor, heard: State) -> State:
        return (torch.tanh(F.linear(x, self.w, self.b) + F.linear(heard[0], self.u, self.d)),)


class Relu(NamedTuple):
    """Elman's network with `relu`: `h' = relu(W x + U h)`."""

    w: Tensor
    u: Tensor
    b: Tensor
    d: Tensor

    def edge(self, x: Tensor, state: State) -> State:
        return state

    def node(self, x: Tensor, heard: State) -> State:
        return (torch.relu(F.linear(x, self.w, self.b) + F.linear(heard[0], self.u, self.d)),)


class Kind(NamedTuple):
    """A cell by name: its class, the blocks of its weights, the tensors of its state."""

    cell: type
    gates: int
    states: int


CELLS = {"lstm": Kind(LSTM, 4, 2), "gru": Kind(GRU, 3, 1), "rnn_tanh": Kind(Tanh, 1, 1), "rnn_relu": Kind(Relu, 1, 1)}
