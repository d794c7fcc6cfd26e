"""GraphSAGE (Hamilton et al., 2017): a step reads sampled neighbors, never the whole graph."""

import torch
from torch import nn

import geodl as g

torch.manual_seed(0)
data = g.data.cora()
receivers, senders, _ = data.signal.domain.links()
neighbors = [senders[receivers == i] for i in range(2708)]
mean = g.Pool(g.adjacency(), "mean")
layers = nn.ModuleList([nn.Linear(2 * 1433, 32), nn.Linear(2 * 32, data.num_classes)])


def sage(nodes: torch.Tensor, count: int, depth: int = 2) -> torch.Tensor:
    """What the first `depth` layers make of some nodes: `W [x_i, mean of sampled x_j]`."""
    if depth == 0:
        return data.signal.x[:, nodes]
    drawn = [neighbors[i][torch.randperm(len(neighbors[i]))[:count]] for i in nodes.tolist()]
    known, place = torch.cat([nodes, *drawn]).unique(return_inverse=True)
    own, src = place[: len(nodes)], place[len(nodes) :]
    dst = torch.arange(len(nodes)).repeat_interleave(torch.tensor([len(d) for d in drawn]))
    block = g.relation(torch.stack([src, dst]), senders=len(known), receivers=len(nodes))
    x = sage(known, count, depth - 1).relu()
    around = mean.over(block)(g.Signal(x, g.Complete(len(known)))).x
    return layers[depth - 1](torch.cat([x[:, own], around], -1))


optimizer = torch.optim.Adam(layers.parameters(), lr=0.01, weight_decay=5e-4)
for _ in range(40):
    nodes = torch.randperm(140)[:64]  # the 140 nodes to learn from come first
    loss = nn.functional.cross_entropy(sage(nodes, count=5)[0], data.labels[nodes])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
tested = data.test.nonzero()[:, 0]
right = sage(tested, count=10)[0].argmax(-1) == data.labels[tested]
print(f"cora, public split, sampled neighbors: test accuracy {right.float().mean():.1%}")
