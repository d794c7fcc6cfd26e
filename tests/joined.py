"""Networks as messages, and signals that have a state of everything, for tests."""

from typing import Any

import torch
from torch import Tensor, nn

import geodl as g

# node 4 receives from no one, node 1 over three edges, two of them parallel
GRAPH = g.Graph([[0, 1, 2, 3, 0, 0], [1, 2, 3, 0, 1, 3]], 5)
PATH = g.Graph([[0, 1], [1, 2]], 3)
EDGES = {"none": 0, "weights": 1, "state": 2}
C, U = 3, 2  # channels of nodes and of graphs


def network(width: int, hidden: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 2)).double()


class Row(nn.Module):
    """The network as users write it, a module of which nothing is known."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, *values: Tensor | None) -> Tensor:
        return self.net(torch.cat([value for value in values if value is not None], -1))


def values(edges: str = "state", batch: int = 1, domain: Any = GRAPH) -> g.Signal:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    if edges == "weights":
        domain = g.Graph(domain.edge_index, domain.num_nodes, edge_weight=normal(6).exp())
    state = None
    if edges == "state":
        state = normal(batch, domain.num_links, 2)
    x = normal(batch, domain.num_nodes, C)
    return g.Signal(x, domain, state, normal(batch, domain.num_members, U))
