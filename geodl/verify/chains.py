"""Row 06: a recurrent network is messages on a chain, in order."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from geodl import Chain, Concat, Conv, Message, Recurrent, Sequential, Signal, previous, window
from geodl.verify.base import (
    Row,
    above,
    as_leaves,
    count_edges,
    difference,
    equal,
    normal,
    randomised,
    row,
    signal,
)

BOUND = 1e-11
NAMES = {"rnn_tanh": "nn.RNN(tanh)", "rnn_relu": "nn.RNN(relu)", "gru": "nn.GRU", "lstm": "nn.LSTM"}
STATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 1, "lstm": 2}  # h, and c of an LSTM
NODES = {"rnn_tanh": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}


def twin(cell: str, channels: int, hidden: int, **options: Any) -> nn.RNNBase:
    """torch's network of a cell, in float64, batch first."""
    kinds: dict[str, Callable[..., nn.RNNBase]] = {"gru": nn.GRU, "lstm": nn.LSTM}
    if cell in kinds:
        return kinds[cell](channels, hidden, batch_first=True, **options).double()
    nonlinearity = cell.removeprefix("rnn_")
    network = nn.RNN(channels, hidden, nonlinearity=nonlinearity, batch_first=True, **options)
    return network.double()


def parameters(*layers: nn.Module, suffixes: tuple[str, ...] = ("l0",)) -> dict[str, Tensor]:
    """The parameters of layers under the names that a twin of several layers or directions has for
    them.
    """
    found: dict[str, Tensor] = {}
    for layer, suffix in zip(layers, suffixes, strict=True):
        for name, parameter in layer.named_parameters():
            found[name.replace("l0", suffix)] = parameter
    return found


def single() -> Iterator[Row]:
    """Each cell in each direction, from random states to final states."""
    for cell in NAMES:
        for backward in (False, True):
            yield _single(cell, backward)


def _single(cell: str, backward: bool) -> Row:
    draw = normal(40)
    rule = previous().reverse() if backward else previous()
    layer = randomised(Recurrent(4, 5, cell, rule), draw)
    theirs, names = twin(cell, 4, 5), parameters(layer)
    start = tuple(draw(2, 1, 5).requires_grad_() for _ in range(STATES[cell]))

    def ours(layer: Recurrent, s: Signal) -> tuple[Tensor, ...]:
        y, final = layer.run_from(s, start)
        return y.x, *final

    def peer(x: Tensor) -> tuple[Tensor, ...]:
        before = _as_torch(tuple(h.transpose(0, 1) for h in start))
        if backward:
            x = x.flip(1)
        y, final = functional_call(theirs, names, (x, before))
        if backward:
            y = y.flip(1)
        return y, *(h.transpose(0, 1) for h in _as_states(final))

    direction = "backward" if backward else "forward"
    claim = f"06 {NAMES[cell]}, {direction}, initial and final states"
    return equal(claim, layer, [signal(Chain(7), 4)], peer, BOUND, call=ours, extra=start)


def _as_torch(states: tuple[Tensor, ...]) -> Any:
    """States as torch takes them: h, or the pair (h, c) of an LSTM."""
    return states[0] if len(states) == 1 else states


def _as_states(states: Any) -> tuple[Tensor, ...]:
    """The inverse of :func:`_as_torch`."""
    return states if isinstance(states, tuple) else (states,)


def deep() -> Iterator[Row]:
    """Two layers in a row, two directions side by side, and both."""
    for cell, name in NAMES.items():
        first, second = Recurrent(4, 5, cell), Recurrent(5, 5, cell)
        names = parameters(first, second, suffixes=("l0", "l1"))
        theirs = twin(cell, 4, 5, num_layers=2)
        yield _same(f"06 {name}, 2 layers", Sequential(first, second), names, theirs)
        both = _both_directions(4, cell)
        names = parameters(*both, suffixes=("l0", "l0_reverse"))
        theirs = twin(cell, 4, 5, bidirectional=True)
        yield _same(f"06 {name}, bidirectional", Concat(*both), names, theirs)
    first, second = _both_directions(4, "lstm"), _both_directions(10, "lstm")
    suffixes = ("l0", "l0_reverse", "l1", "l1_reverse")
    names = parameters(*first, *second, suffixes=suffixes)
    theirs = twin("lstm", 4, 5, num_layers=2, bidirectional=True)
    stack = Sequential(Concat(*first), Concat(*second))
    yield _same("06 nn.LSTM, 2 layers, bidirectional", stack, names, theirs)


def _both_directions(channels: int, cell: str) -> tuple[Recurrent, Recurrent]:
    forward = Recurrent(channels, 5, cell)
    return forward, Recurrent(channels, 5, cell, previous().reverse())


