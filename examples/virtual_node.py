"""A virtual node (Gilmer et al., 2017): one node receives from all and sends to all."""

import torch
from torch import nn

import geodl as g


class Hub(g.Layer):
    """Adds to every node what a virtual node made of the mean of all."""

    def __init__(self, channels: int):
        super().__init__()
        self.gather, self.think = g.Pool(g.whole(), "mean"), nn.Linear(channels, channels)
        self.send = g.Conv(channels, channels, g.whole().reverse())

    def compute(self, receiver, sender, rule):
        hub = self.gather(receiver).map(self.think).map(torch.relu)
        return receiver + self.send(receiver, hub)


def learn(*middle: nn.Module) -> float:
    """The error in telling every node of a long path how far it is above the mean of all."""
    near = g.Conv(1, 16, g.adjacency("row", self_loops=True))
    model = g.Sequential(near, *middle, nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss = torch.zeros(())
    for _ in range(300):
        x = torch.randn(32, 1, 1) + torch.randn(32, 40, 1)
        loss = (model(g.Signal(x, g.Chain(40))).x - x.mean(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


torch.manual_seed(0)
alone, helped = learn(nn.ReLU()), learn(Hub(16))
print(f"mean squared error without a virtual node {alone:.3f}, with it {helped:.3f}")
