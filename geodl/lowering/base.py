"""What a lowering is, and what it may look at before it answers.

Run signatures, one for each verb (shapes as in `geodl.reference`):

* convolve: `run(plan, x, weight, bias) -> y`, weight `[T, C_in / groups, C_out]`, None without;
  where the entries of S come with the call, `run(plan, x, weight, bias, entries)`, `[E]` or
  `[B, E]` in the order of the rule's edges
* attend: `run(plan, query, key, value, vectors, bias, dropout, edge) -> y`, edge the
  :class:`geodl.lowering.edge_features.EdgeFeatures` of the links, or None
* message: `run(plan, receiver, sender, edge, u, function, entries=None) -> y`, edge `[B, L, C_e]`
  the state of the links and u `[B, D, C_g]` that of the graphs, None without; entries as above;
  plans have `along`, a :class:`geodl.lowering.message_edges.MessageEdges`
* recur: `run(plan, x, cell, state) -> (y, state)`, states of members `[D, B, hidden]` in,
  of last nodes `[S, B, hidden]` out
* pool: `run(plan, x) -> y`
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.neighborhood.base import Neighborhood
from geodl.neighborhood.structure import Structure

Record = TypeVar("Record", bound=Structure)
TensorOrNone = Tensor | None  # a parameter that a layer may lack


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
        structures: what the rule promises about its edges between the two domains.
        open_entries: whether the weights of the links, and with them the entries of S, come with
            each call: a plan then holds none of them.
    """

    rule: Neighborhood
    source: Domain
    target: Domain
    spec: TensorSpec
    options: Any
    structures: tuple[Structure, ...]
    open_entries: bool = False

    def structure(self, kind: type[Record]) -> Record | None:
        """The rule's record of a kind, or None where it promises none."""
        # A plain loop, and no `isinstance`, which asks an abstract class: several lowerings ask for
        # several records of every new graph.
        for record in self.structures:
            if type(record) is kind:
                return record
        return None


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
    """T, C_in and C_out of the weights, None without weights; the blocks of channels that they
    mix.
    """

    edge_types: int | None
    channels_in: int | None
    channels_out: int | None
    groups: int = 1
    reads_receivers = False
    ordered = False
    reads_entries = True  # of the weights that come with a call


class AttendOptions(NamedTuple):
    """The score by name, T of the typed bias (None without one), C_e of the edges' features (None
    where none are read).
    """

    score: str
    edge_types: int | None
    edge_channels: int | None = None
    reads_receivers = True
    ordered = False


class MessageOptions(NamedTuple):
    """The reductions, none where the messages themselves are the answer, a new state of the links;
    the most edges to compute at once (None: all of them); whether the function is a network that
    reads all that an edge sees side by side.
    """

    reductions: tuple[str, ...]
    max_edges: int | None = None
    joins: bool = False
    edge_types = None
    reads_receivers = True
    ordered = False
    reads_entries = True


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


def own_rule(call: Call) -> Neighborhood:
    """The rule of the call itself."""
    return call.rule


def no_note(plan: Any) -> str:
    """Nothing to add: the lowering's name says what runs."""
    return ""


class Lowering(NamedTuple):
    """One way to compute a verb. It owns no parameters and keeps nothing.

    Attributes:
        name: what `layer.lowering` and `explain` call it.
        refuses: `call -> ""`, or the reason in words.
        plan: `call -> plan`, made once: index tensors, sizes, flags.
        run: the verb's run signature; decides nothing.
        reads: the rule whose entries it takes where they come with the call; by default the call's
            own.
        note: `plan -> ""`, or what `explain` adds in words: which of two paths the plan took.
        with_self_term: `(plan, x, c) -> y + c x`, of a plan that sums over neighbors without
            weights to learn: its answer y plus a self term with the factor c `[1]`, in one
            operator. None where there is no such operator.
        of_pattern: `(options, pattern, dtype) -> plan`, for edges without types and weights of
            which the sparse pattern is known; it answers None to options that ask for more. Such a
            plan also runs on rows `[N, C]`. None of a lowering that plans with more than that.
    """

    name: str
    refuses: Callable[[Call], str]
    plan: Callable[[Call], Any]
    run: Callable[..., Any]
    reads: Callable[[Call], Neighborhood] = own_rule
    note: Callable[[Any], str] = no_note
    with_self_term: Callable[[Any, Tensor, Tensor], Tensor] | None = None
    of_pattern: Callable[[Any, Any, torch.dtype], Any] | None = None
