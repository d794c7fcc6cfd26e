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

    If several senders attain the maximum or minimum, the gradient is shared equally among them, so
    that it does not depend on the numbering of nodes; the `lattice` kernels give it to one of them,
    as torch's max pooling does.

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
    """Pool all nodes to one: `[B, N, C]` to `[B, 1, C]`, or `[B, D, C]` on a Batch of D members,
    one node for each (PyG's `global_mean_pool`). It is `Pool(whole(), reduce)`.

    Args:
        reduce: "mean", "max", "sum" or "min".
        on: a domain; the layer then takes and returns tensors.

    >>> import torch
    >>> from geodl import Chain, Signal
    >>> Readout("max")(Signal(torch.zeros(2, 5, 3), Chain(5))).x.shape
    torch.Size([2, 1, 3])
    """
    return Pool(whole(), reduce, on=on)
