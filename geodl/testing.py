"""Checks for anyone's own layers, domains and lowerings.

Each raises AssertionError with what it saw.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError
from geodl.group import Group
from geodl.layer import MessagePassing, buffers_kept, trace
from geodl.lowering import LOWERINGS
from geodl.signal import Signal
from geodl.symmetry import equivariance_error

Outcome = tuple[Tensor, dict[str, Tensor]]
BOUNDS = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def error(a: Tensor, b: Tensor) -> float:
    """`max|a - b| / max(1, max|b|)`, 0 for tensors without elements.

    >>> error(torch.tensor([1.0, 200.0]), torch.tensor([1.0, 100.0]))
    1.0
    """
    if a.shape != b.shape:
        raise AssertionError(f"shapes {list(a.shape)} and {list(b.shape)} differ")
    if not b.numel():
        return 0.0
    apart = float((a - b).detach().abs().max())
    if not math.isfinite(apart):
        return math.inf
    return apart / max(1.0, float(b.detach().abs().max()))


def outcome(layer: nn.Module, *signals: Signal, upstream: Tensor | None = None) -> Outcome:
    """The output of a layer, and the gradient of every input and parameter for a random upstream
    gradient.

    Args:
        layer: takes the signals, returns one.
        signals: dense signals; leaves are made of their values, edges and globals.
        upstream: the gradient of the output `[B, M, C]`; by default drawn from a fixed seed.

    Raises:
        GeodlError: something that is not a Signal, or no signal.
    """
    _check_signals("outcome", signals)
    inputs = [_as_leaves(s) for s in signals]
    y = _call(layer, *inputs)
    if upstream is None:
        upstream = torch.randn(
            y.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        ).to(y)
    leaves = {}
    for k, signal in enumerate(inputs):
        parts = {"input": signal.x, "edges": signal.edges, "globals": signal.globals}
        leaves |= {f"{name} {k}": part for name, part in parts.items() if part is not None}
    leaves |= {name: p for name, p in layer.named_parameters() if p.requires_grad}
    # What the answer does not depend on at all has zeros for a gradient.
    grads: Sequence[Tensor | None] = [None] * len(leaves)
    if y.requires_grad:
        grads = torch.autograd.grad(y, list(leaves.values()), upstream, allow_unused=True)
    known = {}
    for (name, leaf), grad in zip(leaves.items(), grads, strict=True):
        known[name] = torch.zeros_like(leaf) if grad is None else grad
    return y.detach(), known


def _check_signals(name: str, signals: Sequence[Any]) -> None:
    """Refuse a check on something else than signals."""
    do = "give a Signal, as Signal(torch.randn(2, domain.num_nodes, C), domain)"
    if not signals:
        raise GeodlError(f"{name}(layer, *signals)", "no signal", do)
    for signal in signals:
        if not isinstance(signal, Signal):
            raise GeodlError(f"{name} of a signal", f"a {type(signal).__name__}", do)


def _as_leaves(signal: Signal) -> Signal:
    """A signal whose values and states are leaves of a new graph of computation."""
    edges, state = signal.edges, signal.globals
    if edges is not None:
        edges = edges.detach().requires_grad_()
    if state is not None:
        state = state.detach().requires_grad_()
    return Signal(signal.x.detach().requires_grad_(), signal.domain, edges, state)


def _call(layer: nn.Module, receiver: Signal, *others: Signal) -> Tensor:
    """The values of a layer's output; a layer that was built with `on=` takes tensors."""
    if getattr(layer, "on", None) is None:
        return layer(receiver, *others).x
    return layer(receiver.x, *others)


def _bound(bound: float | None, signal: Signal) -> float:
    """The bound that was given, or that of a dtype."""
    return BOUNDS[signal.x.dtype] if bound is None else bound


def assert_parity(
    layer: MessagePassing, *signals: Signal, bound: float | None = None
) -> dict[str, float]:
    """Assert that every lowering that accepts the call gives the values and every gradient of the
    reference.

    Args:
        layer: a layer with a verb.
        signals: what it is called with.
        bound: largest error; by default 1e-10, 1e-5, 1e-2 and 5e-2 in float64, float32, float16 and
            bfloat16.

    Returns:
        The largest error of each lowering compared.

    Raises:
        AssertionError: if a lowering is off by more than `bound`, or none accepts the call.
        GeodlError: a layer without a verb; something that is not a Signal, or no signal.

    >>> from geodl import Conv, Grid, window
    >>> s = Signal(torch.randn(2, 20, 3, dtype=torch.float64), Grid(4, 5))
    >>> sorted(assert_parity(Conv(3, 2, window(3)).double(), s))
    ['lattice', 'spmm']
    """
    if not isinstance(layer, MessagePassing):
        found, do = f"a {type(layer).__name__}", "give a layer with a verb, as Conv or Attention"
        raise GeodlError("assert_parity(layer, *signals)", found, do)
    _check_signals("assert_parity", signals)
    bound = _bound(bound, signals[0])
    where, wanted, errors = f"{layer.label} on {signals[-1].domain}", layer.lowering, {}
    try:
        layer.lowering = "edges"
        reference = outcome(layer, *signals)
        layer.lowering = "auto"
        for name in accepting(layer, *signals):
            layer.lowering = name
            part, errors[name] = _worst(outcome(layer, *signals), reference)
            if errors[name] > bound:
                raise AssertionError(
                    f"{where}: {name} is off the reference by {errors[name]:.1e} in the {part}"
                )
    finally:
        layer.lowering = wanted
    if not errors:
        raise AssertionError(f"nothing to compare: {where} runs on edges alone, the reference")
    return errors


