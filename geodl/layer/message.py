"""Any learned message on any domain."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest, positive
from geodl.layer.base import MessagePassing
from geodl.layer.check import check_callable
from geodl.layer.entries import entries_of_call
from geodl.layer.folding import GraphState, MergedMembers
from geodl.layer.message_calls import call_function, read_state, reads_joined, run_messages
from geodl.lowering import MessageOptions, Plan
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal

REDUCTIONS = ("sum", "mean", "max", "min", "std", "softmax")


class Message(MessagePassing):
    """`y_i = update(x_i, reduce over edges (j -> i) of message(x_i, x_j, e_ij))`.

    The message passing of MPNN (Gilmer et al. 2017), EdgeConv, GIN, PNA and GraphNet.

    What `message` reads as `e_ij` is the state of the edges of the signal (for edges that the rule
    added, as self-loops, zeros or what `adjacency(fill=)` says), without one the weights of the
    rule `[B, E, 1]`, else None. A rule that reads no links, as `window`, has no state of edges; a
    relation has its own, `relation.with_edges(e)`. The function sees all edges at once, in the
    order of `rule.edges`, and may use them together, unless `max_edges` promises that it does not.

    One of torch's modules that act on the last axis, as `nn.Linear`, or an `nn.Sequential` of them
    reads all of it side by side, `(x_i, x_j, e_ij, u)` in this order, those that there are. Where
    its first module is an `nn.Linear`, whose columns are then cut as the channels are, the joined
    tensor of all edges is never made: `W [x_i, x_j, e_ij] + b = (W_1 x_i + b) + W_2 x_j + W_3
    e_ij`, and what nodes have to do with it is computed once a node. A module of your own, or of a
    derived class, is called as any function.

    Reductions are taken for each channel; receivers without edges get 0. "std" is that of PyG's
    `StdAggregation`, `sqrt(v)` of the mean v of `(m - mean)^2`, and 0 with no gradient where v is
    at most 1e-5 (computed from the differences themselves, which does not cancel). "softmax" is
    that of PyG's `SoftmaxAggregation` with t = 1 (Li et al. 2020), the sum of the messages weighted
    by their softmax. Where several messages attain a maximum or minimum they share its gradient
    equally.

    Args:
        message: a function or module of `(x_i, x_j, e_ij)`, tensors `[B, E, C]`, to `[B, E,
            C_out]`; with `reads_globals` of `(x_i, x_j, e_ij, u)`, u `[B, E, C_g]`. Or a module of
            torch that reads them side by side, `[B, E, C]` of all their channels.
        rule: which nodes each node receives from.
        reduce: "sum", "mean", "max", "min", "std" or "softmax", or several of them, `("mean",
            "max")`, which stand one after another along the channels (PNA: Corso et al. 2020).
        update: a function or module of `(x_i, y_i)`, tensors `[B, N, C]`; None keeps `y_i`. With
            `reads_globals` of `(x_i, y_i, u)`, u `[B, N, C_g]`. Or a module of torch, as above.
        reads_globals: hand over u, the state of the receiver's graph (`signal.globals`).
        max_edges: compute at most so many edges at once, and again in the backward, so that memory
            does not grow with their number: the caller's promise that `message` treats each edge
            alone (no batch norm, no sum over edges). Refused under `torch.func`.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Raises:
        GeodlError: if `message` or `update` cannot be called, if a reduction is unknown, or if
            there is none; at the call, if a message is not `[B, E, C]`, if a state of edges or
            graphs, or a parameter of `message`, has another dtype than the values, if a module of
            torch reads other channels than there are, or if `reads_globals` finds no globals.

    >>> import torch
    >>> from geodl import Graph, Signal, adjacency
    >>> graph = Graph([[0, 1], [1, 0]])
    >>> layer = Message(lambda x_i, x_j, e_ij: x_j - x_i, adjacency(), reduce=("max", "sum"))
    >>> layer(Signal(torch.tensor([[[1.0], [4.0]]]), graph)).x.tolist()
    [[[3.0, 3.0], [-3.0, -3.0]]]
    >>> net = nn.Sequential(nn.Linear(2 * 32 + 8, 16), nn.ReLU(), nn.Linear(16, 16))
    >>> s = Signal(torch.zeros(1, 2, 32), graph, edges=torch.zeros(1, 2, 8))
    >>> Message(net, adjacency())(s).x.shape
    torch.Size([1, 2, 16])
    """

    verb = "message"
    reads_edges = True

    def __init__(
        self,
        message: Callable[..., Tensor],
        rule: Neighborhood,
        reduce: str | Sequence[str] = "sum",
        update: Callable[..., Tensor] | None = None,
        *,
        reads_globals: bool = False,
        max_edges: int | None = None,
        on: Domain | None = None,
    ):
        check_callable(f"Message(message={message!r})", message)
        if update is not None:
            check_callable(f"Message(update={update!r})", update)
        reductions = _reductions(reduce)
        if max_edges is not None:
            max_edges = positive(f"Message(max_edges={max_edges!r})", max_edges)
        if not isinstance(reads_globals, bool):
            raise GeodlError(f"Message(reads_globals={reads_globals!r})", do="give True or False")
        options = MessageOptions(reductions, max_edges, reads_joined(message))
        super().__init__(rule, on, options)
        self.message = message
        self.update = update
        self.reads_globals = reads_globals

    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        edge, u = read_state(self, plan, receiver, state)
        entries = entries_of_call(plan, parts, sender)
        values = (receiver, sender, edge, u)
        y = run_messages(self, "message", self.message, plan, values, entries)
        if self.update is None:
            return y
        read = [receiver, y]
        if u is not None:
            read.append(plan.data.along.at_receivers(u))
        return call_function(self, "update", self.update, *read)

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """As every layer of messages; the link between two pieces of a chain belongs to neither, so
        that a state of edges is refused.
        """
        if isinstance(signal, Signal) and signal.edges is not None:
            do = "drop it: signal.with_edges(None)"
            found = "a state of edges, which pieces do not have in common"
            raise GeodlError(f"a step of {self.label}", found, do)
        return super().step(signal, state, sender)

    def extra_repr(self) -> str:
        reduce: Any = self.options.reductions
        if len(reduce) == 1:
            reduce = reduce[0]
        parts = [str(self.rule), f"reduce={reduce!r}"]
        if not isinstance(self.message, nn.Module):
            parts.insert(0, getattr(self.message, "__name__", "message"))
        if self.reads_globals:
            parts.append("reads_globals=True")
        if self.options.max_edges is not None:
            parts.append(f"max_edges={self.options.max_edges}")
        return ", ".join(parts)


def _reductions(reduce: Any) -> tuple[str, ...]:
    """Reductions by name, once they are known."""
    names = (reduce,)
    if isinstance(reduce, tuple | list):
        names = tuple(reduce)
    if not names:
        raise GeodlError("Message(reduce=())", "no reduction", "give one at least")
    for name in names:
        if name not in REDUCTIONS:
            raise GeodlError(f"Message(reduce={reduce!r})", do=nearest(str(name), REDUCTIONS))
    return names
