"""A new state of the edges: the edge block of a GraphNet."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from geodl.errors import GeodlError
from geodl.layer.base import MessagePassing
from geodl.layer.check import check_callable, check_no_sender, check_signal
from geodl.layer.entries import entries_of_call
from geodl.layer.folding import GraphState, MergedMembers, members_to_batch, state_to_batch
from geodl.layer.message_calls import read_state, reads_joined, run_messages
from geodl.lowering import MessageOptions, Plan
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal


class EdgeUpdate(MessagePassing):
    """`e'_ij = function(x_i, x_j, e_ij)` for every link (j -> i): a new state of the edges.

    The values of the nodes and the state of whole graphs stay. With a :class:`Message` that reads
    the new state, and `signal.with_globals` of a :func:`Readout`, it is a GraphNet block (Battaglia
    et al. 2018):

        s = EdgeUpdate(edge, rule)(s)
        s = Message(lambda x_i, x_j, e_ij: e_ij, rule, "sum", node)(s)

    Args:
        function: a function or module of `(x_i, x_j, e_ij)`, tensors `[B, E, C]`, to `[B, E,
            C_e]`, where e_ij is read as :class:`Message` reads it; with `reads_globals` of `(x_i,
            x_j, e_ij, u)`, u `[B, E, C_g]`. Or one of torch's modules that reads them side by
            side, as the `message` of a :class:`Message`.
        rule: the links, as `adjacency()`; a rule that adds edges has nowhere to keep their state.
        reads_globals: hand over u, the state of the receiver's graph (`signal.globals`).

    Raises:
        GeodlError: if the function cannot be called; at the call, if the edges of the rule are not
            the links, each of them once, or if there is a second signal; and as :class:`Message`.

    >>> import torch
    >>> from geodl import Graph, adjacency
    >>> s = Signal(torch.tensor([[[1.0], [4.0]]]), Graph([[0, 1], [1, 0]]))
    >>> EdgeUpdate(lambda x_i, x_j, e_ij: x_j - x_i, adjacency())(s).edges.flatten().tolist()
    [-3.0, 3.0]
    """

    verb = "message"
    reads_edges = True

    def __init__(
        self, function: Callable[..., Tensor], rule: Neighborhood, *, reads_globals: bool = False
    ):
        check_callable(f"EdgeUpdate({function!r})", function)
        if not isinstance(reads_globals, bool):
            asked = f"EdgeUpdate(reads_globals={reads_globals!r})"
            raise GeodlError(asked, do="give True or False")
        super().__init__(rule, None, MessageOptions((), joins=reads_joined(function)))
        self.function = function
        self.reads_globals = reads_globals

    def compute(self, receiver: Signal, sender: Signal | None, rule: Neighborhood) -> Signal:
        """The signal with the new state of its edges."""
        check_no_sender(self, sender)
        source = check_signal(self, receiver)
        plan, parts = self._plan(rule, source.domain, None, source.x)
        x = members_to_batch(source.x, parts.num_members)
        edges = self._run(plan, x, x, parts, state_to_batch(source, parts.num_members))
        # The links of equal members stand member after member, as their nodes do.
        links = source.domain.num_links
        return source.with_edges(edges.reshape(source.shape[0], links, edges.shape[2]))

    def step(
        self, signal: Signal, state: Any = None, sender: Signal | None = None
    ) -> tuple[Signal, Any]:
        """Refused: pieces of a chain have no edges in common."""
        found = "a new state of edges, which pieces do not have in common"
        raise GeodlError(f"a step of {self.label}", found, "call it on the whole chain")

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
        return run_messages(self, "function", self.function, plan, values, entries)

    def extra_repr(self) -> str:
        parts = [str(self.rule)]
        if not isinstance(self.function, nn.Module):
            parts.insert(0, getattr(self.function, "__name__", "function"))
        if self.reads_globals:
            parts.append("reads_globals=True")
        return ", ".join(parts)