def _same(claim: str, module: nn.Module, names: dict[str, Tensor], theirs: nn.Module) -> Row:
    """The row of a claim that a module and torch's with the same parameters have equal outputs."""
    randomised(module, normal(41))

    def peer(x: Tensor) -> Tensor:
        return functional_call(theirs, names, (x,))[0]

    return equal(claim, module, [signal(Chain(7), 4)], peer, BOUND)


def rounds() -> Iterator[Row]:
    """All nodes update at once, from random states: after k rounds the first k nodes are exact and
    the others are not.
    """
    for cell in NODES:
        yield from _rounds(cell)


def _rounds(cell: str, length: int = 8) -> Iterator[Row]:
    draw = normal(42)
    layer = randomised(Recurrent(3, 4, cell), draw, 1.0)
    names: dict[str, Tensor] = {name.removesuffix("_l0"): p for name, p in layer.named_parameters()}
    node = NODES[cell](3, 4).double()
    state_before = Message(lambda h_i, h_j, e_ij: h_j, previous())
    s = as_leaves([signal(Chain(length), 3)])[0]
    leaves = [s.x, *layer.parameters()]
    states = tuple(draw(2, length, 4) for _ in range(STATES[cell]))
    exact, wrong = [], []
    truth = layer(s).x
    for k in range(1, length + 1):
        before = tuple(state_before(Signal(h, s.domain)).x.flatten(0, 1) for h in states)
        after = functional_call(node, names, (s.x.flatten(0, 1), _as_torch(before)))
        states = tuple(h.unflatten(0, (2, length)) for h in _as_states(after))
        exact.append(difference(states[0][:, :k], truth[:, :k], leaves))
        apart = (states[0] - truth).detach().abs().amax((0, 2))  # of each node
        wrong += apart[k:].tolist()
    where, claim = count_edges(layer, s), f"06 {NAMES[cell]} in rounds, T=8: after k"
    yield row(f"{claim} >= t rounds node t is exact", where, exact, BOUND)
    yield above(f"{claim} < t rounds the error at node t", where, min(wrong), 1e-6)


def linear_recurrence() -> Iterator[Row]:
    """`h_t = A h_{t-1} + B x_t`, `y_t = C h_t` is a causal convolution with kernel `C A^k B`."""
    draw, length = normal(43), 9
    a = (0.4 * draw(4, 4)).requires_grad_()
    b = draw(4, 3).requires_grad_()
    c = draw(2, 4).requires_grad_()
    conv = Conv(3, 2, window(length, axes=1, padding="causal"), bias=False).double()
    s = as_leaves([signal(Chain(length), 3)])[0]
    # The window ends at the receiver: its last position is the receiver itself, A^0.
    powers = [torch.linalg.matrix_power(a, length - 1 - k) for k in range(length)]
    kernel = torch.stack([(c @ power @ b).T for power in powers])
    h, outputs = s.x.new_zeros(2, 4), []
    for t in range(length):
        h = h @ a.T + s.x[:, t] @ b.T
        outputs.append(h @ c.T)
    recurrence = torch.stack(outputs, dim=1)
    differences = []
    for lowering in ("lattice", "edges"):
        conv.lowering = lowering
        y = functional_call(conv, {"weight": kernel}, (s,)).x
        differences.append(difference(y, recurrence, [s.x, a, b, c]))
    parameters = a.numel() + b.numel() + c.numel()
    where = count_edges(conv, s)._replace(parameters=parameters)
    yield row("06 linear recurrence = causal convolution with C A^k B", where, differences, 1e-10)


def diagonal_recurrence() -> Iterator[Row]:
    """The bridge: an IndRNN without activation, `h_t = u * h_{t-1} + W x_t`, is the causal
    convolution with kernel `diag(u)^k W`.
    """
    length = 9
    layer = randomised(Recurrent(3, 4, "ind_rnn_linear"), normal(44), 0.6)
    w, u = layer.weight_ih_l0, layer.weight_hh_l0
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    conv = Conv(3, 4, window(length, axes=1, padding="causal"), bias=False).double()
    s = as_leaves([signal(Chain(length), 3)])[0]
    powers = [u ** (length - 1 - k) for k in range(length)]
    kernel = torch.stack([(power[:, None] * w).T for power in powers])
    # A bias arrives at every node: at node t as the sum of t + 1 powers.
    drift = torch.stack([u**k * bias for k in range(length)]).cumsum(0)
    y = functional_call(conv, {"weight": kernel}, (s,)).x + drift
    differences = []
    for lowering in ("levels", "edges"):
        layer.lowering = lowering
        differences.append(difference(layer(s).x, y, [s.x, *layer.parameters()]))
    where = count_edges(layer, s)
    claim = "06 linear IndRNN = causal convolution with diag(u)^k W"
    yield row(claim, where, differences, 1e-10)


CLAIMS = (single, deep, rounds, linear_recurrence, diagonal_recurrence)
