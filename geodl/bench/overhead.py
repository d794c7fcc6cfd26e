"""What a call adds to the bare kernel: forward at sizes at which the kernel itself takes next to no
time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.bench.harness import Case, Side, device
from geodl.domain import Chain, Complete, Domain, Graph, Grid
from geodl.layer import Attention, Conv, Pool, Recurrent
from geodl.neighborhood import adjacency, all_pairs, window
from geodl.signal import Signal

MOST, MOST_SPARSE = 40, 60  # microseconds


@dataclass(frozen=True)
class Sizes:
    """Side of the image (and number of nodes), channels."""

    side: int = 4
    channels: int = 4


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """Each kernel on the very views that the layer hands to it; on one thread, because here a
    second one only waits.
    """
    n, c, threads = sizes.side, sizes.channels, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield _case("convolve, window", "F.conv2d", *_conv(n, c))
        yield _case("convolve, graph", "torch.sparse.mm CSR", *_spmm(n, c), most=MOST_SPARSE)
        yield _case("attend, complete", "F.linear, SDPA, F.linear", *_attention(n, c))
        yield _case("recur, chain", "torch.lstm", *_lstm(n, c))
        yield _case("pool, window", "F.max_pool2d", *_pool(n, c))
    finally:
        torch.set_num_threads(threads)


def _case(
    name: str, peer: str, layer: Any, s: Signal, kernel: Callable[[], Tensor], most: float = MOST
) -> Case:
    return Case(
        name,
        peer,
        Side(lambda: layer(s), lambda: [layer(s).x]),
        Side(kernel, lambda: [kernel()]),
        added_us=most,
    )


def _signal(domain: Domain, c: int) -> Signal:
    return Signal(torch.randn(1, domain.num_nodes, c, device=device()), domain.to(device()))


def _conv(n: int, c: int) -> tuple[Any, Signal, Callable[[], Tensor]]:
    layer, s = Conv(c, c, window(3)).to(device()), _signal(Grid(n, n), c)
    image = s.to_image()
    bank = (
        layer.weight.permute(2, 1, 0)
        .unflatten(2, (3, 3))
        .contiguous(memory_format=torch.channels_last)
        .detach()
    )
    return (
        layer,
        s,
        lambda: (
            F.conv2d(image, bank.requires_grad_(), layer.bias, 1, 1).movedim(1, -1).flatten(1, 2)
        ),
    )


def _spmm(n: int, c: int) -> tuple[Any, Signal, Callable[[], Tensor]]:
    ring = torch.arange(n)
    layer, s = (
        Conv(c, c, adjacency("sym", self_loops=True)).to(device()),
        _signal(Graph(torch.stack((ring, (ring + 1) % n))), c),
    )
    edges = layer.rule.edges(s.domain)
    index = torch.stack((edges.dst, edges.src))
    assert edges.weight is not None
    shift = torch.sparse_coo_tensor(
        index, edges.weight.float(), (n, n), check_invariants=False
    ).to_sparse_csr()
    return layer, s, lambda: (torch.sparse.mm(shift, s.x[0] @ layer.weight[0]) + layer.bias)[None]


def _attention(n: int, c: int) -> tuple[Any, Signal, Callable[[], Tensor]]:
    layer, s = Attention(c, all_pairs(), 2).to(device()), _signal(Complete(n), c)

    def kernel() -> Tensor:
        q, k, v = (
            F.linear(s.x, layer.in_proj_weight, layer.in_proj_bias)
            .view(1, n, 3, 2, c // 2)
            .permute(2, 0, 3, 1, 4)
        )
        y = F.scaled_dot_product_attention(q, k, v)
        return F.linear(
            y.transpose(1, 2).reshape(1, n, c), layer.out_proj.weight, layer.out_proj.bias
        )

    return layer, s, kernel


def _lstm(n: int, c: int) -> tuple[Any, Signal, Callable[[], Tensor]]:
    layer, s = Recurrent(c, c).to(device()), _signal(Chain(n), c)
    weights: Any = list(layer.parameters())

    def kernel() -> Tensor:
        zeros = [s.x.new_zeros(1, 1, c), s.x.new_zeros(1, 1, c)]
        return torch.lstm(s.x, zeros, weights, True, 1, 0.0, False, False, True)[0]

    return layer, s, kernel


def _pool(n: int, c: int) -> tuple[Any, Signal, Callable[[], Tensor]]:
    layer, s = Pool(window(2, stride=2)), _signal(Grid(n, n), c)
    image = s.to_image()
    return layer, s, lambda: F.max_pool2d(image, 2).movedim(1, -1).flatten(1, 2)
