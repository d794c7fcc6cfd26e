"""Row 07: attention is messages on the complete graph, and a mask is a missing edge."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from geodl import (
    Attention,
    Batch,
    Chain,
    Complete,
    Graph,
    Grid,
    Neighborhood,
    Signal,
    adjacency,
    all_pairs,
    past,
    window,
)
from geodl.verify.base import (
    Row,
    count_edges,
    difference,
    equal,
    leaved,
    normal,
    randomised,
    row,
    signal,
)

CHANNELS, HEADS, BOUND = 12, 3, 1e-11


def attention(rule: Neighborhood) -> Attention:
    """A layer of this row, with random parameters."""
    return randomised(Attention(CHANNELS, rule, heads=HEADS), normal(50), 0.4)


def with_weights(layer: Attention, *signals: Signal) -> tuple[Tensor, Tensor]:
    """The output, and the weights of each head as dense matrices `[B, H, M, N]`, zero where there
    is no edge.
    """
    receiver, sender = signals[0], signals[-1]
    across = signals[1:]
    target = receiver.domain if across else None
    dst, src, _, _ = layer.rule.edges(sender.domain, target)
    a = layer.weights(receiver, *across).x
    dense = a.new_zeros(len(a), receiver.domain.num_nodes, sender.domain.num_nodes, a.shape[2])
    return layer(receiver, *across).x, dense.index_put(
        (torch.arange(len(a))[:, None], dst, src), a
    ).movedim(3, 1)


def twin(layer: Attention, mask: Tensor | None = None) -> Callable[..., tuple[Tensor, Tensor]]:
    """`nn.MultiheadAttention` with the layer's parameters; the mask is True where a pair is
    hidden.
    """
    peer = nn.MultiheadAttention(CHANNELS, HEADS, batch_first=True).double()

    def run(receiver: Tensor, sender: Tensor | None = None) -> tuple[Tensor, Tensor]:
        sender = receiver if sender is None else sender
        options = {"attn_mask": mask, "average_attn_weights": False}
        return functional_call(
            peer, dict(layer.named_parameters()), (receiver, sender, sender), options
        )

    return run


def complete() -> Iterator[Row]:
    """No mask: self-attention and cross-attention."""
    layer = attention(all_pairs())
    s, other = signal(Complete(6), CHANNELS), signal(Complete(9), CHANNELS)
    yield equal(
        "07 nn.MultiheadAttention, self, weights of each head",
        layer,
        [s],
        twin(layer),
        BOUND,
        call=with_weights,
    )
    yield equal(
        "07 nn.MultiheadAttention, cross, weights of each head",
        layer,
        [s, other],
        twin(layer),
        BOUND,
        call=with_weights,
    )


def masks() -> Iterator[Row]:
    """Causal, random and window masks as deleted edges."""
    n = 8
    apart = torch.arange(n)[:, None] - torch.arange(n)[None, :]
    causal, near = apart < 0, apart.abs() > 2
    holes = (normal(51)(n, n) > 0) & (apart != 0)
    without = adjacency()
    for claim, rule, domain, mask in (
        ("07 causal mask = past()", past(), Chain(n), causal),
        ("07 causal mask = deleted edges", without, _kept(~causal), causal),
        ("07 random mask = deleted edges", without, _kept(~holes), holes),
        ("07 window mask = deleted edges", without, _kept(~near), near),
        ("07 window mask = window(5)", window(5, axes=1), Chain(n), near),
    ):
        layer = attention(rule)
        yield equal(
            claim, layer, [signal(domain, CHANNELS)], twin(layer, mask), BOUND, call=with_weights
        )


def _kept(pairs: Tensor) -> Graph:
    dst, src = pairs.nonzero().T
    return Graph(torch.stack((src, dst)), len(pairs))


def padding() -> Iterator[Row]:
    """Sets of different sizes: a padding mask, or no edges between them."""
    sizes = (5, 2, 7)
    layer, peer = (
        attention(all_pairs()),
        nn.MultiheadAttention(CHANNELS, HEADS, batch_first=True).double(),
    )
    hidden = torch.arange(max(sizes))[None, :] >= torch.tensor(sizes)[:, None]

    def padded(x: Tensor) -> Tensor:
        parts = [F.pad(part, (0, 0, 0, max(sizes) - len(part))) for part in x[0].split(sizes)]
        x = torch.stack(parts)
        y, _ = functional_call(
            peer, dict(layer.named_parameters()), (x, x, x), {"key_padding_mask": hidden}
        )
        return y[~hidden][None]

    members = Batch([Complete(n) for n in sizes])
    yield equal(
        "07 padding mask = members of a Batch",
        layer,
        [signal(members, CHANNELS, batch=1)],
        padded,
        BOUND,
    )
    links = [members.links().src, members.links().dst]
    graph = Graph(torch.stack(links), sum(sizes))
    layer = attention(adjacency(self_loops=True))
    yield equal(
        "07 padding mask = deleted edges", layer, [signal(graph, CHANNELS, batch=1)], padded, BOUND
    )


def ring() -> Iterator[Row]:
    """The same weights on the complete graph and on a ring: the dense layer with the ring's
    mask.
    """
    n = 9
    apart = (torch.arange(n)[:, None] - torch.arange(n)[None, :]) % n
    far = ~((apart <= 1) | (apart == n - 1))
    dense = attention(all_pairs())
    on_ring = dense.over(adjacency(self_loops=True))
    cycle = Graph(
        [
            [*range(n), *((i + 1) % n for i in range(n))],
            [*((i + 1) % n for i in range(n)), *range(n)],
        ],
        n,
    )
    for domain in (Grid(n, periodic=True), cycle):
        claim = "07 the same weights on a ring = the ring's mask"
        yield equal(
            claim, on_ring, [signal(domain, CHANNELS)], twin(dense, far), BOUND, call=with_weights
        )


def blind() -> Iterator[Row]:
    """W_k = 0 gives the mean of the values, whatever the biases."""
    layer = attention(all_pairs())
    q, k, v = (w.detach().clone().requires_grad_() for w in layer.in_proj_weight.chunk(3))
    s, gaps = leaved([signal(Complete(7), CHANNELS)])[0], []
    bias, out = layer.in_proj_bias, layer.out_proj
    assert bias is not None
    for lowering in ("sdpa", "edges"):
        layer.lowering = lowering
        ours = functional_call(
            layer, {"in_proj_weight": torch.cat((q, torch.zeros_like(k), v))}, (s,)
        ).x
        value = s.x @ v.T + bias[2 * CHANNELS :]
        mean = value.mean(1, keepdim=True) @ out.weight.T + out.bias
        gaps.append(difference(ours, mean.expand(-1, 7, -1), [s.x, q, v, bias, *out.parameters()]))
    layer.lowering = "auto"
    yield row("07 W_k = 0 gives the mean, whatever the biases", count_edges(layer, s), gaps, BOUND)


CLAIMS = (complete, masks, padding, ring, blind)
