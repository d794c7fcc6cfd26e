"""What a claim is, and how two ways of computing one thing are compared."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.layer import set_lowering, trace
from geodl.signal import Signal
from geodl.testing import error

Tensors = Tensor | tuple[Tensor, ...]


class Row(NamedTuple):
    """One claim and what was measured.

    Attributes:
        claim: what is claimed, after the number of its row; ends in "> bound" where a number must
            lie above the bound.
        domain: the domains of the signals.
        nodes: N of the senders.
        edges: edges of all layers together.
        parameters: numbers in all parameters together.
        max_output_error: the largest `max|a - b| / max(1, max|b|)` of an output, or the number that
            was measured.
        max_gradient_error: the same for the gradients with respect to inputs and parameters; 0
            where the claim has none.
        bound: what the errors must not exceed, or what the measured number must exceed.
        passed: whether the claim holds.
    """

    claim: str
    domain: str
    nodes: int
    edges: int
    parameters: int
    max_output_error: float
    max_gradient_error: float
    bound: float
    passed: bool


class Setting(NamedTuple):
    """Where a claim is tried; the fields of a `Row`."""

    domain: str
    nodes: int
    edges: int
    parameters: int


Module = TypeVar("Module", bound=nn.Module)
Claim = Callable[[], Iterable[Row]]


def normal(seed: int) -> Callable[..., Tensor]:
    """A source of standard normal tensors in float64: `draw(*shape)`."""
    rng = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, generator=rng, dtype=torch.float64)


def randomised(module: Module, draw: Callable[..., Tensor], scale: float = 0.5) -> Module:
    """The module in float64 with every parameter drawn anew: biases are initialised to zero and
    norms to one, and an error there would not show.
    """
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * draw(*parameter.shape))
    return module


def signal(domain: Domain, channels: int, batch: int = 2) -> Signal:
    """Random values on a domain."""
    return Signal(normal(6)(batch, domain.num_nodes, channels), domain)


def largest(errors: Iterable[float]) -> float:
    """The largest error, 0 of none; a NaN is as large as can be.

    >>> largest([0.0, float("nan"), 1.0])
    inf
    """
    numbers = list(errors)
    if any(math.isnan(number) for number in numbers):
        return math.inf
    return max(numbers, default=0.0)


def difference(ours: Tensors, theirs: Tensors, leaves: Sequence[Tensor]) -> tuple[float, float]:
    """The largest relative error between two computations from the same leaves: of the outputs, and
    of the gradients with respect to all leaves.
    """
    our_outputs, their_outputs = _as_tuple(ours), _as_tuple(theirs)
    output_error = _largest_error(our_outputs, their_outputs)
    draw = normal(0)
    upstream = [draw(*output.shape) for output in their_outputs]
    our_gradients = _gradients(our_outputs, leaves, upstream)
    their_gradients = _gradients(their_outputs, leaves, upstream)
    return output_error, _largest_error(our_gradients, their_gradients)


def _largest_error(ours: Iterable[Tensor], theirs: Iterable[Tensor]) -> float:
    return largest(error(a, b) for a, b in zip(ours, theirs, strict=True))


def values(module: nn.Module, *signals: Signal) -> Tensors:
    """The values `[B, M, C]` of a module's output."""
    return module(*signals).x


def equal(
    claim: str,
    module: nn.Module,
    signals: Sequence[Signal],
    peer: Callable[..., Tensors],
    bound: float,
    *,
    call: Callable[..., Tensors] = values,
    extra: Sequence[Tensor] = (),
) -> Row:
    """The row of a claim that a module gives the outputs and every gradient of a peer, on the
    kernels that it chooses and again on written-out edges.

    Args:
        claim: begins with the number of its row.
        module: layers with randomised parameters.
        signals: the arguments of the module.
        peer: takes the signals' values `[B, N, C]` and reads the module's own parameters, but
            shares no code with it.
        bound: the largest error allowed.
        call: `call(module, *signals)`, where the outputs are more than the values of one signal.
        extra: further leaves that both sides read.
    """
    inputs = as_leaves(signals)
    x = [s.x for s in inputs]
    leaves = [*x, *module.parameters(), *extra]
    differences = []
    for lowering in ("auto", "edges"):
        set_lowering(module, lowering)
        differences.append(difference(call(module, *inputs), peer(*x), leaves))
    set_lowering(module, "auto")
    return row(claim, count_edges(module, *signals), differences, bound)


def row(
    claim: str, where: Setting, differences: Sequence[tuple[float, float]], bound: float
) -> Row:
    """The row of a claim that all errors, of outputs and of gradients, stay within a bound."""
    outputs = largest(output for output, _ in differences)
    gradients = largest(gradient for _, gradient in differences)
    passed = outputs <= bound and gradients <= bound
    return Row(claim, *where, outputs, gradients, bound, passed)


def above(claim: str, where: Setting, measured: float, bound: float) -> Row:
    """The row of a claim that a number lies above a bound."""
    passed = bound < measured < math.inf
    return Row(f"{claim} > {bound:g}", *where, measured, 0.0, bound, passed)


def as_leaves(signals: Sequence[Signal]) -> list[Signal]:
    """Signals whose values are leaves of a new graph of computation."""
    return [s.with_x(s.x.detach().clone().requires_grad_()) for s in signals]


def count_edges(module: nn.Module, *signals: Signal) -> Setting:
    """The signals' domains, and the edges of all layers in one call."""
    with trace(module) as events, torch.no_grad():
        module(*signals)
    edges = 0
    for event in events:
        if event.rule is not None:
            edges += len(event.rule.edges(event.source, event.target).dst)
    domains = " <- ".join(str(s.domain) for s in signals)
    parameters = sum(p.numel() for p in module.parameters())
    return Setting(domains, signals[-1].domain.num_nodes, edges, parameters)


def _as_tuple(tensors: Tensors) -> tuple[Tensor, ...]:
    return (tensors,) if isinstance(tensors, Tensor) else tensors


def _gradients(
    outputs: Sequence[Tensor], leaves: Sequence[Tensor], upstream: Sequence[Tensor]
) -> list[Tensor]:
    """The gradient with respect to each leaf, zero for a leaf that the outputs do not depend on."""
    if not leaves:
        return []
    return list(
        torch.autograd.grad(outputs, leaves, upstream, retain_graph=True, materialize_grads=True)
    )
