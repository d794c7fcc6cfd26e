"""ChebNet (Defferrard et al., 2016) is `Conv` over a polynomial of the Laplacian, here on Cora."""

import argparse

import torch
from torch import nn

import geodl as g

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=100)
args = parser.parse_args()

torch.manual_seed(0)
data = g.data.cora(sparse=True)
hops = g.polynomial(g.laplacian("sym"), 2)  # T_0(L), T_1(L), T_2(L): one weight for each
first, second = g.Conv(1433, 16, hops), g.Conv(16, data.num_classes, hops)
model = g.Sequential(g.Dropout(0.5), first, nn.ReLU(), g.Dropout(0.5), second)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)

for _ in range(args.epochs):
    logits = model(data.signal).x[0]
    loss = nn.functional.cross_entropy(logits[data.train], data.labels[data.train])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

model.eval()
right = model(data.signal).x[0].argmax(-1) == data.labels
print(first.explain(data.signal))
print(f"cora, public split, seed 0: test accuracy {right[data.test].float().mean():.1%}")
