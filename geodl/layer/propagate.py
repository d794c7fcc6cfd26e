"""The shift operator alone: sums over neighbors, without weights to learn."""

from torch import Tensor

from geodl.domain import Domain
from geodl.layer.base import MessagePassing
from geodl.layer.entries import entries_of_call
from geodl.layer.folding import GraphState, MergedMembers
from geodl.lowering import ConvolveOptions, Plan
from geodl.neighborhood import Neighborhood


class Propagate(MessagePassing):
    """`y_i = sum over edges (j -> i) of s_ij x_j`, that is `Y = S X`: a `Conv` without weights.

    With `adjacency("sym", self_loops=True)` it is a step of SGC (Wu et al., "Simplifying Graph
    Convolutional Networks", 2019), APPNP, label propagation or LightGCN; with `laplacian()` of heat
    flow; with `adjacency("row")` of a random walk. Of edges that carry weights it is the weighted
    sum, which `Pool`, a reduction of unweighted edges, refuses. Edge types play no part: over a
    rule with several, S is the sum of all S_t.

    Args:
        rule: which nodes each node receives from, and the entries of S.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Shapes: in `[B, N, C]`, out `[B, M, C]`, any C.

    Raises:
        GeodlError: if `rule` is not a rule.

    >>> import torch
    >>> from geodl import Graph, Signal, adjacency
    >>> graph = Graph([[0, 1], [2, 2]], 3, edge_weight=[0.5, 2.0])
    >>> Propagate(adjacency())(Signal(torch.ones(1, 3, 1), graph)).x.flatten().tolist()
    [0.0, 0.0, 2.5]
    """

    verb = "convolve"
    transparent = True

    def __init__(self, rule: Neighborhood, *, on: Domain | None = None):
        super().__init__(rule, on, ConvolveOptions(None, None, None))

    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        entries = entries_of_call(plan, parts, sender)
        if entries is None:
            return plan.run(sender, None, None)
        return plan.run(sender, None, None, entries)

    def extra_repr(self) -> str:
        return str(self.rule)
