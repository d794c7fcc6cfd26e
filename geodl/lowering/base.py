"""What a lowering is, what it may call, and where plans are kept.

Run signatures, one for each verb (shapes as in `geodl.reference`):

* convolve: `run(plan, x, weight, bias) -> y`
* attend: `run(plan, query, key, value, vectors, bias, dropout) -> y`
* message: `run(plan, receiver, sender, edge, function) -> y`
* recur: `run(plan, x, cell, state) -> (y, state)`, states of members `[D, B, hidden]` in, of last
nodes `[S, B, hidden]` out
* pool: `run(plan, x) -> y`
"""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Protocol

import torch

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.neighborhood.base import Neighborhood

MOST_PLANS = 256


class TensorSpec(NamedTuple):
    """What a plan must know of the values: where they are and what they are made of."""

    dtype: torch.dtype
    device: torch.device
    layout: torch.layout


class Call(NamedTuple):
    """Everything a lowering may look at before it answers.

    Attributes:
        rule: the neighborhood.
        source: the senders' domain.
        target: the receivers' domain.
        spec: dtype, device and layout of the values.
        options: the verb's own record, one of the `...Options` below.
    """

    rule: Neighborhood
    source: Domain
    target: Domain
    spec: TensorSpec
    options: Any


class Options(Protocol):
    """What the options of every verb say, so that nobody has to ask which verb they belong to.

    Attributes:
        edge_types: T of the parameters that edges of one type share; None where the layer is blind
            to edge types.
        reads_receivers: the layer computes with the values of the receivers, too.
        ordered: the layer runs through the nodes in their order.
    """

    @property
    def edge_types(self) -> int | None: ...
    @property
    def reads_receivers(self) -> bool: ...
    @property
    def ordered(self) -> bool: ...


class ConvolveOptions(NamedTuple):
    """T, C_in and C_out of the weights."""

    edge_types: int
    channels_in: int
    channels_out: int
    reads_receivers = False
    ordered = False


class AttendOptions(NamedTuple):
    """The score by name, T of the typed bias (None without one)."""

    score: str
    edge_types: int | None
    reads_receivers = True
    ordered = False


class MessageOptions(NamedTuple):
    """The reduction."""

    reduction: str
    edge_types = None
    reads_receivers = True
    ordered = False


class RecurOptions(NamedTuple):
    """The cell by name."""

    cell: str
    edge_types = None
    reads_receivers = False
    ordered = True


class PoolOptions(NamedTuple):
    """The reduction."""

    reduction: str
    edge_types = None
    reads_receivers = False
    ordered = False


class Lowering(NamedTuple):
    """One way to compute a verb. It owns no parameters and keeps nothing.

    Attributes:
        name: what `layer.lowering` and `explain` call it.
        refuses: `call -> ""`, or the reason in words.
        plan: `call -> plan`, made once: index tensors, sizes, flags.
        run: the verb's run signature; decides nothing.
    """

    name: str
    refuses: Callable[[Call], str]
    plan: Callable[[Call], Any]
    run: Callable[..., Any]


class Plan(NamedTuple):
    """A lowering with its plan.

    `target` is None when the receivers live on the senders' domain, or where the caller said.
    """

    lowering: Lowering
    data: Any
    target: Domain | None

    def run(self, *values: Any) -> Any:
        """What the lowering makes of values, by its verb's run signature."""
        return self.lowering.run(self.data, *values)


PLANS: dict[Hashable, Plan] = {}


def select(
    lowerings: tuple[Lowering, ...], call: Call, wanted: str
) -> tuple[Lowering, tuple[tuple[str, str], ...]]:
    """The lowering to run, and (name, reason) of those before it that refused.

    Raises:
        GeodlError: an unknown name; a wanted lowering that refuses, with its reason.
    """
    names = [lowering.name for lowering in lowerings]
    if wanted != "auto" and wanted not in names:
        raise GeodlError(
            f"the lowering {wanted!r}",
            "no such lowering for this layer",
            nearest(wanted, ["auto", *names]),
        )
    refused = []
    for lowering in lowerings:
        if wanted not in ("auto", lowering.name):
            continue
        reason = lowering.refuses(call)
        if not reason:
            return lowering, tuple(refused)
        refused.append((lowering.name, reason))
    _, reason = refused[-1]
    asked = f"the lowering {wanted!r} for {call.rule} on {call.source}"
    raise GeodlError(asked, reason, f"use 'auto' or one of {', '.join(names)}")


def store_of(source: Domain, target: Domain | None) -> tuple[dict[Any, Any], Domain | None]:
    """Where plans between two domains are kept, and the source as part of the key.

    Tensor domains keep their plans on themselves, so that they leave together.
    """
    if source.cache is not None:
        return source.cache, None
    if target is not None and target.cache is not None:
        return target.cache, source
    return PLANS, source


def keep(store: dict[Any, Any], key: Hashable, value: Any) -> None:
    """Put a value into a bounded dictionary; the oldest leaves."""
    if len(store) >= MOST_PLANS:
        del store[next(iter(store))]
    store[key] = value