def _worst(ours: Outcome, theirs: Outcome) -> tuple[str, float]:
    """Where two outcomes are furthest apart, and how far."""
    each = {"output": error(ours[0], theirs[0])}
    for name, gradient in theirs[1].items():
        each[f"gradient of {name}"] = error(ours[1][name], gradient)
    worst = max(each, key=lambda name: each[name])
    return worst, each[worst]


def accepting(layer: MessagePassing, *signals: Signal) -> list[str]:
    """The lowerings, other than `edges`, that accept a call."""
    with trace(layer) as events, torch.no_grad():
        _call(layer, *signals)
    call = next(event.call for event in events if event.layer is layer)
    assert call is not None
    entries = [lowering for lowering in LOWERINGS[layer.verb] if lowering.name != "edges"]
    return [lowering.name for lowering in entries if not lowering.refuses(call)]


def assert_equivariant(
    module: nn.Module, signal: Signal, group: Group | None = None, *, bound: float | None = None
) -> None:
    """Assert that a module commutes with each claimed symmetry, on numbers.

    Args:
        module: takes a Signal and returns one.
        signal: the input.
        group: a point group; None takes the layer's own claims or the domain's symmetry.
        bound: largest error; by default 1e-10, 1e-5, 1e-2 and 5e-2 in float64, float32, float16 and
            bfloat16.

    Raises:
        AssertionError: if the error of a claim is above `bound`, or no symmetry is claimed.
        GeodlError: as :func:`geodl.equivariance_error`.
    """
    _check_signals("assert_equivariant", (signal,))
    bound = _bound(bound, signal)
    errors = equivariance_error(module, signal, group)
    if not errors:
        raise AssertionError(f"nothing to check: no symmetry is claimed on {signal.domain}")
    worst = max(errors, key=lambda k: errors[k])
    if not errors[worst] <= bound:
        raise AssertionError(
            f"{type(module).__name__} on {signal.domain} is "
            f"off by {errors[worst]:.1e} under {worst}"
        )


def assert_permutation_equivariant(
    module: nn.Module, signal: Signal, *, permutations: int = 3, bound: float | None = None
) -> None:
    """Assert permutation equivariance: renumbering the nodes of the input renumbers those of the
    output in the same way, and leaves an output of another number of nodes (a readout) unchanged.

    Args:
        module: takes a Signal and returns one on the same domain, or on one node for each member.
        signal: the input, on a domain that can be relabelled (Graph, Complete, Batch); with a
            state of edges, on a Graph or a Batch.
        permutations: how many random ones to try.
        bound: largest error; by default 1e-10, 1e-5, 1e-2 and 5e-2 in float64, float32, float16 and
            bfloat16.

    Raises:
        AssertionError: if an output differs by more than `bound`; if there is nothing to check (one
            node, no permutations, no values).
        GeodlError: if the domain cannot be renumbered, as a Grid; something that is not a Signal.
    """
    _check_signals("assert_permutation_equivariant", (signal,))
    bound = _bound(bound, signal)
    generator, nodes = torch.Generator().manual_seed(0), signal.domain.num_nodes
    if permutations < 1 or nodes < 2 or not signal.x.numel():
        raise AssertionError(
            f"nothing to check: {permutations} permutations of {nodes} nodes, "
            f"values {list(signal.x.shape)}"
        )
    with torch.no_grad(), buffers_kept(module):
        straight = module(signal).x
        for _ in range(permutations):
            named = torch.randperm(nodes, generator=generator)
            # A permutation that moves no node would check nothing.
            if torch.equal(named, torch.arange(nodes)):
                named = named.roll(1)
            x = torch.empty_like(signal.x)
            x[:, named] = signal.x
            renamed = module(_on_new_names(signal, x, signal.domain.relabel(named))).x
            # An answer on the same nodes goes by their new names; one on each member does not.
            if straight.shape[1] == nodes:
                renamed = renamed[:, named]
            found = error(renamed, straight)
            if not found <= bound:
                raise AssertionError(
                    f"{type(module).__name__} on {signal.domain}: "
                    f"relabelling changes the answer by {found:.1e}"
                )


def _on_new_names(signal: Signal, x: Tensor, domain: Domain) -> Signal:
    """Values x under new names. Links keep their order, and with them the state of edges.

    Raises:
        AssertionError: a state that would not come along: edges of a set, whose links have no
            names, globals of several members, which become one graph.
    """
    if signal.edges is not None and domain is signal.domain:
        raise AssertionError(f"nothing to check: the links of {domain} have no other names")
    if signal.globals is not None and domain.num_members != signal.domain.num_members:
        raise AssertionError(f"nothing to check: {signal.domain} becomes one graph, {domain}")
    return Signal(x, domain, signal.edges, signal.globals)


def assert_lowered_to(name: str, layer: MessagePassing, *signals: Signal) -> None:
    """Assert that a call runs on the given lowering: it is the one that ran, not only the one that
    `explain` names.

    Raises:
        AssertionError: if another lowering ran, or none, or several.
        GeodlError: something that is not a Signal, or no signal.
    """
    _check_signals("assert_lowered_to", signals)
    with record_lowerings() as ran:
        _call(layer, *signals)
    if ran != [name]:
        name_of_layer = getattr(layer, "label", type(layer).__name__)
        where = f"{name_of_layer} on {signals[-1].domain}"
        raise AssertionError(f"{where} ran on {', '.join(ran) or 'nothing'}, not on {name}")


@contextmanager
def record_lowerings() -> Iterator[list[str]]:
    """A list that, after the block, holds the names of the lowerings that ran in it, in order."""
    ran: list[str] = []
    with trace() as events:
        try:
            yield ran
        finally:
            ran += [event.lowering for event in events if event.lowering is not None]
