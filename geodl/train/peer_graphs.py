"""Peers of PyG's layers on whole graphs, many of them in a batch."""

from abc import ABC, abstractmethod
from typing import Any, final

import torch
from torch import Tensor, nn

from geodl.domain import Complete
from geodl.signal import Signal, knn


@final
class PygGin(nn.Module):
    """`GINConv` in a row, batch norm and ReLU after each; the sums of what all of them say over the
    nodes of a graph, side by side, go into a linear layer (Xu et al. 2019).

    Args:
        features: channels of the input.
        classes: channels of the output.
        hidden: channels of each layer.
        depth: how many layers.
        dropout: before the linear layer.
    """

    def __init__(self, features: int, classes: int, *, hidden: int, depth: int, dropout: float):
        from torch_geometric.nn import GINConv

        super().__init__()
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        width = features
        for _ in range(depth):
            perceptron = nn.Sequential(
                nn.Linear(width, hidden),
                nn.BatchNorm1d(hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden),
            )
            self.layers.append(GINConv(perceptron))
            self.norms.append(nn.BatchNorm1d(hidden))
            width = hidden
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(depth * hidden, classes))

    def forward(self, signal: Any) -> Signal:
        """Class scores of the graphs of a batch."""
        from torch_geometric.nn import global_add_pool

        edge_index, member = edges_and_members(signal)
        (x,) = signal.x
        sums = []
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = torch.relu(norm(layer(x, edge_index)))
            sums.append(global_add_pool(x, member, size=signal.domain.num_members))
        scores = self.head(torch.cat(sums, dim=1))
        return Signal(scores[None], Complete(len(scores)))


@final
class PygEdgeConv(nn.Module):
    """`EdgeConv` in a row, each over nearest neighbors of its own, batch norm and ReLU between
    them; then the maximum over the points and a perceptron.

    PyG's own `DynamicEdgeConv` needs torch-cluster to find neighbors: ours are found by
    :func:`geodl.knn`.

    Args:
        classes: channels of the output.
        hidden: channels of each layer.
        depth: how many.
        neighbors: from how many points each receives.
        dropout: in the perceptron.
    """

    def __init__(self, classes: int, *, hidden: int, depth: int, neighbors: int, dropout: float):
        from torch_geometric.nn import EdgeConv

        super().__init__()
        self.layers = nn.ModuleList()
        width = 3
        for _ in range(depth):
            self.layers.append(EdgeConv(perceptron(2 * width, hidden, hidden), "max"))
            width = hidden
        self.norms = nn.ModuleList([nn.BatchNorm1d(hidden) for _ in range(depth - 1)])
        self.neighbors = neighbors
        head = (nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Sequential(*head, nn.Linear(hidden, classes))

    def forward(self, signal: Any) -> Signal:
        """Class scores of the clouds of a batch."""
        from torch_geometric.nn import global_max_pool

        for number, layer in enumerate(self.layers):
            nearest = knn(signal, self.neighbors)
            (x,) = signal.x
            x = layer(x, nearest.edge_index)
            if number < len(self.norms):
                x = torch.relu(self.norms[number](x))
            signal = signal.with_x(x[None])
        whole = global_max_pool(signal.x[0], signal.domain.member_of())
        scores = self.head(whole)
        return Signal(scores[None], Complete(len(scores)))


@final
class PygGraphNet(nn.Module):
    """`MetaLayer` in a row, and a linear layer on the state of the graph.

    Args:
        features: channels of the nodes.
        edge_features: channels of the edges.
        classes: channels of the output.
        hidden: channels of all three states.
        depth: how many blocks.
    """

    def __init__(self, features: int, edge_features: int, classes: int, *, hidden: int, depth: int):
        from torch_geometric.nn import MetaLayer

        super().__init__()
        self.blocks = nn.ModuleList()
        nodes, edges, whole = features, edge_features, 0
        for _ in range(depth):
            block = MetaLayer(
                _Edge(perceptron(2 * nodes + edges + whole, hidden, hidden)),
                _Node(perceptron(nodes + hidden + whole, hidden, hidden)),
                _Whole(perceptron(2 * hidden + whole, hidden, hidden)),
            )
            self.blocks.append(block)
            nodes = edges = whole = hidden
        self.last = nn.Linear(hidden, classes)

    def forward(self, signal: Any) -> Signal:
        """Class scores of the graphs of a batch."""
        edge_index, member = edges_and_members(signal)
        (x,) = signal.x
        (edge,) = signal.edges
        state = x.new_zeros(signal.domain.num_members, 0)
        for block in self.blocks:
            x, edge, state = block(x, edge_index, edge, state, member)
        scores = self.last(state)
        return Signal(scores[None], Complete(len(scores)))


class _Update(nn.Module, ABC):
    """One of the three functions of a `MetaLayer`: a network of all that it reads, side by side."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    @abstractmethod
    def forward(self, *states: Tensor) -> Tensor:
        """The new state."""


@final
class _Edge(_Update):
    """The new state of an edge, of both its ends, its own and that of its graph."""

    def forward(self, *states: Tensor) -> Tensor:
        """`[E, C]`, called with senders, receivers, edges, states of graphs, and the graph of each
        edge.
        """
        sender, receiver, edge, state, member = states
        return self.net(torch.cat((receiver, sender, edge, state[member]), dim=1))


@final
class _Node(_Update):
    """The new state of a node, of its own, the sum of its edges' and that of its graph."""

    def forward(self, *states: Tensor) -> Tensor:
        """`[N, C]`, called with nodes, edge index, edges, states of graphs, and the graph of each
        node.
        """
        x, edge_index, edge, state, member = states
        received = _sums_at(edge_index[1], edge, len(x))
        return self.net(torch.cat((x, received, state[member]), dim=1))


@final
class _Whole(_Update):
    """The new state of a graph, of its own and the means over its nodes of their states and of what
    they received.
    """

    def forward(self, *states: Tensor) -> Tensor:
        """`[D, C]`, called as :class:`_Node` is."""
        from torch_geometric.utils import scatter

        x, edge_index, edge, state, member = states
        received = _sums_at(edge_index[1], edge, len(x))
        nodes = scatter(x, member, dim_size=len(state), reduce="mean")
        edges = scatter(received, member, dim_size=len(state), reduce="mean")
        return self.net(torch.cat((nodes, edges, state), dim=1))


def _sums_at(receiver: Tensor, edge: Tensor, count: int) -> Tensor:
    """The sum of the states of the edges into each node."""
    from torch_geometric.utils import scatter

    return scatter(edge, receiver, dim_size=count, reduce="sum")


def perceptron(before: int, hidden: int, after: int) -> nn.Sequential:
    """A linear layer, ReLU and a linear layer."""
    return nn.Sequential(nn.Linear(before, hidden), nn.ReLU(), nn.Linear(hidden, after))


def edges_and_members(signal: Signal) -> tuple[Tensor, Tensor]:
    """What PyG's layers call `edge_index` and `batch`."""
    dst, src, _ = signal.domain.links()
    return torch.stack((src, dst)), signal.domain.member_of()
