"""Row 06: a recurrent network is messages on a chain, in order."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call

from geodl import Chain, Concat, Conv, Message, Recurrent, Sequential, Signal, previous, window
from geodl.verify.base import (
    Row,
    above,
    count_edges,
    difference,
    equal,
    leaved,
    normal,
    randomised,
    row,
    signal,
)

BOUND = 1e-11
TWINS: dict[str, Callable[..., nn.RNNBase]] = {
    "rnn_tanh": lambda *sizes, **options: nn.RNN(
        *sizes, nonlinearity="tanh", batch_first=True, **options
    ).double(),
    "rnn_relu": lambda *sizes, **options: nn.RNN(
        *sizes, nonlinearity="relu", batch_first=True, **options
    ).double(),
    "gru": lambda *sizes, **options: nn.GRU(*sizes, batch_first=True, **options).double(),
    "lstm": lambda *sizes, **options: nn.LSTM(*sizes, batch_first=True, **options).double(),
}
CELLS = {"rnn_tanh": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}
NAMES = {"rnn_tanh": "nn.RNN(tanh)", "rnn_relu": "nn.RNN(relu)", "gru": "nn.GRU", "lstm": "nn.LSTM"}


def parameters(*layers: nn.Module, suffixes: tuple[str, ...] = ("l0",)) -> dict[str, Tensor]:
    """The parameters of layers under the names that a twin of several layers or directions has for
    them.
    """
    return {
        name.replace("l0", suffix): p
        for layer, suffix in zip(layers, suffixes, strict=True)
        for name, p in layer.named_parameters()
    }


def single() -> Iterator[Row]:
    """Each cell in each direction, from random states to final states."""
    for cell in TWINS:
        for backwards in (False, True):
            yield _single(cell, backwards)


def _single(cell: str, backwards: bool) -> Row:
    draw = normal(40)
    rule = previous().reverse() if backwards else previous()
    layer = randomised(Recurrent(4, 5, cell, rule), draw)
    twin, names = TWINS[cell](4, 5), parameters(layer)
    start = tuple(draw(2, 1, 5).requires_grad_() for _ in range(2 if cell == "lstm" else 1))

    def ours(layer: Recurrent, s: Signal) -> tuple[Tensor, ...]:
        y, final = layer.step(s, start)
        return y.x, *final

    def peer(x: Tensor) -> tuple[Tensor, ...]:
        before = tuple(h.transpose(0, 1) for h in start)
        along = x.flip(1) if backwards else x
        y, final = functional_call(twin, names, (along, before if cell == "lstm" else before[0]))
        final = final if cell == "lstm" else (final,)
        return y.flip(1) if backwards else y, *(h.transpose(0, 1) for h in final)

    claim = f"06 {NAMES[cell]}, {'backward' if backwards else 'forward'}, initial and final states"
    return equal(claim, layer, [signal(Chain(7), 4)], peer, BOUND, call=ours, extra=start)


def deep() -> Iterator[Row]:
    """Two layers in a row, two directions side by side, and both."""
    for cell in TWINS:
        low, high = Recurrent(4, 5, cell), Recurrent(5, 5, cell)
        names = parameters(low, high, suffixes=("l0", "l1"))
        yield _twin(
            f"06 {NAMES[cell]}, 2 layers",
            Sequential(low, high),
            names,
            TWINS[cell](4, 5, num_layers=2),
        )
        first = Recurrent(4, 5, cell), Recurrent(4, 5, cell, previous().reverse())
        names = parameters(*first, suffixes=("l0", "l0_reverse"))
        yield _twin(
            f"06 {NAMES[cell]}, bidirectional",
            Concat(*first),
            names,
            TWINS[cell](4, 5, bidirectional=True),
        )
    first = Recurrent(4, 5), Recurrent(4, 5, rule=previous().reverse())
    second = Recurrent(10, 5), Recurrent(10, 5, rule=previous().reverse())
    names = parameters(*first, *second, suffixes=("l0", "l0_reverse", "l1", "l1_reverse"))
    twin = TWINS["lstm"](4, 5, num_layers=2, bidirectional=True)
    yield _twin(
        "06 nn.LSTM, 2 layers, bidirectional",
        Sequential(Concat(*first), Concat(*second)),
        names,
        twin,
    )


def _twin(claim: str, module: nn.Module, names: dict[str, Tensor], twin: nn.Module) -> Row:
    randomised(module, normal(41))
    return equal(
        claim, module, [signal(Chain(7), 4)], lambda x: functional_call(twin, names, (x,))[0], BOUND
    )


def rounds() -> Iterator[Row]:
    """The same cells in synchronous rounds from random states: a wavefront, exact behind and wrong
    ahead.
    """
    for cell in CELLS:
        yield from _rounds(cell)


def _rounds(cell: str, length: int = 8) -> Iterator[Row]:
    draw = normal(42)
    layer = randomised(Recurrent(3, 4, cell), draw, 1.0)
    names: dict[str, Tensor] = {name.removesuffix("_l0"): p for name, p in layer.named_parameters()}
    node, listen = CELLS[cell](3, 4).double(), Message(lambda h_i, h_j, e_ij: h_j, previous())
    s = leaved([signal(Chain(length), 3)])[0]
    states = tuple(draw(2, length, 4) for _ in range(2 if cell == "lstm" else 1))
    settled, wrong = [], []
    truth = layer(s).x
    for k in range(1, length + 1):
        heard = tuple(listen(Signal(h, s.domain)).x.flatten(0, 1) for h in states)
        new = functional_call(
            node, names, (s.x.flatten(0, 1), heard if cell == "lstm" else heard[0])
        )
        states = tuple(h.unflatten(0, (2, length)) for h in (new if cell == "lstm" else (new,)))
        settled.append(difference(states[0][:, :k], truth[:, :k], [s.x, *layer.parameters()]))
        wrong += [float((states[0] - truth)[:, t].detach().abs().max()) for t in range(k, length)]
    where = count_edges(layer, s)
    yield row(
        f"06 {NAMES[cell]} in rounds, T=8: after k >= t rounds node t is exact",
        where,
        settled,
        BOUND,
    )
    yield above(
        f"06 {NAMES[cell]} in rounds, T=8: after k < t rounds the error at node t",
        where,
        min(wrong),
        1e-6,
    )


def linear_recurrence() -> Iterator[Row]:
    """`h_t = A h_{t-1} + B x_t`, `y_t = C h_t` is a causal convolution with kernel `C A^k B`."""
    draw, length = normal(43), 9
    a, b, c = (
        (0.4 * draw(4, 4)).requires_grad_(),
        draw(4, 3).requires_grad_(),
        draw(2, 4).requires_grad_(),
    )
    conv = Conv(3, 2, window(length, axes=1, padding="causal"), bias=False).double()
    s = leaved([signal(Chain(length), 3)])[0]
    kernel = [c @ torch.linalg.matrix_power(a, length - 1 - offset) @ b for offset in range(length)]
    gaps = []
    for lowering in ("lattice", "edges"):
        conv.lowering = lowering
        y = functional_call(conv, {"weight": torch.stack([k.T for k in kernel])}, (s,)).x
        h, outputs = s.x.new_zeros(2, 4), []
        for t in range(length):
            h = h @ a.T + s.x[:, t] @ b.T
            outputs.append(h @ c.T)
        gaps.append(difference(y, torch.stack(outputs, dim=1), [s.x, a, b, c]))
    where = count_edges(conv, s)._replace(parameters=a.numel() + b.numel() + c.numel())
    yield row("06 linear recurrence = causal convolution with C A^k B", where, gaps, 1e-10)


CLAIMS = (single, deep, rounds, linear_recurrence)
