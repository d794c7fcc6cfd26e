"""Your own network, by networkx: which of two communities does each member belong to?"""

import networkx as nx
import torch
from torch import nn

import geodl as g

# Yours: any networkx graph, with what is known of each node and, of a few, the class.
graph = nx.planted_partition_graph(2, 60, 0.2, 0.02, seed=0)
labels = torch.tensor([graph.nodes[node]["block"] for node in graph])
known = torch.arange(120) % 12 == 0
features = torch.eye(120)  # nothing is known but who is linked with whom

torch.manual_seed(0)
links = g.Graph.from_networkx(graph)
signal = g.Signal(features[None], links)
model = g.models.gcn(120, 16, 2, dropout=0.5)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
for _ in range(100):
    logits = model(signal).x[0]
    loss = nn.functional.cross_entropy(logits[known], labels[known])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
right = model.eval()(signal).x[0].argmax(-1) == labels
print(f"{int(known.sum())} of 120 known: {right[~known].float().mean():.1%} of the others right")

# Which links does the answer at node 5 rest on?
weight = g.inspection.integrated_gradients(model, signal, node=5).edges
sender, receiver = links.edge_index[:, weight.argmax()].tolist()
print(f"node 5 rests most on the link {sender} -> {receiver}")
