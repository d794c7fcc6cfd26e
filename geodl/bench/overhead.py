"""What a call adds to the bare kernel: forward at sizes at which the kernel itself takes next to no
time.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.bench.harness import Case, Side
from geodl.bench.meter import CPU
from geodl.bench.spmm import shift_operator
from geodl.domain import Chain, Complete, Domain, Graph, Grid
from geodl.layer import Attention, Conv, Pool, Recurrent
from geodl.neighborhood import adjacency, all_pairs, window
from geodl.signal import Signal

MOST, MOST_SPARSE = 40, 60  # microseconds


class Sizes(NamedTuple):
    """Side of the image (and number of nodes), channels."""

    side: int = 4
    channels: int = 4


USUAL = Sizes()


class Pair(NamedTuple):
    """A layer, the signal that it is called with, and the bare kernel on the same values."""

    layer: Any
    signal: Signal
    kernel: Callable[[], Tensor]


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """Each kernel on the very views that the layer hands to it; on one thread, because here a
    second one only waits.
    """
    n, c, threads = sizes.side, sizes.channels, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield _case("convolve, window", "F.conv2d", _conv(n, c, device))
        yield _case("convolve, graph", "torch.sparse.mm CSR", _spmm(n, c, device), MOST_SPARSE)
        yield _case("attend, complete", "F.linear, SDPA, F.linear", _attention(n, c, device))
        yield _case("recur, chain", "torch.lstm", _lstm(n, c, device))
        yield _case("pool, window", "F.max_pool2d", _pool(n, c, device))
    finally:
        torch.set_num_threads(threads)


def _case(name: str, peer: str, pair: Pair, most: float = MOST) -> Case:
    layer, signal, kernel = pair
    ours = Side(lambda: layer(signal), lambda: [layer(signal).x])
    return Case(name, peer, ours, Side(kernel, lambda: [kernel()]), added_us=most)


def _signal(domain: Domain, c: int, device: torch.device) -> Signal:
    return Signal(torch.randn(1, domain.num_nodes, c, device=device), domain.to(device))


def _conv(n: int, c: int, device: torch.device) -> Pair:
    layer: Any = Conv(c, c, window(3)).to(device)
    s = _signal(Grid(n, n), c, device)
    image = s.to_image()
    filters = layer.weight.permute(2, 1, 0).unflatten(2, (3, 3))
    bank = filters.contiguous(memory_format=torch.channels_last).detach().requires_grad_()

    def kernel() -> Tensor:
        return F.conv2d(image, bank, layer.bias, 1, 1).movedim(1, -1).flatten(1, 2)

    return Pair(layer, s, kernel)


def _spmm(n: int, c: int, device: torch.device) -> Pair:
    node = torch.arange(n)
    ring = Graph(torch.stack((node, (node + 1) % n))).to(device)
    rule = adjacency("sym", self_loops=True)
    layer: Any = Conv(c, c, rule).to(device)
    s, shift = _signal(ring, c, device), shift_operator(rule, ring)

    def kernel() -> Tensor:
        return (torch.sparse.mm(shift, s.x[0] @ layer.weight[0]) + layer.bias)[None]

    return Pair(layer, s, kernel)


def _attention(n: int, c: int, device: torch.device) -> Pair:
    heads = 2
    layer: Any = Attention(c, all_pairs(), heads).to(device)
    s = _signal(Complete(n), c, device)

    def kernel() -> Tensor:
        qkv = F.linear(s.x, layer.in_proj_weight, layer.in_proj_bias)
        q, k, v = qkv.view(1, n, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, n, c)
        return F.linear(y, layer.out_proj.weight, layer.out_proj.bias)

    return Pair(layer, s, kernel)


def _lstm(n: int, c: int, device: torch.device) -> Pair:
    layer: Any = Recurrent(c, c).to(device)
    s = _signal(Chain(n), c, device)
    weights = list(layer.parameters())

    def kernel() -> Tensor:
        zeros = [s.x.new_zeros(1, 1, c), s.x.new_zeros(1, 1, c)]
        return torch.lstm(s.x, zeros, weights, True, 1, 0.0, False, False, True)[0]

    return Pair(layer, s, kernel)


def _pool(n: int, c: int, device: torch.device) -> Pair:
    layer, s = Pool(window(2, stride=2)), _signal(Grid(n, n), c, device)
    image = s.to_image()
    return Pair(layer, s, lambda: F.max_pool2d(image, 2).movedim(1, -1).flatten(1, 2))
