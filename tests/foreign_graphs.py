"""Graph models of PyG as users write them: what imports are tried on."""

import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import nn


class TwoBranches(nn.Module):
    """A convolution with weights beside one that ignores them, a readout, a classifier."""

    def __init__(self):
        super().__init__()
        self.conv1 = pyg.GCNConv(3, 6)
        self.sage = pyg.SAGEConv(3, 5, normalize=True)
        self.bn = pyg.BatchNorm(11)
        self.conv2 = pyg.GCNConv(11, 4, add_self_loops=False)
        self.head = nn.Linear(4, 2)

    def forward(self, x, edge_index, edge_weight=None, batch=None):
        a = F.relu(self.conv1(x, edge_index, edge_weight))
        b = self.sage(x, edge_index).tanh()
        x = self.bn(torch.cat([a, b], dim=1))
        x = F.dropout(self.conv2(x, edge_index), p=0.0, training=self.training)
        x = pyg.global_mean_pool(x, batch) + pyg.global_add_pool(x, batch)
        return F.log_softmax(self.head(x), dim=1)


class Residuals(nn.Module):
    """Layers around shortcuts, on nodes; GraphSAGE by maxima, and a part without a twin."""

    def __init__(self):
        super().__init__()
        self.lin = pyg.Linear(3, 6)
        self.sage = pyg.SAGEConv(6, 6, aggr="max", project=True)
        self.gin = pyg.GINConv(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6)))
        self.tag = pyg.TAGConv(6, 2)

    def forward(self, x, edge_index):
        x = self.lin(x)
        x = x + self.sage(x, edge_index)
        x = x + 0.5 * self.gin(x, edge_index).relu()
        return self.tag(x, edge_index)


def in_a_row():
    return pyg.Sequential(
        "x, edge_index, batch",
        [
            (pyg.GCNConv(3, 6), "x, edge_index -> x"),
            nn.ReLU(inplace=True),
            (pyg.SAGEConv(6, 4), "x, edge_index -> x"),
            (pyg.global_max_pool, "x, batch -> x"),
            nn.Linear(4, 2),
        ],
    )


class OfEdges(nn.Module):
    """Attention that reads features of edges, and a graph-wise readout of maxima."""

    def __init__(self):
        super().__init__()
        self.gat = pyg.GATConv(3, 4, heads=2, edge_dim=2)
        self.v2 = pyg.GATv2Conv(8, 3, heads=2, concat=False, edge_dim=2)
        self.norm = pyg.LayerNorm(3, mode="node")
        self.trans = pyg.TransformerConv(3, 2, edge_dim=2)

    def forward(self, x, edge_index, edge_attr):
        h = F.elu(self.gat(x, edge_index, edge_attr))
        h = self.norm(self.v2(h, edge_index, edge_attr=edge_attr))
        return self.trans(h, edge_index, edge_attr)


class Many(nn.Module):
    """Links of several types and with features, and a signal that comes again."""

    def __init__(self):
        super().__init__()
        self.rgcn = pyg.RGCNConv(3, 4, num_relations=3)
        inner = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4))
        self.gine = pyg.GINEConv(inner, edge_dim=2)
        self.gcn2 = pyg.GCN2Conv(4, alpha=0.2, theta=0.5, layer=2)

    def forward(self, x, edge_index, edge_type, edge_attr):
        first = self.rgcn(x, edge_index, edge_type).relu()
        h = self.gine(first, edge_index, edge_attr)
        h = self.gcn2(h, first, edge_index).relu()
        return h


MODELS = {
    "GCN": lambda: pyg.GCN(3, 6, 3, 4, norm="batch_norm"),
    "GraphSAGE": lambda: pyg.GraphSAGE(3, 6, 2, 4, jk="cat"),
    "GAT": lambda: pyg.GAT(3, 6, 2, 4, heads=2),
    "OfEdges": OfEdges,
    "Many": Many,
    "PNA": lambda: pyg.PNA(
        *(3, 4, 2, 5),
        aggregators=["mean", "max", "std"],
        scalers=["identity", "amplification"],
        deg=torch.tensor([1, 3, 3]),
        edge_dim=2,
    ),
    "GIN": lambda: pyg.GIN(3, 6, 2, 4, jk="max", train_eps=True, norm="batch_norm"),
    "Sequential": in_a_row,
    "TwoBranches": TwoBranches,
    "Residuals": Residuals,
}
