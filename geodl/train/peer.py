"""The same recipe with another library's layer: the peer that a number is compared with."""

from typing import Any, final

import torch.nn.functional as F
from torch import nn

from geodl.signal import Signal


@final
class PygGCN(nn.Module):
    """The GCN of Kipf and Welling out of PyG's `GCNConv`, as PyG's own examples write it.

    Args:
        channels: channels of the input.
        hidden: channels of the hidden layer.
        classes: channels of the output.
        dropout: before both layers.
    """

    def __init__(self, channels: int, hidden: int, classes: int, dropout: float):
        from torch_geometric.nn import GCNConv

        super().__init__()
        self.dropout = dropout
        self.first = GCNConv(channels, hidden, cached=True)
        self.second = GCNConv(hidden, classes, cached=True)

    def forward(self, signal: Any) -> Signal:
        """Class scores of the nodes of a graph, for a batch of one."""
        (x,) = signal.x
        edge_index = signal.domain.edge_index
        x = F.relu(self.first(F.dropout(x, self.dropout, self.training), edge_index))
        x = self.second(F.dropout(x, self.dropout, self.training), edge_index)
        return signal.with_x(x[None])
