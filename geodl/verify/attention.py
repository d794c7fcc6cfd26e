"""Row 07: attention is messages on the complete graph, and a mask is a missing edge."""

from collections.abc import Callable, Iterator, Sequence

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
    as_leaves,
    count_edges,
    difference,
    equal,
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
    target = receiver.domain if len(signals) == 2 else None
    edges = layer.rule.edges(sender.domain, target)
    weights = layer.weights(*signals).x  # [B, E, H]
    batch, _, heads = weights.shape
    shape = (batch, receiver.domain.num_nodes, sender.domain.num_nodes, heads)
    cells = (torch.arange(batch)[:, None], edges.dst, edges.src)
    dense = weights.new_zeros(shape).index_put(cells, weights)
    return layer(*signals).x, dense.movedim(3, 1)


def twin(layer: Attention, mask: Tensor | None = None) -> Callable[..., tuple[Tensor, Tensor]]:
    """`nn.MultiheadAttention` with the layer's parameters; the mask is True where a pair is
    hidden.
    """
    peer = nn.MultiheadAttention(CHANNELS, HEADS, batch_first=True).double()
    options = {"attn_mask": mask, "average_attn_weights": False}

    def run(*x: Tensor) -> tuple[Tensor, Tensor]:
        receiver, sender = x[0], x[-1]
        parameters: dict[str, Tensor] = dict(layer.named_parameters())
        return functional_call(peer, parameters, (receiver, sender, sender), options)

    return run


def attends_as_torch(
    claim: str, layer: Attention, signals: Sequence[Signal], mask: Tensor | None = None
) -> Row:
    """The row of a claim that outputs and weights are those of `nn.MultiheadAttention`."""
    return equal(claim, layer, signals, twin(layer, mask), BOUND, call=with_weights)


def complete() -> Iterator[Row]:
    """No mask: self-attention and cross-attention."""
    layer = attention(all_pairs())
    s, other = signal(Complete(6), CHANNELS), signal(Complete(9), CHANNELS)
    claim = "07 nn.MultiheadAttention"
    yield attends_as_torch(f"{claim}, self, weights of each head", layer, [s])
    yield attends_as_torch(f"{claim}, cross, weights of each head", layer, [s, other])


def masks() -> Iterator[Row]:
    """Causal, random and window masks as deleted edges."""
    n = 8
    chain, without = Chain(n), adjacency()
    apart = torch.arange(n)[:, None] - torch.arange(n)[None, :]
    future, far = apart < 0, apart.abs() > 2
    holes = (normal(51)(n, n) > 0) & (apart != 0)
    for claim, rule, domain, mask in (
        ("07 causal mask = past()", past(), chain, future),
        ("07 causal mask = deleted edges", without, _graph_of(~future), future),
        ("07 random mask = deleted edges", without, _graph_of(~holes), holes),
        ("07 window mask = deleted edges", without, _graph_of(~far), far),
        ("07 window mask = window(5)", window(5, axes=1), chain, far),
    ):
        yield attends_as_torch(claim, attention(rule), [signal(domain, CHANNELS)], mask)


def _graph_of(pairs: Tensor) -> Graph:
    """The graph whose edges are the True pairs (receiver, sender)."""
    dst, src = pairs.nonzero().T
    return Graph(torch.stack((src, dst)), len(pairs))


def padding() -> Iterator[Row]:
    """Sets of different sizes: a padding mask, or no edges between them."""
    sizes = (5, 2, 7)
    layer = attention(all_pairs())
    peer = nn.MultiheadAttention(CHANNELS, HEADS, batch_first=True).double()
    hidden = torch.arange(max(sizes))[None, :] >= torch.tensor(sizes)[:, None]

    def padded(x: Tensor) -> Tensor:
        rows = [F.pad(part, (0, 0, 0, max(sizes) - len(part))) for part in x[0].split(sizes)]
        x = torch.stack(rows)
        parameters: dict[str, Tensor] = dict(layer.named_parameters())
        y, _ = functional_call(peer, parameters, (x, x, x), {"key_padding_mask": hidden})
        return y[~hidden][None]

    members = Batch([Complete(n) for n in sizes])
    claim, s = "07 padding mask = members of a Batch", signal(members, CHANNELS, batch=1)
    yield equal(claim, layer, [s], padded, BOUND)
    links = members.links()
    graph = Graph(torch.stack((links.src, links.dst)), sum(sizes))
    layer = attention(adjacency(self_loops=True))
    claim, s = "07 padding mask = deleted edges", signal(graph, CHANNELS, batch=1)
    yield equal(claim, layer, [s], padded, BOUND)


def ring() -> Iterator[Row]:
    """The same weights on the complete graph and on a ring: the dense layer with the ring's
    mask.
    """
    n = 9
    node = torch.arange(n)
    apart = (node[:, None] - node[None, :]) % n
    far = (apart > 1) & (apart < n - 1)
    on_ring = attention(all_pairs()).over(adjacency(self_loops=True))
    cycle = _graph_of(~far & (apart != 0))
    for domain in (Grid(n, periodic=True), cycle):
        claim = "07 the same weights on a ring = the ring's mask"
        yield attends_as_torch(claim, on_ring, [signal(domain, CHANNELS)], far)


def blind() -> Iterator[Row]:
    """W_k = 0 gives the mean of the values, whatever the biases: all scores of a query are then
    equal, q_i . b_k.
    """
    layer = attention(all_pairs())
    q, k, v = (part.detach().clone().requires_grad_() for part in layer.in_proj_weight.chunk(3))
    bias, out = layer.in_proj_bias, layer.out_proj
    assert bias is not None
    s = as_leaves([signal(Complete(7), CHANNELS)])[0]
    parameters = {"in_proj_weight": torch.cat((q, torch.zeros_like(k), v))}
    value = s.x @ v.T + bias[2 * CHANNELS :]
    mean = value.mean(1, keepdim=True) @ out.weight.T + out.bias
    leaves = [s.x, q, v, bias, *out.parameters()]
    differences = []
    for lowering in ("sdpa", "edges"):
        layer.lowering = lowering
        ours = functional_call(layer, parameters, (s,)).x
        differences.append(difference(ours, mean.expand(-1, 7, -1), leaves))
    layer.lowering = "auto"
    claim = "07 W_k = 0 gives the mean, whatever the biases"
    yield row(claim, count_edges(layer, s), differences, BOUND)


CLAIMS = (complete, masks, padding, ring, blind)
