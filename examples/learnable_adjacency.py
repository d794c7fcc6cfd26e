"""A graph is learnt from signals on it: gradients reach the weights of its edges."""

import torch
from torch import nn

import geodl as g

torch.manual_seed(0)
N = 12
receivers, senders = (~torch.eye(N, dtype=torch.bool)).nonzero().T
everyone = g.Graph(torch.stack([senders, receivers]), N)  # all candidates
hidden = torch.rand(len(senders)) < 0.3  # the links that there really are
spread = g.Propagate(g.adjacency("row", self_loops=True))

scores = nn.Parameter(torch.zeros(len(senders)))
optimizer = torch.optim.Adam([scores], lr=0.1)
for _ in range(300):
    x = torch.randn(8, N, 4)
    wanted = spread(g.Signal(x, everyone.with_weights(hidden.float()))).x
    found = spread(g.Signal(x, everyone.with_weights(scores.sigmoid()))).x
    loss = (found - wanted).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

right = (scores > 0) == hidden
print(f"{hidden.sum()} of {len(hidden)} pairs are linked: {right.sum()} of them told right")
