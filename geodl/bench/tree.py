"""Child-sum Tree-LSTM on a batch of trees against a loop over the nodes: forward and every
gradient.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geodl.bench.harness import Case, Side, leaf, step
from geodl.bench.meter import CPU
from geodl.domain import Batch, Graph
from geodl.layer import Recurrent
from geodl.neighborhood import predecessors
from geodl.signal import Signal


class Sizes(NamedTuple):
    """Trees, the fewest and the most nodes of each, channels in, channels of the state."""

    trees: int = 64
    least: int = 20
    most: int = 60
    channels: int = 64
    hidden: int = 128


USUAL = Sizes()


def cases(sizes: Sizes = USUAL, device: torch.device = CPU) -> Iterator[Case]:
    """Random recursive trees, children before their parents, all in one signal."""
    parents = _random_trees(sizes)
    trees = [Graph([range(1, len(up) + 1), up], len(up) + 1) for up in parents]
    batch = Batch(trees).to(device)
    layer = Recurrent(sizes.channels, sizes.hidden, "lstm", predecessors()).to(device)
    x = leaf(1, batch.num_nodes, sizes.channels, device=device)
    up = torch.randn(1, batch.num_nodes, sizes.hidden, device=device)
    inputs, children = [x, *layer.parameters()], _children(parents)

    def loop() -> Tensor:
        return node_by_node(x[0], children, list(layer.parameters()))[None]

    ours = step(lambda: layer(Signal(x, batch)).x, inputs, up)
    theirs = step(loop, inputs, up)
    shape = f"{sizes.trees} trees, {batch.num_nodes} nodes"
    name = f"Tree-LSTM {sizes.channels} -> {sizes.hidden}, {shape}"
    yield Case(name, "node by node", Side(ours, ours), Side(theirs, theirs), 0.1)


def _random_trees(sizes: Sizes) -> list[list[int]]:
    """For each tree the parent of each node but the first, a node with a smaller number."""
    draw = torch.Generator().manual_seed(0)
    counts = torch.randint(sizes.least, sizes.most + 1, (sizes.trees,), generator=draw).tolist()
    return [[int(torch.randint(k, (), generator=draw)) for k in range(1, n)] for n in counts]


def _children(parents: list[list[int]]) -> list[list[int]]:
    """The children of each node of the batch; all have larger numbers."""
    children: list[list[int]] = []
    for of_tree in parents:
        start = len(children)
        children += [[] for _ in range(len(of_tree) + 1)]
        for k, parent in enumerate(of_tree, start=1):
            children[start + parent].append(start + k)
    return children


def node_by_node(x: Tensor, children: list[list[int]], weights: list[Tensor]) -> Tensor:
    """The plain loop: inputs `[N, C]` in one product, then one node after another, each with all
    its children at once.
    """
    w, u, b, d = weights
    u_forget, d_forget = u.chunk(4)[1], d.chunk(4)[1]
    inputs = F.linear(x, w, b + d).unbind()
    forget_inputs = F.linear(x, w.chunk(4)[1], b.chunk(4)[1]).unbind()
    zero = x.new_zeros(u.shape[1])
    h, c = [zero] * len(children), [zero] * len(children)
    for k in reversed(range(len(children))):
        gates, kept = inputs[k], zero
        if children[k]:
            below = torch.stack([h[j] for j in children[k]])
            forget = torch.sigmoid(forget_inputs[k] + F.linear(below, u_forget, d_forget))
            kept = (forget * torch.stack([c[j] for j in children[k]])).sum(0)
            gates = gates + F.linear(below.sum(0), u)
        i, _, g, o = gates.chunk(4)
        c[k] = torch.sigmoid(i) * torch.tanh(g) + kept
        h[k] = torch.sigmoid(o) * torch.tanh(c[k])
    return torch.stack(h)
