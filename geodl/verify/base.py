"""What a claim is, and how two ways of computing one thing are compared."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.layer import MessagePassing, set_lowering
from geodl.signal import Signal
from geodl.testing import error

Tensors = Tensor | tuple[Tensor, ...]


class Row(NamedTuple):
    """One claim and what was measured.

    Attributes:
        claim: begins with its number in the list of claims; says so where a number has to lie above
            the bound.
        domain: where it was tried.
        nodes: N of the senders.
        edges: all edges heard, over all layers.
        parameters: numbers in all parameters.
        max_output_error: the largest `max|a - b| / max(1, max|b|)` of an output, or the number that
            was measured.
        max_gradient_error: the same over the gradients of inputs and parameters; 0 where the claim
            has none.
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


class Place(NamedTuple):
    """Where a claim is tried: the domains in words, and the sizes."""

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
    """A module in float64 with every parameter drawn anew: biases start at zero otherwise, and
    norms at one.
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
    return max((math.inf if math.isnan(e) else e for e in errors), default=0.0)


def difference(ours: Tensors, theirs: Tensors, leaves: Sequence[Tensor]) -> tuple[float, float]:
    """How far two computations from the same leaves are apart: in their outputs, and in the
    gradients of all leaves.
    """
    ours, theirs = _several(ours), _several(theirs)
    draw = normal(0)
    upstream = [draw(*b.shape) for b in theirs]
    outputs = largest(error(a, b) for a, b in zip(ours, theirs, strict=True))
    both = zip(
        _gradients(ours, leaves, upstream), _gradients(theirs, leaves, upstream), strict=True
    )
    return outputs, largest(error(a, b) for a, b in both)


def values(module: nn.Module, *signals: Signal) -> Tensors:
    """What a module makes of signals."""
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
    """A module, on its own kernels and again on written-out edges, gives the outputs and every
    gradient of a peer.

    Args:
        claim: begins with its number.
        module: layers with randomised parameters.
        signals: what it is called with.
        peer: takes the signals' values `[B, N, C]` and reads the module's own parameters, but
            shares no code with it.
        bound: the largest error allowed.
        call: `call(module, *signals)`, where the outputs are more than the values of one signal.
        extra: further leaves that both sides read.
    """
    inputs = leaved(signals)
    leaves = [*(s.x for s in inputs), *module.parameters(), *extra]
    gaps = []
    for lowering in ("auto", "edges"):
        set_lowering(module, lowering)
        gaps.append(difference(call(module, *inputs), peer(*(s.x for s in inputs)), leaves))
    set_lowering(module, "auto")
    return row(claim, count_edges(module, *signals), gaps, bound)


def row(claim: str, where: Place, gaps: Iterable[tuple[float, float]], bound: float) -> Row:
    """The row of a claim that all errors, of outputs and of gradients, stay within a bound."""
    outputs, gradients = (largest(errors) for errors in zip(*gaps, strict=True))
    return Row(claim, *where, outputs, gradients, bound, outputs <= bound and gradients <= bound)


def above(claim: str, where: Place, measured: float, bound: float) -> Row:
    """The row of a claim that a number lies above a bound."""
    return Row(f"{claim} > {bound:g}", *where, measured, 0.0, bound, bound < measured < math.inf)


def leaved(signals: Sequence[Signal]) -> list[Signal]:
    """Signals whose values are leaves of a new graph of computation."""
    return [Signal(s.x.detach().clone().requires_grad_(), s.domain) for s in signals]


def count_edges(module: nn.Module, *signals: Signal) -> Place:
    """The senders' domain, and the edges of every layer as one call hears them."""
    counts: list[int] = []

    def listen(layer: Any, heard: tuple[Signal, ...], output: Signal) -> None:
        counts.append(len(layer.rule.edges(heard[-1].domain, output.domain).dst))

    hooks = [
        m.register_forward_hook(listen) for m in module.modules() if isinstance(m, MessagePassing)
    ]
    try:
        with torch.no_grad():
            module(*signals)
    finally:
        for hook in hooks:
            hook.remove()
    domains = " <- ".join(str(s.domain) for s in signals)
    return Place(
        domains,
        signals[-1].domain.num_nodes,
        sum(counts),
        sum(p.numel() for p in module.parameters()),
    )


def _several(tensors: Tensors) -> tuple[Tensor, ...]:
    return (tensors,) if isinstance(tensors, Tensor) else tensors


def _gradients(
    outputs: Sequence[Tensor], leaves: Sequence[Tensor], upstream: Sequence[Tensor]
) -> list[Tensor]:
    if not leaves:
        return []
    grads = torch.autograd.grad(outputs, leaves, upstream, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(leaf) if grad is None else grad
        for leaf, grad in zip(leaves, grads, strict=True)
    ]
