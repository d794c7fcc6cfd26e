"""The shift operator alone: sums over neighbors, without weights to learn."""

import torch
from torch import Tensor

from geodl.domain import Domain
from geodl.errors import GeodlError, nearest
from geodl.group import Group
from geodl.layer.base import MessagePassing
from geodl.layer.check import count_types
from geodl.layer.entries import entries_of_call
from geodl.layer.folding import GraphState, MergedMembers
from geodl.lowering import ConvolveOptions, Plan
from geodl.neighborhood import Neighborhood, restriction

JOINS = ("sum", "concat")


class Propagate(MessagePassing):
    """`y_i = sum over edges (j -> i) of s_ij x_j`, that is `Y = S X`: a `Conv` without weights.

    With `adjacency("sym", self_loops=True)` it is a step of SGC (Wu et al., "Simplifying Graph
    Convolutional Networks", 2019), APPNP, label propagation or LightGCN; with `laplacian()` of heat
    flow; with `adjacency("row")` of a random walk. Of edges that carry weights it is the weighted
    sum, which `Pool`, a reduction of unweighted edges, refuses. Edge types play no part: over a
    rule with several, S is the sum of all S_t; with `join="concat"` they stay apart, `Y = [S_1 X,
    ..., S_T X]` side by side as channels: over `window(k)` the patches that `nn.Unfold` makes.

    Args:
        rule: which nodes each node receives from, and the entries of S.
        join: what arrives over edges of different types, "sum" or "concat".
        on: a domain; the layer then takes and returns tensors `[B, N, C]`.

    Shapes: in `[B, N, C]`, out `[B, M, C]`, any C; "concat" `[B, M, T C]`, type by type.

    Raises:
        GeodlError: if `rule` is not a rule, or `join` neither of the two.

    >>> import torch
    >>> from geodl import Graph, Signal, adjacency
    >>> graph = Graph([[0, 1], [2, 2]], 3, edge_weight=[0.5, 2.0])
    >>> Propagate(adjacency())(Signal(torch.ones(1, 3, 1), graph)).x.flatten().tolist()
    [0.0, 0.0, 2.5]
    """

    verb = "convolve"
    transparent = True

    def __init__(self, rule: Neighborhood, *, join: str = "sum", on: Domain | None = None):
        if join not in JOINS:
            raise GeodlError(f"Propagate(join={join!r})", do=nearest(str(join), JOINS))
        types = None
        if join == "concat":
            types = count_types(rule, on)
        super().__init__(rule, on, ConvolveOptions(types, None, None))

    @property
    def keeps_apart(self) -> bool:
        """Whether what arrives over edges of different types stands side by side."""
        return self.options.edge_types is not None

    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        weight = None
        if self.keeps_apart:
            # W_t puts the C channels in the t-th place of T.
            types, channels = self.options.edge_types, sender.shape[2]
            wide = types * channels
            weight = torch.eye(wide, dtype=sender.dtype, device=sender.device)
            weight = weight.view(types, channels, wide)
        entries = entries_of_call(plan, parts, sender)
        if entries is None:
            return plan.run(sender, weight, None)
        return plan.run(sender, weight, None, entries)

    def extra_repr(self) -> str:
        if not self.keeps_apart:
            return str(self.rule)
        return f"{self.rule}, join='concat'"


def Restrict(group: Group, subgroup: Group, *, on: Domain | None = None) -> Propagate:
    """A feature map over a group seen as one over a subgroup, with |G| / |H| times the channels:
    `Propagate(restriction(group, subgroup), join="concat")`. No number changes, only what they
    are called: channel c on element `h t` becomes channel `t C + c` on element h of the subgroup.

    Args:
        group: G, of the fiber.
        subgroup: H, a part of it; what follows has its symmetry.
        on: a domain; the layer then takes and returns tensors.

    >>> from geodl import C, D, Grid, GroupGrid, Signal
    >>> p4m = Signal(torch.zeros(1, 9 * 8, 3), GroupGrid(Grid(3, 3), D(4)))
    >>> p4 = Restrict(D(4), C(4))(p4m)
    >>> p4.domain, p4.x.shape
    (GroupGrid(Grid(3, 3), C4), torch.Size([1, 36, 6]))
    """
    return Propagate(restriction(group, subgroup), join="concat", on=on)
