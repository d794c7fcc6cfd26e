"""Pooling: reduce over neighbors, blind to edge types."""

from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.layer.base import MessagePassing
from geodl.layer.folding import GraphState, MergedMembers
from geodl.lowering import Plan, PoolOptions
from geodl.neighborhood import Neighborhood, whole

REDUCTIONS = ("sum", "mean", "max", "min")


class Pool(MessagePassing):
    """`y_i = reduce over edges (j -> i) of x_j`; receivers without edges get 0.

    With `window(2, stride=2)` it is max pooling, with `fiber()` pooling over a group, with
    `whole()` a readout. A plain window on a fibered domain pools each sheet for itself.

    Where several senders attain a maximum or minimum, `lattice` follows torch's max pooling and
    gives the whole gradient to one of them; every other lowering shares it equally, which alone
    commutes with a relabelling of the nodes.

    Args:
        rule: which nodes each node receives from; its target is coarser.
        reduce: "max", "mean", "sum" or "min". "mean" divides by the neighbors that exist, at
            borders too.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    >>> import torch
    >>> from geodl import Grid, Signal, window
    >>> Pool(window(2, stride=2))(Signal(torch.zeros(1, 16, 3), Grid(4, 4))).domain
    Grid(2, 2)
    """

    verb = "pool"
    transparent = True

    def __init__(self, rule: Neighborhood, reduce: str = "max", *, on: Domain | None = None):
        if reduce not in REDUCTIONS:
            raise GeodlError(f"Pool(reduce={reduce!r})", do=nearest(reduce, REDUCTIONS))
        super().__init__(rule, on, PoolOptions(reduce))

    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        return plan.run(sender)

    def extra_repr(self) -> str:
        return f"{self.rule}, reduce={self.options.reduction!r}"


def Readout(reduce: str = "mean", *, on: Domain | None = None) -> Pool:
    """Pool each member of the domain to one node: a Signal on `Complete(D)`, `[B, D, C]`, D = 1 for
    all but a Batch.
    """
    return Pool(whole(), reduce, on=on)
