"""Row 09: one function on two graphs: linear attention is a recurrence, attention with hard offsets
is a convolution.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from geodl import Attention, Chain, Grid, Signal, all_pairs, past, previous, reference, window
from geodl.reference import State
from geodl.verify.base import (
    Row,
    as_leaves,
    count_edges,
    difference,
    equal,
    normal,
    randomised,
    row,
    signal,
)

CHANNELS, HEADS = 6, 2
FAR = -1e4  # added to a score, it leaves a weight of exactly 0


class Sums:
    """A cell whose state is `S_i = S_{i-1} + k_i v_i^T` and `z_i = z_{i-1} + k_i`; x is
    `[k, v]`.
    """

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is computed from x ahead of the recurrence: nothing for edges, keys and values for
        nodes.
        """
        return x[..., :0], x

    def edge(self, a: Tensor, state: State) -> State:
        """The state of the sender, as it is."""
        return state

    def node(self, b: Tensor, total: State) -> State:
        """One term more in both sums."""
        k, v = b.unflatten(-1, (2, HEADS, CHANNELS // HEADS)).unbind(1)
        products, keys = total
        return products + k[..., :, None] * v[..., None, :], keys + k


def linear_attention() -> Iterator[Row]:
    """Causal linear attention, in one chunk of its kernel and in several, is
    `y_i = f(q_i) S_i / f(q_i) z_i` along a chain.
    """
    for length in (7, 150):
        layer = randomised(Attention(CHANNELS, past(), HEADS, "linear"), normal(90))
        claim = f"09 linear attention on past(), {length} nodes = a recurrence"
        chain = Chain(length)
        yield equal(claim, layer, [signal(chain, CHANNELS)], _recurrence(layer, chain), 1e-10)


def _recurrence(layer: Any, chain: Chain) -> Callable[[Tensor], Tensor]:
    """Linear attention of a layer, one node after another."""

    def run(x: Tensor) -> Tensor:
        n, width = chain.num_nodes, CHANNELS // HEADS
        q, k, v = F.linear(x, layer.in_proj_weight, layer.in_proj_bias).chunk(3, -1)
        q, k = F.elu(q) + 1, F.elu(k) + 1  # the feature map f
        sums = x.new_zeros(len(x), n, HEADS, width, width)
        total = x.new_zeros(len(x), n, HEADS, width)
        inputs, edges = torch.cat((k, v), -1), previous().edges(chain)
        sums, total = reference.recur(inputs, edges, Sums(), (sums, total), n)
        q = q.unflatten(-1, (HEADS, width))
        y = torch.einsum("bnhd,bnhde->bnhe", q, sums) / (q * total).sum(-1, keepdim=True)
        return layer.out_proj(y.flatten(2))

    return run


def hard_offsets() -> Iterator[Row]:
    """Nine heads, each bound to one offset, are any 3x3 convolution on the torus."""
    for channels_in, channels_out in ((4, 4), (3, 5), (5, 3)):
        yield _convolution(channels_in, channels_out)


def _convolution(channels_in: int, channels_out: int, side: int = 5) -> Row:
    """Head h attends to the node at offset h only and carries tap h of the kernel, a matrix of rank
    at most min(C_in, C_out): that is the width of a head. The layer has max(C_in, C_out) channels,
    and what the signal does not need stays zero.
    """
    wide, narrow = max(channels_in, channels_out), min(channels_in, channels_out)
    draw, torus = normal(91), Grid(side, side, periodic=True)
    typed = Attention(wide, window(side), heads=9, head_dim=narrow, relative=True)
    layer = randomised(typed, draw, 0.3).over(all_pairs("offset"))
    kernel = draw(channels_out, channels_in, 3, 3).requires_grad_()
    bias = draw(channels_out).requires_grad_()
    values, outs = _factors(kernel, wide)
    in_bias, in_weight = layer.in_proj_bias, layer.in_proj_weight
    assert in_bias is not None
    num_keys = 2 * 9 * narrow  # rows of queries and keys, whose values no longer matter
    parameters = {
        "in_proj_weight": torch.cat((in_weight[:num_keys], values)),
        "in_proj_bias": in_bias,
        "out_proj.weight": outs,
        # The weights of a head sum to 1, so that the values' bias arrives as it is.
        "out_proj.bias": F.pad(bias, (0, wide - channels_out)) - outs @ in_bias[num_keys:],
        "relative_bias": _one_offset_a_head(side),
    }
    s = as_leaves([signal(torus, channels_in)])[0]
    image = F.pad(s.x.mT.unflatten(2, (side, side)), (1, 1, 1, 1), mode="circular")
    theirs = F.conv2d(image, kernel, bias).flatten(2).mT
    padded = Signal(F.pad(s.x, (0, wide - channels_in)), torus)
    leaves = [s.x, kernel, bias, in_weight, in_bias]
    differences = []
    for lowering in ("auto", "edge_softmax", "edges"):
        layer.lowering = lowering
        ours = functional_call(layer, parameters, (padded,)).x[..., :channels_out]
        differences.append(difference(ours, theirs, leaves))
    claim = f"09 9 heads of width {narrow} with hard offsets = conv2d 3x3"
    claim = f"{claim}, {channels_in} to {channels_out} channels, on the torus"
    return row(claim, count_edges(layer, padded), differences, 1e-11)


def _factors(kernel: Tensor, wide: int) -> tuple[Tensor, Tensor]:
    """Each tap of a kernel as a product of two matrices, one of them the identity: the weights of
    the values `[9 narrow, wide]` and of the outputs `[wide, 9 narrow]`, the rest zero.
    """
    channels_out, channels_in = kernel.shape[:2]
    taps = kernel.flatten(2).movedim(2, 0)  # [9, C_out, C_in]
    one = torch.eye(min(channels_in, channels_out), dtype=torch.float64).expand(9, -1, -1)
    values, outs = taps, one
    if channels_in <= channels_out:
        values, outs = one, taps
    values = F.pad(values, (0, wide - channels_in)).flatten(0, 1)
    outs = F.pad(outs, (0, 0, 0, wide - channels_out)).movedim(0, 1).flatten(1)
    return values, outs


def _one_offset_a_head(side: int) -> Tensor:
    """A bias for each offset on the torus and each of nine heads `[side^2, 9]`: 0 at the head's own
    offset of a 3x3 window, FAR below it elsewhere.
    """
    step = torch.arange(-1, 2)
    down, right = torch.meshgrid(step, step, indexing="ij")
    own = (down % side * side + right % side).flatten()
    bias = torch.full((side * side, 9), FAR, dtype=torch.float64)
    bias[own, torch.arange(9)] = 0.0
    return bias


CLAIMS = (linear_attention, hard_offsets)
