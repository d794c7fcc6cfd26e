"""Child-sum Tree-LSTM on a batch of trees against a loop over the nodes: forward and every
gradient.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.bench.harness import Case, Side, device, step
from geodl.domain import Batch, Graph
from geodl.layer import Recurrent
from geodl.neighborhood import predecessors
from geodl.signal import Signal


@dataclass(frozen=True)
class Sizes:
    """Trees, the fewest and the most nodes of each, channels in, channels of the state."""

    trees: int = 64
    least: int = 20
    most: int = 60
    channels: int = 64
    hidden: int = 128


def cases(sizes: Sizes = Sizes()) -> Iterator[Case]:
    """Random recursive trees, children before their parents, all in one signal."""
    draw = torch.Generator().manual_seed(0)
    counts = torch.randint(sizes.least, sizes.most + 1, (sizes.trees,), generator=draw).tolist()
    parents = [[int(torch.randint(k, (), generator=draw)) for k in range(1, n)] for n in counts]
    batch = Batch([Graph([range(1, n), up], n) for n, up in zip(counts, parents, strict=True)]).to(
        device()
    )
    layer = Recurrent(sizes.channels, sizes.hidden, "lstm", predecessors()).to(device())
    x = torch.randn(1, batch.num_nodes, sizes.channels, device=device(), requires_grad=True)
    up = torch.randn(1, batch.num_nodes, sizes.hidden, device=device())
    children = _children(counts, parents)
    ours = step(lambda: layer(Signal(x, batch)).x, [x, *layer.parameters()], up)
    theirs = step(
        lambda: node_by_node(x[0], children, list(layer.parameters()))[None],
        [x, *layer.parameters()],
        up,
    )
    name = (
        f"Tree-LSTM {sizes.channels} -> {sizes.hidden}, "
        f"{sizes.trees} trees, {batch.num_nodes} nodes"
    )
    yield Case(name, "node by node", Side(ours, ours), Side(theirs, theirs), 0.1)


def _children(counts: list[int], parents: list[list[int]]) -> list[list[int]]:
    """The children of each node of the batch; all have larger numbers."""
    children: list[list[int]] = []
    for n, up in zip(counts, parents, strict=True):
        start = len(children)
        children += [[] for _ in range(n)]
        for k, parent in enumerate(up, 1):
            children[start + parent].append(start + k)
    return children


def node_by_node(x: Tensor, children: list[list[int]], weights: list[Tensor]) -> Tensor:
    """The plain loop: inputs `[N, C]` in one product, then one node after another, each with all
    its children at once.
    """
    w, u, b, d = weights
    u_forget, d_forget = u.chunk(4)[1], d.chunk(4)[1]
    inputs = F.linear(x, w, b + d).unbind()
    forgets = F.linear(x, w.chunk(4)[1], b.chunk(4)[1]).unbind()
    zero = x.new_zeros(u.shape[1])
    h, c = [zero] * len(children), [zero] * len(children)
    for k in reversed(range(len(children))):
        gates, kept = inputs[k], zero
        if children[k]:
            below = torch.stack([h[j] for j in children[k]])
            forget = torch.sigmoid(forgets[k] + F.linear(below, u_forget, d_forget))
            kept = (forget * torch.stack([c[j] for j in children[k]])).sum(0)
            gates = gates + F.linear(below.sum(0), u)
        i, _, g, o = gates.chunk(4)
        c[k] = torch.sigmoid(i) * torch.tanh(g) + kept
        h[k] = torch.sigmoid(o) * torch.tanh(c[k])
    return torch.stack(h)
