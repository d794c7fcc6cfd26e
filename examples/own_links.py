"""Your own links, by scipy: which pairs will be linked, of those that are hidden?"""

import networkx as nx
import torch
from torch import nn
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

import geodl as g

# Yours: any sparse matrix of links, a row for each receiver.
matrix = nx.to_scipy_sparse_array(nx.connected_caveman_graph(15, 8), dtype=bool)
nodes = matrix.shape[0]

torch.manual_seed(0)
signal = g.Signal(torch.eye(nodes)[None], g.Graph.from_scipy(matrix))
data = g.data.split_links(signal, val=0.05, test=0.1)  # hides links in both directions
model = g.models.gcn(nodes, 32, 16, dropout=0.0)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)


def scores(pairs: torch.Tensor) -> torch.Tensor:
    """How likely a link joins the two nodes of each pair."""
    z = model(data.signal).x[0]
    return (z[pairs[0]] * z[pairs[1]]).sum(-1)


for _ in range(80):
    apart = g.data.unlinked(data.signal.domain, data.train.shape[1])  # negative sampling
    given = torch.cat([data.train, apart], dim=1)
    linked = torch.cat([torch.ones(data.train.shape[1]), torch.zeros(apart.shape[1])])
    loss = nn.functional.binary_cross_entropy_with_logits(scores(given), linked)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
found = scores(data.test.pairs).detach()
auc, ap = (f(found, data.test.labels) for f in (binary_auroc, binary_average_precision))
print(f"{len(found)} hidden pairs: ROC-AUC {auc:.3f}, average precision {ap:.3f}")
