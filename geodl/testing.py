"""Checks for anyone's own layers, domains and lowerings.

Each raises AssertionError with what it saw.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from geodl.group import Group
from geodl.layer import MessagePassing, attention, message, recurrent
from geodl.layer import base as layer_base
from geodl.layer.folding import merge_equal_members
from geodl.lowering import LOWERINGS, describe_call
from geodl.signal import Signal
from geodl.symmetry import equivariance_error

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
    return apart / max(1.0, float(b.detach().abs().max())) if math.isfinite(apart) else math.inf


def outcome(
    layer: nn.Module, *signals: Signal, upstream: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The output of a layer, and the gradient of every input and parameter for a random upstream
    gradient.

    Args:
        layer: takes the signals, returns one.
        signals: dense signals; leaves are made of their values.
        upstream: the gradient of the output `[B, M, C]`; by default drawn from a fixed seed.
    """
    inputs = [Signal(s.x.detach().requires_grad_(), s.domain) for s in signals]
    y = _called(layer, *inputs)
    if upstream is None:
        upstream = torch.randn(
            y.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        ).to(y)
    names = [f"input {k}" for k in range(len(inputs))] + [
        n for n, p in layer.named_parameters() if p.requires_grad
    ]
    leaves = [s.x for s in inputs] + [p for p in layer.parameters() if p.requires_grad]
    grads = (
        torch.autograd.grad(y, leaves, upstream, allow_unused=True)
        if y.requires_grad
        else [None] * len(leaves)
    )
    known = (
        torch.zeros_like(leaf) if grad is None else grad
        for leaf, grad in zip(leaves, grads, strict=True)
    )
    return y.detach(), dict(zip(names, known, strict=True))


def _called(layer: nn.Module, receiver: Signal, *others: Signal) -> Tensor:
    """The values a layer answers with; one that was built with `on=` takes tensors."""
    return (
        layer(receiver, *others).x
        if getattr(layer, "on", None) is None
        else layer(receiver.x, *others)
    )


def assert_parity(
    layer: MessagePassing, *signals: Signal, bound: float | None = None
) -> dict[str, float]:
    """Every lowering that accepts the call gives the reference's values and every one of its
    gradients.

    Args:
        layer: a layer with a verb.
        signals: what it is called with.
        bound: largest error, by default 1e-10 in float64 and 1e-5 in float32.

    Returns:
        The largest error of each lowering compared.

    >>> from geodl import Conv, Grid, window
    >>> s = Signal(torch.randn(2, 20, 3, dtype=torch.float64), Grid(4, 5))
    >>> sorted(assert_parity(Conv(3, 2, window(3)).double(), s))
    ['lattice', 'spmm']
    """
    bound = BOUNDS[signals[0].x.dtype] if bound is None else bound
    wanted, errors = layer.lowering, {}
    try:
        layer.lowering = "edges"
        y, grads = outcome(layer, *signals)
        for name in accepting(layer, *signals):
            layer.lowering = name
            ours, our_grads = outcome(layer, *signals)
            each = {"output": error(ours, y)} | {
                f"gradient of {k}": error(our_grads[k], grads[k]) for k in grads
            }
            worst = max(each, key=lambda k: each[k])
            errors[name] = each[worst]
            if each[worst] > bound:
                where = f"{layer.label} on {signals[-1].domain}"
                raise AssertionError(
                    f"{where}: {name} is off the reference by {each[worst]:.1e} in the {worst}"
                )
    finally:
        layer.lowering = wanted
    return errors


def accepting(layer: MessagePassing, *signals: Signal) -> list[str]:
    """The lowerings, other than `edges`, that accept a call."""
    receiver, *others = signals
    source = others[0] if others else receiver
    parts = merge_equal_members(source.domain, receiver.domain if others else None, source.x.layout)
    call = describe_call(layer.rule, parts.source, parts.target, source.x, layer.options)
    return [
        low.name for low in LOWERINGS[layer.verb] if low.name != "edges" and not low.refuses(call)
    ]


def assert_equivariant(
    module: nn.Module, signal: Signal, group: Group | None = None, *, bound: float | None = None
) -> None:
    """A module commutes with each claimed symmetry, on numbers; at least one claim is checked.

    Args:
        module: takes a Signal and returns one.
        signal: the input.
        group: a point group; None takes the layer's own claims or the domain's symmetry.
        bound: largest error, by default 1e-10 in float64 and 1e-5 in float32.
    """
    bound = BOUNDS[signal.x.dtype] if bound is None else bound
    errors = equivariance_error(module, signal, group)
    if not errors:
        raise AssertionError(f"nothing to check: no symmetry is claimed on {signal.domain}")
    worst = max(errors, key=lambda k: errors[k])
    if not errors[worst] <= bound:
        raise AssertionError(
            f"{type(module).__name__} on {signal.domain} is "
            f"off by {errors[worst]:.1e} under {worst}"
        )


def assert_relabels(
    module: nn.Module, signal: Signal, *, permutations: int = 3, bound: float | None = None
) -> None:
    """Calling the nodes by other names calls the answer's nodes by the same names.

    Args:
        module: takes a Signal and returns one on the same domain, or on one node for each member.
        signal: the input, on a domain that can be relabelled (Graph, Complete, Batch).
        permutations: how many random ones to try.
        bound: largest error, by default 1e-10 in float64 and 1e-5 in float32.
    """
    bound = BOUNDS[signal.x.dtype] if bound is None else bound
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        straight = module(signal).x
        for _ in range(permutations):
            named = torch.randperm(signal.domain.num_nodes, generator=generator)
            x = torch.empty_like(signal.x)
            x[:, named] = signal.x
            renamed = module(Signal(x, signal.domain.relabel(named))).x
            found = error(
                renamed[:, named] if straight.shape[1] == len(named) else renamed, straight
            )
            if not found <= bound:
                raise AssertionError(
                    f"{type(module).__name__} on {signal.domain}: "
                    f"relabelling changes the answer by {found:.1e}"
                )


def assert_lowered_to(name: str, layer: MessagePassing, *signals: Signal) -> None:
    """The lowering that ran (not only the one that `explain` names) is the given one."""
    with recorded() as ran:
        _called(layer, *signals)
    if ran != [name]:
        raise AssertionError(
            f"{layer.label} on {signals[-1].domain} ran on {', '.join(ran)}, not on {name}"
        )


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The names of the lowerings that run inside the block, in order."""
    ran: list[str] = []
    plan_for = layer_base.plan_for

    def noted(*args: Any) -> Any:
        found = plan_for(*args)

        def run(*values: Any) -> Any:
            ran.append(found.lowering.name)
            return found.lowering.run(*values)

        return found._replace(lowering=found.lowering._replace(run=run))

    with ExitStack() as patches:
        for room in (layer_base, attention, message, recurrent):
            patches.enter_context(mock.patch.object(room, "plan_for", noted))
        yield ran
