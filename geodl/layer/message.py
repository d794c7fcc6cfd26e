"""Any learned message on any domain."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.layer.base import MessagePassing
from geodl.layer.check import check_pair, check_signal
from geodl.layer.folding import GraphState, MergedMembers
from geodl.lowering import MessageOptions, Plan
from geodl.neighborhood import Neighborhood
from geodl.signal import Signal

REDUCTIONS = ("sum", "mean", "max", "min")


class Message(MessagePassing):
    """`y_i = update(x_i, reduce over edges (j -> i) of message(x_i, x_j, e_ij))`.

    The message passing of MPNN (Gilmer et al. 2017), EdgeConv, GIN and GraphNet.

    Args:
        message: a function or module of `(x_i, x_j, e_ij)`, tensors `[B, E, C]`, to `[B, E,
            C_out]`. `e_ij` is the edge signal of the call, else the edge weights `[B, E, 1]` of the
            rule, else None.
        rule: which nodes each node receives from.
        reduce: "sum", "mean", "max" or "min"; receivers without edges get 0.
        update: a function or module of `(x_i, y_i)`; None keeps `y_i`.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    >>> import torch
    >>> from geodl import Graph, adjacency
    >>> rule = adjacency()
    >>> layer = Message(lambda x_i, x_j, e_ij: x_j - x_i, rule, reduce="max")
    >>> layer(Signal(torch.tensor([[[1.0], [4.0]]]), Graph([[0, 1], [1, 0]]))).x.flatten().tolist()
    [3.0, -3.0]
    """

    verb = "message"

    def __init__(
        self,
        message: Callable[[Tensor, Tensor, Tensor | None], Tensor],
        rule: Neighborhood,
        reduce: str = "sum",
        update: Callable[[Tensor, Tensor], Tensor] | None = None,
        *,
        on: Domain | None = None,
    ):
        if reduce not in REDUCTIONS:
            raise GeodlError(f"Message(reduce={reduce!r})", do=nearest(reduce, REDUCTIONS))
        super().__init__(rule, on, MessageOptions(reduce))
        self.message = message
        self.update = update
        self._edge: Signal | None = None

    def __call__(
        self,
        receiver: Any,
        sender: Any = None,
        *,
        rule: Neighborhood | None = None,
        edge: Signal | None = None,
    ) -> Any:
        """As every layer; `edge` is a signal with one node for each edge, in the order of
        `rule.edges`.
        """
        # Edge values are no part of a layer: a twin with the same parameters holds them for this
        # one call, so that threads which share the layer do not see each other's.
        layer = self
        if edge is not None:
            layer = self._twin()
            layer._edge = edge
        return nn.Module.__call__(layer, receiver, sender, rule=rule)

    def compute(self, receiver: Signal, sender: Signal | None, rule: Neighborhood) -> Signal:
        """The reduced messages of each receiver, updated."""
        if self._edge is None:
            return super().compute(receiver, sender, rule)
        if sender is None:
            source, given = check_signal(self, receiver), None
        else:
            source, given = check_pair(self, receiver, sender), receiver.domain
        # Edges are numbered over the whole union, so its members stay together.
        plan, _ = self._plan(rule, source.domain, given, source.x, merge=False)
        edge = self._edge_values(self._edge, len(plan.data.edges.dst), source.x.shape[0])
        y = self._pass(plan, receiver.x, source.x, edge)
        if given is None:
            given = plan.target or source.domain
        return receiver.carry_state(y, given)

    def _edge_values(self, edge: Any, count: int, batch: int) -> Tensor:
        """The values of an edge signal `[B, E, C_e]`, once it is known to fit the edges."""
        if not isinstance(edge, Signal):
            raise GeodlError(
                f"{self.label} with edge=",
                f"a {type(edge).__name__}",
                "give a Signal on domain.edge_domain()",
            )
        if edge.domain.num_nodes != count or edge.x.shape[0] not in (1, batch):
            raise GeodlError(
                f"{self.label} with edge values {list(edge.x.shape)}",
                f"{count} edges and a batch of {batch}",
                "give one row for each edge",
            )
        return edge.x.expand(batch, -1, -1)

    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        return self._pass(plan, receiver, sender, None)

    def _pass(self, plan: Plan, receiver: Tensor, sender: Tensor, edge: Tensor | None) -> Tensor:
        y = plan.run(receiver, sender, edge, self.message)
        if self.update is None:
            return y
        return self.update(receiver, y)

    def extra_repr(self) -> str:
        parts = [str(self.rule), f"reduce={self.options.reduction!r}"]
        if not isinstance(self.message, nn.Module):
            parts.insert(0, getattr(self.message, "__name__", "message"))
        return ", ".join(parts)
