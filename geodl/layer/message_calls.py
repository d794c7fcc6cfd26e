"""How layers of messages call a function of the user, and what they hand it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from geodl.layer.check import (
    channels_read,
    check_function,
    check_globals_given,
    check_messages,
    check_read_state,
)
from geodl.layer.folding import GraphState
from geodl.layer.pointwise import EVERYWHERE, is_intercepted, is_pointwise, leaves
from geodl.lowering import Plan
from geodl.lowering.joined import Joined

# what a function reads, by what its layer calls it; u only with `reads_globals`
READS = {"message": ("x_i", "x_j", "e_ij", "u"), "update": ("x_i", "y_i", "u")}
CHANGING = (nn.GLU, nn.LazyLinear)  # modules that answer with other channels, and do not say which


def call_function(
    layer: Any, name: str, function: Callable[..., Tensor], like: Tensor, *others: Tensor | None
) -> Tensor:
    """What a function of the user answers, held to its shape.

    Args:
        layer: the layer that calls it.
        name: what the layer calls it.
        function: of the tensors that follow.
        like: `[B, E, C]`, the first of them.
        others: the rest.

    Raises:
        GeodlError: if the answer is not `[B, E, C_out]`, or if the function fails and has
            parameters of another dtype or device than the values; if a module on the list of
            pointwise ones reads other channels.
    """
    try:
        y = _side_by_side(layer, name, function)(like, *others)
    except RuntimeError:
        check_function(layer, name, function, like)
        raise
    return check_messages(layer, name, y, like)


def run_messages(
    layer: Any,
    name: str,
    function: Callable[..., Tensor],
    plan: Plan,
    values: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    entries: Tensor | None,
) -> Tensor:
    """What the plan of a call makes of the messages, for a function of the user.

    Args:
        layer: the layer that calls it.
        name: what the layer calls it.
        function: of what an edge sees, or a module on the list of pointwise ones.
        plan: of the call.
        values: of receivers and senders, the state of the links and of the graphs.
        entries: the rule's weights where they come with the call, else None.

    Raises:
        GeodlError: as :func:`call_function`; and where a module on the list reads other channels.
    """
    run = _side_by_side(layer, name, function)
    if run is function:
        run = partial(call_function, layer, name, function)
    try:
        return plan.run(*values, run, entries)
    except RuntimeError:
        check_function(layer, name, function, values[1])
        raise


def reads_joined(function: Any) -> bool:
    """Whether a function is a module on the list of pointwise ones, or a row of them, that reads
    side by side what other functions are handed one by one.

    >>> import torch
    >>> reads_joined(nn.Sequential(nn.Linear(3, 8), nn.ReLU())), reads_joined(torch.add)
    (True, False)
    """
    return _in_row(function) is not None


def _in_row(function: Any) -> list[nn.Module] | None:
    """The modules on the list that a function is a row of; None of any other function."""
    if not isinstance(function, nn.Module):
        return None
    modules = list(leaves(function))
    # SyncBatchNorm is on the list for what containers make of it: called, it takes another axis.
    for module in modules:
        if type(module) is nn.SyncBatchNorm or not is_pointwise(module):
            return None
    return modules


def _side_by_side(layer: Any, name: str, function: Any) -> Callable[..., Tensor]:
    """A module on the list as a function of all that is given; any other function as it is."""
    modules = _in_row(function)
    if modules is None:
        return function
    reads = None
    for module in modules:
        channels = channels_read(module)
        if channels is not None:
            reads = (channels, type(module).__name__)
        # What is after a module that changes the channels says nothing of those that are given.
        if channels is not None or type(module) in CHANGING:
            break
    if not _run_alike(function, modules):
        modules = []
    return Joined(function, READS.get(name, READS["message"]), reads, modules, layer)


def _run_alike(net: nn.Module, modules: Sequence[nn.Module]) -> bool:
    """Whether a network may be run module by module, its first one without being called itself:
    nobody has hooked on to that one, to the containers, or to all modules.
    """
    called = set(modules[1:]).difference(modules[:1])
    for module in net.modules():
        if module in called:
            continue
        if is_intercepted(module) or "forward" in vars(module):
            return False
    return not any(EVERYWHERE)


def read_state(
    layer: Any, plan: Plan, x: Tensor, state: GraphState
) -> tuple[Tensor | None, Tensor | None]:
    """The states that a layer of messages reads, `[B, L, C_e]` of the links and `[B, D, C_g]` of
    the graphs; None for what it does not.

    Args:
        layer: with `reads_globals`.
        plan: of the call.
        x: the values of the receivers.
        state: what the signal has.
    """
    edge = u = None
    if state.edges is not None and plan.data.along.reads_links:
        edge = check_read_state(layer, "edges", state.edges, x)
    if layer.reads_globals:
        u = check_read_state(layer, "globals", check_globals_given(layer, state.globals), x)
    return edge, u
