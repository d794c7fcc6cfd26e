"""Convolution on any domain."""

import math
from typing import Any, Self

import torch
from torch import Tensor, nn

from geodl.constants import cached_constants
from geodl.domain import Domain
from geodl.errors import GeodlError, positive
from geodl.layer.base import MessagePassing
from geodl.layer.check import count_types
from geodl.layer.entries import entries_of_call
from geodl.layer.folding import GraphState, MergedMembers
from geodl.layer.parameters import read_weight_and_bias
from geodl.lowering import ConvolveOptions, Plan
from geodl.lowering.product import is_taken_over, multiply_rows
from geodl.neighborhood import Neighborhood


class Conv(MessagePassing):
    """`y_i = b + sum over edges (j -> i) of type t of s_ij x_j W_t`: edges of one type share one
    weight.

    s_ij is the edge's own weight (1 unless the rule gives one, as `adjacency("sym")`); in matrices
    `Y = sum_t S_t X W_t + b`, S_t `[M, N]` the entries s_ij of type t.

    With `window` it is (cross-)correlation, with `adjacency` a GCN, with `itself` a linear layer,
    with `all_pairs("self")` DeepSets, with `lift` and `window(group=...)` a group convolution, with
    `polynomial` a ChebNet. With `groups` W_t is block diagonal: each part of the channels out reads
    one part of the channels in.

    Args:
        channels_in: C_in.
        channels_out: C_out.
        rule: which nodes each node receives from; T edge types.
        bias: add one number for each output channel; over `all_pairs("orbit")` one for each orbit
            of nodes, too, which is every equivariant affine map.
        on: a domain; the layer then takes and returns tensors `[B, N, C]`. Needed where the domain
            decides T.
        groups: how many blocks W_t has; `groups=channels_in` is depthwise (Chollet, "Xception",
            2017; Xie et al., "Aggregated Residual Transformations", 2017).

    Shapes: weight `[T, C_in / groups, C_out]`, bias `[C_out]` (`[O, C_out]` for O > 1 orbits of
    nodes), in `[B, N, C_in]`, out `[B, M, C_out]`.

    Attributes:
        bias_type: `[M]`, which bias each receiver has; None where all have one.

    Initialised as its counterpart in torch or PyG: as `nn.Conv2d` with `C_in / groups *
    rule.fan_in()` inputs, over a reversed rule as `nn.ConvTranspose2d`, or as PyG's `GCNConv`.

    Raises:
        GeodlError: if a number of channels or groups is not positive, if `groups` does not divide
            both channels, or if `rule` is not a rule.

    >>> from geodl import Grid, Signal, window
    >>> layer = Conv(3, 8, window(3))
    >>> layer(Signal(torch.zeros(2, 25, 3), Grid(5, 5))).x.shape
    torch.Size([2, 25, 8])
    """

    verb = "convolve"
    takes_sparse = True
    transparent = True
    strict_rows = True

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        rule: Neighborhood,
        bias: bool = True,
        on: Domain | None = None,
        groups: int = 1,
    ):
        asked = f"Conv({channels_in!r}, {channels_out!r})"
        channels_in = positive(asked, channels_in)
        channels_out = positive(asked, channels_out)
        asked = f"{asked[:-1]}, groups={groups!r})"
        groups = positive(asked, groups)
        if channels_in % groups or channels_out % groups:
            do = "choose groups that divide channels_in and channels_out"
            raise GeodlError(asked, f"channels that {groups} groups do not divide", do)
        types = count_types(rule, on)
        super().__init__(rule, on, ConvolveOptions(types, channels_in, channels_out, groups))
        self.channels_in, self.channels_out, self.groups = channels_in, channels_out, groups
        self.weight = nn.Parameter(torch.empty(types, channels_in // groups, channels_out))
        self.bias = self.bias_type = None
        if bias:
            self.bias_type = _receiver_types(rule, on)
            self.bias = nn.Parameter(torch.empty(*_count_biases(self.bias_type), channels_out))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        rows, columns = self.channels_in // self.groups, self.channels_out // self.groups
        fan_in = self.rule.weight_fan_in(rows, columns, self.on)
        if fan_in is None:
            # How many senders a node has depends on the graph: drawn by the channels alone
            # (Glorot and Bengio, 2010), as PyG's GCNConv is.
            bound = math.sqrt(6 / (rows + columns))
            nn.init.uniform_(self.weight, -bound, bound)
            if self.bias is not None:
                nn.init.zeros_(self.bias)
            return
        # torch's `kaiming_uniform_(a=sqrt(5))`: a deviation of 1 / sqrt(3 fan_in), as biases.
        bound = 1 / math.sqrt(fan_in)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    @property
    def rowwise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - derived
        """Where each node receives from itself alone it is a linear layer, which asks for no
        domain.
        """
        return self.rule.is_pointwise and self.groups == 1 and self.lowering == "auto"

    def on_rows(self, x: Tensor) -> Tensor:
        """The same of values `[B N, C_in]`, a row for each node of each entry of the batch."""
        weight, bias = read_weight_and_bias(self)
        weight = weight.squeeze(0)  # not `[0]`, whose backward writes the gradient into zeros
        if bias is None or is_taken_over(x, weight, bias):
            return multiply_rows(x, weight, bias)
        return torch.addmm(bias, x, weight)

    def _run(
        self,
        plan: Plan,
        receiver: Tensor,
        sender: Tensor,
        parts: MergedMembers,
        state: GraphState,
    ) -> Tensor:
        entries = entries_of_call(plan, parts, sender)
        more = ()
        if entries is not None:
            more = (entries,)
        weight, bias = read_weight_and_bias(self)
        if self.bias_type is None or bias is None:
            return plan.run(sender, weight, bias, *more)
        return plan.run(sender, weight, None, *more) + bias[self.bias_type]

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        if self.bias_type is not None and not self.weight.is_meta:
            self.bias_type = self.bias_type.to(self.weight.device)
        return self

    def extra_repr(self) -> str:
        parts = [f"{self.channels_in}, {self.channels_out}, {self.rule}"]
        if self.bias is None:
            parts.append("bias=False")
        if self.groups > 1:
            parts.append(f"groups={self.groups}")
        return ", ".join(parts)


def _receiver_types(rule: Neighborhood, on: Domain | None) -> Tensor | None:
    """Which receivers of a rule on a layer's own domain share a bias: `[M]`; None where all do."""
    if on is None:
        return None
    with cached_constants():
        return rule.receiver_types(on)


def _count_biases(types: Tensor | None) -> tuple[int, ...]:
    """The leading shape of a bias: none where all receivers share one, else their types."""
    if types is None:
        return ()
    return (int(types.max()) + 1,)
