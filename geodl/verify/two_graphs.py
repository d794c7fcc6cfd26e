"""Row 09: one function on two graphs: linear attention is a recurrence, attention with hard offsets
is a convolution.
"""

from collections.abc import Iterator
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
FAR = -1e4  # added to a score it leaves a weight of exactly 0


class Sums:
    """A cell whose state is `S_i = S_{i-1} + k_i v_i^T` and `z_i = z_{i-1} + k_i`; x is `[k,
    v]`.
    """

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes read their keys and values, edges nothing."""
        return x[..., :0], x

    def edge(self, x: Tensor, state: State) -> State:
        """All of what the node before has summed."""
        return state

    def node(self, x: Tensor, heard: State) -> State:
        """One term more."""
        k, v = x.unflatten(-1, (2, HEADS, CHANNELS // HEADS)).unbind(1)
        return heard[0] + k[..., :, None] * v[..., None, :], heard[1] + k


def linear_attention() -> Iterator[Row]:
    """Causal linear attention, in one chunk of its kernel and in several, is `y_i = f(q_i) S_i /
    f(q_i) z_i` along a chain.
    """
    for length in (7, 150):
        layer, chain = (
            randomised(Attention(CHANNELS, past(), HEADS, "linear"), normal(90)),
            Chain(length),
        )

        def recurrence(x: Tensor, layer: Any = layer, chain: Chain = chain) -> Tensor:
            q, k, v = F.linear(x, layer.in_proj_weight, layer.in_proj_bias).chunk(3, -1)
            q, k = (torch.where(t > 0, t + 1, t.exp()) for t in (q, k))
            n, width = chain.num_nodes, CHANNELS // HEADS
            start = (
                x.new_zeros(len(x), n, HEADS, width, width),
                x.new_zeros(len(x), n, HEADS, width),
            )
            sums, total = reference.recur(
                torch.cat((k, v), -1), previous().edges(chain), Sums(), start, n
            )
            q = q.unflatten(-1, (HEADS, width))
            y = torch.einsum("bnhd,bnhde->bnhe", q, sums) / (q * total).sum(-1, keepdim=True)
            return layer.out_proj(y.flatten(2))

        claim = f"09 linear attention on past(), {length} nodes = a recurrence"
        yield equal(claim, layer, [signal(chain, CHANNELS)], recurrence, 1e-10)


def hard_offsets() -> Iterator[Row]:
    """Nine heads, each bound to one offset, are any 3x3 convolution on the torus."""
    for channels_in, channels_out in ((4, 4), (3, 5), (5, 3)):
        yield _convolution(channels_in, channels_out)


def _convolution(channels_in: int, channels_out: int, side: int = 5) -> Row:
    """The heads' width is the smaller number of channels; the layer's channels are the larger, and
    the rest stays empty.
    """
    wide, narrow = max(channels_in, channels_out), min(channels_in, channels_out)
    draw, torus = normal(91), Grid(side, side, periodic=True)
    typed = Attention(wide, window(side), heads=9, head_dim=narrow, relative=True)
    layer = randomised(typed, draw, 0.3).over(all_pairs("offset"))
    kernel, bias = (
        draw(*shape).requires_grad_()
        for shape in ((channels_out, channels_in, 3, 3), (channels_out,))
    )
    s, differences = as_leaves([signal(torus, channels_in)])[0], []
    down, right = torch.meshgrid(torch.arange(-1, 2), torch.arange(-1, 2), indexing="ij")
    own = (
        down % side * side + right % side
    ).flatten()  # the number of each head's offset among all on the torus
    hard = torch.full((side * side, 9), FAR, dtype=torch.float64).index_put(
        (own, torch.arange(9)), torch.tensor(0.0).double()
    )
    taps = kernel.flatten(2).movedim(2, 0)  # [9, C_out, C_in]
    one = torch.eye(narrow, dtype=torch.float64).expand(9, -1, -1)
    values, outs = (one, taps) if channels_in == narrow else (taps, one)
    values = F.pad(values, (0, wide - channels_in)).flatten(0, 1)
    outs = F.pad(outs, (0, 0, 0, wide - channels_out)).movedim(0, 1).flatten(1)
    inner = 9 * narrow
    assert layer.in_proj_bias is not None
    parameters = {
        "in_proj_weight": torch.cat((layer.in_proj_weight[: 2 * inner], values)),
        "in_proj_bias": layer.in_proj_bias,
        "out_proj.weight": outs,
        "out_proj.bias": F.pad(bias, (0, wide - channels_out))
        - outs @ layer.in_proj_bias[2 * inner :],
        "relative_bias": hard,
    }
    image = s.x.mT.unflatten(2, (side, side))
    theirs = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="circular"), kernel, bias).flatten(2).mT
    wider = Signal(F.pad(s.x, (0, wide - channels_in)), torus)
    for lowering in ("auto", "edge_softmax", "edges"):
        layer.lowering = lowering
        ours = functional_call(layer, parameters, (wider,)).x[..., :channels_out]
        differences.append(
            difference(ours, theirs, [s.x, kernel, bias, layer.in_proj_weight, layer.in_proj_bias])
        )
    claim = (
        f"09 9 heads of width {narrow} with hard offsets = conv2d 3x3, "
        f"{channels_in} to {channels_out} channels, on the torus"
    )
    return row(claim, count_edges(layer, wider), differences, 1e-11)


CLAIMS = (linear_attention, hard_offsets)
